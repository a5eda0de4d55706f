#!/bin/bash
# test_linux.sh: set up this machine and run every test, natively, on a full kernel, and with real runtimes.
#
# Only Go is assumed; on Debian and Ubuntu everything else is installed. Run it as root. The last line is
# "N passed, M failed", with ", K skipped" where something could not run; the lines above name it and say why.
#
#   PKG="./pkg/ns ./plugins/..."  only these packages, and no end-to-end tests
#   SKIP_VM=1                     do not boot the full kernel for what this one lacks
#   SKIP_E2E=1                    no end-to-end tests with real runtimes
#   GO=/path/to/go                the Go to use
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

require_root
find_go
go_flags_for_root

# The race detector needs a C compiler; the others are what tests look at the kernel with.
need gcc=gcc ip=iproute2 iptables=iptables nft=nftables conntrack=conntrack ping=iputils-ping tcpdump=tcpdump qemu-x86_64=qemu-user \
	unshare=util-linux strace=strace git=git shellcheck=shellcheck jq=jq modprobe=kmod sysctl=procps /usr/lib/cni/portmap=containernetworking-plugins
# DHCP servers for the tests of dhcp, which start them themselves.
if ! [ "$(command -v dnsmasq kea-dhcp4 kea-dhcp6 dhcpd | wc -l)" -eq 4 ]; then
	need dnsmasq=dnsmasq-base kea-dhcp4=kea-dhcp4-server kea-dhcp6=kea-dhcp6-server dhcpd=isc-dhcp-server
	systemctl disable --now kea-dhcp4-server kea-dhcp6-server isc-dhcp-server >/dev/null 2>&1 || true # where there is systemd
fi
need /lib/systemd/systemd=systemd # as a user manager, for the units of dhcp
[ -e /usr/include/features.h ] || apt_install libc6-dev
need_without_service firewalld=firewalld dbus-daemon=dbus
if [ "$(uname -m)" = x86_64 ]; then # for scripts/wine; no 32-bit architecture, no display
	need /usr/lib/wine/wine64=wine64 x86_64-w64-mingw32-ld=binutils-mingw-w64-x86-64
fi
if [ -z "${SKIP_E2E:-}" ] && [ -z "${PKG:-}" ]; then
	need containerd=containerd runc=runc podman=podman conmon=conmon
fi

./build_linux.sh

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools/testrun" ./scripts/testrun
chmod 755 "$tools"
./build_linux.sh --single -o "$tools/single/"

# bin/ on PATH: tests run the plugins as a runtime would; PLUGINS_TEST_BIN saves those that need a plugin building it,
# which takes minutes in the emulated machine. PKG may hold several patterns.
# shellcheck disable=SC2086
PATH="$PWD/bin:$PATH" CNI_PATH="$PWD/bin" PLUGINS_TEST_BIN="$PWD/bin" \
	PLUGINS_TEST_SINGLE="$tools/single/cni-plugins" "$tools/testrun" run ${PKG:-}
