// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("IPv6", func() {
	var n *lan
	var c *testrig.Container

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ipv6")
		n = newLAN()
		c = n.container("c1")
	})

	routesTo := func(result *current.Result) []string {
		var list []string
		for _, route := range result.Routes {
			list = append(list, route.Dst.String())
			Expect(route.GW.IsLinkLocalUnicast()).To(Equal(route.GW.To4() == nil))
		}
		return list
	}

	It("has addresses that a server manages, with what routers say about them", func() {
		server := n.dnsmasq6("fd77::100,fd77::1ff,64,120")
		n.daemon()
		config := n.config(`,"family":"ipv6","request":[{"option":"domain-name-servers"}]`)
		result := n.Add(c, config)
		Expect(result.IPs[0].Address.String()).To(MatchRegexp("^fd77::1[0-9a-f]{2}/64$"))
		Expect(result.IPs[0].Gateway.IsLinkLocalUnicast()).To(BeTrue())
		Expect(routesTo(result)).To(Equal([]string{"::/0"}))
		Expect(result.DNS.Nameservers).To(Equal([]string{"fd77::53"}))
		configure(c, result)
		Expect(testrig.Reach(c.Netns, n.server, "fd77::1")).To(Equal(addressOf(result)))
		Expect(n.Check(c, config, result)).To(Succeed())
		Expect(addressOf(n.Add(c, config))).To(Equal(addressOf(result)))
		n.Del(c, config)
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
		Expect(n.leases()).To(BeEmpty())
	})

	It("is renewed, survives the daemon and a server that is away, and is released", func() {
		server := n.kea6(timing{1, 3, 9})
		first := n.daemon()
		config := n.config(`,"family":"ipv6"`)
		result := n.Add(c, config)
		Expect(result.IPs[0].Address.String()).To(MatchRegexp("^fd77::1[0-9a-f]{2}/128$"))
		Expect(result.Routes).To(BeEmpty())
		configure(c, result)
		Eventually(server.Out).Should(gbytes.Say("DHCP6_LEASE_RENEW"))
		first.end(syscall.SIGKILL)
		server.end(syscall.SIGKILL)
		second := n.daemon()
		Eventually(func() string { return string(second.Err.Contents()) }).Should(ContainSubstring("no DHCP server answered with DHCPv6"))
		again := n.kea6(timing{1, 3, 9})
		Eventually(again.Out).Should(gbytes.Say("DHCP6_LEASE_(RENEW|ALLOC)"))
		Expect(n.Check(c, config, result)).To(Succeed())
		n.Del(c, config)
		Eventually(again.Out).Should(gbytes.Say("DHCP6_RELEASE_NA .*fd77::1"))
	})

	It("has addresses out of a router's prefix where nobody manages them, and both families", func() {
		n.dnsmasq6("fd77::,ra-only")
		n.daemon()
		config := n.config(`,"family":"dual","priority":50`)
		result := n.Add(c, config)
		Expect(result.IPs).To(HaveLen(2))
		Expect(result.IPs[0].Address.String()).To(HavePrefix("10.77.0."))
		Expect(result.IPs[1].Address.String()).To(MatchRegexp("^fd77::.*/64$"))
		Expect(routesTo(result)).To(Equal([]string{"0.0.0.0/0", "::/0"}))
		Expect(result.Routes).To(HaveEach(HaveField("Priority", 50)))
		configure(c, result)
		Expect(testrig.Reach(c.Netns, n.server, "fd77::1")).To(Equal(result.IPs[1].Address.IP.String()))
		c.Do(func() { // the kernel has made none of its own
			addresses, err := net.InterfaceAddrs()
			Expect(err).NotTo(HaveOccurred())
			global := 0
			for _, a := range addresses {
				if ip := a.(*net.IPNet).IP; ip.To4() == nil && ip.IsGlobalUnicast() {
					global++
				}
			}
			Expect(global).To(Equal(1))
		})
		Expect(n.Check(c, config, result)).To(Succeed())
		n.Del(c, config)
	})

	It("is configured by an interface plugin, on a link that a router has been heard on before", func() {
		n.dnsmasq6("fd77::,ra-only")
		n.daemon()
		config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":"ipv6","daemonSocketPath":%q}}`, n.socket())
		c := n.Container("c2")
		silence := n.announce(n.container("router"), managedRouter())
		printed, err := n.run(interfacePlugin("bridge"), "ADD", c, config)
		Expect(err).NotTo(HaveOccurred(), printed)
		silence()
		routes := testrig.Lines(testrig.IP(c.Netns, "-6 route show default"), "^$")
		Expect(routes).To(HaveExactElements(MatchRegexp("^default via fe80::[0-9a-f:]+ dev eth0 metric 1024$")), "one, and not the kernel's")
	})

	It("declines an address that somebody has", func() {
		server := n.dnsmasq6("fd77::100,fd77::1ff,64,120")
		n.daemon()
		taken := addressOf(n.Add(c, n.config(`,"family":"ipv6"`)))
		n.Del(c, n.config(""))
		squatter := n.container("squatter")
		squatter.Do(func() { address("eth0", taken+"/64") })
		Expect(addressOf(n.Add(c, n.config(`,"family":"ipv6","probe":true`)))).NotTo(Equal(taken))
		Expect(string(server.Err.Contents())).To(ContainSubstring("DHCPDECLINE(eth0)"))
		n.Del(c, n.config(""))
	})

	It("gives up where there is nothing", func() {
		n.daemon("-resendtimeout", "3s")
		_, err := n.Call("ADD", c, n.config(`,"family":"ipv6"`))
		Expect(err).To(MatchError(ContainSubstring("no more tries")))
		_, err = n.Call("ADD", c, n.config(`,"family":"ipv5"`))
		Expect(err).To(MatchError(ContainSubstring(`ipam.family: "ipv5" is not one of ipv4, ipv6, dual`)))
		Expect(n.leases()).To(BeEmpty())
	})

	It("says why it gives up, though the last try was cut off", func() {
		n.daemon("-timeout", "10ms", "-resendmax", "10ms", "-resendtimeout", "8s") // to look for routers is what takes the time
		_, err := n.Call("ADD", c, n.config(`,"family":"ipv6"`))
		Expect(err).To(MatchError(ContainSubstring("no more tries: no DHCP server answered")))
	})
})

