// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("associations of SCTP", func() {
	for _, backend := range netfilter.Names() {
		It("come to a mapped port, and the answers back, with "+backend, func() { sctpWith(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func sctpWith(backend string) {
	testutils.Need(GinkgoT(), needs()...)
	l := newLab()
	one, two := l.attach("one"), l.attach("two")
	config := l.config(one, mapping(5000, 50, "sctp")+","+mapping(5001, 51, "sctp", `,"hostIP":"10.88.0.1"`), backend)
	for _, port := range []uint16{50, 51} {
		serveSCTP(one.Netns, "ip4", port)
		serveSCTP(one.Netns, "ip6", port)
	}
	closed := func(from ns.NetNS, address string, port uint16) {
		GinkgoHelper()
		_, err := associate(from, address, port)
		Expect(err).To(HaveOccurred())
	}
	closed(l.outside, "192.0.2.1", 5000)
	closed(l.outside, "2001:db8::1", 5000)
	l.add(one, config)
	Expect(l.check(one, config)).To(Succeed())
	By("from another host")
	Expect(associate(l.outside, "192.0.2.1", 5000)).To(Equal("192.0.2.9"))
	Expect(associate(l.outside, "2001:db8::1", 5000)).To(Equal("2001:db8::9"))
	By("from the host")
	Expect(associate(l.Host, "127.0.0.1", 5000)).To(Equal("10.88.0.1"))
	Expect(associate(l.Host, "192.0.2.1", 5000)).To(Equal("192.0.2.1"))
	Expect(associate(l.Host, "2001:db8::1", 5000)).To(Equal("2001:db8::1"))
	By("from a neighbour")
	Expect(associate(two.Netns, "192.0.2.1", 5000)).To(Equal("10.88.0.1"))
	Expect(associate(two.Netns, "fd88::1", 5000)).To(Equal("fd88::1"))
	By("by the address of a mapping only")
	Expect(associate(two.Netns, "10.88.0.1", 5001)).To(Equal("10.88.0.1"))
	closed(l.outside, "192.0.2.1", 5001)
	By("no more after DEL")
	l.Del(one, config)
	closed(l.outside, "192.0.2.1", 5000)
	closed(l.outside, "2001:db8::1", 5000)
}

// A kernel with SCTP has sockets for it. For one without, which translates it
// all the same, its four-way handshake is played over raw sockets.

// serveSCTP is serve for SCTP.
func serveSCTP(in ns.NetNS, network string, port uint16) {
	GinkgoHelper()
	Expect(in.Do(func(ns.NetNS) error {
		if kernelHasSCTP() {
			return listenSCTP(network, port)
		}
		conn, err := net.ListenPacket(network+":sctp", "")
		if err != nil {
			return err
		}
		DeferCleanup(conn.Close)
		go answerHandshakes(conn, port)
		return nil
	})).To(Succeed())
}

// associate is reach for SCTP.
func associate(from ns.NetNS, address string, port uint16) (seenAs string, err error) {
	GinkgoHelper()
	return ns.Call(from, func() (string, error) {
		if kernelHasSCTP() {
			return connectSCTP(address, port)
		}
		return shakeHands(address, port)
	})
}

// packet is one of SCTP (RFC 9260) with a single chunk.
type packet struct {
	source, destination uint16
	tag                 uint32 // verification tag
	chunk               byte
	initiate            uint32 // tag, in INIT and INIT ACK
	cookie              string
}

// Types of chunks, and the parameter that has the cookie of INIT ACK.
const (
	chunkInit       = 1
	chunkInitAck    = 2
	chunkCookieEcho = 10
	chunkCookieAck  = 11

	stateCookie = 7
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

const commonHeader = 12 // ports, verification tag, checksum

func (p packet) marshal() []byte {
	var value []byte
	if p.chunk == chunkInit || p.chunk == chunkInitAck {
		value = binary.BigEndian.AppendUint32(value, p.initiate)
		value = binary.BigEndian.AppendUint32(value, 1<<16) // receiver's window
		value = append(value, 0, 1, 0, 1, 0, 0, 0, 1)       // streams out and in, first TSN
	}
	if p.chunk == chunkInitAck {
		value = append(value, 0, stateCookie, 0, byte(4+len(p.cookie)))
	}
	value = append(value, p.cookie...)
	data := binary.BigEndian.AppendUint16(nil, p.source)
	data = binary.BigEndian.AppendUint16(data, p.destination)
	data = binary.BigEndian.AppendUint32(data, p.tag)
	data = append(data, 0, 0, 0, 0, p.chunk, 0)
	data = binary.BigEndian.AppendUint16(data, uint16(4+len(value)))
	data = append(data, value...)
	data = append(data, make([]byte, -len(data)&3)...)
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data, castagnoli()))
	return data
}

// parsePacket reads a packet whose checksum is right: whoever translates ports
// has to write a new one.
func parsePacket(data []byte) (p packet, ok bool) {
	if len(data) < commonHeader+4 || !checksumIsRight(data) {
		return packet{}, false
	}
	p = packet{
		source: binary.BigEndian.Uint16(data), destination: binary.BigEndian.Uint16(data[2:]),
		tag: binary.BigEndian.Uint32(data[4:]), chunk: data[commonHeader],
	}
	length := int(binary.BigEndian.Uint16(data[commonHeader+2:]))
	if length < 4 || commonHeader+length > len(data) {
		return packet{}, false
	}
	value := data[commonHeader+4 : commonHeader+length]
	if p.chunk == chunkInit || p.chunk == chunkInitAck {
		p.initiate, value = binary.BigEndian.Uint32(value), value[16:]
	}
	if p.chunk == chunkInitAck {
		value = value[4:]
	}
	p.cookie = string(value)
	return p, true
}

func checksumIsRight(data []byte) bool {
	without := append([]byte(nil), data...)
	binary.LittleEndian.PutUint32(without[8:], 0)
	return binary.LittleEndian.Uint32(data[8:]) == crc32.Checksum(without, castagnoli())
}

// answerHandshakes plays the server, whose cookie is the address that it sees the
// client at.
func answerHandshakes(conn net.PacketConn, port uint16) {
	const tag = 0xfeedbeef
	clients := map[string]uint32{} // tags, by address and port
	buffer := make([]byte, 500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		p, ok := parsePacket(buffer[:n])
		if !ok || p.destination != port {
			continue
		}
		client := fmt.Sprint(from, p.source)
		answer := packet{source: port, destination: p.source}
		switch {
		case p.chunk == chunkInit && p.tag == 0:
			clients[client] = p.initiate
			answer.chunk, answer.initiate, answer.cookie = chunkInitAck, tag, from.String()
		case p.chunk == chunkCookieEcho && p.tag == tag && p.cookie == from.String():
			answer.chunk = chunkCookieAck
		default:
			continue
		}
		answer.tag = clients[client]
		_, _ = conn.WriteTo(answer.marshal(), from)
	}
}

// shakeHands plays the client and returns the server's cookie. The first packets
// may get lost.
func shakeHands(address string, port uint16) (cookie string, err error) {
	to := net.IPAddr{IP: net.ParseIP(address)}
	network := "ip4:sctp"
	if to.IP.To4() == nil {
		network = "ip6:sctp"
	}
	conn, err := net.ListenPacket(network, "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var errs []error
	for attempt := range 3 {
		c := sctpClient{conn: conn, server: to.IP, port: port, own: uint16(40000 + attempt + int(time.Now().UnixNano()%20000))}
		if cookie, err = c.shakeHands(); err == nil {
			return cookie, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

type sctpClient struct {
	conn      net.PacketConn
	server    net.IP
	port, own uint16
}

const clientTag = 0xcafe0001

func (c sctpClient) shakeHands() (cookie string, err error) {
	answer, err := c.exchange(packet{chunk: chunkInit, initiate: clientTag}, chunkInitAck)
	if err != nil {
		return "", err
	}
	_, err = c.exchange(packet{chunk: chunkCookieEcho, tag: answer.initiate, cookie: answer.cookie}, chunkCookieAck)
	return answer.cookie, err
}

// exchange sends a packet and waits for the answer, from the address and port
// that it was sent to.
func (c sctpClient) exchange(p packet, want byte) (packet, error) {
	p.source, p.destination = c.own, c.port
	if _, err := c.conn.WriteTo(p.marshal(), &net.IPAddr{IP: c.server}); err != nil {
		return packet{}, err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		return packet{}, err
	}
	buffer := make([]byte, 500)
	for {
		n, from, err := c.conn.ReadFrom(buffer)
		if err != nil {
			return packet{}, fmt.Errorf("no answer to chunk %d: %w", p.chunk, err)
		}
		answer, ok := parsePacket(buffer[:n])
		if ok && from.(*net.IPAddr).IP.Equal(c.server) && answer.source == c.port && answer.destination == c.own && answer.tag == clientTag && answer.chunk == want {
			return answer, nil
		}
	}
}

func kernelHasSCTP() bool {
	fd, err := sctpSocket(unix.AF_INET)
	if err != nil {
		return false
	}
	return unix.Close(fd) == nil
}

func sctpSocket(domain int) (fd int, err error) {
	return unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
}

func listenSCTP(network string, port uint16) error {
	domain, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(port)})
	if network == "ip6" {
		domain, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(port)}
	}
	fd, err := sctpSocket(domain)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Bind(fd, address), unix.Listen(fd, 5)); err != nil {
		return err
	}
	listener, err := net.FileListener(file) // as if it were TCP, which will do
	if err != nil {
		return err
	}
	DeferCleanup(listener.Close)
	go answerConnections(listener)
	return nil
}

func connectSCTP(address string, port uint16) (string, error) {
	addr := netip.MustParseAddr(address)
	domain, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(port), Addr: addr.As16()})
	if addr.Is4() {
		domain, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	}
	fd, err := sctpSocket(domain)
	if err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	limit := unix.Timeval{Sec: 2} // of connect as well
	if err := errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)); err != nil {
		return "", err
	}
	if err := unix.Connect(fd, to); err != nil {
		return "", err
	}
	heard, err := io.ReadAll(file)
	return strings.TrimSpace(string(heard)), err
}
