// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// twoNetworks is a container with an interface in each of two networks, of which
// the first has the default route.
type twoNetworks struct {
	*testrig.Rig
	c             *testrig.Container
	first, second ns.NetNS // the gateways
}

func newTwoNetworks() twoNetworks {
	GinkgoHelper()
	testutils.Need(GinkgoT(), "root", "ip-tool", "policy-routing")
	rig := testrig.New(Plugin, "")
	t := twoNetworks{rig, rig.Container("one"), testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())}
	t.c.IfName = "net1"
	join := func(gateway ns.NetNS, name string, n int) {
		testrig.Join(
			testrig.End{Netns: gateway, Name: "down", Addresses: []string{fmt.Sprintf("10.%d.0.1/24", n), fmt.Sprintf("fd00:%d::1/64", n)}},
			testrig.End{Netns: t.c.Netns, Name: name, Addresses: []string{fmt.Sprintf("10.%d.0.5/24", n), fmt.Sprintf("fd00:%d::5/64", n)}})
	}
	join(t.first, "eth0", 1)
	join(t.second, "net1", 2)
	testrig.IP(t.c.Netns, "route add default via 10.1.0.1")
	testrig.IP(t.c.Netns, "route add default via fd00:1::1")
	return t
}

// prev is what the plugin before has answered.
func (t twoNetworks) prev(ips string) string {
	return fmt.Sprintf(`"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"net1"},{"name":"net1","sandbox":%q},{"name":"eth0","sandbox":%q}],"ips":[%s]}`,
		t.c.Path, t.c.Path, ips)
}

const bothFamilies = `{"address":"10.2.0.5/24","gateway":"10.2.0.1","interface":1},{"address":"fd00:2::5/64","gateway":"fd00:2::1","interface":1},
	{"address":"10.1.0.5/24","gateway":"10.1.0.1","interface":2},{"address":"10.9.0.5/24","interface":0}`

func (t twoNetworks) config(more string) string {
	return `{"cniVersion":"1.1.0",` + t.prev(bothFamilies) + more + "}"
}

func (t twoNetworks) table(family int, table string) []string {
	return testrig.Lines(testrig.IP(t.c.Netns, "-%d route show table %s", family, table), "^fe80:")
}

func (t twoNetworks) rules(family int) []string {
	var own []string
	for _, line := range testrig.Lines(testrig.IP(t.c.Netns, "-%d rule show", family), "^$") {
		if strings.Contains(line, "from 10.") || strings.Contains(line, "from fd00") {
			own = append(own, line)
		}
	}
	return own
}

func (t twoNetworks) snapshot() string {
	text, err := testutils.Snapshot(t.c.Netns)
	Expect(err).NotTo(HaveOccurred())
	return text
}

var _ = Describe("packets", func() {
	It("are answered on the interface that they came in by", func() {
		t := newTwoNetworks()
		// Somebody beyond the second gateway, whom the first does not know.
		testrig.IP(t.second, "link set lo up")
		testrig.IP(t.second, "address add 192.0.2.9/32 dev lo")
		testrig.IP(t.second, "address add 2001:db8::9/128 dev lo nodad")
		ping := func(from, to string) error {
			return t.second.Do(func(ns.NetNS) error { return testutils.Ping(from, to, 1) })
		}
		Expect(ping("192.0.2.9", "10.2.0.5")).NotTo(Succeed(), "the answer takes the default route")
		Expect(ping("2001:db8::9", "fd00:2::5")).NotTo(Succeed())
		result := t.Add(t.c, t.config(""))
		Expect(ping("192.0.2.9", "10.2.0.5")).To(Succeed())
		Expect(ping("2001:db8::9", "fd00:2::5")).To(Succeed())
		Expect(testrig.Reach(t.first, t.c.Netns, "10.1.0.5")).To(Equal("10.1.0.1"))
		Expect(testrig.Reach(t.first, t.c.Netns, "fd00:1::5")).To(Equal("fd00:1::1"))
		Expect(t.Check(t.c, "{}", result)).To(Succeed())
		t.Del(t.c, "{}")
		Expect(ping("192.0.2.9", "10.2.0.5")).NotTo(Succeed())
	})
})

