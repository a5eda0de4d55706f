#!/bin/bash
# vm.sh COMMAND [ARG...]: run a command as root on a full distribution kernel, in a throw-away QEMU machine.
#
# For kernels that lack dummy, ipvlan, 8021q, vrf or bridge vlan_filtering. KVM is used where it works, but not
# needed: emulated, the machine boots in seconds and then runs programs some thirty times slower, so compile test
# binaries before (go test -c) and only run them inside. The guest sees this machine's root file system read-only
# under a tmpfs: every path exists and every write is lost, except what goes to $VM_OUT (a folder here, /vm-out
# there). Exit status and output are the command's; 124 when it did not finish in time.
#
#   VM_OUT=DIR       folder that survives              (default: a temporary one, removed afterwards)
#   VM_TIMEOUT=S     seconds until the machine is shot (default 900)
#   VM_CACHE=DIR     kernel and initramfs, built once  (default ${XDG_CACHE_HOME:-~/.cache}/cni-vm)
#   VM_KVM=0         do not even try KVM
#   VM_MODULES=LIST  kernel modules to load first, instead of the list below
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

[ $# -gt 0 ] || die "usage: vm.sh COMMAND [ARG...]"
cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cni-vm}
limit=${VM_TIMEOUT:-900}
guest_modules=${VM_MODULES:-dummy ipvlan macvlan 8021q vrf veth bridge br_netfilter ifb tun e1000 nf_tables ip_tables ip6_tables}

case $(uname -m) in
x86_64) qemu=qemu-system-x86_64 qemu_package=qemu-system-x86 kernel_arch=amd64 console=ttyS0 machine=(-M pc) ;;
aarch64) qemu=qemu-system-aarch64 qemu_package=qemu-system-arm kernel_arch=arm64 console=ttyAMA0 machine=(-M virt) ;;
*) die "no machine is described for $(uname -m), only for x86_64 and aarch64" ;;
esac

main() {
	work=$(mktemp -d)
	chmod 755 "$work" # apt downloads as a user of its own
	trap clean_up EXIT
	trap 'exit 143' TERM
	trap 'exit 130' INT
	out=${VM_OUT:-$work/out}
	mkdir -p "$cache" "$out"
	out=$(readlink -f "$out")

	install_tools
	ensure_image
	boot "$@"
	answer
}

machine_pid=
# shellcheck disable=SC2317 # a trap calls it
clean_up() {
	[ -z "$machine_pid" ] || kill "$machine_pid" 2>/dev/null || true
	rm -rf "$work"
}

install_tools() {
	need "$qemu=$qemu_package" modprobe=kmod cpio=cpio gzip=gzip xz=xz-utils zstd=zstd
	static_busybox || apt_install busybox-static
	static_busybox || die "busybox has no switch_root: the package busybox-static is needed"
}

static_busybox() {
	[ -x "$(command -v busybox)" ] && busybox --list | grep -x switch_root >/dev/null # -q would stop reading, and pipefail mind it
}

# ensure_image builds the image once; the lock keeps two first runs from building it at once.
ensure_image() {
	exec 9>"$cache/lock"
	flock 9
	[ -e "$cache/initrd.gz" ] || build_image
	exec 9>&-
}

# build_image: unpack a distribution kernel into the cache and pack an initramfs that mounts the host's root.
build_image() {
	say "fetching a kernel into $cache"
	rm -rf "$cache/root" "$cache/vmlinuz"
	unpack_kernel
	local release
	release=$(ls "$cache/root/lib/modules")
	depmod -b "$cache/root" "$release"
	ln -sf "root/boot/vmlinuz-$release" "$cache/vmlinuz"
	pack_initramfs "$release"
}

