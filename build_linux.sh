#!/bin/sh
# build_linux.sh [GO-BUILD-ARGUMENT...]: put one static executable per plugin into bin/.
#
# GO, GOOS, GOARCH, GOFLAGS and CGO_ENABLED are honoured; all arguments go to "go build", for example
#   ./build_linux.sh -ldflags '-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v2.0.0'
#
# With --single as the first argument there is one executable for all, stripped, under all their names (hard links): less
# to carry, and IPAM plugins need no process of their own.
set -eu
cd "$(dirname "$0")"

# The plugins run on Linux, wherever they are built.
if [ "$(uname)" = Darwin ]; then
	export GOOS="${GOOS:-linux}"
fi
export CGO_ENABLED="${CGO_ENABLED:-0}"

# plugin_dirs prints the directories that hold a plugin's main package; a sub-tree may be missing.
plugin_dirs() {
	for dir in plugins/meta/* plugins/main/* plugins/ipam/*; do
		[ "${dir##*/}" != windows ] && [ -e "$dir/main.go" ] && echo "./$dir"
	done
	return 0
}

dirs=$(plugin_dirs)
if [ -z "$dirs" ]; then
	echo "build_linux.sh: no plugin under plugins/meta, plugins/main or plugins/ipam" >&2
	exit 0
fi

# entry names the point where the kernel enters an executable, for the architectures that have one (internal/startup).
entry() {
	case $("${GO:-go}" env GOARCH) in
	amd64 | arm64) echo -E=cni_plugins_entry ;;
	esac
}

# take_arguments sorts out what is not simply passed on: where the executables go, and flags for the linker.
out=bin/ ldflags=
take_arguments() {
	for arg in "$@"; do
		shift
		case ${expected:-} in
		out) out=$arg expected= && continue ;;
		ldflags) ldflags="$ldflags $arg" expected= && continue ;;
		esac
		case $arg in
		-o | --o) expected=out ;;
		-o=* | --o=*) out=${arg#*=} ;;
		-ldflags | --ldflags) expected=ldflags ;;
		-ldflags=* | --ldflags=*) ldflags="$ldflags ${arg#*=}" ;;
		*) set -- "$@" "$arg" ;;
		esac
	done
	mkdir -p "$out"
	if [ -n "$single" ]; then
		build_single "$@"
	else
		build "$@"
	fi
}

# build_single makes one executable and gives it all names. Functions are inlined in the standard library alone, and not in what
# plugins use little of it: 0.7 MB less, and no difference in time, which it would make in the rest.
# shellcheck disable=SC2046 # one word per package
build_single() {
	"${GO:-go}" build -o "${out%/}/cni-plugins" "-ldflags=-s -w $(entry) $ldflags" -gcflags=all=-l -gcflags=std= \
		$(printf -- '-gcflags=%s=-l ' fmt log net os/exec regexp/... time) "$@" ./cmd/cni-plugins
	rewrite "${out%/}/cni-plugins"
	for dir in $dirs; do
		ln -f "${out%/}/cni-plugins" "${out%/}/${dir##*/}"
	done
}

# build compiles all plugins.
# shellcheck disable=SC2086 # $dirs: one word per directory; the names hold no spaces
build() {
	echo "Building plugins ${GOOS:-}"
	for dir in $dirs; do
		echo "  ${dir##*/}"
	done
	case $ldflags:$("${GO:-go}" env GOFLAGS) in
	:*-ldflags*) "${GO:-go}" build -o "$out" "$@" $dirs ;; # which would be lost beside ours
	*) build_linked "$@" ;;
	esac
	for dir in $dirs; do
		rewrite "${out%/}/${dir##*/}"
	done
}

# build_linked compiles the IPAM plugins first and tells the others their build IDs: where an interface plugin finds one of
# just these in CNI_PATH, it calls its own copy instead of starting a process (see internal/linked).
# shellcheck disable=SC2046 # one word per directory
build_linked() {
	go=${GO:-go}
	"$go" build -o "$out" "-ldflags=$(entry) $ldflags" "$@" ./plugins/ipam/host-local ./plugins/ipam/static
	linked=github.com/containernetworking/plugins/internal/linked
	ids="-X $linked.HostLocalBuildID=$("$go" tool buildid "${out%/}/host-local")"
	ids="$ids -X $linked.StaticBuildID=$("$go" tool buildid "${out%/}/static")"
	"$go" build -o "$out" "-ldflags=$(entry) $ldflags $ids" "$@" $(echo "$dirs" | grep -v -e /host-local$ -e /static$)
}

# rewrite puts a copy in the place of an executable. The linker writes through a mapping, page by page, and page by page the
# file then is in the page cache. Written in large pieces, it is there in folios of that size (ext4, XFS), which are mapped
# faster: 14 % of what a plugin takes to start. Of larger ones than 256 KB, an ADD of bridge takes 1 % longer. Copying to
# another directory does nearly the same. Where a copy has no room, the executable stays.
rewrite() {
	if [ -f "$1" ]; then
		{ dd if="$1" of="$1.new" bs=262144 2>/dev/null && chmod +x "$1.new" && mv "$1.new" "$1"; } || rm -f "$1.new"
	fi
}

single=
if [ "${1:-}" = --single ]; then
	single=yes
	shift
fi
take_arguments "$@"
