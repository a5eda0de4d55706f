// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/utils/acd"
	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// Messages and options of ICMPv6 (RFC 4861, RFC 8106).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighbourSolicitation = 135
	neighbourAdvert       = 136

	raPrefix = 3
	raMTU    = 5
	raRDNSS  = 25
	raDNSSL  = 31
)

const ip6Header = 40

// neighbourhood talks to routers and neighbours on a link.
type neighbourhood struct {
	*packetsocket.Socket
	own net.IP
	mac net.HardwareAddr
}

func openNeighbourhood(at station, own net.IP) (*neighbourhood, error) {
	socket, err := openFiltered(at.Index, unix.ETH_P_IPV6, neighbourFilter())
	if err != nil {
		return nil, err
	}
	return &neighbourhood{socket, own, at.MAC}, nil
}

// neighbourFilter accepts announcements of routers, and what neighbours say
// about addresses.
func neighbourFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2}, // next header and hop limit
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6<<8 | 255, SkipFalse: 3},
		bpf.LoadAbsolute{Off: ip6Header, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: routerAdvertisement, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: neighbourAdvert, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	}
}

// icmp6 returns the packet of a message of ICMPv6 that stays on the link.
func icmp6(src, dst net.IP, message []byte) []byte {
	packet := make([]byte, ip6Header, ip6Header+len(message))
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(message)))
	packet[6], packet[7] = unix.IPPROTO_ICMPV6, 255
	copy(packet[8:24], src.To16())
	copy(packet[24:40], dst.To16())
	packet = append(packet, message...)
	pseudo := unix.IPPROTO_ICMPV6 + uint32(len(message)) + uint32(onesSum(0, packet[8:40]))
	binary.BigEndian.PutUint16(packet[ip6Header+2:], ^onesSum(pseudo, packet[ip6Header:]))
	return packet
}

// multicastMAC is where packets to a multicast address go (RFC 2464).
func multicastMAC(ip net.IP) net.HardwareAddr {
	return append(net.HardwareAddr{0x33, 0x33}, ip.To16()[12:]...)
}

// A router answers within half a second (RFC 4861, 6.2.6). Where none has, after
// this many questions, there is none.
const (
	solicitations   = 3
	solicitInterval = 700 * time.Millisecond
)