# unpack_kernel: Debian has everything in one package behind linux-image-ARCH; Ubuntu splits the modules off.
unpack_kernel() {
	local packages archive
	apt-get update -qq >&2
	packages=$({ kernel_packages "linux-image-$kernel_arch" || kernel_packages linux-image-generic; } | sort -u)
	[ -n "$packages" ] || die "apt knows neither linux-image-$kernel_arch nor linux-image-generic"
	mkdir -p "$work/debs"
	chown _apt "$work/debs" 2>/dev/null || true
	# shellcheck disable=SC2086 # a list of package names
	(cd "$work/debs" && apt-get download -qq $packages >&2)
	for archive in "$work"/debs/*.deb; do
		dpkg -x "$archive" "$cache/root"
	done
	# With /lib merged into /usr some archives hold their modules there.
	[ -d "$cache/root/lib/modules" ] || { mkdir -p "$cache/root/lib" && mv "$cache/root/usr/lib/modules" "$cache/root/lib/"; }
}

# kernel_packages META: the image and module packages that a meta package stands for, two levels deep.
kernel_packages() {
	local first
	first=$(image_dependencies "$1")
	[ -n "$first" ] || return 1
	printf '%s\n' "$first"
	# shellcheck disable=SC2086 # a list of package names
	image_dependencies $first
}

image_dependencies() {
	apt-cache depends "$@" 2>/dev/null | awk '/Depends: linux-(image|modules)/ && $2 !~ /</ {print $2}'
}

pack_initramfs() {
	local rd=$work/rd module
	mkdir -p "$rd"/{bin,mod,lower,rw,new,proc}
	cp "$(command -v busybox)" "$rd/bin/busybox"
	for module in 9p overlay 9pnet_virtio virtio_pci; do
		modprobe -d "$cache/root" -S "$1" --show-depends "$module" | awk '/^insmod/ {print $2}'
	done | awk '!seen[$0]++' >"$work/modules"
	: >"$rd/mod/list"
	while read -r module; do
		copy_module "$module" "$rd/mod"
	done <"$work/modules"
	write_init >"$rd/init"
	chmod +x "$rd/init"
	(cd "$rd" && find . | cpio -o -H newc --quiet | gzip -1) >"$cache/initrd.gz.new"
	mv "$cache/initrd.gz.new" "$cache/initrd.gz"
}

# copy_module FILE DIRECTORY: busybox' insmod reads no compressed modules.
copy_module() {
	local name
	name=$(basename "$1")
	case $name in
	*.xz) xz -dc "$1" >"$2/${name%.xz}" ;;
	*.zst) zstd -qdc "$1" >"$2/${name%.zst}" ;;
	*.gz) gzip -dc "$1" >"$2/${name%.gz}" ;;
	*) cp "$1" "$2/$name" ;;
	esac
	name=${name%.xz}
	name=${name%.zst}
	echo "${name%.gz}" >>"$2/list"
}

write_init() {
	cat <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
while read -r module; do $b insmod "/mod/$module"; done </mod/list
share() { $b mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"; }
share hostroot /lower cache=loose,ro
$b mount -t tmpfs -o size=80% tmpfs /rw
$b mkdir -p /rw/upper /rw/scratch
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/scratch overlay /new
$b mkdir -p /new/lib/modules /new/vm-out
$b mount -t proc proc /new/proc
$b mount -t sysfs sys /new/sys
$b mount -t devtmpfs dev /new/dev
$b mount -t tmpfs tmpfs /new/run
share out /new/vm-out cache=none
share modules /new/lib/modules cache=loose,ro
exec $b switch_root /new /bin/bash /vm-out/.run
INIT
}

write_guest_script() {
	{
		cat <<-'GUEST'
			mkdir -p /dev/pts /dev/shm /var/lib/cni
			mount -t devpts devpts /dev/pts
			mount -t tmpfs tmpfs /dev/shm
			mount -t tmpfs tmpfs /var/lib/cni
			mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
			ip link set lo up
		GUEST
		echo "modprobe -a $guest_modules"
		printf 'export HOME=%q PATH=%q VM_OUT=/vm-out\ncd %q\n' "$HOME" "$PATH" "$PWD"
		# Only what the caller names on purpose crosses over; the rest of the environment belongs to the host.
		local name
		for name in CNI_TEST_NO_SKIP PLUGINS_TEST_BIN PLUGINS_TEST_SINGLE; do
			[ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
		done
		printf '%q ' "$@"
		echo '</dev/null >/vm-out/.log 2>&1'
		echo 'echo $? >/vm-out/.rc; sync; echo o >/proc/sysrq-trigger; sleep 9'
	} >"$out/.run"
	rm -f "$out/.rc" "$out/.log"
}

boot() {
	local accel=emulation
	if kvm_works; then
		accel=kvm
	fi
	write_guest_script "$@"
	say "booting $(basename "$(readlink "$cache/vmlinuz")") with $accel"
	run_machine "$accel" "$limit"
}

# kvm_works boots once to find out: /dev/kvm may exist and still crash or hang a machine, nested ones above all.
kvm_works() {
	[ "${VM_KVM:-1}" != 0 ] && [ -w /dev/kvm ] || return 1
	if [ ! -e "$cache/kvm" ]; then
		say "trying KVM"
		write_guest_script true
		run_machine kvm 30
		{ [ -e "$out/.rc" ] && echo works || echo broken; } >"$cache/kvm"
	fi
	[ "$(cat "$cache/kvm")" = works ]
}

# run_machine kvm|emulation SECONDS
run_machine() {
	local accel=(-accel "tcg,thread=multi" -cpu max)
	[ "$1" = emulation ] || accel=(-accel kvm -cpu "host,-arch-capabilities")
	# In the background: bash hears of a signal only while it waits.
	{
		timeout --foreground -k 5 "$2" "$qemu" "${machine[@]}" "${accel[@]}" -smp "$(nproc)" -m "$(memory)M" -nographic -no-reboot \
			-kernel "$cache/vmlinuz" -initrd "$cache/initrd.gz" -append "console=$console quiet panic=-1" \
			-virtfs "local,path=/,mount_tag=hostroot,security_model=none,multidevs=remap,readonly=on" \
			-virtfs "local,path=$out,mount_tag=out,security_model=none" \
			-virtfs "local,path=$cache/root/lib/modules,mount_tag=modules,security_model=none,readonly=on" &
		machine_pid=$!
		wait "$machine_pid" || true # which prints bash's own remark about a crash
	} </dev/null >"$out/.console" 2>&1
	machine_pid=
}

# memory: in MiB, at most 4 GiB and at most half of what is free.
memory() {
	awk '/^MemAvailable/ {half = int($2 / 2048); print (half > 4096) ? 4096 : (half < 1024) ? 1024 : half}' /proc/meminfo
}

# answer: the command's output and exit status.
answer() {
	cat "$out/.log" 2>/dev/null || true
	if [ ! -e "$out/.rc" ]; then
		tail -n 20 "$out/.console" >&2
		say "the machine did not finish within $limit s"
		exit 124
	fi
	exit "$(cat "$out/.rc")"
}

main "$@"
