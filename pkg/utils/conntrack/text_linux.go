// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// fewConnections are about as many as have room in a page of text.
const fewConnections = 24

// areAbsent tells whether it is certain that no filter means one of so many
// connections. For its list as text, unlike over netlink, the kernel takes no
// lock for each bucket of the table, and so needs a tenth of the time to find
// the few that are in it. There may be no such list (CONFIG_NF_CONNTRACK_PROCFS).
func areAbsent(filters []Filter, connections int) bool {
	text, err := readPage("/proc/thread-self/net/nf_conntrack")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		c, ok := parseLine(line)
		if !ok || slices.ContainsFunc(filters, func(f Filter) bool { return f.matches(c) }) {
			return false
		}
		connections--
	}
	return connections <= 0 // or one was being moved
}

// readPage returns the text of a file in /proc that the kernel hands over at
// once. What it says in several pages is not one list: when a line that has been
// read goes away, others move up, and one is never seen.
func readPage(path string) ([]byte, error) {
	file, err := plainfile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const longestLine = 1 << 10 // with two pairs of IPv6 addresses, counters and a security context: half of it
	page := make([]byte, os.Getpagesize())
	n, err := file.Read(page)
	if n > len(page)-longestLine {
		return nil, fmt.Errorf("%s: more than a page", path)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return page[:n], err
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
	var ends [2][2]netip.Addr
	for n := range ends {
		src, srcErr := netip.ParseAddr(valueOf("src=", words, n))
		dst, dstErr := netip.ParseAddr(valueOf("dst=", words, n))
		err = cmp.Or(err, srcErr, dstErr)
		ends[n] = [2]netip.Addr{src, dst}
	}
	if family == 0 || err != nil || ends[0][1].Is4() != (family == netlink.FAMILY_V4) {
		return connection{}, false
	}
	c := connection{
		family: family, protocol: uint8(protocol), src: ends[0][0].AsSlice(), dst: ends[0][1].AsSlice(),
		answering: ends[1][0].AsSlice(), answered: ends[1][1].AsSlice(),
	}
	if port := valueOf("dport=", words, 0); port != "" {
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

// valueOf returns what follows the key in a word that begins with it, after so
// many others that do.
func valueOf(key string, words [][]byte, others int) string {
	for _, word := range words {
		value, ok := bytes.CutPrefix(word, []byte(key))
		if ok && others == 0 {
			return string(value)
		}
		if ok {
			others--
		}
	}
	return ""
}
