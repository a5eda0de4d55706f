// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/d2g/dhcp4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = Describe("a lease", func() {
	var n *lan
	var c *testrig.Container
	var config string

	BeforeEach(func() {
		n = newLAN()
		c = n.container("c1")
		config = n.config("")
	})

	linkIsUp := func() bool {
		up := false
		c.Do(func() {
			l, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			up = l.Attrs().RawFlags&syscall.IFF_UP != 0
		})
		return up
	}
	addressesNow := func() []string {
		var list []string
		c.Do(func() {
			l, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			for _, a := range addrs {
				list = append(list, a.IP.String())
			}
		})
		return list
	}

	set := func(do func(netlink.Link) error) {
		c.Do(func() {
			l, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(do(l)).To(Succeed())
		})
	}

	// Every one of these renews by unicast and takes the address back.
	for _, server := range []struct {
		name              string
		times             int
		start             func() (*gbytes.Buffer, process)
		renewed, released string
	}{
		{"kea", 3, func() (*gbytes.Buffer, process) {
			p := n.kea(10, timing{1, 3, 6})
			return p.Out, p
		}, "DHCP4_LEASE_ALLOC", "DHCP4_RELEASE "},
		{"ISC", 2, func() (*gbytes.Buffer, process) {
			p := n.isc(10, 4)
			return p.Err, p
		}, "DHCPACK on 10.77.0.10", "DHCPRELEASE of 10.77.0.10 .*\\(found\\)"},
		{"dnsmasq", 1, func() (*gbytes.Buffer, process) {
			p := n.dnsmasq("--dhcp-option-force=58,1", "--dhcp-option-force=59,3")
			return p.Err, p
		}, "DHCPACK\\(eth0\\)", "DHCPRELEASE\\(eth0\\) 10.77.0.\\d+ \\S+ \n"},
	} {
		It("is renewed while packets flow, and released: "+server.name, func() {
			log, _ := server.start()
			n.daemon()
			result := n.Add(c, config)
			configure(c, result)
			Expect(log).Should(gbytes.Say(server.renewed))
			for range server.times {
				Eventually(log).Should(gbytes.Say(server.renewed))
				Expect(testrig.Reach(n.Host, c.Netns, addressOf(result))).To(Equal(hostAddress))
			}
			Expect(n.Check(c, config, result)).To(Succeed())
			Expect(n.leases()).To(HaveLen(1))
			n.Del(c, config)
			Eventually(log).Should(gbytes.Say(server.released))
			Expect(n.leases()).To(BeEmpty())
		})
	}

	It("survives a change of the MAC address, such as tuning's after ADD", func() {
		server := n.kea(10, timing{1, 2, 5})
		first := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		granted := "DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"
		Expect(server.Out).Should(gbytes.Say(granted))
		set(func(l netlink.Link) error {
			return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 0x55})
		})
		Expect(n.Check(c, config, result)).To(Succeed())
		for range 2 {
			Eventually(server.Out).Should(gbytes.Say(granted))
		}
		first.end(syscall.SIGKILL)
		second := n.daemon()
		Eventually(second.Err).Should(gbytes.Say("1 leases taken up"))
		Eventually(server.Out).Should(gbytes.Say(granted))
		Expect(n.Check(c, config, result)).To(Succeed())
		Expect(testrig.Reach(n.Host, c.Netns, addressOf(result))).To(Equal(hostAddress))
		Expect(string(server.Out.Contents())).NotTo(ContainSubstring("RELEASE"))

		server.end(syscall.SIGKILL) // whoever is there next is asked by broadcast
		Eventually(second.Err).Should(gbytes.Say("no DHCP server answered"))
		server = n.kea(10, timing{1, 5, 9})
		Eventually(server.Out).Should(gbytes.Say(granted))
		n.Del(c, config)
		Eventually(server.Out).Should(gbytes.Say("DHCP4_RELEASE .*" + addressOf(result) + " was released properly"))
	})

	for family, server := range map[string]func() (p process, granted, released string){
		"ipv4": func() (process, string, string) {
			return n.kea(10, timing{1, 3, 6}), "DHCP4_LEASE_ALLOC .*lease 10.77.0.10 has been", "DHCP4_RELEASE .*10.77.0.10 was released properly"
		},
		"ipv6": func() (process, string, string) {
			return n.kea6(timing{1, 3, 6}), "DHCP6_LEASE_RENEW", "DHCP6_RELEASE_NA "
		},
	} {
		It("survives another name of the interface, and another interface by its old one: "+family, func() {
			server, granted, released := server()
			d := n.daemon()
			config := n.config(fmt.Sprintf(`,"family":%q`, family))
			result := n.Add(c, config)
			configure(c, result)
			renewals := func() {
				GinkgoHelper()
				Expect(server.Out.Clear()).To(Succeed())
				for range 2 {
					Eventually(server.Out).Should(gbytes.Say(granted))
				}
			}
			testrig.IP(c.Netns, "link set eth0 down")
			testrig.IP(c.Netns, "link set eth0 name lan0")
			testrig.IP(c.Netns, "link set lan0 up")
			testrig.IP(c.Netns, "address replace %s dev lan0", &result.IPs[0].Address) // down, it loses those of IPv6
			renewals()
			testrig.IP(c.Netns, "link add eth0 type veth peer name other")
			Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("and eth0 is another interface now")))
			renewals()
			d.end(syscall.SIGKILL)
			d = n.daemon()
			Eventually(d.Err).Should(gbytes.Say("1 leases taken up"))
			renewals()
			Expect(testrig.IP(c.Netns, "address show dev lan0")).To(ContainSubstring(addressOf(result)))
			n.Del(c, config)
			Eventually(server.Out).Should(gbytes.Say(released))
			Expect(n.leases()).To(BeEmpty())
		})
	}

	It("survives a server that is away for longer than T2", func() {
		first := n.kea(10, timing{1, 2, 9})
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		first.end(syscall.SIGKILL)
		for range 2 { // in RENEWING and in REBINDING
			Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
		}
		second := n.kea(10, timing{1, 5, 9})
		Eventually(second.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC.*lease 10.77.0.10"))
		Expect(n.Check(c, config, result)).To(Succeed())
		Expect(linkIsUp()).To(BeTrue())
		Expect(testrig.Reach(n.Host, c.Netns, addressOf(result))).To(Equal(hostAddress))
	})

	It("that has run out takes the interface down", func() {
		server := n.kea(10, timing{1, 2, 4})
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		server.end(syscall.SIGKILL)
		Eventually(d.Err).Should(gbytes.Say("ended: the lease has run out"))
		Eventually(linkIsUp).Should(BeFalse())
		Expect(n.leases()).To(BeEmpty())

		events := start(c.Netns, "ip", "monitor", "link")
		for range 2 {
			Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("there is no lease for the interface, which is down")))
			Expect(linkIsUp()).To(BeFalse())
			Expect(n.leases()).To(BeEmpty())
		}
		Expect(string(events.Out.Contents())).NotTo(ContainSubstring("UP"))
		n.Del(c, config)
	})

	const lifetime = 4 // seconds
	// asleep stops the daemon until the lease has run out.
	asleep := func(d process, meanwhile func()) process {
		GinkgoHelper()
		began := time.Now()
		d.Signal(syscall.SIGSTOP)
		meanwhile()
		Eventually(func() time.Duration { return time.Since(began) }).Should(BeNumerically(">", (lifetime+1)*time.Second))
		d.Signal(syscall.SIGCONT)
		return d
	}
	// away kills the daemon, and starts another when the lease has run out.
	away := func(d process, meanwhile func()) process {
		GinkgoHelper()
		began := time.Now()
		d.end(syscall.SIGKILL)
		meanwhile()
		Eventually(func() time.Duration { return time.Since(began) }).Should(BeNumerically(">", (lifetime+1)*time.Second))
		return n.daemon("-resendtimeout", "5s")
	}
	for name, pass := range map[string]func(process, func()) process{"asleep": asleep, "away": away} {
		It("that runs out while the daemon is "+name+" is had again, and the interface notices nothing", func() {
			server := n.kea(10, timing{1, 2, lifetime})
			d := n.daemon("-resendtimeout", "5s")
			result := n.Add(c, config)
			configure(c, result)
			events := start(c.Netns, "ip", "monitor", "link", "address", "route")
			granted := "DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"
			Eventually(server.Out).Should(gbytes.Say(granted))
			d = pass(d, func() { Expect(server.Out.Clear()).To(Succeed()) })
			for range 2 {
				Eventually(server.Out).Should(gbytes.Say(granted))
			}
			Expect(n.Check(c, config, result)).To(Succeed())
			Expect(testrig.Reach(n.Host, c.Netns, addressOf(result))).To(Equal(hostAddress))
			Expect(string(events.Out.Contents())).NotTo(Or(ContainSubstring("Deleted"), ContainSubstring("state DOWN")))
			Expect(string(d.Err.Contents())).NotTo(Or(ContainSubstring("ended"), ContainSubstring("taken off")))
			n.Del(c, config)
		})

		It("that runs out while the daemon is "+name+" and nobody renews is not used any more, until there is another", func() {
			server := n.kea(10, timing{1, 2, lifetime})
			d := n.daemon("-resendtimeout", "5s")
			result := n.Add(c, config)
			configure(c, result)
			testrig.IP(c.Netns, "route add 10.77.0.0/24 dev eth0 table 100") // as sbr does
			testrig.IP(c.Netns, "route add default via %s table 100", serverAddress)
			d = pass(d, func() { server.end(syscall.SIGKILL) })
			Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
			Eventually(d.Err).Should(gbytes.Say("the lease has run out; 10.77.0.10/24 is taken off the interface"))
			Eventually(addressesNow).Should(BeEmpty())
			Expect(linkIsUp()).To(BeTrue())
			Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("the address has run out")))
			Expect(n.leases()).To(HaveLen(1))

			n.kea(10, timing{9, 15, 30})
			Eventually(addressesNow).Should(Equal([]string{"10.77.0.10"}))
			Eventually(func() string { return testrig.IP(c.Netns, "route show table 100") }).Should(ContainSubstring("default via " + serverAddress))
			Expect(n.Check(c, config, result)).To(Succeed())
			Expect(testrig.Reach(n.Host, c.Netns, "10.77.0.10")).To(Equal(hostAddress))
			n.Del(c, config)
		})
	}

	It("that has been taken off the interface is asked for by the next daemon, which gives up in the end", func() {
		server := n.kea(10, timing{1, 2, lifetime})
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		d = asleep(d, func() { server.end(syscall.SIGKILL) })
		Eventually(addressesNow).Should(BeEmpty())
		d.end(syscall.SIGKILL)
		server = n.kea(10, timing{1, 2, lifetime})
		d = n.daemon()
		Eventually(addressesNow).Should(Equal([]string{"10.77.0.10"}))
		d = asleep(d, func() { server.end(syscall.SIGKILL) })
		Eventually(addressesNow).Should(BeEmpty())
		d.end(syscall.SIGKILL)
		d = n.daemon("-resendtimeout", "2s")
		Eventually(d.Err).Should(gbytes.Say("ended: no more tries.*no DHCP server answered"))
		Eventually(linkIsUp).Should(BeFalse())
		Expect(n.leases()).To(BeEmpty())
		n.Del(c, config)
	})

	It("that runs out while the interface is down is asked for when that comes up", func() {
		server := n.kea(10, timing{1, 2, lifetime})
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		set(netlink.LinkSetDown)
		Eventually(func() error { return n.Check(c, config, result) }).Should(MatchError(ContainSubstring("the address has run out")))
		Expect(server.Out.Clear()).To(Succeed())
		Consistently(d.Err, "500ms").ShouldNot(gbytes.Say("ended"))
		Expect(linkIsUp()).To(BeFalse())
		set(netlink.LinkSetUp)
		Eventually(server.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC .*10.77.0.10 has been"))
		Eventually(func() error { return n.Check(c, config, result) }).Should(Succeed())
		Expect(addressesNow()).To(Equal([]string{"10.77.0.10"}))
		n.Del(c, config)
	})

	It("starts over when the server says NAK, and the interface follows", func() {
		server := n.dnsmasq()
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		server.end(syscall.SIGKILL)
		n.dnsmasq("--dhcp-range=10.77.0.252,10.77.0.252,255.255.255.0,120")
		set(netlink.LinkSetDown)
		set(netlink.LinkSetUp) // has it ask at once
		Eventually(d.Err).Should(gbytes.Say("refuses the address.*starting over"))
		Eventually(addressesNow).Should(Equal([]string{"10.77.0.252"}))
		Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("the lease is now for 10.77.0.252/24, which prevResult does not have")))
		Expect(testrig.Reach(n.Host, c.Netns, "10.77.0.252")).To(Equal(hostAddress))
		n.Del(c, config)
	})

	// nobody starts a server that refuses all addresses and grants none.
	nobody := func() process {
		GinkgoHelper()
		return n.dnsmasq("--dhcp-range=10.77.0.0,static,255.255.255.0,120")
	}

	It("that was refused is so for the next daemon, and whoever sets the link down is not overruled", func() {
		server := n.dnsmasq()
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		server.end(syscall.SIGKILL)
		server = nobody()
		set(netlink.LinkSetDown)
		set(netlink.LinkSetUp)
		Eventually(d.Err).Should(gbytes.Say("refuses the address.*starting over"))
		for range 2 {
			Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("a server has taken it away")))
			d.end(syscall.SIGKILL)
			d = n.daemon()
		}
		set(netlink.LinkSetDown)
		server.end(syscall.SIGKILL)
		n.dnsmasq("--dhcp-range=10.77.0.252,10.77.0.252,255.255.255.0,120")
		Consistently(linkIsUp, "3s").Should(BeFalse())
		set(netlink.LinkSetUp)
		Eventually(addressesNow).Should(Equal([]string{"10.77.0.252"}))
		n.Del(c, config)
	})

	It("that was refused is not used for longer than it was granted", func() {
		server := n.kea(10, timing{1, 4, 6})
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		server.end(syscall.SIGKILL)
		server = nobody()
		Eventually(d.Err).Should(gbytes.Say("refuses the address.*starting over"))
		d.end(syscall.SIGKILL)
		d = n.daemon()
		Expect(addressesNow()).To(HaveLen(1))
		Eventually(d.Err, "8s").Should(gbytes.Say("the lease has run out; 10.77.0.10/24 is taken off the interface"))
		Eventually(addressesNow).Should(BeEmpty())
		Expect(linkIsUp()).To(BeTrue())
		Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("a server has taken it away")))
		Expect(n.leases()).To(HaveLen(1))
		server.end(syscall.SIGKILL)
		n.kea(10, timing{9, 15, 30})
		Eventually(addressesNow).Should(Equal([]string{"10.77.0.10"}))
		Expect(n.Check(c, config, result)).To(Succeed())
		n.Del(c, config)
	})

	It("is renewed and released by a server that has another MAC address now", func() {
		server := n.dnsmasq("--dhcp-option-force=58,2", "--dhcp-option-force=59,3")
		seen := n.listen()
		n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		Expect(server.Err.Clear()).To(Succeed())
		testrig.IP(n.server, "link set eth0 address 02:00:00:00:00:77")
		for range 2 {
			Eventually(server.Err).Should(gbytes.Say("DHCPACK\\(eth0\\) " + addressOf(result)))
		}
		for _, request := range seen.of(c, dhcp4.Request)[1:] {
			Expect(request.dst.String()).To(Equal(serverAddress), "no other is asked")
		}
		testrig.IP(n.server, "link set eth0 address 02:00:00:00:00:78")
		n.Del(c, config)
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE\\(eth0\\) " + addressOf(result)))
	})

	It("is released by a server behind a relay that is no router", func() {
		relay, far := n.server, n.Container("far")
		Expect(relay.Do(func(ns.NetNS) error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs("up0"), PeerName: "eth0", PeerNamespace: netlink.NsFd(far.Netns.Fd())})
		})).To(Succeed())
		(&testrig.Container{Netns: relay}).Do(func() {
			address("up0", "10.78.0.2/24")
			Expect(sysctl.Set("net/ipv4/ip_forward", "0")).To(Succeed())
		})
		far.Do(func() { address("eth0", "10.78.0.1/24") })
		testrig.IP(far.Netns, "route add default via 10.78.0.2")
		n.server = far.Netns
		server := n.dnsmasq()
		start(relay, needProgram("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "--pid-file=",
			"--user=root", "--interface=eth0", "--interface=up0", "--dhcp-relay="+serverAddress+",10.78.0.1")
		n.daemon()
		result := n.Add(c, config)
		n.Del(c, config)
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE\\(eth0\\) " + addressOf(result)))
	})

	It("is renewed by a server that does not say the mask again", func() {
		brief := []string{"--dhcp-option-force=58,1", "--dhcp-option-force=59,3"}
		server := n.dnsmasq(brief...)
		d := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		server.end(syscall.SIGKILL)
		server = n.dnsmasq(append(brief, "--dhcp-option=1")...)
		for range 2 {
			for range 3 {
				Eventually(server.Err).Should(gbytes.Say("DHCPACK"))
			}
			Eventually(func() options { return n.acknowledged(c) }).ShouldNot(HaveKey(dhcp4.OptionSubnetMask))
			Expect(n.Check(c, config, result)).To(Succeed())
			Expect(n.Add(c, config).IPs).To(Equal(result.IPs))
			Expect(string(d.Err.Contents())).NotTo(Or(ContainSubstring("Subnet Mask"), ContainSubstring("ended")))
			d.end(syscall.SIGKILL)
			d = n.daemon()
		}
		n.Del(c, config)
	})

	It("that was refused ends when a server's answers are of no use for too long", func() {
		server := n.dnsmasq()
		d := n.daemon("-resendtimeout", "4s")
		configure(c, n.Add(c, config))
		server.end(syscall.SIGKILL)
		server = nobody()
		set(netlink.LinkSetDown)
		set(netlink.LinkSetUp)
		Eventually(d.Err).Should(gbytes.Say("refuses the address.*starting over"))
		server.end(syscall.SIGKILL)
		n.dnsmasq("--dhcp-option=1")
		Eventually(d.Err, "8s").Should(gbytes.Say("ended: no more tries.*Subnet Mask not found"))
		Eventually(linkIsUp).Should(BeFalse())
		n.Del(c, config)
	})

	It("is confirmed when the link comes back", func() {
		server := n.dnsmasq()
		n.daemon()
		configure(c, n.Add(c, config))
		Expect(server.Err).To(gbytes.Say("DHCPACK"))
		set(netlink.LinkSetDown)
		Consistently(server.Err, "300ms").ShouldNot(gbytes.Say("DHCPREQUEST"))
		set(netlink.LinkSetUp)
		Eventually(server.Err).Should(gbytes.Say("DHCPREQUEST"))
		Eventually(server.Err).Should(gbytes.Say("DHCPACK"))
	})

	It("is released though the interface is down", func() {
		server := n.dnsmasq()
		n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		set(netlink.LinkSetDown)
		n.Del(c, config)
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE\\(eth0\\) " + addressOf(result)))
		Expect(n.leases()).To(BeEmpty())
	})

	It("does not keep the namespace of a container, and ends with it", func() {
		server := n.dnsmasq()
		d := n.daemon()
		c := n.mortal("c2")
		n.Add(c, config)
		removeNamespace(c)
		Eventually(d.Err).Should(gbytes.Say("ended: the interface is gone"))
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
		Eventually(n.leases).Should(BeEmpty())
		n.Del(c, config)
	})

	It("ends with its interface", func() {
		server := n.dnsmasq()
		d := n.daemon()
		n.Add(c, config)
		set(netlink.LinkDel)
		Eventually(d.Err).Should(gbytes.Say("ended: the interface is gone"))
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
	})
})
