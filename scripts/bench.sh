#!/bin/bash
# bench.sh [-check] [-json] [-n RUNS] [-only REGEXP] [-preload N] [-parallel P] [-ours DIR] [-theirs DIR]: how long the
# plugins take, beside Debian's containernetworking-plugins.
#
# -preload also compares a host with N attachments with an empty one, -parallel the time per ADD with P at once. The two
# run alternately in private mount and network namespaces; the table has medians and their ratio. With -check the exit
# status is 1 when a figure misses its limit. Debian's package is unpacked, not installed, when /usr/lib/cni is missing;
# netavark is another peer where it is installed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

require_root
need ip=iproute2 iptables=iptables unshare=util-linux
find_go
go_flags_for_root
build_plugins

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
CGO_ENABLED=0 go build -o "$tools/" ./scripts/bench ./scripts/bench/bare

theirs=/usr/lib/cni
if [ ! -x "$theirs/bridge" ]; then
	say "fetching containernetworking-plugins"
	chmod 755 "$tools"
	(cd "$tools" && { apt-get download -qq containernetworking-plugins || { apt-get update -qq && apt-get download -qq containernetworking-plugins; }; } && dpkg -x ./*.deb theirs) >&2
	theirs=$tools/theirs/usr/lib/cni
fi

# shellcheck disable=SC2016 # expanded inside
unshare --net --mount --propagation private sh -c '
	mount -t tmpfs tmpfs /run
	ip link set lo up
	exec "$@"' sh "$tools/bench" -bare "$tools/bare" -ours "$PWD/bin" -theirs "$theirs" "$@"
