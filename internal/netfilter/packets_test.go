// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"net"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// packetLab is a container whose only way out is through the host:
//
//	container 10.1.0.2 -- 10.1.0.1 host 192.0.2.1 -- outside 192.0.2.2, 10.1.0.200
//	          fd01::2     fd01::1       2001:db8::1          2001:db8::2, fd01::200
//
// The container's subnet reaches beyond the host, so that packets to a neighbour
// in it pass the host's postrouting hook too.
type packetLab struct {
	container, host, outside ns.NetNS
}

func newPacketLab() packetLab {
	GinkgoHelper()
	lab := packetLab{testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())}
	link(lab.container, "eth0", lab.host, "toc")
	link(lab.outside, "eth0", lab.host, "too")
	testutils.Inside(lab.container, func() {
		run(`ip addr add 10.1.0.2/32 dev eth0; ip addr add fd01::2/128 dev eth0 nodad; ip link set lo up
ip route add 10.1.0.1 dev eth0; ip route add default via 10.1.0.1; ip -6 route add fd01::1 dev eth0; ip -6 route add default via fd01::1`)
	})
	testutils.Inside(lab.outside, func() {
		run(`ip addr add 192.0.2.2/24 dev eth0; ip addr add 10.1.0.200/32 dev eth0; ip addr add 2001:db8::2/64 dev eth0 nodad; ip addr add fd01::200/128 dev eth0 nodad
ip link set lo up; ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1`)
	})
	testutils.Inside(lab.host, func() {
		run(`ip addr add 10.1.0.1/32 dev toc; ip addr add fd01::1/128 dev toc nodad; ip addr add 192.0.2.1/24 dev too; ip addr add 2001:db8::1/64 dev too nodad; ip link set lo up
ip route add 10.1.0.2 dev toc; ip -6 route add fd01::2 dev toc; ip route add 10.1.0.200 dev too; ip -6 route add fd01::200 dev too
echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`)
	})
	return lab
}

// link makes a veth pair between two namespaces and brings both ends up.
func link(a ns.NetNS, nameA string, b ns.NetNS, nameB string) {
	GinkgoHelper()
	testutils.Inside(a, func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.Fd())})).To(Succeed())
		run("ip link set " + nameA + " up")
	})
	testutils.Inside(b, func() { run("ip link set " + nameB + " up") })
}

// seenFrom sends datagrams from the container to an address outside and returns
// the source of the first that arrives; neighbours have to be found first.
func (lab packetLab) seenFrom(destination string) string {
	GinkgoHelper()
	to := netip.AddrPortFrom(netip.MustParseAddr(destination), 4242)
	var listener *net.UDPConn
	testutils.Inside(lab.outside, func() {
		var err error
		listener, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(to))
		Expect(err).NotTo(HaveOccurred())
	})
	defer listener.Close()
	var from netip.AddrPort
	Eventually(func() (err error) {
		testutils.Inside(lab.container, func() { sendDatagram(nil, to) })
		Expect(listener.SetReadDeadline(time.Now().Add(50 * time.Millisecond))).To(Succeed())
		_, from, err = listener.ReadFromUDPAddrPort(make([]byte, 100))
		return err
	}).WithTimeout(10*time.Second).Should(Succeed(), "datagram to %s", destination)
	return from.Addr().Unmap().String()
}

func sendDatagram(from net.IP, to netip.AddrPort) {
	GinkgoHelper()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: from}, net.UDPAddrFromAddrPort(to))
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	Expect(err).NotTo(HaveOccurred())
}

// seenFromHost does the same with a datagram that the host itself sends under
// the container's address: it needs no multicast routing daemon to get out, and
// passes the same hook.
func (lab packetLab) seenFromHost(destination string) string {
	GinkgoHelper()
	var capture int
	testutils.Inside(lab.outside, func() {
		var err error
		capture, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_IP)))
		Expect(err).NotTo(HaveOccurred())
	})
	defer unix.Close(capture)
	testutils.Inside(lab.host, func() {
		run("ip addr replace 10.1.0.2/32 dev too")
		sendDatagram(net.IPv4(10, 1, 0, 2), netip.AddrPortFrom(netip.MustParseAddr(destination), 4242))
	})
	return receiveIPv4(capture, destination)
}

// receiveIPv4 returns the source of the first packet to destination.
func receiveIPv4(fd int, destination string) string {
	GinkgoHelper()
	var source string
	Eventually(func() string {
		packet := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, packet, 0)
		if err != nil || n < 20 {
			return ""
		}
		source = net.IP(packet[12:16]).String()
		return net.IP(packet[16:20]).String()
	}).WithTimeout(5 * time.Second).WithPolling(time.Millisecond).Should(Equal(destination))
	return source
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

