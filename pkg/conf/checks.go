// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"unicode"
)

// MAC notes a problem unless text is empty or the unicast Ethernet address of
// an interface.
func MAC(p *Problems, path, text string) {
	if text == "" {
		return
	}
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil || len(mac) != 6:
		p.Add(path, "%q is not a MAC address such as 0a:58:0a:01:02:03", text)
	case mac[0]&1 != 0:
		p.Add(path, "%q is a multicast address, an interface needs a unicast one (second digit even)", text)
	case mac.String() == "00:00:00:00:00:00":
		p.Add(path, "%q cannot be the address of an interface", text)
	}
}

// CanonicalMAC returns a hardware address as the kernel's are written, and what
// is none as it is.
func CanonicalMAC(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return text
	}
	return mac.String()
}

// LinkName notes a problem unless name can be the name of a network interface.
// Of one with a per cent sign the kernel makes up another, net0 of net%d. The
// parameters of all and of default are not those of an interface.
func LinkName(p *Problems, path, name string) {
	switch {
	case name == "":
		p.Add(path, "empty, the name of an interface is expected")
	case len(name) > 15:
		p.Add(path, "%q is longer than the 15 bytes that the kernel allows", name)
	case name == "." || name == ".." || strings.ContainsAny(name, "/:%") || strings.ContainsFunc(name, unicode.IsSpace):
		p.Add(path, "%q cannot be the name of an interface: it must not be . or .., nor contain a slash, colon, per cent sign or white space", name)
	case name == "all" || name == "default":
		p.Add(path, "%q cannot be the name of an interface: the kernel keeps it for the parameters of all interfaces", name)
	}
}

// MTUOrAuto is an MTU, or the wish to have it derived from the host's default route.
type MTUOrAuto struct {
	Bytes int  // 0 leaves it to the kernel
	Auto  bool // "auto" in JSON; then Bytes is 0
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *MTUOrAuto) UnmarshalJSON(data []byte) error {
	*m = MTUOrAuto{Auto: string(data) == `"auto"`}
	if m.Auto {
		return nil
	}
	if json.Unmarshal(data, &m.Bytes) == nil {
		return nil
	}
	var other any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&other); err != nil {
		return err
	}
	return fmt.Errorf(`%s where an integer or "auto" is expected`, describe(other))
}

// MTU notes a problem unless mtu is one that a device can have; 0 leaves it to
// the kernel.
func MTU(p *Problems, path string, mtu int) { MTUUpTo(p, path, mtu, 65535) }

// MTUUpTo is MTU for a device whose largest MTU the caller knows.
func MTUUpTo(p *Problems, path string, mtu, largest int) {
	const smallest = 68 // RFC 791; of Ethernet devices, ETH_MIN_MTU
	if mtu > 0 && mtu < smallest {
		p.Add(path, "%d is smaller than %d, with which Ethernet and IPv4 begin", mtu, smallest)
	}
	p.Range(path, mtu, 0, largest)
}