// solicit asks the routers and returns what they announce, the latest of each.
// It does not wait for others when there is a wanted one, which is the last.
func (n *neighbourhood) solicit(ctx context.Context, wanted func(notice) bool) (heard []notice, err error) {
	all := net.ParseIP("ff02::2")
	question := append([]byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0, 1, 1}, n.mac...)
	defer n.InterruptBy(ctx)()
	for range solicitations {
		if err := n.Send(icmp6(n.own, all, question), multicastMAC(all)); err != nil {
			return nil, err
		}
		if err := n.Until(time.Now().Add(solicitInterval)); err != nil {
			return nil, err
		}
		for {
			message, router, err := n.awaitRouter()
			if err != nil {
				return nil, err
			}
			if message == nil {
				break
			}
			next := notice{message, router, parseRA(message)}
			heard = append(slices.DeleteFunc(heard, next.isOfSameRouter), next)
			if wanted(next) {
				return heard, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return heard, nil
}

// awaitRouter returns the next announcement, or nothing if there is none in time.
func (n *neighbourhood) awaitRouter() (announced []byte, router net.IP, err error) {
	for {
		packet, _, err := n.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		src, message := net.IP(packet[8:24]), payload6(packet)
		if len(message) >= raHeader && message[0] == routerAdvertisement && src.IsLinkLocalUnicast() {
			return slices.Clone(message), slices.Clone(src), nil
		}
	}
}

// payload6 is what follows the header of a packet that the filter let through.
func payload6(packet []byte) []byte {
	length := int(binary.BigEndian.Uint16(packet[4:]))
	return packet[ip6Header:min(len(packet), ip6Header+length)]
}

// probe asks who has an address, on behalf of nobody (RFC 4862, 5.4).
func (n *neighbourhood) probe(ctx context.Context, ip net.IP) (*acd.ConflictError, error) {
	group := net.ParseIP("ff02::1:ff00:0")
	copy(group[13:], ip.To16()[13:])
	question := append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, ip.To16()...)
	packet := icmp6(net.IPv6zero, group, question)
	return acd.Ask(ctx, n.Socket, [][]byte{packet}, multicastMAC(group), func(packet []byte, from net.HardwareAddr) *acd.ConflictError {
		if isConflict6(packet, ip) && !bytes.Equal(from, n.mac) {
			return &acd.ConflictError{IP: ip, MAC: from}
		}
		return nil
	})
}

// isConflict6 tells whether a packet says that an address is in use, or that
// somebody else is about to use it.
func isConflict6(packet []byte, ip net.IP) bool {
	if len(packet) < ip6Header {
		return false
	}
	message := payload6(packet)
	if len(message) < 24 || !net.IP(message[8:24]).Equal(ip) {
		return false
	}
	fromNobody := net.IP(packet[8:24]).Equal(net.IPv6zero)
	return message[0] == neighbourAdvert || message[0] == neighbourSolicitation && fromNobody
}

const raHeader = 16

// routerAdvert is what a router announces.
type routerAdvert struct {
	managed  bool          // addresses are had by DHCPv6
	lifetime time.Duration // as a default router; 0: it is none
	mtu      int
	prefixes []prefixInfo
	dns      []net.IP
	search   []string
}

// prefixInfo is a prefix that a router announces.
type prefixInfo struct {
	network          net.IPNet
	local            bool // its addresses are on the link
	forAddresses     bool // everybody may make one of it
	valid, preferred time.Duration
}

// parseRA reads a router advertisement. What makes no sense is left out.
func parseRA(message []byte) routerAdvert {
	var ra routerAdvert
	if len(message) < raHeader {
		return ra
	}
	ra.managed = message[5]&0x80 != 0
	ra.lifetime = time.Duration(binary.BigEndian.Uint16(message[6:])) * time.Second
	for rest := message[raHeader:]; len(rest) >= 8; {
		length := int(rest[1]) * 8
		if length == 0 || length > len(rest) {
			return ra
		}
		ra.option(rest[0], rest[:length])
		rest = rest[length:]
	}
	return ra
}

func (ra *routerAdvert) option(kind byte, data []byte) {
	switch {
	case kind == raPrefix && len(data) == 32 && data[2] <= 128:
		mask := net.CIDRMask(int(data[2]), 128)
		ra.prefixes = append(ra.prefixes, prefixInfo{
			network: net.IPNet{IP: net.IP(slices.Clone(data[16:32])).Mask(mask), Mask: mask},
			local:   data[3]&0x80 != 0, forAddresses: data[3]&0x40 != 0,
			valid: seconds(data[4:]), preferred: seconds(data[8:]),
		})
	case kind == raMTU && len(data) == 8:
		if mtu := binary.BigEndian.Uint32(data[4:]); mtu >= link.SmallestIPv6MTU && mtu <= 65535 {
			ra.mtu = int(mtu)
		}
	case kind == raRDNSS && seconds(data[4:]) > 0:
		for server := data[8:]; len(server) >= net.IPv6len; server = server[net.IPv6len:] {
			ra.dns = append(ra.dns, net.IP(slices.Clone(server[:net.IPv6len])))
		}
	case kind == raDNSSL && seconds(data[4:]) > 0:
		ra.search = append(ra.search, searchList(data[8:])...)
	}
}

func seconds(data []byte) time.Duration {
	if n := binary.BigEndian.Uint32(data); n != infinite {
		return time.Duration(n) * time.Second
	}
	return forever
}

// autonomous returns the prefix to make an address of, or nil.
func (ra routerAdvert) autonomous() *prefixInfo {
	return ra.find(func(p prefixInfo) bool { return p.isAutonomous() && p.isUsable() })
}

// prefixOf returns the prefix of an address that was made of one, or nil. It may
// not be one for new addresses any more.
func (ra routerAdvert) prefixOf(ip net.IP) *prefixInfo {
	return ra.find(func(p prefixInfo) bool { return p.isAutonomous() && p.network.Contains(ip) })
}

func (p prefixInfo) isAutonomous() bool {
	ones, _ := p.network.Mask.Size()
	return p.forAddresses && ones == 64 && !p.network.IP.IsLinkLocalUnicast()
}

// isUsable tells whether there is a prefix, for new connections.
func (p *prefixInfo) isUsable() bool { return p != nil && p.valid > 0 && p.preferred > 0 }

// onLink returns the prefix of an address, or nil.
func (ra routerAdvert) onLink(ip net.IP) *prefixInfo {
	return ra.find(func(p prefixInfo) bool { return p.local && p.network.Contains(ip) })
}

func (ra routerAdvert) find(wanted func(prefixInfo) bool) *prefixInfo {
	if at := slices.IndexFunc(ra.prefixes, wanted); at >= 0 {
		return &ra.prefixes[at]
	}
	return nil
}
