// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// The kernel of most machines has no VRFs, and the emulated one is slow: there
// are few specs here, and each looks at much.

type container struct {
	*testrig.Rig
	*testrig.Container
}

func newContainer() container {
	GinkgoHelper()
	testutils.Need(GinkgoT(), "root", "ip-tool", "ping-tool", "vrf")
	rig := testrig.New(Plugin, "")
	return container{rig, rig.Container("one")}
}

// join gives the container an interface with a peer that is the gateway .1.
func (c container) join(name, subnet4, subnet6 string) (peer ns.NetNS) {
	GinkgoHelper()
	peer = testutils.TempNS(GinkgoT())
	testrig.Join(
		testrig.End{Netns: peer, Name: "peer", Addresses: []string{subnet4 + ".1/24", subnet6 + "::1/64"}},
		testrig.End{Netns: c.Netns, Name: name, Addresses: []string{subnet4 + ".5/24", subnet6 + "::5/64"}})
	return peer
}

// on is the container for the attachment of another interface.
func (c container) on(name string) *testrig.Container {
	other := *c.Container
	other.IfName = name
	return &other
}

// prev is a prevResult with the addresses and routes of an interface.
func (c container) prev(name, subnet4, subnet6 string) string {
	return fmt.Sprintf(`,"cniVersion":"1.1.0","prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":%q,"sandbox":%q}],
		"ips":[{"address":"%s.5/24","interface":0},{"address":"%s::5/64","interface":0}],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}`,
		name, c.Path, subnet4, subnet6)
}

func (c container) ip(command string, args ...any) string {
	GinkgoHelper()
	return testrig.IP(c.Netns, command, args...)
}

// routes lists a table, without what the kernel has by itself in every one of a
// VRF, and without the addresses' own.
func (c container) routes(family int, table string) []string {
	return testrig.Lines(c.ip("-%d route show table %s", family, table), `^(fe80:|multicast|local|broadcast|anycast|ff00:)`)
}

func (c container) sysctl(key, value string) error {
	return c.Netns.Do(func(ns.NetNS) error { return sysctl.Set("net/ipv6/conf/eth0/"+key, value) })
}

// ping tells whether target answers in a VRF.
func (c container) ping(vrf, target string) error {
	_, err := testrig.Run(c.Netns, "ping", "-c1", "-W2", "-I", vrf, target)
	return err
}

func (c container) snapshot() string {
	GinkgoHelper()
	text, err := testutils.Snapshot(c.Netns)
	Expect(err).NotTo(HaveOccurred())
	return text
}