// announcer has dnsmasq announce the prefixes of the server's addresses, for as
// long as these are valid.
func (n *lan) announcer() process {
	GinkgoHelper()
	testrig.IP(n.server, "-6 address flush dev eth0 scope global")
	p := n.dnsmasq("--dhcp-range=10.77.0.10,10.77.0.250,255.255.255.0,120", "--enable-ra", "--ra-param=eth0,5,30", "--dhcp-range=::,constructor:eth0,ra-only")
	return p
}

// advertise gives the server an address, and its prefix to the link, for some
// seconds, over and over until the returned function is called.
func (n *lan) advertise(cidr string, valid, preferred int) (stop func()) {
	GinkgoHelper()
	give := func() error {
		_, err := testrig.Run(n.server, "ip", strings.Fields(fmt.Sprintf("address replace %s dev eth0 nodad valid_lft %d preferred_lft %d", cidr, valid, preferred))...)
		return err
	}
	Expect(give()).To(Succeed())
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ended:
				return
			case <-time.After(500 * time.Millisecond):
				_ = give()
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(ended)
		<-stopped
	})
	DeferCleanup(stop)
	return stop
}

var _ = Describe("an address out of a router's prefix", func() {
	var n *lan
	var c *testrig.Container

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ipv6")
		n = newLAN()
		c = n.container("c1")
	})

	reach := func(target string) error {
		_, err := testrig.Run(c.Netns, "ping", "-c", "3", "-i", "0.2", "-w", "2", target)
		return err
	}
	configured := func() []string {
		return testrig.Lines(testrig.IP(c.Netns, "-br -6 address show dev eth0 scope global -tentative"), "^$")
	}
	// add attaches the container as an interface plugin does.
	add := func(config string) *current.Result {
		GinkgoHelper()
		result := n.Add(c, config)
		c.Do(func() {
			for _, ip := range result.IPs {
				address("eth0", ip.Address.String())
			}
			for _, route := range result.Routes {
				testrig.IP(c.Netns, "route add %s via %s dev eth0", &route.Dst, route.GW)
			}
		})
		return result
	}

	It("is valid for as long as the router announces it, beyond the daemon's death", func() {
		n.announcer()
		n.advertise("fd77::1/64", 5, 4)
		first := n.daemon()
		config := n.config(`,"family":"ipv6"`)
		result := add(config)
		Eventually(first.Err).Should(gbytes.Say(`leased fd77:.*/64 from fe80.* for [45]s \(T1`))
		began := time.Now()
		first.end(syscall.SIGKILL)
		d := n.daemon()
		Eventually(func() bool {
			Expect(n.Check(c, config, result)).To(Succeed())
			return time.Since(began) > 7*time.Second // longer than it was valid
		}).Should(BeTrue())
		Expect(string(d.Err.Contents())).NotTo(Or(ContainSubstring("ended"), ContainSubstring("changes")))
		Expect(configured()).To(ConsistOf(ContainSubstring(addressOf(result))))
		Expect(reach("fd77::1")).To(Succeed())
	})

	It("is replaced when the router announces another prefix instead", func() {
		n.announcer()
		stop := n.advertise("fd77::1/64", 60, 4)
		d := n.daemon()
		config := n.config(`,"family":"ipv6"`)
		result := add(config)
		Expect(result.IPs[0].Address.String()).To(HavePrefix("fd77::"))
		stop()
		n.advertise("fd78::1/64", 60, 40)
		testrig.IP(n.server, "address del fd77::1/64 dev eth0")
		Eventually(d.Err).Should(gbytes.Say(`refuses the address: the router fe80.* has fd78::/64 instead; starting over`))
		Eventually(configured).Should(ConsistOf(And(ContainSubstring("fd78::"), Not(ContainSubstring("fd77::")))))
		Expect(n.Check(c, config, result)).To(MatchError(ContainSubstring("the lease is now for fd78:")))
		Expect(reach("fd78::1")).To(Succeed())
	})

	It("runs out when nobody announces it: alone with the interface, else without it, until it is announced again", func() {
		n.announcer()
		stop := n.advertise("fd77::1/64", 4, 3)
		d := n.daemon("-timeout", "300ms", "-resendtimeout", "5s")
		both := n.config(`,"family":"dual"`)
		result := add(both)
		lonely, alone := n.container("c2"), n.config(`,"family":"ipv6"`)
		configure(lonely, n.Add(lonely, alone))
		Expect(configured()).NotTo(BeEmpty())

		stop()
		testrig.IP(n.server, "address del fd77::1/64 dev eth0")
		Eventually(func() string { return string(d.Err.Contents()) }).Should(And(
			ContainSubstring("test/c2/eth0: ended: the lease has run out"), MatchRegexp("test/c1/eth0: IPv6: the lease has run out; fd77:.* is taken off the interface")))
		Eventually(configured).Should(BeEmpty())
		Expect(testrig.IP(c.Netns, "-6 route show default")).To(BeEmpty())
		Eventually(func() string { return testrig.IP(lonely.Netns, "link show eth0") }).Should(ContainSubstring("state DOWN"))
		Expect(n.leases()).To(HaveLen(1))
		Expect(n.Check(c, both, result)).To(MatchError(ContainSubstring("IPv6: the address has run out")))
		Expect(testrig.Reach(n.Host, c.Netns, result.IPs[0].Address.IP.String())).To(Equal(hostAddress), "IPv4 goes on")
		Eventually(func() string { return string(d.Err.Contents()) }).Should(MatchRegexp("(?s)taken off.*test/c1/eth0: IPv6: no DHCP server answered"))

		n.advertise("fd77::1/64", 60, 40)
		Eventually(configured).Should(ConsistOf(ContainSubstring(result.IPs[1].Address.String())))
		Eventually(func() error { return n.Check(c, both, result) }).Should(Succeed())
		Expect(testrig.IP(c.Netns, "-6 route show default")).To(ContainSubstring("via fe80:"))
		Expect(reach("fd77::1")).To(Succeed())
		n.Del(c, both)
		Expect(n.leases()).To(BeEmpty())
	})
})

