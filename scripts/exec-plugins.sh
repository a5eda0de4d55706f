#!/bin/bash
# exec-plugins.sh add|check|del CONTAINER-ID NETNS-PATH: run the plugins of all configurations, without a runtime.
#
# Shows with a shell and jq what the specification asks of a runtime. Every *.conf, *.conflist and *.json file in
# $NETCONFPATH (default /etc/cni/net.d) is a network; the first gets the interface eth0, the next eth1, and so on.
# "add" and "check" go through the networks and the plugins of a list in order, "del" in reverse. Each plugin gets the
# result of the one before as prevResult; what "add" ended with is kept for "check" and "del". The exit status tells
# whether all went well: "add" and "check" stop at the first failure, "del" goes on to the end.
#
#   CNI_PATH=DIR[:DIR...]  where the plugins are (required)
#   CNI_ARGS, CAP_ARGS     arguments, and a JSON object with capability arguments, handed on to the plugins
#   CNI_RESULTS=DIR        where results are kept (default /run/cni-exec-plugins)
#   DEBUG=1                trace; also prints the results
set -euo pipefail
[ "${DEBUG:-0}" = 0 ] || set -x
# shellcheck source=scripts/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

main() {
	[ $# -eq 3 ] || die "usage: exec-plugins.sh add|check|del CONTAINER-ID NETNS-PATH"
	[ -n "${CNI_PATH:-}" ] || die "CNI_PATH is not set: name the directory of the plugins"
	command -v jq >/dev/null || die "jq is missing: install the package jq"
	confdir=${NETCONFPATH:-/etc/cni/net.d}
	results=${CNI_RESULTS:-/run/cni-exec-plugins}
	export CNI_PATH CNI_CONTAINERID=$2 CNI_NETNS=$3
	CNI_COMMAND=$(printf %s "$1" | tr '[:lower:]' '[:upper:]')
	export CNI_COMMAND
	mapfile -t files < <(find "$confdir" -maxdepth 1 \( -name '*.conf' -o -name '*.conflist' -o -name '*.json' \) 2>/dev/null | sort)
	[ ${#files[@]} -gt 0 ] || die "no network configuration in $confdir"

	case $CNI_COMMAND in
	ADD) each_network add ;;
	CHECK) each_network check ;;
	DEL) each_network_reversed leave ;;
	*) die "unknown command $1: add, check and del are known" ;;
	esac
}

# each_network FUNCTION calls it as FUNCTION FILE with CNI_IFNAME set, until one fails.
each_network() {
	local i
	for ((i = 0; i < ${#files[@]}; i++)); do
		export CNI_IFNAME=eth$i
		"$1" "${files[i]}" || die "$CNI_COMMAND of ${files[i]} failed"
	done
}

each_network_reversed() {
	local i status=0
	for ((i = ${#files[@]} - 1; i >= 0; i--)); do
		export CNI_IFNAME=eth$i
		"$1" "${files[i]}" || { say "$CNI_COMMAND of ${files[i]} failed"; status=1; }
	done
	return "$status"
}

# add FILE: each plugin gets the result of the one before; the last result is kept.
add() {
	local count i result=""
	count=$(plugin_count "$1") || return
	for ((i = 0; i < count; i++)); do
		result=$(run_plugin "$1" "$i" "$result") || { show "$result"; return 1; }
	done
	[ "${DEBUG:-0}" = 0 ] || show "$result"
	keep_result "$result"
}

# check FILE: every plugin compares the kernel with the kept result.
check() {
	local count i answer
	count=$(plugin_count "$1") || return
	for ((i = 0; i < count; i++)); do
		answer=$(run_plugin "$1" "$i" "$(kept_result)") || { show "$answer"; return 1; }
	done
}

# leave FILE: every plugin, the last one first, whatever the others say.
leave() {
	local count i answer status=0
	count=$(plugin_count "$1") || return
	for ((i = count - 1; i >= 0; i--)); do
		answer=$(run_plugin "$1" "$i" "$(kept_result)") || { show "$answer"; status=1; }
	done
	[ "$status" -ne 0 ] || rm -f "$(result_file)"
	return "$status"
}

# show ANSWER: what a plugin printed; errors are printed as JSON on stdout, too.
show() { printf '%s\n' "$1" >&2; }

# plugin_count FILE: a file without "plugins" is a network of one.
plugin_count() {
	jq -er 'if has("plugins") then .plugins | length else 1 end' "$1"
}

# run_plugin FILE INDEX PREVIOUS-RESULT: prints what the plugin prints.
run_plugin() {
	local conf type binary
	conf=$(plugin_conf "$@") || return
	type=$(jq -er '.type' <<<"$conf") || die "$1: plugin $2 has no type"
	binary=$(find_plugin "$type") || return
	"$binary" <<<"$conf"
}

# plugin_conf FILE INDEX PREVIOUS-RESULT: what libcni would send: the list's name and version, the previous result, and
# the capability arguments that the plugin asks for. A list without a version speaks 0.1.0.
plugin_conf() {
	jq -c --argjson index "$2" --argjson prev "${3:-null}" --argjson caps "${CAP_ARGS:-null}" '
		. as $list
		| (if has("plugins") then .plugins[$index] else . end)
		| .name = $list.name
		| .cniVersion = ($list.cniVersion // "0.1.0")
		| (.capabilities // {} | with_entries(select(.value))) as $wanted
		| (($caps // {}) | with_entries(select(.key as $key | $wanted | has($key)))) as $runtime
		| if $prev != null then .prevResult = $prev else . end
		| if $runtime != {} then .runtimeConfig = $runtime else . end
		| del(.capabilities)' "$1"
}

find_plugin() {
	local dirs dir
	IFS=: read -ra dirs <<<"$CNI_PATH"
	for dir in "${dirs[@]}"; do
		if [ -f "$dir/$1" ] && [ -x "$dir/$1" ]; then
			printf '%s\n' "$dir/$1"
			return
		fi
	done
	die "no plugin $1 in $CNI_PATH"
}

result_file() { printf '%s/%s-%s\n' "$results" "$CNI_CONTAINERID" "$CNI_IFNAME"; }

keep_result() {
	mkdir -p "$results"
	printf '%s\n' "$1" >"$(result_file)"
}

kept_result() { cat "$(result_file)" 2>/dev/null || true; }

main "$@"
