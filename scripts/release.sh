#!/bin/bash
# release.sh TAG [DIRECTORY]: the archives of a release, in DIRECTORY (default release-TAG).
#
# One cni-plugins-OS-ARCH-TAG.tgz per platform with the plugins, README.md and LICENSE, flat, so that it unpacks straight
# into /opt/cni/bin; beside it its .sha256 and .sha512. For Linux also cni-plugins-single-…, which is the one executable with all
# names, as hard links. cni-plugins-OS-ARCH-TAG.cdx.json says what modules are in them, and what Go (CycloneDX, which scanners
# read). The same sources and the same Go make the same bytes.
#
#   ARCHES="amd64 arm64"   only these for Linux (default: all that are released)
#   WINDOWS_ARCHES="amd64" only these for Windows (default: all that are released)
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

[ $# -ge 1 ] || die "usage: release.sh TAG [DIRECTORY]"
tag=$1
case $tag in v[0-9]*) ;; *) die "the tag is $tag; it would have to begin with v and a digit, as v2.0.0" ;; esac
find_go
out=${2:-release-$tag}
mkdir -p "$out"
out=$(readlink -f "$out")

# What the archives' times are set to: that of the commit, or of a checkout without git the epoch.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
version="-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$tag"

main() {
	local arch
	for arch in ${ARCHES:-386 amd64 arm arm64 mips64le ppc64le riscv64 s390x}; do
		archive linux "$arch" "" ./build_linux.sh
		archive linux "$arch" single- ./build_linux.sh --single
	done
	for arch in ${WINDOWS_ARCHES:-amd64 arm64}; do
		archive windows "$arch" "" ./build_windows.sh
	done
}

# archive OS ARCH KIND BUILD-SCRIPT...: build in a copy of the tree's own bin/, which stays as it is.
archive() (
	export GOOS=$1 GOARCH=$2 CGO_ENABLED=0
	name=cni-plugins-$3$1-$2-$tag.tgz
	shift 3
	say "$name"
	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	chmod 755 "$stage"
	"$@" -trimpath -buildvcs=false -ldflags "-extldflags -static $version" -o "$stage/" >&2
	install -m 644 README.md LICENSE "$stage/"
	modules "$stage" "$out/cni-plugins-$GOOS-$GOARCH-$tag.cdx.json"
	tar --sort=name --format=gnu --mtime="@$epoch" --owner=root:0 --group=root:0 -C "$stage" -cf - . | gzip -n9 >"$out/$name"
	cd "$out"
	sha256sum "$name" >"$name.sha256"
	sha512sum "$name" >"$name.sha512"
)

# modules DIRECTORY FILE: write what modules are in the executables. One of them has those of all others: all plugins in one, or
# on Windows win-bridge.
modules() {
	local executable
	for executable in "$1/cni-plugins" "$1/win-bridge.exe"; do
		[ ! -e "$executable" ] || GOOS='' GOARCH='' go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 \
			bin -json -std -noserial -notimestamp -version "$tag" -output "$2" "$executable" 2>/dev/null
	done
}

main