var _ = Describe("the kernel", func() {
	var t twoNetworks
	var before string

	BeforeEach(func() {
		t = newTwoNetworks()
		testrig.IP(t.c.Netns, "route add 203.0.113.0/24 via 10.2.0.2 mtu 1300")
		testrig.IP(t.c.Netns, "route append default via 10.2.0.1 advmss 1200")
		before = t.snapshot()
	})

	It("has a table for each address, and all as before after DEL", func() {
		stdout, err := t.Call("ADD", t.c, t.config(""))
		Expect(err).NotTo(HaveOccurred())
		Expect(stdout).To(ContainSubstring(`"10.9.0.5/24"`), "the result of the plugin before")
		Expect(t.rules(4)).To(Equal([]string{"32765: from 10.2.0.5 lookup 100 proto 67"}))
		Expect(t.rules(6)).To(Equal([]string{"32765: from fd00:2::5 lookup 101 proto 67"}))
		Expect(t.table(4, "100")).To(Equal([]string{
			"default via 10.2.0.1 dev net1 advmss 1200", "10.2.0.0/24 dev net1 proto kernel scope link src 10.2.0.5", "203.0.113.0/24 via 10.2.0.2 dev net1 mtu 1300",
		}))
		Expect(t.table(6, "101")).To(ConsistOf("default via fd00:2::1 dev net1 proto 67 metric 1024", "fd00:2::/64 dev net1 proto kernel metric 256"))
		Expect(t.table(4, "main")).To(Equal([]string{"default via 10.1.0.1 dev eth0", "10.1.0.0/24 dev eth0 proto kernel scope link src 10.1.0.5"}))
		Expect(t.table(6, "main")).To(ConsistOf("default via fd00:1::1 dev eth0 metric 1024", "fd00:1::/64 dev eth0 proto kernel metric 256"))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("has no rule for the address of an interface with that name in another sandbox", func() {
		t.Add(t.c, t.config(""))
		once := t.snapshot()
		t.Del(t.c, "{}")
		c := strings.Replace(t.config(""), `{"name":"net1"}`, `{"name":"net1","sandbox":"/run/netns/other"}`, 1)
		result := t.Add(t.c, c)
		Expect(t.snapshot()).To(Equal(once))
		Expect(t.Check(t.c, "{}", result)).To(Succeed())
		t.Del(t.c, c)
		Expect(t.snapshot()).To(Equal(before))
	})

	It("is as it was when the ADD is repeated", func() {
		t.Add(t.c, t.config(""))
		once := t.snapshot()
		t.Add(t.c, t.config(""))
		Expect(t.snapshot()).To(Equal(once))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("keeps its tables", func() {
		testrig.IP(t.c.Netns, "route add 198.51.100.0/24 via 10.1.0.2 table 100")
		testrig.IP(t.c.Netns, "rule add to 198.51.100.7 lookup 102")
		t.Add(t.c, t.config(""))
		Expect(t.rules(4)).To(ConsistOf(ContainSubstring("from 10.2.0.5 lookup 101 ")))
		Expect(t.rules(6)).To(ConsistOf(ContainSubstring("from fd00:2::5 lookup 103 ")))
		t.Del(t.c, "{}")
		Expect(t.table(4, "100")).To(HaveLen(1))
	})

	It("has the gateways of the configuration", func() {
		testrig.IP(t.c.Netns, "route add default via 10.2.0.3 metric 9")
		t.Add(t.c, t.config(`,"gateways":["10.2.0.77","fd00:2::77"]`))
		Expect(t.table(4, "100")).To(ContainElements("default via 10.2.0.77 dev net1 proto 67", "default via 10.2.0.3 dev net1 metric 9"))
		Expect(t.table(6, "101")).To(ContainElement("default via fd00:2::77 dev net1 proto 67 metric 1024"))
		t.Del(t.c, "{}")
		Expect(t.table(4, "main")).To(ContainElement("default via 10.2.0.3 dev net1 metric 9"))
		Expect(t.table(4, "main")).NotTo(ContainElement(HavePrefix("default via 10.2.0.1 ")), "the one that was replaced does not come back")
	})

	It("has the default route through the gateway as it was, also with a metric", func() {
		testrig.IP(t.c.Netns, "route del default via 10.2.0.1 dev net1")
		for _, gateway := range []string{"10.2.0.1", "fd00:2::1"} {
			testrig.IP(t.c.Netns, "route add default via %s dev net1 metric 2000 mtu 1300", gateway)
		}
		before := t.snapshot()
		result := t.Add(t.c, t.config(""))
		Expect(testrig.IP(t.c.Netns, "route get 192.0.2.9 from 10.2.0.5")).To(ContainSubstring("mtu 1300"))
		Expect(testrig.IP(t.c.Netns, "route get 2001:db8::9 from fd00:2::5")).To(ContainSubstring("mtu 1300"))
		Expect(t.Check(t.c, "{}", result)).To(Succeed())
		once := t.snapshot()
		t.Add(t.c, t.config(""))
		Expect(t.snapshot()).To(Equal(once))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	DescribeTable("has default routes through the interface itself where the gateway is unspecified",
		func(gateway4, gateway6, more string) {
			testrig.IP(t.c.Netns, "route del default via 10.2.0.1 dev net1")
			before := t.snapshot()
			c := `{"cniVersion":"1.1.0",` + t.prev(fmt.Sprintf(`{"address":"10.2.0.5/24","gateway":%q,"interface":1},{"address":"fd00:2::5/64","gateway":%q,"interface":1}`, gateway4, gateway6)) + more + "}"
			result := t.Add(t.c, c)
			Expect(t.table(4, "100")).To(ContainElement("default dev net1 proto 67"))
			Expect(t.table(6, "101")).To(ContainElement("default dev net1 proto 67 metric 1024"))
			check := "{" + strings.TrimPrefix(more, ",") + "}"
			Expect(t.Check(t.c, check, result)).To(Succeed())
			once := t.snapshot()
			t.Add(t.c, c)
			Expect(t.snapshot()).To(Equal(once))
			testrig.IP(t.c.Netns, "-4 route replace default via 10.2.0.1 table 100")
			Expect(t.Check(t.c, check, result)).To(MatchError(ContainSubstring("the default route via 0.0.0.0 through net1 is missing in table 100")))
			testrig.IP(t.c.Netns, "-4 route del default table 100")
			t.Del(t.c, "{}")
			Expect(t.snapshot()).To(Equal(before))
		},
		Entry("for the address", "0.0.0.0", "::", ""),
		Entry("in the configuration", "10.2.0.1", "fd00:2::1", `,"gateways":["0.0.0.0","::"]`),
	)

	It("keeps the subnets in the main table when asked to", func() {
		c := t.config(`,"addSourceHints":true`)
		result := t.Add(t.c, c)
		Expect(t.table(4, "main")).To(ContainElement("10.2.0.0/24 dev net1 proto kernel scope link src 10.2.0.5"))
		Expect(t.table(4, "main")).To(HaveLen(3))
		Expect(t.table(6, "main")).To(ContainElement("fd00:2::/64 dev net1 proto 67 src fd00:2::5 metric 1024"))
		Expect(t.table(4, "100")).To(ContainElement("10.2.0.0/24 dev net1 proto kernel scope link src 10.2.0.5"))
		Expect(testrig.Reach(t.c.Netns, t.second, "10.2.0.1")).To(Equal("10.2.0.5"))
		Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
		once := t.snapshot()
		t.Add(t.c, c)
		Expect(t.snapshot()).To(Equal(once))
		testrig.IP(t.c.Netns, "route del 10.2.0.0/24 dev net1")
		Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(MatchError(ContainSubstring("the route to 10.2.0.0/24 with source 10.2.0.5 through net1 is missing")))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("waits with a hint until the address is known to be unique, and does without where nobody can tell", func() {
		Expect(t.c.Netns.Do(func(ns.NetNS) error { return sysctl.Set("net/ipv6/conf/net1/accept_dad", "1") })).To(Succeed())
		c := `{"cniVersion":"1.1.0","addSourceHints":true,` + t.prev(`{"address":"fd00:2::6/64","gateway":"fd00:2::1","interface":1}`) + "}"
		for _, hint := range []string{"fd00:2::/64 dev net1 proto 67 src fd00:2::6 metric 1024", "fd00:2::/64 dev net1 proto 67 metric 1024 linkdown"} {
			testrig.IP(t.c.Netns, "address add fd00:2::6/64 dev net1")
			Expect(testrig.IP(t.c.Netns, "address show dev net1 tentative")).To(ContainSubstring("fd00:2::6"))
			result := t.Add(t.c, c)
			Expect(t.table(6, "main")).To(ContainElement(hint))
			Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
			t.Add(t.c, c)
			Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
			testrig.IP(t.c.Netns, "address del fd00:2::6/64 dev net1")
			testrig.IP(t.second, "link set dev down down")
			t.Del(t.c, c)
			Expect(t.table(6, "main")).NotTo(ContainElement(ContainSubstring("proto 67")))
		}
	})

	It("keeps a subnet in the main table beside the same one of another interface", func() {
		const another = "fd00:2::/64 dev eth0 proto 67 src fd00:1::5 metric 1024"
		testrig.IP(t.c.Netns, "-6 route add "+another)
		result := t.Add(t.c, t.config(`,"addSourceHints":true`))
		Expect(t.table(6, "main")).To(ContainElements(another, "fd00:2::/64 dev net1 proto 67 src fd00:2::5 metric 1024"))
		Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
		t.Del(t.c, "{}")
		Expect(t.table(6, "main")).To(ContainElement(another))
	})

	It("keeps a subnet in the main table for the first of several addresses in it", func() {
		testrig.IP(t.c.Netns, "address add 10.2.0.6/24 dev net1")
		before := t.snapshot()
		c := `{"cniVersion":"1.1.0","addSourceHints":true,` + t.prev(bothFamilies+`,{"address":"10.2.0.6/24","gateway":"10.2.0.1","interface":1}`) + "}"
		result := t.Add(t.c, c)
		Expect(t.table(4, "main")).To(ContainElement("10.2.0.0/24 dev net1 proto kernel scope link src 10.2.0.5"))
		Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
		once := t.snapshot()
		t.Add(t.c, c)
		Expect(t.snapshot()).To(Equal(once))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("gets rules alone for a table of others", func() {
		testrig.IP(t.c.Netns, "route add default via 10.2.0.1 table 5000")
		c := t.config(`,"table":5000`)
		before := t.snapshot()
		result := t.Add(t.c, c)
		t.Add(t.c, c)
		Expect(t.rules(4)).To(Equal([]string{"32765: from 10.2.0.5 lookup 5000 proto 68"}))
		Expect(t.rules(6)).To(Equal([]string{"32765: from fd00:2::5 lookup 5000 proto 68"}))
		Expect(t.table(4, "main")).To(HaveLen(5))
		Expect(t.Check(t.c, `{"table":5000}`, result)).To(Succeed())
		Expect(t.Check(t.c, `{"table":5001}`, result)).To(MatchError(ContainSubstring("the rule from 10.2.0.5/32 to table 5001 is missing")))
		t.Del(t.c, `{"table":6000}`)
		Expect(t.snapshot()).To(Equal(before), "whatever the configuration says now")
	})

	It("is checked apart from a table of others for the same address", func() {
		testrig.IP(t.c.Netns, "route add default via 10.2.0.9 table 5000")
		for _, order := range [][]string{{`,"table":5000`, ""}, {"", `,"table":5000`}} {
			var result *current.Result
			for _, more := range order {
				result = t.Add(t.c, t.config(more))
			}
			Expect(t.rules(4)).To(ConsistOf(ContainSubstring("lookup 100 proto 67"), ContainSubstring("lookup 5000 proto 68")))
			for _, more := range order {
				Expect(t.Check(t.c, "{"+strings.TrimPrefix(more, ",")+"}", result)).To(Succeed())
			}
			testrig.IP(t.c.Netns, "rule del from 10.2.0.5 protocol 67")
			Expect(t.Check(t.c, "{}", result)).To(MatchError(ContainSubstring("the rule from 10.2.0.5/32 to a table of its own is missing")))
			t.Del(t.c, "{}")
		}
	})

	It("moves routes with several gateways, and leaves those of several interfaces", func() {
		testrig.IP(t.c.Netns, "route add 198.51.100.0/24 nexthop via 10.2.0.2 nexthop via 10.2.0.3")
		testrig.IP(t.c.Netns, "route add 192.0.2.0/24 nexthop via 10.2.0.2 nexthop via 10.1.0.3")
		before := t.snapshot()
		t.Add(t.c, t.config(""))
		Expect(t.table(4, "100")).To(ContainElement("198.51.100.0/24"))
		Expect(t.table(4, "main")).NotTo(ContainElement("198.51.100.0/24"))
		Expect(t.table(4, "main")).To(ContainElement("192.0.2.0/24"))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("moves its share of IPv6 routes that lead through other interfaces, too", func() {
		testrig.IP(t.c.Netns, "-6 route append default via fd00:2::1 proto static")
		testrig.IP(t.c.Netns, "-6 route add 2001:db8:7::/48 nexthop via fd00:1::9 dev eth0 nexthop via fd00:2::9 dev net1")
		shared := t.snapshot()
		result := t.Add(t.c, t.config(""))
		Expect(t.table(6, "main")).To(ConsistOf(
			"default via fd00:1::1 dev eth0 metric 1024", "2001:db8:7::/48 via fd00:1::9 dev eth0 metric 1024", "fd00:1::/64 dev eth0 proto kernel metric 256",
		))
		Expect(t.table(6, "101")).To(ConsistOf(
			"default via fd00:2::1 dev net1 metric 1024", "2001:db8:7::/48 via fd00:2::9 dev net1 metric 1024", "fd00:2::/64 dev net1 proto kernel metric 256",
		))
		Expect(t.Check(t.c, "{}", result)).To(Succeed())
		once := t.snapshot()
		t.Add(t.c, t.config(""))
		Expect(t.snapshot()).To(Equal(once))
		testrig.IP(t.c.Netns, "-6 route append default via fd00:2::1 dev net1 onlink")
		Expect(t.Check(t.c, "{}", result)).To(MatchError(ContainSubstring("a default route through net1 is in the main table")))
		testrig.IP(t.c.Netns, "-6 route del default via fd00:2::1 dev net1")
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(shared))
	})

	It("keeps the rules of others at DEL", func() {
		testrig.IP(t.c.Netns, "rule add from 10.2.0.5 lookup 200")
		testrig.IP(t.c.Netns, "rule add from 10.2.0.5 to 10.9.0.0/16 lookup 201 protocol 67")
		testrig.IP(t.c.Netns, "rule add from 10.1.0.5 lookup 202 protocol 67")
		before := t.snapshot()
		t.Add(t.c, t.config(""))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(before))
	})

	It("has what is in the table of a VRF in the tables of the addresses, too", func() {
		testutils.Need(GinkgoT(), "vrf")
		testrig.IP(t.c.Netns, "link add blue type vrf table 10")
		testrig.IP(t.c.Netns, "link set blue up")
		testrig.IP(t.c.Netns, "link set net1 master blue")
		testrig.IP(t.c.Netns, "address replace fd00:2::5/64 dev net1 nodad")
		testrig.IP(t.c.Netns, "route replace default via 10.2.0.1 src 10.2.0.5 vrf blue")
		inVRF := t.snapshot()
		result := t.Add(t.c, t.config(`,"addSourceHints":true`))
		Expect(t.rules(4)).To(ConsistOf(ContainSubstring("from 10.2.0.5 lookup 100 ")))
		Expect(t.table(4, "100")).To(ConsistOf("default via 10.2.0.1 dev net1", "10.2.0.0/24 dev net1 proto kernel scope link"))
		Expect(t.table(6, "101")).To(ConsistOf("default via fd00:2::1 dev net1 proto 67 metric 1024", "fd00:2::/64 dev net1 proto kernel metric 256"))
		Expect(t.second.Do(func(ns.NetNS) error { return testutils.Ping("10.2.0.1", "10.2.0.5", 1) })).To(Succeed())
		Expect(t.Check(t.c, `{"addSourceHints":true}`, result)).To(Succeed())
		once := t.snapshot()
		t.Add(t.c, t.config(`,"addSourceHints":true`))
		Expect(t.snapshot()).To(Equal(once))
		t.Del(t.c, "{}")
		Expect(t.snapshot()).To(Equal(inVRF))
	})

	It("loses the rules of an interface that is gone", func() {
		t.Add(t.c, t.config(""))
		testrig.IP(t.c.Netns, "rule add from 10.2.0.5 lookup 200")
		testrig.IP(t.c.Netns, "rule add from 10.77.0.1 lookup 201 protocol unspec")
		testrig.IP(t.c.Netns, "link del net1")
		t.Del(t.c, "{}")
		Expect(t.rules(4)).To(ConsistOf(ContainSubstring("lookup 200"), ContainSubstring("lookup 201")))
		Expect(t.rules(6)).To(BeEmpty())
	})

	It("keeps the rules of another interface that is down, and has no IPv6 address then", func() {
		testrig.Join(testrig.End{Netns: t.second, Name: "third"}, testrig.End{Netns: t.c.Netns, Name: "net2", Addresses: []string{"10.3.0.5/24", "fd00:3::5/64"}})
		other := *t.c
		other.IfName = "net2"
		t.Add(&other, `{"prevResult":{"ips":[{"address":"10.3.0.5/24"},{"address":"fd00:3::5/64"}]}}`)
		testrig.IP(t.c.Netns, "link set net2 down")
		Expect(testrig.IP(t.c.Netns, "address show dev net2")).NotTo(ContainSubstring("fd00:3::5"))
		before := t.snapshot()
		t.Add(t.c, t.config(""))
		t.Del(t.c, t.config(""))
		Expect(t.snapshot()).To(Equal(before))
	})

	It("keeps a rule whose table leads through another interface, when its own is gone", func() {
		t.Add(t.c, t.config(""))
		testrig.IP(t.c.Netns, "rule add from 10.3.0.5 lookup 300 protocol 67")
		testrig.IP(t.c.Netns, "route add 198.51.100.0/24 dev eth0 table 300")
		testrig.IP(t.c.Netns, "link del net1")
		t.Del(t.c, "{}")
		Expect(t.rules(4)).To(ConsistOf(ContainSubstring("from 10.3.0.5 lookup 300 ")))
		Expect(t.rules(6)).To(BeEmpty())
	})

	It("gets a rule back that somebody has removed, by a repeated ADD", func() {
		testrig.IP(t.c.Netns, "address add 10.2.0.6/24 dev net1")
		testrig.IP(t.c.Netns, "address add 10.4.0.5/24 dev net1")
		before := t.snapshot()
		c := `{"cniVersion":"1.1.0",` + t.prev(bothFamilies+`,{"address":"10.2.0.6/24","gateway":"10.2.0.1","interface":1},{"address":"10.4.0.5/24","gateway":"10.4.0.1","interface":1}`) + "}"
		result := t.Add(t.c, c)
		once := t.snapshot()
		for _, removed := range []string{"-4 rule del from 10.2.0.5", "-4 rule del from 10.4.0.5", "-4 rule flush protocol 67", "-6 rule flush protocol 67"} {
			testrig.IP(t.c.Netns, "%s", removed)
			Expect(t.Check(t.c, "{}", result)).To(MatchError(ContainSubstring("to a table of its own is missing")), removed)
			t.Add(t.c, c)
			Expect(t.Check(t.c, "{}", result)).To(Succeed(), removed)
		}
		testrig.IP(t.c.Netns, "-4 rule flush protocol 67")
		testrig.IP(t.c.Netns, "-6 rule flush protocol 67")
		t.Add(t.c, c)
		Expect(t.snapshot()).To(Equal(once))
		t.Del(t.c, c)
		Expect(t.snapshot()).To(Equal(before))
	})

	DescribeTable("has its routes back after DEL also where somebody has removed the rules",
		func(del func() string) {
			t.Add(t.c, t.config(""))
			testrig.IP(t.c.Netns, "-4 rule flush protocol 67")
			testrig.IP(t.c.Netns, "-6 rule flush protocol 67")
			t.Del(t.c, del())
			Expect(t.snapshot()).To(Equal(before))
		},
		Entry("with prevResult", func() string { return t.config("") }),
		Entry("without", func() string { return "{}" }),
	)

	It("keeps tables of others, to which no rule leads", func() {
		testrig.IP(t.c.Netns, "route add 10.2.0.0/24 dev net1 src 10.2.0.5 table 5000")
		testrig.IP(t.c.Netns, "route add default via 10.2.0.1 table 5001")
		testrig.IP(t.c.Netns, "route add 10.1.0.0/24 dev eth0 src 10.1.0.5 table 5002")
		before := t.snapshot()
		t.Add(t.c, t.config(`,"table":5000`))
		testrig.IP(t.c.Netns, "-4 rule flush protocol 68")
		t.Del(t.c, t.config(`,"table":5000`))
		Expect(t.snapshot()).To(Equal(before))
	})

	DescribeTable("keeps its routes of a family that no address has in the main table",
		func(other int, address, reached string) {
			testrig.IP(t.c.Netns, "route add default via 10.2.0.1 metric 50")
			testrig.IP(t.c.Netns, "route add default via fd00:2::1 metric 50")
			before, others := t.snapshot(), t.table(other, "main")
			for _, hints := range []string{"false", "true"} {
				result := t.Add(t.c, `{"cniVersion":"1.1.0","addSourceHints":`+hints+`,`+t.prev(address)+"}")
				Expect(t.table(other, "main")).To(Equal(others))
				Expect(testrig.Reach(t.c.Netns, t.second, reached)).NotTo(BeEmpty())
				Expect(t.Check(t.c, `{"addSourceHints":`+hints+`}`, result)).To(Succeed())
				t.Del(t.c, "{}")
				Expect(t.snapshot()).To(Equal(before))
			}
		},
		Entry("IPv6", 6, `{"address":"10.2.0.5/24","gateway":"10.2.0.1","interface":1}`, "fd00:2::1"),
		Entry("IPv4", 4, `{"address":"fd00:2::5/64","gateway":"fd00:2::1","interface":1}`, "10.2.0.1"),
	)

	It("keeps the rules of the interface that has the address now when a DEL comes late", func() {
		t.Add(t.c, t.config(""))
		t.Del(t.c, t.config(""))
		testrig.IP(t.c.Netns, "link del net1")
		testrig.Join(testrig.End{Netns: t.second, Name: "again"}, testrig.End{Netns: t.c.Netns, Name: "net2", Addresses: []string{"10.2.0.5/24", "fd00:2::5/64"}})
		late := *t.c
		t.c.IfName = "net2"
		t.Add(t.c, strings.ReplaceAll(t.config(""), "net1", "net2"))
		before := t.snapshot()
		Expect(t.rules(4)).To(HaveLen(1))
		t.Del(&late, t.config(""))
		Expect(t.snapshot()).To(Equal(before))
	})

	It("loses the rules that upstream has made", func() {
		testrig.IP(t.c.Netns, "rule add from 10.2.0.5 lookup 100 protocol unspec")
		testrig.IP(t.c.Netns, "rule add from 10.2.0.5 lookup 5000 protocol unspec")
		t.Del(t.c, `{"table":5000}`)
		Expect(t.rules(4)).To(ConsistOf(ContainSubstring("lookup 100")))
		testrig.IP(t.c.Netns, "link del net1")
		t.Del(t.c, t.config(""))
		Expect(t.rules(4)).To(BeEmpty(), "prevResult has the address")
	})

	DescribeTable("is left alone when there is nothing to route by",
		func(prev string) {
			_, err := t.Call("ADD", t.c, `{"cniVersion":"1.1.0",`+prev+"}")
			Expect(err).To(MatchError(ContainSubstring("net1 has no address there")))
			Expect(testrig.Code(err)).To(Equal(uint(7)))
			Expect(t.snapshot()).To(Equal(before))
		},
		Entry("no address", `"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"net1","sandbox":"/x"}]}`),
		Entry("another interface's", `"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.2.0.5/24","interface":0}]}`),
	)

	It("is left alone when the gateway cannot be reached", func() {
		_, err := t.Call("ADD", t.c, t.config(`,"gateways":["172.16.0.1"]`))
		Expect(err).To(MatchError(ContainSubstring("add the route default via 172.16.0.1 in table 100: network is unreachable")))
		Expect(t.snapshot()).To(Equal(before))
	})

	It("understands results without interfaces", func() {
		_, err := t.Call("ADD", t.c, `{"cniVersion":"0.2.0","prevResult":{"ip4":{"ip":"10.2.0.5/24","gateway":"10.2.0.1"},"ip6":{"ip":"fd00:2::5/64"}}}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(t.rules(4)).To(HaveLen(1))
		Expect(t.table(6, "101")).To(Equal([]string{"fd00:2::/64 dev net1 proto kernel metric 256"}))
	})
})

var _ = Describe("the lock", func() {
	isFree := func(t twoNetworks) {
		GinkgoHelper()
		file, err := os.Open(t.c.Path)
		Expect(err).NotTo(HaveOccurred())
		defer file.Close()
		Expect(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)).To(Succeed())
	}

	It("is free again, whatever happens", func() {
		t := newTwoNetworks()
		t.Add(t.c, t.config(""))
		isFree(t)
		_, err := t.Call("ADD", t.c, t.config(`,"gateways":["172.16.0.1"]`))
		Expect(err).To(HaveOccurred())
		isFree(t)
		t.c.IfName = "none"
		_, err = t.Call("ADD", t.c, `{"prevResult":{"ips":[{"address":"10.2.0.5/24"}]}}`)
		Expect(err).To(MatchError(ContainSubstring(`link "none": not found`)))
		isFree(t)
		t.Del(t.c, "{}")
		isFree(t)
	})

	It("gives each of many interfaces tables of its own", func() {
		t := newTwoNetworks()
		const count = 8
		var all sync.WaitGroup
		errs := make([]error, count)
		for i := range count {
			name, address := fmt.Sprintf("m%d", i), fmt.Sprintf("10.%d.0.5", 20+i)
			testrig.Join(testrig.End{Netns: t.second, Name: name}, testrig.End{Netns: t.c.Netns, Name: name, Addresses: []string{address + "/24"}})
			config := fmt.Sprintf(`{"prevResult":{"ips":[{"address":"%s/24","gateway":"10.%d.0.1"}]}}`, address, 20+i)
			args := &skel.CmdArgs{ContainerID: "one", IfName: name, Netns: t.c.Path, StdinData: []byte(testrig.Config(config))}
			all.Go(func() { errs[i] = Plugin.Call(context.Background(), "ADD", args, new(bytes.Buffer)) })
		}
		all.Wait()
		Expect(errs).To(HaveEach(Succeed()))
		tables := map[string]bool{}
		for _, rule := range t.rules(4) {
			tables[strings.Fields(rule)[4]] = true
		}
		Expect(tables).To(HaveLen(count))
	})

	It("leaves nothing where a namespace has been", func() {
		t := newTwoNetworks()
		dir := GinkgoT().TempDir()
		for _, path := range []string{filepath.Join(dir, "gone"), filepath.Join(dir, "none", "gone"), ""} {
			t.c.Path = path
			t.Del(t.c, t.config(""))
			_, err := t.Call("ADD", t.c, t.config(""))
			Expect(testrig.Code(err)).To(Equal(uint(8)))
		}
		Expect(os.ReadDir(dir)).To(BeEmpty())
	})
})
