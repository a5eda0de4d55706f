# shellcheck shell=bash
# lib.sh: what the scripts share. Source it; it only defines functions and completes PATH.

# Tools such as ip and iptables live in sbin, which plain "su" leaves out.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# say MESSAGE...: a progress line, on stderr so that it never mixes with a command's output.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() { say "$@"; exit 1; }

require_root() {
	[ "$(id -u)" -eq 0 ] || die "needs root: run it with sudo"
}

# apt_install PACKAGE...: install with apt; elsewhere name what is missing and stop.
apt_install() {
	command -v apt-get >/dev/null || die "please install: $* (only Debian's and Ubuntu's apt-get is known here)"
	[ "$(id -u)" -eq 0 ] || die "please install as root: apt-get install $*"
	say "installing $*"
	# Podman's package would bring a network into /etc/cni/net.d, which the machine's other runtimes then join.
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600
		-o 'DPkg::Options::=--path-exclude=/etc/cni/net.d/*')
	local log
	log=$({ "${apt[@]}" install -y --no-install-recommends "$@" || { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; }; } </dev/null 2>&1) ||
		die "apt-get could not install $*: $log"
}

# need COMMAND=PACKAGE...: install the packages of those commands that are missing.
need() {
	local pair packages=()
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
	done
	[ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
}

# need_without_service COMMAND=PACKAGE...: the same, for packages whose services tests start by themselves, where they
# see fit. Started by the package, one of them would be this machine's firewall.
need_without_service() {
	local pair
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null && continue
		systemctl mask --runtime "${pair%%=*}" >/dev/null 2>&1 || true
		apt_install "${pair#*=}"
		systemctl disable "${pair%%=*}" >/dev/null 2>&1 || true
		systemctl unmask --runtime "${pair%%=*}" >/dev/null 2>&1 || true
	done
}

# find_go: make "go" callable. sudo replaces PATH, so look where Go is usually unpacked, too.
find_go() {
	local home dir
	if [ -n "${GO:-}" ]; then
		command -v "$GO" >/dev/null || die "GO=$GO is not a program"
		PATH="$("$GO" env GOROOT)/bin:$PATH" # where it is called "go", whatever $GO is called
	fi
	home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
	for dir in /usr/local/go/bin "$home"/{go,sdk/go*,.local/go}/bin /usr/lib/go/bin /snap/bin; do
		command -v go >/dev/null && break
		[ -x "$dir/go" ] && PATH="$dir:$PATH"
	done
	command -v go >/dev/null || die "Go is missing: see https://go.dev/doc/install, or set GO to the program"
	export PATH
}

# build_plugins: build bin/ unless everything there is newer than all the sources, and for this machine.
build_plugins() {
	! plugins_current || return 0
	go_flags_for_root
	say "building the plugins"
	./build_linux.sh >&2
}

plugins_current() {
	local oldest
	[ -d bin ] || return
	oldest=$(find bin -type f ! -name '*.exe' -printf '%T@ %p\n' | sort -n | head -n 1)
	[ -n "$oldest" ] && runs_here "${oldest#* }" &&
		[ -z "$(find go.mod pkg internal plugins -newer "${oldest#* }" -name '*.*' -type f ! -name '*_test.go' ! -name '*.md' -print -quit)" ]
}

# runs_here EXECUTABLE: whether it is for this machine; "GOARCH=arm64 ./build_linux.sh" builds into bin/, too. The shell says 126
# of one that it cannot execute.
runs_here() {
	local status=0
	(unset CNI_COMMAND && exec "$1") </dev/null >/dev/null 2>&1 || status=$?
	[ "$status" -ne 126 ]
}

# go_flags_for_root: git refuses to describe a tree that belongs to somebody else, and "go build" with it.
go_flags_for_root() {
	GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
	export GOFLAGS
}