var _ = Describe("the kernel", func() {
	It("keeps two networks with the same addresses apart", func() {
		c := newContainer()
		red, blue := c.join("red1", "10.1.0", "fd00:1"), c.join("blue1", "10.1.0", "fd00:1")
		results := map[string]*current.Result{}
		for _, name := range []string{"red", "blue"} {
			results[name] = c.Add(c.on(name+"1"), `{"vrfname":"`+name+`"`+strings.Replace(c.prev(name+"1", "10.1.0", "fd00:1"), `,"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]`, "", 1)+`}`)
			Expect(c.Check(c.on(name+"1"), `{"vrfname":"`+name+`"}`, results[name])).To(Succeed())
		}
		for _, target := range []string{"10.1.0.1", "fd00:1::1"} {
			Expect(c.ping("red", target)).To(Succeed())
			Expect(c.ping("blue", target)).To(Succeed())
		}
		for _, peer := range []ns.NetNS{red, blue} {
			for _, target := range []string{"10.1.0.5", "fd00:1::5"} {
				_, err := testrig.Run(peer, "ping", "-c1", "-W2", target)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		By("having in prevResult the interface with that name of another sandbox")
		red1 := results["red"]
		for _, ip := range red1.IPs {
			ip.Interface = current.Int(1)
		}
		red1.Interfaces = append([]*current.Interface{{Name: "red1", Sandbox: "/run/netns/other"}}, red1.Interfaces...)
		red1.IPs = append(red1.IPs, &current.IPConfig{Address: net.IPNet{IP: net.IPv4(10, 9, 0, 5), Mask: net.CIDRMask(24, 32)}, Interface: current.Int(0)})
		Expect(c.Check(c.on("red1"), `{"vrfname":"red"}`, red1)).To(Succeed())
		By("taking one of the two peers away")
		testrig.IP(red, "address flush dev peer")
		Expect(c.ping("red", "10.1.0.1")).NotTo(Succeed())
		Expect(c.ping("blue", "10.1.0.1")).To(Succeed())
		By("detaching one")
		c.Del(c.on("red1"), `{"vrfname":"red"}`)
		Expect(c.ip("link show type vrf")).NotTo(ContainSubstring("red"))
		Expect(c.ping("blue", "fd00:1::1")).To(Succeed())
	})

	DescribeTable("has the interface in the VRF with all it had, and as before after DEL",
		func(keepAddresses bool) {
			c := newContainer()
			c.join("eth0", "10.1.0", "fd00:1")
			c.join("eth1", "10.2.0", "fd00:2")
			c.ip("address add fd00:1::6/64 dev eth0")
			Eventually(func() string { return c.ip("-6 address show dev eth0 tentative") }, "5s").Should(BeEmpty())
			for _, route := range []string{
				"default via 10.1.0.1", "default via fd00:1::1", "192.0.2.0/24 via 10.1.0.9 metric 7 mtu 1300", "198.51.100.0/24 dev eth0 scope link",
				"203.0.113.0/24 via 10.1.0.1 src 10.1.0.5", "2001:db8:1::/48 via fd00:1::9 metric 5", "2001:db8:2::/48 via fd00:1::1 src fd00:1::6",
				"2001:db8:3::/48 nexthop via fd00:1::1 dev eth0 nexthop via fd00:2::1 dev eth1",
				"default via 10.1.0.1 table 200", "default via fd00:1::1 metric 9 table 200", "192.0.2.0/24 dev eth0 scope link table 200",
			} {
				c.ip("route add %s", route)
			}
			if keepAddresses {
				Expect(c.sysctl("keep_addr_on_down", "1")).To(Succeed())
			}
			before := c.snapshot()
			main := append(c.routes(4, "main"), c.routes(6, "main")...)
			others := append(c.routes(4, "200"), c.routes(6, "200")...)
			Expect(others).To(HaveLen(3))
			stdout, err := c.Call("ADD", c.on("eth0"), `{"vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
			Expect(err).NotTo(HaveOccurred())
			result := testrig.Result(stdout)
			Expect(result.Interfaces).To(HaveLen(1), "the result of the plugin before")
			Expect(c.ip("link show blue type vrf")).To(ContainSubstring(",UP,"))
			Expect(c.ip("-d link show blue")).To(ContainSubstring("vrf table 1 "))
			Expect(c.ip("-6 address show dev eth0")).To(And(ContainSubstring("fd00:1::5/64"), ContainSubstring("fd00:1::6/64"), Not(ContainSubstring("tentative"))))
			moved := append(c.routes(4, "1"), c.routes(6, "1")...)
			for _, route := range main {
				if strings.Contains(route, "eth1") || strings.Contains(route, "2001:db8:3::") || strings.HasPrefix(route, "nexthop") {
					continue
				}
				Expect(moved).To(ContainElement(route))
			}
			Expect(moved).To(ContainElement(MatchRegexp(`^2001:db8:3::/48 via fd00:1::1 dev eth0`)), "its share")
			Expect(c.routes(4, "main")).To(HaveEach(ContainSubstring("eth1")))
			Expect(append(c.routes(4, "200"), c.routes(6, "200")...)).To(Equal(others), "tables of others")
			Expect(c.Check(c.on("eth0"), `{"vrfname":"blue"}`, result)).To(Succeed())

			By("adding it again")
			once := c.snapshot()
			c.Add(c.on("eth0"), `{"vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
			Expect(changes(once, c.snapshot())).To(BeEmpty())

			By("adding another interface to the VRF")
			c.Add(c.on("eth1"), `{"vrfName":"blue","table":1`+c.prev("eth1", "10.2.0", "fd00:2")+`}`)
			c.Del(c.on("eth1"), `{"vrfname":"blue"}`)
			Expect(c.ip("link show type vrf")).To(ContainSubstring("blue"))

			c.Del(c.on("eth0"), `{}`)
			Expect(c.ip("link show type vrf")).To(BeEmpty())
			Expect(changes(before, c.snapshot())).To(BeEmpty())
			c.Del(c.on("eth0"), `{"vrfname":"blue"}`)
			Expect(changes(before, c.snapshot())).To(BeEmpty())
		},
		Entry("when the kernel drops IPv6 addresses", false),
		Entry("when the kernel keeps IPv6 addresses", true),
	)

	It("keeps the routes of other tables that name a source, as sbr makes them", func() {
		c := newContainer()
		c.join("eth0", "10.1.0", "fd00:1")
		for _, route := range []string{
			"10.1.0.0/24 dev eth0 scope link src 10.1.0.5 table 100", "default via 10.1.0.1 src 10.1.0.5 table 100",
			"default via fd00:1::1 src fd00:1::5 table 101",
		} {
			c.ip("route add %s", route)
		}
		c.ip("rule add from 10.1.0.5 lookup 100")
		result := c.Add(c.on("eth0"), `{"vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
		Expect(c.Check(c.on("eth0"), `{"vrfname":"blue"}`, result)).To(Succeed(), "its routes are there, in tables of others")
		Expect(c.routes(4, "100")).To(ConsistOf("default via 10.1.0.1 dev eth0", "10.1.0.0/24 dev eth0 scope link"))
		Expect(c.routes(6, "101")).To(ConsistOf(HavePrefix("default via fd00:1::1 dev eth0 src fd00:1::5")))
		Expect(c.ping("blue", "10.1.0.1")).To(Succeed())
		c.ip("route del default table 100")
		Expect(c.Check(c.on("eth0"), `{"vrfname":"blue"}`, result)).To(MatchError(ContainSubstring("the route 0.0.0.0/0 table 1 is missing")))
		c.Del(c.on("eth0"), `{"vrfname":"blue"}`)
		Expect(c.routes(4, "100")).To(HaveLen(1))
	})

	It("makes no routes to subnets again that somebody has replaced, as ptp does", func() {
		c := newContainer()
		c.join("eth0", "10.1.0", "fd00:1")
		c.ip("address add 10.9.0.5/24 dev eth0")
		for _, subnet := range []struct{ prefix, gateway string }{{"10.1.0.0/24", "10.1.0.1"}, {"fd00:1::/64", "fd00:1::1"}} {
			c.ip("route add %s dev eth0", subnet.gateway)
			c.ip("route del %s dev eth0 proto kernel", subnet.prefix)
			c.ip("route add %s via %s dev eth0", subnet.prefix, subnet.gateway)
		}
		routes := func(table string) []string { return append(c.routes(4, table), c.routes(6, table)...) }
		main, before := routes("main"), c.snapshot()
		Expect(main).To(HaveLen(5))
		for range 2 {
			c.Add(c.on("eth0"), `{"vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
			Expect(routes("1")).To(ConsistOf(main))
		}
		c.Del(c.on("eth0"), `{"vrfname":"blue"}`)
		Expect(changes(before, c.snapshot())).To(BeEmpty())
	})

	It("has each VRF a table, which nobody uses", func() {
		c := newContainer()
		for i, name := range []string{"eth0", "eth1", "eth2", "eth3"} {
			c.join(name, fmt.Sprintf("10.%d.0", i), fmt.Sprintf("fd00:%d", i))
		}
		config := func(vrf, more, name string) string {
			return fmt.Sprintf(`{"vrfname":%q%s,"cniVersion":"1.1.0","prevResult":{"interfaces":[{"name":%q,"sandbox":%q}]}}`, vrf, more, name, c.Path)
		}
		c.ip("route add 192.0.2.0/24 dev eth3 table 2")
		c.ip("rule add to 192.0.2.7 lookup 3")
		c.Add(c.on("eth0"), config("one", "", "eth0"))
		c.Add(c.on("eth1"), config("two", "", "eth1"))
		Expect(c.ip("-d link show one")).To(ContainSubstring("vrf table 1 "))
		Expect(c.ip("-d link show two")).To(ContainSubstring("vrf table 4 "))

		c.ip("link add name br0 type bridge")
		c.ip("link set eth3 master br0")
		before := c.snapshot()
		for _, refused := range []struct{ vrf, more, name, want string }{
			{"two", `,"table":5`, "eth2", "already exist with different routing table 4, the configuration has 5"},
			{"br0", "", "eth2", "br0 is not a VRF but a link of type bridge"},
			{"one", "", "eth3", "eth3 has already a master set, br0"},
			{"one", "", "eth1", "eth1 has already a master set, two"},
			{"new", "", "eth1", "eth1 has already a master set, two"},
			{"new", "", "eth9", `link "eth9": not found`},
		} {
			_, err := c.Call("ADD", c.on(refused.name), config(refused.vrf, refused.more, refused.name))
			Expect(err).To(MatchError(ContainSubstring(refused.want)))
			Expect(changes(before, c.snapshot())).To(BeEmpty(), refused.want)
		}
		c.Add(c.on("eth2"), config("three", `,"table":4`, "eth2"))
		Expect(c.ip("-d link show three")).To(ContainSubstring("vrf table 4 "), "asked for, so shared")

		By("taking back what fails half-way")
		c.Del(c.on("eth2"), config("three", "", "eth2"))
		c.ip("route add 198.51.100.0/24 via 10.2.0.1")
		before = c.snapshot()
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			_, err := c.CallWith(undo.WithFault(context.Background(), fault), "ADD", c.on("eth2"), config("three", "", "eth2"))
			if fault.Fired == "" {
				Expect(at).To(Equal(4))
				break
			}
			Expect(err).To(HaveOccurred())
			Expect(changes(before, c.snapshot())).To(BeEmpty(), fault.Fired)
		}

		By("detaching what is not there any more")
		c.Del(c.on("eth3"), config("one", "", "eth3"))
		Expect(c.ip("link show eth3")).To(ContainSubstring("master br0"), "not ours")
		c.ip("link del eth2")
		c.Del(c.on("eth2"), config("three", "", "eth2"))
		c.Del(c.on("eth2"), config("br0", "", "eth2"))
		c.ip("link set eth1 nomaster")
		c.Del(c.on("eth1"), config("two", "", "eth1"))
		c.Del(c.on("eth0"), `{"vrfname":"another"}`)
		Expect(c.ip("link show type vrf")).To(BeEmpty())
		gone := c.on("eth0")
		gone.Path = "/run/netns/no-such"
		c.Del(gone, `{"vrfname":"one"}`)
	})

	It("gets back what it has dropped, when a process was killed meanwhile", func() {
		c := newContainer()
		c.join("eth0", "10.1.0", "fd00:1")
		c.ip("route add default via 10.1.0.1")
		c.ip("route add 2001:db8::/32 via fd00:1::1 metric 5")
		Expect(c.sysctl("accept_dad", "1")).To(Succeed())
		before := c.snapshot()
		ref, err := ns.OpenRef(c.Path)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(ref.Close)
		req := &plugin.Request{Network: "test", ContainerID: "one", IfName: "eth0", Netns: ref}
		// killed leaves what there is after the call that puts the interface into
		// the VRF, or before it.
		killed := func(moved bool, more ...netlink.Route) {
			GinkgoHelper()
			var luggage baggage
			c.Do(func() {
				luggage, err = pack(testrig.Find("eth0"), unix.RT_TABLE_MAIN, baggage{})
				Expect(err).NotTo(HaveOccurred())
			})
			luggage.VRF = "blue"
			luggage.Routes = append(luggage.Routes, more...)
			c.OnHost(func() { noteOf(req).write(luggage) })
			c.ip("link add blue up type vrf table 7")
			Expect(c.sysctl("accept_dad", "0")).To(Succeed())
			if moved {
				c.ip("link set eth0 master blue")
				Expect(c.ip("route show table 7")).NotTo(ContainSubstring("default"))
			}
		}
		// unreachable is a route that the kernel takes in no table.
		unreachable := func(name string) (route netlink.Route) {
			c.Do(func() {
				route = netlink.Route{
					Dst: &net.IPNet{IP: net.IP{198, 51, 100, 0}, Mask: net.CIDRMask(24, 32)}, Gw: net.IP{192, 0, 2, 1},
					LinkIndex: testrig.Find(name).Attrs().Index, Table: unix.RT_TABLE_MAIN,
				}
			})
			return route
		}
		acceptDAD := func() (value string) {
			c.Do(func() { value = acceptDAD("eth0") })
			return value
		}
		noNote := func() {
			GinkgoHelper()
			c.OnHost(func() { Expect(store().List()).To(BeEmpty()) })
		}

		for _, moved := range []bool{true, false} {
			By("detaching it")
			killed(moved)
			c.Del(c.on("eth0"), `{}`)
			Expect(changes(before, c.snapshot())).To(BeEmpty())
			Expect(acceptDAD()).To(Equal("1"))
			noNote()

			By("failing to add it again")
			killed(moved, unreachable("eth0"))
			_, err = c.Call("ADD", c.on("eth0"), `{"name":"test","vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
			Expect(err).To(MatchError(ContainSubstring("198.51.100.0/24")))
			if moved {
				c.OnHost(func() { Expect(store().List()).To(HaveLen(1), "for the next try") })
			} else {
				noNote() // it is back where it was
			}
			c.Del(c.on("eth0"), `{"vrfname":"blue"}`)
			Expect(changes(before, c.snapshot())).To(BeEmpty())
			noNote()

			By("adding it again")
			killed(moved)
			c.Add(c.on("eth0"), `{"name":"test","vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
			Expect(c.routes(4, "7")).To(ContainElement(HavePrefix("default via 10.1.0.1")))
			Expect(c.routes(6, "7")).To(ContainElement(HavePrefix("2001:db8::/32 via fd00:1::1 dev eth0 metric 5")))
			Expect(c.ip("-6 address show dev eth0")).To(ContainSubstring("fd00:1::5/64"))
			Expect(acceptDAD()).To(Equal("1"))
			noNote()
			c.Del(c.on("eth0"), `{"vrfname":"blue"}`)
			Expect(changes(before, c.snapshot())).To(BeEmpty())
		}

		By("adding it to another VRF")
		killed(false)
		c.Add(c.on("eth0"), `{"name":"test","vrfname":"red"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
		Expect(c.ip("link show type vrf")).NotTo(ContainSubstring("blue"))
		c.Del(c.on("eth0"), `{"vrfname":"red"}`)
		Expect(changes(before, c.snapshot())).To(BeEmpty())

		By("collecting what nobody detaches")
		killed(true)
		_, err = c.Call("GC", c.on("eth0"), `{"vrfname":"blue","cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]}`)
		Expect(err).NotTo(HaveOccurred())
		c.OnHost(func() { Expect(store().List()).To(HaveLen(1)) })
		_, err = c.Call("GC", c.on("eth0"), `{"vrfname":"blue"}`)
		Expect(err).NotTo(HaveOccurred())
		noNote()
	})

	It("is compared by CHECK", func() {
		c := newContainer()
		c.join("eth0", "10.1.0", "fd00:1")
		c.ip("route add default via 10.1.0.1")
		c.ip("route add default via fd00:1::1")
		result := c.Add(c.on("eth0"), `{"vrfname":"blue"`+c.prev("eth0", "10.1.0", "fd00:1")+`}`)
		check := func() error { return c.Check(c.on("eth0"), `{"vrfname":"blue","table":1}`, result) }
		Expect(check()).To(Succeed())
		Expect(c.Check(c.on("eth0"), `{"vrfname":"blue","table":2}`, result)).To(MatchError(ContainSubstring("blue: table is 1, expected 2")))
		c.ip("route del default table 1")
		c.ip("address del fd00:1::5/64 dev eth0")
		c.ip("link set blue down")
		Expect(check()).To(MatchError(And(ContainSubstring("the route 0.0.0.0/0 table 1 is missing"), ContainSubstring("the address fd00:1::5/64 is missing"),
			ContainSubstring("blue: the interface is down"))))
		c.ip("link set eth0 nomaster")
		Expect(check()).To(MatchError(ContainSubstring("eth0: is not in the VRF blue")))
		c.ip("link del blue")
		Expect(check()).To(MatchError(ContainSubstring("blue: the interface is gone")))
		c.ip("link add name blue type bridge")
		Expect(check()).To(MatchError(ContainSubstring("blue: type is bridge, expected vrf")))
		c.ip("link del eth0")
		Expect(check()).To(MatchError(ContainSubstring("eth0: the interface is gone")))
	})
})

// changes lists the lines that only one of two snapshots has. That an address
// has been put back shows in a flag: it is known to be unique.
func changes(before, after string) []string {
	noDAD := regexp.MustCompile(`(?m)^(addr .*) flags \S+$`)
	var list []string
	for sign, pair := range map[string][2]string{"-": {before, after}, "+": {after, before}} {
		others := strings.Split(noDAD.ReplaceAllString(pair[1], "$1"), "\n")
		for _, line := range strings.Split(noDAD.ReplaceAllString(pair[0], "$1"), "\n") {
			if !slices.Contains(others, line) {
				list = append(list, sign+" "+line)
			}
		}
	}
	return list
}