var _ = DescribeTable("the time that an announcement leaves", func(announced, left, want time.Duration) {
	Expect(believable(announced, left)).To(Equal(want))
},
	Entry("more", time.Minute, time.Second, time.Duration(0)),
	Entry("the same", time.Minute, time.Minute, time.Duration(0)),
	Entry("much, though less", 3*time.Hour, 9*time.Hour, time.Duration(0)),
	Entry("little, of much", time.Second, 9*time.Hour, 2*time.Hour),
	Entry("little, of little", time.Second, time.Hour, time.Hour),
)

var _ = Describe("a router's announcement", func() {
	It("is read", func() {
		ra := parseRA(announcement())
		Expect(ra.managed).To(BeTrue())
		Expect(ra.lifetime).To(Equal(30 * time.Minute))
		Expect(ra.mtu).To(Equal(1400))
		Expect(fmt.Sprint(ra.dns, ra.search)).To(Equal("[fd00::53] [example.com a.b]"))
		Expect(ra.autonomous().network.String()).To(Equal("fd00:1::/64"))
		Expect(ra.onLink(net.ParseIP("fd00:1::7")).valid).To(Equal(200 * time.Second))
		Expect(ra.onLink(net.ParseIP("fd00:2::7"))).To(BeNil())
	})

	It("makes the same address every time, and another for each client", func() {
		g := &grant{RA: announcement(), Router: net.ParseIP("fe80::1")}
		Expect(terms6(g, identity{clientID: "a"})).To(Succeed())
		first := g.terms.address.String()
		Expect(terms6(g, identity{clientID: "a"})).To(Succeed())
		Expect(g.terms.address.String()).To(Equal(first))
		Expect(terms6(g, identity{clientID: "b"})).To(Succeed())
		Expect(g.terms.address.String()).NotTo(Equal(first))
		Expect(g.terms.times.t1).To(Equal(50 * time.Second))
	})
})

