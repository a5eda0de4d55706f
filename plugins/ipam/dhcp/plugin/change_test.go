// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// What the containers reach by way of either router, and of no other.
const (
	behindFirst  = "192.0.2.1"
	behindSecond = "192.0.2.2"
)

var _ = Describe("what a server changes of a lease", func() {
	var n *lan
	var c, second *testrig.Container // the container, and another router
	var config string

	BeforeEach(func() {
		n = newLAN()
		second = n.container("router")
		second.Do(func() { address("eth0", "10.77.0.2/24") })
		second.Do(func() { address("lo", behindSecond+"/32") })
		(&testrig.Container{Netns: n.server}).Do(func() { address("lo", behindFirst+"/32") })
		c = n.Container("c1")
		config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","mtu":1400,"ipam":{"type":"dhcp","daemonSocketPath":%q,
			"request":[{"option":"6"},{"option":"26"},{"option":"121"}]}}`, n.socket())
	})

	add := func() {
		GinkgoHelper()
		printed, err := n.run(interfacePlugin("bridge"), "ADD", c, config)
		Expect(err).NotTo(HaveOccurred(), printed)
	}
	// serve starts a server that has leases renewed every second.
	serve := func(options ...string) process {
		GinkgoHelper()
		return n.dnsmasq(append(options, "--dhcp-option-force=58,1", "--dhcp-option-force=59,3")...)
	}
	reach := func(target string) error {
		_, err := testrig.Run(c.Netns, "ping", "-c", "3", "-i", "0.2", "-w", "2", target)
		return err
	}
	routes := func() []string { return testrig.Lines(testrig.IP(c.Netns, "-4 route"), "^$") }
	mtu := func() (mtu int) {
		c.Do(func() { mtu = testrig.Find("eth0").Attrs().MTU })
		return mtu
	}

	It("is released through the interface that GC removes", func() {
		testrig.IP(n.Host, "address flush dev br0") // from there it cannot be
		server := serve()
		n.daemon()
		add()
		printed, err := n.run(interfacePlugin("bridge"), "GC", c, strings.Replace(config, "{", `{"cni.dev/valid-attachments":[],`, 1))
		Expect(err).NotTo(HaveOccurred(), printed)
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
		c.Do(func() {
			_, err := link.Find("eth0")
			Expect(err).To(MatchError(link.ErrNotFound))
		})
	})

	It("reaches the container that has it: router, routes and MTU, without a gap and without what is not the lease's", func() {
		server := serve("--dhcp-option=3,"+serverAddress, "--dhcp-option=26,1400")
		first := n.daemon()
		add()
		Expect(reach(behindFirst)).To(Succeed())
		foreign := []string{
			"198.51.100.0/24 via 10.77.0.1 dev eth0", "default via 10.77.0.1 dev eth0 metric 50", "10.77.0.0/24 dev eth0 proto kernel scope link src",
		}
		testrig.IP(c.Netns, "route add 198.51.100.0/24 via 10.77.0.1")
		testrig.IP(c.Netns, "route add default via 10.77.0.1 metric 50")
		testrig.IP(c.Netns, "link set eth0 mtu 1390")
		events := start(c.Netns, "ip", "monitor", "route")
		Expect(server.Err.Clear()).To(Succeed())
		Eventually(server.Err).Should(gbytes.Say("DHCPACK"))
		Eventually(server.Err).Should(gbytes.Say("DHCPACK"))
		Expect(mtu()).To(Equal(1390), "what the server has not changed is not set again")

		By("another router, MTU and name server")
		server.end(syscall.SIGKILL)
		server = serve("--dhcp-option=3,10.77.0.2", "--dhcp-option=26,1300", "--dhcp-option=6,10.77.0.53")
		Eventually(routes).Should(ContainElement("default via 10.77.0.2 dev eth0"))
		Eventually(routes).ShouldNot(ContainElement("default via 10.77.0.1 dev eth0"))
		Eventually(mtu).Should(Equal(1300))
		Expect(reach(behindSecond)).To(Succeed())
		Expect(reach(behindFirst)).NotTo(Succeed())
		for _, other := range foreign {
			Expect(routes()).To(ContainElement(HavePrefix(other)))
		}
		Expect(events.Out).To(gbytes.Say("(?m)^default via 10.77.0.2 dev eth0"))
		Expect(events.Out).To(gbytes.Say("(?m)^Deleted default via 10.77.0.1 dev eth0"))
		Eventually(first.Err).Should(gbytes.Say("the server changes the gateway from 10.77.0.1 to 10.77.0.2; the runtime does not know"))
		Eventually(first.Err).Should(gbytes.Say("the server changes the DNS configuration"))
		again := n.Add(c, config)
		Expect(again.IPs[0].Gateway.String()).To(Equal("10.77.0.2"))
		Expect(again.DNS.Nameservers).To(Equal([]string{"10.77.0.53"}))

		By("classless routes, while the daemon is away")
		first.end(syscall.SIGKILL)
		server.end(syscall.SIGKILL)
		server = serve("--dhcp-option=121,192.0.2.0/24,10.77.0.5,10.77.0.5/32,0.0.0.0,0.0.0.0/0,10.77.0.1")
		n.daemon()
		Eventually(routes).Should(ContainElements("default via 10.77.0.1 dev eth0", "10.77.0.5 dev eth0 scope link", "192.0.2.0/24 via 10.77.0.5 dev eth0"))
		Eventually(routes).ShouldNot(ContainElement("default via 10.77.0.2 dev eth0"))

		By("fewer of them")
		server.end(syscall.SIGKILL)
		serve("--dhcp-option=121,0.0.0.0/0,10.77.0.1")
		Eventually(routes).Should(HaveLen(1 + len(foreign)))
		for _, other := range append(foreign, "default via 10.77.0.1 dev eth0") {
			Expect(routes()).To(ContainElement(HavePrefix(other)))
		}
		Expect(reach(behindFirst)).To(Succeed())
	})

	It("does not override another interface, nor another decision", func() {
		server := serve("--dhcp-option=3," + serverAddress)
		n.daemon()
		add()
		another := n.container("other")
		another.Do(func() {
			moved := testrig.Find("eth0")
			Expect(netlink.LinkSetName(moved, "net1")).To(Succeed())
			Expect(netlink.LinkSetNsFd(moved, int(c.Netns.Fd()))).To(Succeed())
		})
		c.Do(func() { address("net1", "10.78.0.5/24") })
		testrig.IP(c.Netns, "route prepend default via 10.78.0.1 dev net1")
		server.end(syscall.SIGKILL)
		serve("--dhcp-option=3,10.77.0.2")
		Eventually(routes).Should(ContainElement("default via 10.77.0.2 dev eth0"))
		Eventually(routes).Should(And(HaveLen(4), HaveExactElements("default via 10.78.0.1 dev net1", "default via 10.77.0.2 dev eth0", ContainSubstring("proto kernel"), ContainSubstring("proto kernel"))))
	})

	It("goes to the routing table in which the routes are", func() {
		server := serve("--dhcp-option=3," + serverAddress)
		n.daemon()
		add()
		for _, args := range []string{
			"route del default", "route add 10.77.0.0/24 dev eth0 table 100", "route add default via 10.77.0.1 table 100", "rule add from 10.77.0.0/24 table 100",
		} {
			testrig.IP(c.Netns, "%s", args) // as sbr does
		}
		server.end(syscall.SIGKILL)
		serve("--dhcp-option=3,10.77.0.2")
		ownAddress := func() string {
			var own string
			c.Do(func() {
				all, err := netlink.AddrList(testrig.Find("eth0"), netlink.FAMILY_V4)
				Expect(err).NotTo(HaveOccurred())
				own = all[0].IP.String()
			})
			return own
		}
		inTable := func() []string { return testrig.Lines(testrig.IP(c.Netns, "-4 route show table 100"), "scope link") }
		Eventually(inTable).Should(Equal([]string{"default via 10.77.0.2 dev eth0"}))
		Expect(testrig.IP(c.Netns, "route get %s from %s", behindSecond, ownAddress())).To(ContainSubstring("via 10.77.0.2"))
		Expect(routes()).NotTo(ContainElement(HavePrefix("default")))
	})

	It("is another address, and others of its subnet stay, with their routes", func() {
		server := serve("--dhcp-option=3," + serverAddress)
		d := n.daemon()
		add()
		c.Do(func() { address("eth0", "10.77.0.251/24") })
		testrig.IP(c.Netns, "route add 198.51.100.0/24 via 10.77.0.1")
		events := start(c.Netns, "ip", "-4", "monitor", "address", "route")
		server.end(syscall.SIGKILL)
		serve("--dhcp-range=10.77.0.252,10.77.0.252,255.255.255.0,120", "--dhcp-option=3,10.77.0.2")
		Eventually(d.Err).Should(gbytes.Say("starting over"))
		addresses := func() []string {
			var list []string
			c.Do(func() {
				all, err := netlink.AddrList(testrig.Find("eth0"), netlink.FAMILY_V4)
				Expect(err).NotTo(HaveOccurred())
				for _, a := range all {
					list = append(list, a.IPNet.String())
				}
			})
			return list
		}
		Eventually(addresses).Should(ConsistOf("10.77.0.252/24", "10.77.0.251/24"))
		Eventually(routes).Should(ConsistOf("default via 10.77.0.2 dev eth0", "198.51.100.0/24 via 10.77.0.1 dev eth0", HavePrefix("10.77.0.0/24 dev eth0 proto kernel scope link src 10.77.0.")))
		log := string(events.Out.Contents())
		Expect(log).To(MatchRegexp(`(?s)inet 10\.77\.0\.252/24.*\ndefault via 10\.77\.0\.2.*Deleted default via 10\.77\.0\.1.*Deleted .*inet 10\.77\.0\.`), "what is new comes first")
		Expect(log).NotTo(ContainSubstring("Deleted 198.51.100.0/24"))
		Expect(reach(behindSecond)).To(Succeed())
		Expect(reach(behindFirst)).NotTo(Succeed())
		out, err := testrig.Run(c.Netns, "cat", "/proc/sys/net/ipv4/conf/eth0/promote_secondaries")
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.TrimSpace(out)).To(Equal("0"))
	})

	It("is another address, and the one before again, whatever of it fails", func() {
		only := func(address string) string { return "--dhcp-range=" + address + "," + address + ",255.255.255.0,120" }
		server := serve(only("10.77.0.50"), "--dhcp-option=3,"+serverAddress)
		d := n.daemon()
		add()
		addresses := func() []string {
			return testrig.Lines(testrig.IP(c.Netns, "-o -4 address show dev eth0"), "^$")
		}
		Expect(addresses()).To(ConsistOf(ContainSubstring("10.77.0.50/24")))
		server.end(syscall.SIGKILL)
		server = serve(only("10.77.0.100"), "--dhcp-option=3,192.0.2.77") // a router that cannot be reached
		Eventually(func() string { return string(d.Err.Contents()) }, "60s").Should(ContainSubstring("add the route to 0.0.0.0/0 via 192.0.2.77"))
		Eventually(addresses, "60s").Should(ConsistOf(ContainSubstring("10.77.0.100/24")))
		server.end(syscall.SIGKILL)
		serve(only("10.77.0.50"), "--dhcp-option=3,"+serverAddress)
		Eventually(addresses, "60s").Should(ConsistOf(ContainSubstring("10.77.0.50/24")))
		Eventually(routes, "60s").Should(ContainElement("default via 10.77.0.1 dev eth0"))
	})

	It("is the mask of the address, which may be secondary to another", func() {
		server := serve("--dhcp-option=3," + serverAddress)
		n.daemon()
		add()
		addresses := func() []string {
			return testrig.Lines(testrig.IP(c.Netns, "-o -4 address show dev eth0"), "^$")
		}
		own := strings.Fields(addresses()[0])[3]
		for _, args := range []string{"address flush dev eth0 scope global", "address add 10.77.0.251/24 dev eth0", "address add " + own + " dev eth0", "route add default via 10.77.0.1"} {
			testrig.IP(c.Netns, "%s", args)
		}
		Expect(addresses()).To(ConsistOf(ContainSubstring("10.77.0.251/24 "), MatchRegexp("%s .* secondary ", own)))
		server.end(syscall.SIGKILL)
		serve("--dhcp-option=3,"+serverAddress, "--dhcp-option-force=1,255.255.0.0")
		wider := strings.Replace(own, "/24", "/16", 1)
		Eventually(addresses).Should(ContainElement(ContainSubstring(wider)))
		Eventually(addresses).Should(ConsistOf(ContainSubstring("10.77.0.251/24 "), ContainSubstring(wider)))
		Expect(routes()).To(ContainElement("default via 10.77.0.1 dev eth0"))
		Expect(reach(behindFirst)).To(Succeed())
	})

	It("is a router of IPv6, too", func() {
		testutils.Need(GinkgoT(), "ipv6")
		n.kea6(timing{1, 6, 12})
		silence := n.announce(second, managedRouter())
		n.daemon()
		config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":"ipv6","daemonSocketPath":%q}}`, n.socket())
		add()
		defaults := func() string { return testrig.IP(c.Netns, "-6 route show default") }
		Expect(defaults()).To(ContainSubstring("via " + linkLocalOf(second)))
		silence()
		third := n.container("third")
		n.announce(third, managedRouter())
		Eventually(defaults).Should(And(ContainSubstring("via "+linkLocalOf(third)), Not(ContainSubstring(linkLocalOf(second)))))
	})

	It("is the prefix length of an address of IPv6, which the kernel has only once", func() {
		testutils.Need(GinkgoT(), "ipv6")
		n.kea6(timing{1, 6, 12})
		silence := n.announce(second, managedRouter())
		n.daemon()
		config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":"ipv6","daemonSocketPath":%q}}`, n.socket())
		add()
		addresses := func() []string {
			return testrig.Lines(testrig.IP(c.Netns, "-o -6 address show dev eth0 scope global -tentative"), "^$")
		}
		Expect(addresses()).To(ConsistOf(MatchRegexp("inet6 fd77::1[0-9a-f]{2}/128 ")))
		for _, change := range []struct {
			message []byte
			length  int
		}{{withPrefix(managedRouter(), "fd77::"), 64}, {managedRouter(), 128}} {
			silence()
			silence = n.announce(second, change.message)
			Eventually(addresses, "60s").Should(ConsistOf(MatchRegexp("inet6 fd77::1[0-9a-f]{2}/%d ", change.length)))
			Eventually(func() string { return testrig.IP(c.Netns, "-6 route show default") }).Should(ContainSubstring("via " + linkLocalOf(second)))
		}
	})

	It("is no router of IPv6 that others only speak before", func() {
		testutils.Need(GinkgoT(), "ipv6")
		n.kea6(timing{1, 6, 12})
		n.announce(second, withPrefix(managedRouter(), "fd77::"))
		d := n.daemon()
		config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":"ipv6","daemonSocketPath":%q}}`, n.socket())
		add()
		third := n.container("third")
		for range 3 {
			n.announce(third, noDefault(managedRouter()))
		}
		Consistently(func() string { return string(d.Err.Contents()) }, "6s").ShouldNot(ContainSubstring("the server changes"))
		Expect(testrig.IP(c.Netns, "-6 route show default")).To(ContainSubstring("via " + linkLocalOf(second)))
		Expect(testrig.IP(c.Netns, "-o -6 address show dev eth0 scope global")).To(ContainSubstring("/64 "))
	})

	It("is no router of a prefix that others only speak before", func() {
		testutils.Need(GinkgoT(), "ipv6")
		n.announce(second, withOwnPrefix(managedRouter(), "fd77::", 90, 2))
		d := n.daemon()
		config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":"ipv6","daemonSocketPath":%q}}`, n.socket())
		add()
		third := n.container("third")
		for range 3 {
			n.announce(third, noDefault(withOwnPrefix(managedRouter(), "fd77::", 90, 2)))
		}
		Consistently(func() string { return string(d.Err.Contents()) }, "6s").ShouldNot(ContainSubstring("the server changes"))
		Expect(testrig.IP(c.Netns, "-6 route show default")).To(ContainSubstring("via " + linkLocalOf(second)))
	})
})