var _ = Describe("Masqueraded packets", func() {
	ctx := context.Background()
	c1 := owner("podman", "c1", "eth0")

	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "veth", "ip-tool", "ipv6") })

	for _, name := range netfilter.Names() {
		Describe("by "+name, func() {
			var (
				lab     packetLab
				backend netfilter.Backend
			)
			BeforeEach(func() {
				need := map[string][]string{netfilter.NFTables: {"nftables"}, netfilter.IPTables: {"iptables", "ip6tables"}}
				testutils.Need(GinkgoT(), need[name]...)
				var err error
				backend, err = netfilter.Select(name)
				Expect(err).NotTo(HaveOccurred())
				lab = newPacketLab()
			})

			It("leave under the host's address, except to the subnet", func() {
				Expect(lab.seenFrom("192.0.2.2")).To(Equal("10.1.0.2"))
				Expect(lab.seenFrom("2001:db8::2")).To(Equal("fd01::2"))

				testutils.Inside(lab.host, func() { Expect(backend.Masquerade(ctx, c1, addrs("10.1.0.2/24", "fd01::2/64"))).To(Succeed()) })
				Expect(lab.seenFrom("192.0.2.2")).To(Equal("192.0.2.1"))
				Expect(lab.seenFrom("10.1.0.200")).To(Equal("10.1.0.2"))
				Expect(lab.seenFrom("2001:db8::2")).To(Equal("2001:db8::1"))
				Expect(lab.seenFrom("fd01::200")).To(Equal("fd01::2"))

				testutils.Inside(lab.host, func() { Expect(netfilter.RemoveMasquerade(ctx, c1, addrs("10.1.0.2/24", "fd01::2/64"))).To(Succeed()) })
				Expect(lab.seenFrom("192.0.2.2")).To(Equal("10.1.0.2"))
				Expect(lab.seenFrom("2001:db8::2")).To(Equal("fd01::2"))
			})

			It("keep their source to a second subnet of the attachment", func() {
				testutils.Inside(lab.host, func() {
					Expect(backend.Masquerade(ctx, c1, addrs("10.1.0.2/32", "192.0.2.77/24"))).To(Succeed())
				})
				Expect(lab.seenFrom("192.0.2.2")).To(Equal("10.1.0.2"))
				Expect(lab.seenFrom("10.1.0.200")).To(Equal("192.0.2.1"))
			})

			It("leave others alone", func() {
				testutils.Inside(lab.host, func() { Expect(backend.Masquerade(ctx, c1, addrs("10.1.0.3/24", "fd01::3/64"))).To(Succeed()) })
				Expect(lab.seenFrom("192.0.2.2")).To(Equal("10.1.0.2"))
				Expect(lab.seenFrom("2001:db8::2")).To(Equal("fd01::2"))
			})

			It("keep their source to multicast groups", func() {
				testutils.Inside(lab.host, func() { Expect(backend.Masquerade(ctx, c1, addrs("10.1.0.2/24"))).To(Succeed()) })
				Expect(lab.seenFromHost("192.0.2.2")).To(Equal("192.0.2.1"))
				Expect(lab.seenFromHost("239.1.2.3")).To(Equal("10.1.0.2"))
			})
		})
	}
})

var _ = Describe("Frames through a guarded port", func() {
	ctx := context.Background()
	c1 := owner("podman", "c1", "eth0")
	own := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}
	spoofed := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}

	It("come from the MAC address of the attachment", func() {
		testutils.Need(GinkgoT(), "root", "veth", "bridge", "ip-tool", "nftables-bridge")
		container, host, neighbour := testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		link(container, "eth0", host, "guarded")
		link(neighbour, "eth0", host, "other")
		testutils.Inside(host, func() {
			run("ip link add br0 type bridge; ip link set br0 up; ip link set guarded master br0; ip link set other master br0")
		})
		received := func(from ns.NetNS, to ns.NetNS, source net.HardwareAddr) bool {
			GinkgoHelper()
			listener := packetSocket(to)
			defer unix.Close(listener)
			sender := packetSocket(from)
			defer unix.Close(sender)
			// The marker that follows a frame shows that the frame would have come.
			send(from, sender, source, 1)
			send(from, sender, own, 2)
			return hasArrived(listener, 1, 2)
		}
		Eventually(func() bool { return received(container, neighbour, own) }).WithTimeout(5 * time.Second).Should(BeTrue()) // ports forward
		Expect(received(container, neighbour, spoofed)).To(BeTrue())

		testutils.Inside(host, func() { Expect(netfilter.GuardMAC(ctx, c1, "guarded", own)).To(Succeed()) })
		Expect(received(container, neighbour, own)).To(BeTrue())
		Expect(received(container, neighbour, spoofed)).To(BeFalse())
		Expect(received(neighbour, container, spoofed)).To(BeTrue(), "the other port is not guarded")

		testutils.Inside(host, func() { Expect(netfilter.UnguardMAC(ctx, c1)).To(Succeed()) })
		Expect(received(container, neighbour, spoofed)).To(BeTrue())
	})
})

// experimental is an EtherType for experiments (IEEE 802).
const experimental = 0x88b5

func packetSocket(netns ns.NetNS) (fd int) {
	GinkgoHelper()
	testutils.Inside(netns, func() {
		eth0, err := net.InterfaceByName("eth0")
		Expect(err).NotTo(HaveOccurred())
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(htons(experimental)))
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(experimental), Ifindex: eth0.Index})).To(Succeed())
	})
	return fd
}

// send broadcasts a frame with a number in it.
func send(netns ns.NetNS, fd int, source net.HardwareAddr, number byte) {
	GinkgoHelper()
	testutils.Inside(netns, func() {
		eth0, err := net.InterfaceByName("eth0")
		Expect(err).NotTo(HaveOccurred())
		frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, source...)
		frame = append(frame, experimental>>8, experimental&0xff, number)
		frame = append(frame, make([]byte, 46)...)
		Expect(unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Index})).To(Succeed())
	})
}

// hasArrived tells whether a frame has come before the marker did.
func hasArrived(fd int, number, marker byte) bool {
	GinkgoHelper()
	arrived := false
	Eventually(func() byte {
		frame := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, frame, 0)
		if err != nil || n < 15 {
			return 0
		}
		if frame[14] == number {
			arrived = true
		}
		return frame[14]
	}).WithTimeout(5 * time.Second).WithPolling(time.Millisecond).Should(Equal(marker))
	return arrived
}