// announcement has a prefix for 100 and 200 seconds, an MTU, a name server and
// two domains.
func announcement() []byte {
	message := []byte{134, 0, 0, 0, 64, 0x80, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	message = append(message, 3, 4, 64, 0xc0, 0, 0, 0, 200, 0, 0, 0, 100, 0, 0, 0, 0)
	message = append(message, net.ParseIP("fd00:1::")...)
	message = append(message, 5, 1, 0, 0, 0, 0, 5, 120)
	message = append(message, 25, 3, 0, 0, 0, 0, 0, 9)
	message = append(message, net.ParseIP("fd00::53")...)
	message = append(message, 31, 4, 0, 0, 0, 0, 0, 9)
	return append(message, append([]byte("\x07example\x03com\x00\x01a\x01b\x00"), make([]byte, 24-18)...)...)
}

func FuzzAnnouncement(f *testing.F) {
	f.Add(announcement())
	f.Add([]byte{7, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, g := range []*grant{{RA: data}, {Message: data}} {
			if terms6(g, identity{options: []option{{55, []byte{6, 26, 119}}}}) == nil && (g.terms.times.t1 <= 0 || g.terms.times.t1 > g.terms.times.lifetime) {
				t.Errorf("times %v", g.terms.times)
			}
		}
		isConflict6(append(make([]byte, ip6Header), data...), net.IPv6zero)
	})
}
