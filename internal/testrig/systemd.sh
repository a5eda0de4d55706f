#!/bin/bash
# systemd.sh CGROUP UNITS WORK EXECUTABLE UNIT: run a systemd that knows of the units in UNITS alone, has EXECUTABLE in /opt/cni/bin, and
# starts UNIT.
#
# It is a user manager: the same program as process 1, which starts no unit of this machine and changes none of its
# settings. To be run in mount and process namespaces of its own, where everything but /run, /opt and /tmp, which are
# in a file system of their own on WORK, is made read-only first: whatever a unit does, this machine does not notice.
set -euo pipefail
cgroup=$1 units=$2 work=$3 executable=$4 unit=$5

main() {
	echo $$ >"$cgroup/cgroup.procs"
	mount --make-rprivate /
	prepare_work
	protect_machine
	mount --rbind "$work/run" /run
	mount --rbind "$work/opt" /opt
	mount --rbind "$work/tmp" /tmp # the last one: it hides the others
	cd /
	# As a child: what is process 1 is a system's manager, whatever its arguments say.
	unshare --cgroup "$BASH" -euc 'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"' - env -i "PATH=$PATH" HOME=/run/home \
		XDG_RUNTIME_DIR=/run/user SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none \
		/lib/systemd/systemd --user --unit=test.target --log-target=console
}

prepare_work() {
	local target
	mount -t tmpfs tmpfs "$work"
	mkdir -p "$work"/run/{netns,cni,home,none,systemd/system,units,user} "$work/opt/cni/bin" "$work/tmp"
	cp "$executable" "$work/opt/cni/bin/"
	cp "$units"/* "$work/run/units"
	for target in basic sysinit sockets shutdown network network-pre timers; do # what units depend on without saying so
		printf '[Unit]\nDescription=%s\n' "$target" >"$work/run/units/$target.target"
	done
	printf '[Unit]\nRequires=%s\n' "$unit" >"$work/run/units/test.target"
	mount --rbind /run/netns "$work/run/netns"
}

protect_machine() {
	local target
	while read -r _ _ _ _ target _; do
		case $target in
		"$work"* | /proc | /proc/* | /dev | /dev/*) ;;
		/) mount -o remount,bind,ro / ;;
		*) mount -o remount,bind,ro "$target" 2>/dev/null || true ;; # hidden by another
		esac
	done </proc/self/mountinfo
	if touch / 2>/dev/null; then
		echo "the machine can still be changed" >&2
		exit 1
	fi
}

main
