#!/bin/bash
# priv-net-run.sh COMMAND [ARG...]: run a command in a new network namespace that has joined a network.
#
# The networks are all configurations in $NETCONFPATH (default /etc/cni/net.d); without any, a bridge "cni0" with a
# gateway, masquerade and, where the machine has IPv6, both families. The attachments are removed afterwards, also after
# Ctrl-C, and with the built-in network all that was made for it; the bridge of a configuration stays, as with every
# runtime. The exit status is the command's.
#
#   CNI_PATH=DIR[:DIR...]  where the plugins are (default: bin/ of this checkout, built when older than the sources)
#   DEBUG=1                print the plugins' results on stderr
#   GO=/path/to/go         the Go to use
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"

[ $# -gt 0 ] || die "usage: priv-net-run.sh COMMAND [ARG...], for example: priv-net-run.sh ip addr"
require_root
need ip=iproute2
find_go
prepare() (
	cd "$here/.."
	[ -n "${CNI_PATH:-}" ] || build_plugins
	go_flags_for_root
	go build -o .cache/netrun ./scripts/netrun
)
prepare >&2
export CNI_PATH=${CNI_PATH:-$(readlink -f "$here/../bin")}

# exec: signals and the exit status are the runner's business.
exec "$here/../.cache/netrun" "$@"
