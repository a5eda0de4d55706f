// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// areAbsent tells whether it is certain that no filter means one of so many
// connections. For its list as text, unlike over netlink, the kernel takes no
// lock for each bucket of the table, and so needs a seventh of the time to find
// the few that are in it. A list that is shorter than it should be may lack one
// that has moved, and there may be none (CONFIG_NF_CONNTRACK_PROCFS).
func areAbsent(filters []Filter, connections int) bool {
	file, err := plainfile.Open("/proc/thread-self/net/nf_conntrack", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		c, ok := parseLine(lines.Bytes())
		if !ok || slices.ContainsFunc(filters, func(f Filter) bool { return f.matches(c) }) {
			return false
		}
		connections--
	}
	return lines.Err() == nil && connections <= 0
}

// parseLine takes a line of the list apart, or says that it cannot:
//
//	ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53 [UNREPLIED] src=192.0.2.2 …
//
// The packets that opened the connection come first, the answers second.
func parseLine(line []byte) (connection, bool) {
	words := bytes.Fields(line)
	if len(words) < 4 {
		return connection{}, false
	}
	family := familyNumbered(string(words[1]))
	protocol, err := strconv.ParseUint(string(words[3]), 10, 8)
	dst, err2 := netip.ParseAddr(valueOf("dst=", words))
	if family == 0 || err != nil || err2 != nil || dst.Is4() != (family == netlink.FAMILY_V4) {
		return connection{}, false
	}
	c := connection{family: family, protocol: uint8(protocol), dst: dst.AsSlice()}
	if port := valueOf("dport=", words); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return connection{}, false
		}
		c.dstPort = uint16(number)
	}
	return c, true
}

func familyNumbered(number string) netlink.InetFamily {
	switch number {
	case "2": // AF_INET
		return netlink.FAMILY_V4
	case "10": // AF_INET6
		return netlink.FAMILY_V6
	}
	return 0
}

// valueOf returns what follows the key in the first word that begins with it.
func valueOf(key string, words [][]byte) string {
	for _, word := range words {
		if value, ok := bytes.CutPrefix(word, []byte(key)); ok {
			return string(value)
		}
	}
	return ""
}
