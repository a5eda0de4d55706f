// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/google/nftables"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// legacyMentions tells whether a legacy table contains a text, such as the name
// of a chain or the comment of a rule. It answers without starting
// iptables-legacy, which loads the table where there was none. Where the kernel
// does not say, the answer is yes.
func (f family) legacyMentions(table, text string) bool {
	if !f.hasLegacyTable(table) {
		return false
	}
	entries, err := f.legacyEntries(table)
	return err != nil || bytes.Contains(entries, []byte(text))
}

// hasLegacyTable tells whether a table has been loaded in this network
// namespace. /proc/net would show that of the process, not of the thread.
func (f family) hasLegacyTable(table string) bool {
	file := "/proc/thread-self/net/ip_tables_names"
	if f.table == nftables.TableFamilyIPv6 {
		file = "/proc/thread-self/net/ip6_tables_names"
	}
	names, _ := plainfile.Read(file)
	return slices.Contains(strings.Fields(string(names)), table)
}

// Socket options of linux/netfilter_ipv4/ip_tables.h; those of ip6_tables.h
// have the same numbers.
const (
	soGetInfo    = 64 // IPT_SO_GET_INFO
	soGetEntries = 65 // IPT_SO_GET_ENTRIES

	nameSize     = 32               // XT_TABLE_MAXNAMELEN
	infoSize     = nameSize + 13*4  // struct ipt_getinfo
	infoSizeAt   = nameSize + 12*4  // .size
	entriesStart = nameSize + 4 + 4 // struct ipt_get_entries, its size and padding
)

// legacyEntries returns the rules of a legacy table as the kernel holds
// them: names of chains and comments are in it as plain text.
func (f family) legacyEntries(table string) ([]byte, error) {
	_, entries, err := f.legacyTable(table)
	return entries, err
}

// legacyTable returns the struct ipt_getinfo and the struct ipt_get_entries of a
// legacy table.
func (f family) legacyTable(table string) (info, entries []byte, err error) {
	domain, level := unix.AF_INET, unix.SOL_IP
	if f.table == nftables.TableFamilyIPv6 {
		domain, level = unix.AF_INET6, unix.SOL_IPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)

	info = make([]byte, infoSize)
	copy(info, table)
	if err := getsockopt(fd, level, soGetInfo, info); err != nil {
		return nil, nil, err
	}
	size := binary.NativeEndian.Uint32(info[infoSizeAt:])
	entries = make([]byte, entriesStart+int(size))
	copy(entries, table)
	binary.NativeEndian.PutUint32(entries[nameSize:], size)
	err = getsockopt(fd, level, soGetEntries, entries)
	return info, entries, err
}

// legacyBarriers returns the chains FORWARD of iptables-legacy that drop what
// they do not accept.
func legacyBarriers(addrs []netip.Addr) []Barrier {
	var found []Barrier
	for _, f := range families() {
		concerned := slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return addr.Is4() == f.isIPv4() })
		if !concerned || !f.hasLegacyTable("filter") {
			continue
		}
		if drops, empty := f.legacyForward(); drops {
			found = append(found, Barrier{Table: f.program("-legacy") + " filter", Chain: forwardChain, Closed: empty})
		}
	}
	return found
}

// legacyForward reads the policy of FORWARD, which the kernel has as a last rule,
// and whether there are others.
func (f family) legacyForward() (drops, empty bool) {
	info, entries, err := f.legacyTable("filter")
	if err != nil {
		return false, false
	}
	const (
		firstAt  = nameSize + 4 + 2*4 // .hook_entry[NF_INET_FORWARD]
		policyAt = nameSize + 4 + 7*4 // .underflow[NF_INET_FORWARD]
		targetAt = 32                 // struct xt_entry_target, after which the verdict comes
		drop     = ^uint32(0)         // -NF_DROP - 1
	)
	targetOffsetAt := 88 // struct ipt_entry.target_offset
	if !f.isIPv4() {
		targetOffsetAt = 140
	}
	first, policy := binary.NativeEndian.Uint32(info[firstAt:]), binary.NativeEndian.Uint32(info[policyAt:])
	rule := entries[min(len(entries), entriesStart+int(policy)):]
	if len(rule) < targetOffsetAt+2 {
		return false, false
	}
	verdictAt := int(binary.NativeEndian.Uint16(rule[targetOffsetAt:])) + targetAt
	return len(rule) >= verdictAt+4 && binary.NativeEndian.Uint32(rule[verdictAt:]) == drop, first == policy
}

// getsockopt is for options whose value is read and written.
func getsockopt(fd, level, option int, value []byte) error {
	length := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
