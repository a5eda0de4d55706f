#!/bin/bash
# docker-run.sh DOCKER-RUN-ARGUMENT...: run a docker container in the networks of /etc/cni/net.d.
#
# A first container only holds the network namespace; the plugins join it to the networks, and the asked for
# container shares it, for example: docker-run.sh --rm busybox ip addr
#
#   CNI_PATH=DIR[:DIR...]  where the plugins are (default: bin/ of this checkout)
#   NETCONFPATH=DIR        the configurations (default /etc/cni/net.d)
#   PAUSE_IMAGE=IMAGE      an image with "sleep" for the first container (default busybox)
#   DEBUG=1                trace
set -euo pipefail
[ "${DEBUG:-0}" = 0 ] || set -x
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"

[ $# -gt 0 ] || die "usage: docker-run.sh DOCKER-RUN-ARGUMENT..."
require_root
command -v docker >/dev/null || die "docker is missing: see https://docs.docker.com/engine/install/"
need jq=jq
export CNI_PATH=${CNI_PATH:-$(readlink -f "$here/..")/bin}

id=""
netns=""
cleanup() {
	local status=$?
	trap '' INT TERM HUP # the plugins below must not be hit by a second Ctrl-C
	if [ -n "$netns" ]; then
		"$here/exec-plugins.sh" del "$id" "$netns" >&2 || status=$((status ? status : 1))
	fi
	if [ -n "$id" ]; then
		docker rm --force "$id" >/dev/null || status=$((status ? status : 1))
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

id=$(docker run --detach --network=none "${PAUSE_IMAGE:-busybox}" sleep infinity)
netns=/proc/$(docker inspect --format '{{.State.Pid}}' "$id")/ns/net
"$here/exec-plugins.sh" add "$id" "$netns" >&2
docker run --network="container:$id" "$@"
