// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

func TestSbr(t *testing.T) {
	testrig.RunSpecs(t, "plugins/meta/sbr")
}

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("table 0", `{"name":"n","table":0}`, "table: 0 is outside 1-4294967295"),
	Entry("a table below", `{"name":"n","table":-5}`, "table: -5 is outside"),
	Entry("a table above", `{"name":"n","table":4294967296}`, "table: 4294967296 is outside"),
	Entry("two of IPv4", `{"name":"n","gateways":["10.0.0.1","10.0.0.2"]}`, "gateways list contains multiple IPv4 addresses"),
	Entry("two of each", `{"name":"n","gateways":["fd00::1","10.0.0.1","fd00::2","10.0.0.2"]}`, "multiple IPv4 addresses", "multiple IPv6 addresses"),
	Entry("no addresses", `{"name":"n","gateways":["10.0.0",""]}`, `gateways[0]: "10.0.0" is not an IP address`),
	Entry("an empty one", `{"name":"n","gateways":[""]}`, "gateways[0]: empty, the address of a gateway is expected"),
	Entry("null", `{"name":"n","gateways":[null]}`, `gateways[0]: null where an IP address is expected`),
	Entry("other types", `{"name":"n","table":"main","addSourceHints":1}`, "table: the string", "addSourceHints: the number 1"),
)

var _ = It("ignores gateways when there is a table", func() {
	Expect(Plugin.Lint([]byte(`{"name":"n","table":5,"gateways":["10.0.0.1","10.0.0.2"]}`))).To(Succeed())
})

func address(text, gateway string) *current.IPConfig {
	ip, network, err := net.ParseCIDR(text)
	Expect(err).NotTo(HaveOccurred())
	return &current.IPConfig{Address: net.IPNet{IP: ip, Mask: network.Mask}, Gateway: net.ParseIP(gateway)}
}

// through is a route in the main table as the kernel lists it.
func through(dst, gateway, src string) netlink.Route {
	_, network, err := net.ParseCIDR(dst)
	Expect(err).NotTo(HaveOccurred())
	r := netlink.Route{Dst: network, LinkIndex: 7, Table: unix.RT_TABLE_MAIN, Gw: net.ParseIP(gateway), Src: net.ParseIP(src), Family: netlink.FAMILY_V4}
	if network.IP.To4() == nil {
		r.Family = netlink.FAMILY_V6
	}
	if gateway == "" && r.Family == netlink.FAMILY_V4 {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

func texts(routes []netlink.Route) []string {
	var all []string
	for _, route := range routes {
		text := linkroutes.Text(route)
		if route.Src != nil {
			text += " src " + route.Src.String()
		}
		all = append(all, text)
	}
	return all
}

func setTexts(p plan) []string {
	var routes []netlink.Route
	for _, replacement := range p.set {
		routes = append(routes, replacement.route)
	}
	return texts(routes)
}

func ruleTexts(rules []netlink.Rule) []string {
	var all []string
	for _, rule := range rules {
		all = append(all, fmt.Sprintf("from %s table %d", rule.Src, rule.Table))
	}
	return all
}

var _ = DescribeTable("the result names the gateway of a default route that is replaced",
	func(route, want string, gateways ...string) {
		var r types.Route
		Expect(json.Unmarshal([]byte(route), &r)).To(Succeed())
		c := &Config{}
		for _, gateway := range gateways {
			c.Gateways = append(c.Gateways, net.ParseIP(gateway))
		}
		describe(&current.Result{Routes: []*types.Route{&r}}, []*current.IPConfig{address("10.1.0.5/24", "10.1.0.1"), address("10.1.0.6/24", "10.1.0.2")}, c)
		Expect(r.GW).To(Equal(net.ParseIP(want)))
	},
	Entry("by the configuration's", `{"dst":"0.0.0.0/0","gw":"10.1.0.1"}`, "10.1.0.77", "10.1.0.77", "fd00::7"),
	Entry("by the address's", `{"dst":"0.0.0.0/0","gw":"10.1.0.9"}`, "10.1.0.1"),
	Entry("unless that is another address's", `{"dst":"0.0.0.0/0","gw":"10.1.0.2"}`, "10.1.0.2"),
	Entry("unless it has another metric", `{"dst":"0.0.0.0/0","gw":"10.1.0.9","priority":5}`, "10.1.0.9", "10.1.0.77"),
	Entry("unless it is in another table", `{"dst":"0.0.0.0/0","gw":"10.1.0.9","table":5}`, "10.1.0.9", "10.1.0.77"),
	Entry("unless it is no default route", `{"dst":"10.9.0.0/16","gw":"10.1.0.9"}`, "10.1.0.9", "10.1.0.77"),
	Entry("unless it is of the other family", `{"dst":"::/0","gw":"fd00::1"}`, "fd00::1", "10.1.0.77"),
	Entry("unless it names none", `{"dst":"0.0.0.0/0"}`, "", "10.1.0.77"),
)

var _ = Describe("the plan", func() {
	one := func() *current.IPConfig { return address("10.1.0.5/24", "10.1.0.1") }
	two := func() *current.IPConfig { return address("10.2.0.5/24", "10.2.0.1") }
	six := func() *current.IPConfig { return address("fd00:1::5/64", "fd00:1::1") }
	found := func(routes ...netlink.Route) *state {
		return &state{link: 7, routes: routes, used: map[int]bool{unix.RT_TABLE_MAIN: true, unix.RT_TABLE_LOCAL: true}}
	}

	It("gives each address a table with its own routes and those of nobody", func() {
		routes := []netlink.Route{
			through("10.1.0.0/24", "", "10.1.0.5"), through("10.2.0.0/24", "", "10.2.0.5"), through("203.0.113.0/24", "", ""),
			through("192.0.2.0/24", "10.1.0.9", ""), through("198.51.100.0/24", "10.9.0.1", ""),
		}
		p := found(append(routes, through("fd00:1::/64", "", ""))...).plan([]*current.IPConfig{one(), two()}, &Config{})
		Expect(ruleTexts(p.rules)).To(Equal([]string{"from 10.1.0.5/32 table 100", "from 10.2.0.5/32 table 101"}))
		Expect(texts(p.copies)).To(Equal([]string{
			"10.1.0.0/24 in table 100 src 10.1.0.5", "203.0.113.0/24 in table 100", "192.0.2.0/24 via 10.1.0.9 in table 100",
			"10.2.0.0/24 in table 101 src 10.2.0.5", "203.0.113.0/24 in table 101",
		}))
		Expect(setTexts(p)).To(Equal([]string{"default via 10.1.0.1 in table 100", "default via 10.2.0.1 in table 101"}))
		Expect(texts(p.remove)).To(Equal(texts(routes)))
	})

	It("leaves alone routes of a family that no address has", func() {
		routes := []netlink.Route{
			through("10.1.0.0/24", "", "10.1.0.5"), through("0.0.0.0/0", "10.1.0.1", ""), through("203.0.113.0/24", "", ""),
			through("fd00:1::/64", "", ""), through("::/0", "fd00:1::1", ""),
		}
		for _, hints := range []bool{false, true} {
			p := found(routes...).plan([]*current.IPConfig{one()}, &Config{AddSourceHints: hints})
			Expect(texts(slices.Concat(p.copies, p.remove))).NotTo(ContainElement(Or(ContainSubstring("::/0"), ContainSubstring("fd00"), ContainSubstring("default via fd00"))))
			p = found(routes...).plan([]*current.IPConfig{six()}, &Config{AddSourceHints: hints})
			Expect(texts(p.copies)).To(Equal([]string{"fd00:1::/64 in table 100"}))
			Expect(texts(p.remove)).To(Equal([]string{"fd00:1::/64 in table 254", "default via fd00:1::1 in table 254"}))
		}
	})

	It("takes tables that nobody uses", func() {
		s := found()
		for _, table := range []int{100, 102, 103} {
			s.used[table] = true
		}
		p := s.plan([]*current.IPConfig{one(), two(), six()}, &Config{})
		Expect(ruleTexts(p.rules)).To(Equal([]string{"from 10.1.0.5/32 table 101", "from 10.2.0.5/32 table 104", "from fd00:1::5/128 table 105"}))
	})

	It("does not take the tables of the kernel", func() {
		s := found()
		for table := 100; table < 253; table++ {
			s.used[table] = true
		}
		Expect(ruleTexts(s.plan([]*current.IPConfig{one()}, &Config{}).rules)).To(Equal([]string{"from 10.1.0.5/32 table 256"}))
	})

	It("moves a default route through the gateway with all it has, in the place of another one", func() {
		same := through("0.0.0.0/0", "10.1.0.1", "")
		same.MTU = 1400
		other := through("0.0.0.0/0", "10.1.0.9", "")
		spare := through("0.0.0.0/0", "10.1.0.9", "")
		spare.Priority = 50
		p := found(same, other, spare).plan([]*current.IPConfig{one()}, &Config{})
		Expect(p.set).To(HaveLen(1))
		Expect(p.set[0].route.MTU).To(Equal(1400))
		Expect(p.copies).To(HaveLen(1), "the one with another metric")
		Expect(p.copies[0].Priority).To(Equal(50))
		Expect(p.remove).To(HaveLen(3))
	})

	DescribeTable("adds no default route where one through the gateway comes first, whatever its metric",
		func(ip *current.IPConfig, metrics map[string]int, wantSet, wantCopies int) {
			var routes []netlink.Route
			for _, gateway := range slices.Sorted(maps.Keys(metrics)) {
				route := through(subnet.Everything(ip.Address.IP).String(), gateway, "")
				route.Priority = metrics[gateway]
				routes = append(routes, route)
			}
			s := found(routes...)
			p := s.plan([]*current.IPConfig{ip}, &Config{})
			Expect(p.set).To(HaveLen(wantSet))
			Expect(p.copies).To(HaveLen(wantCopies))
			By("repeating the ADD")
			s.rules, s.routes, s.all = p.rules, nil, p.copies
			for _, replacement := range p.set {
				s.all = append(s.all, replacement.route)
			}
			Expect(s.plan([]*current.IPConfig{ip}, &Config{}).set).To(BeEmpty())
		},
		Entry("alone", one(), map[string]int{"10.1.0.1": 100}, 0, 1),
		Entry("of IPv6", six(), map[string]int{"fd00:1::1": 2000}, 0, 1),
		Entry("outside the subnet", address("10.1.0.5/32", "10.9.0.1"), map[string]int{"10.9.0.1": 100}, 0, 1),
		Entry("before another", one(), map[string]int{"10.1.0.1": 100, "10.1.0.9": 200}, 0, 2),
		Entry("beside another without a metric, which is left out", one(), map[string]int{"10.1.0.1": 100, "10.1.0.9": 0}, 0, 1),
		Entry("but where another comes before it", one(), map[string]int{"10.1.0.1": 100, "10.1.0.9": 50}, 1, 2),
		Entry("but where there is another alone", one(), map[string]int{"10.1.0.9": 50}, 1, 1),
	)

	It("prefers the configuration's gateway of the family", func() {
		c := &Config{Gateways: []net.IP{net.ParseIP("fd00:1::9"), net.ParseIP("10.1.0.9")}}
		p := found(through("0.0.0.0/0", "10.1.0.1", ""), through("::/0", "fd00:1::1", "")).plan([]*current.IPConfig{one(), six()}, c)
		Expect(setTexts(p)).To(Equal([]string{"default via 10.1.0.9 in table 100", "default via fd00:1::9 in table 101"}))
		Expect(texts(p.copies)).To(BeEmpty())
	})

	It("needs no gateway", func() {
		p := found(through("10.1.0.0/24", "", "10.1.0.5")).plan([]*current.IPConfig{address("10.1.0.5/24", "")}, &Config{})
		Expect(p.set).To(BeEmpty())
		Expect(p.copies).To(HaveLen(1))
	})

	It("keeps the subnets in the main table with hints", func() {
		routes := []netlink.Route{through("10.1.0.0/24", "", "10.1.0.5"), through("fd00:1::/64", "", ""), through("0.0.0.0/0", "10.1.0.1", "")}
		p := found(routes...).plan([]*current.IPConfig{one(), six()}, &Config{AddSourceHints: true})
		Expect(setTexts(p)).To(Equal([]string{
			"default via 10.1.0.1 in table 100", "default via fd00:1::1 in table 101",
			"10.1.0.0/24 in table 254 src 10.1.0.5", "fd00:1::/64 in table 254 src fd00:1::5",
		}))
		Expect(texts(p.remove)).To(Equal([]string{"fd00:1::/64 in table 254", "default via 10.1.0.1 in table 254"}))
	})

	It("sets nothing that is there, and remembers what it replaces", func() {
		inTable := func(gateway string) netlink.Route { return linkroutes.InTable(through("0.0.0.0/0", gateway, ""), 100) }
		for gateway, want := range map[string]int{"10.1.0.1": 0, "10.1.0.9": 1} {
			s := found()
			s.rules = found().plan([]*current.IPConfig{one()}, &Config{}).rules
			s.all = []netlink.Route{inTable(gateway), through("10.1.0.0/24", "", "10.1.0.5")}
			p := s.plan([]*current.IPConfig{one()}, &Config{AddSourceHints: true})
			Expect(p.set).To(HaveLen(want), gateway)
			if want == 1 {
				Expect(p.set[0].before.Gw.String()).To(Equal("10.1.0.9"))
			}
		}
	})

	It("adds rules alone with a table of others", func() {
		table := 5000
		p := found(through("0.0.0.0/0", "10.1.0.1", "")).plan([]*current.IPConfig{one(), six()}, &Config{Table: &table, AddSourceHints: true})
		Expect(ruleTexts(p.rules)).To(Equal([]string{"from 10.1.0.5/32 table 5000", "from fd00:1::5/128 table 5000"}))
		Expect(p.copies).To(BeEmpty())
		Expect(p.set).To(BeEmpty())
		Expect(p.remove).To(BeEmpty())
	})

	It("adds nothing that an earlier ADD has added", func() {
		s := found()
		s.rules = s.plan([]*current.IPConfig{one()}, &Config{}).rules
		p := s.plan([]*current.IPConfig{one()}, &Config{})
		Expect(p.rules).To(BeEmpty())
		Expect(setTexts(p)).To(Equal([]string{"default via 10.1.0.1 in table 100"}))
		table := 100
		Expect(s.plan([]*current.IPConfig{one()}, &Config{Table: &table}).rules).To(BeEmpty())
	})

	It("takes no rule for its own that looks at more than the source", func() {
		own := *netlink.NewRule()
		own.Src, own.Table, own.Protocol = subnet.Single(one().Address.IP), 100, ownTable
		for what, change := range map[string]func(*netlink.Rule){
			"source": func(r *netlink.Rule) { r.Src = subnet.Of(&one().Address) }, "none": func(r *netlink.Rule) { r.Src = nil },
			"destination": func(r *netlink.Rule) { r.Dst = subnet.Of(&two().Address) }, "interface": func(r *netlink.Rule) { r.IifName = "lo" },
			"mark": func(r *netlink.Rule) { r.Mark = 5 }, "invert": func(r *netlink.Rule) { r.Invert = true },
			"goto": func(r *netlink.Rule) { r.Goto = 5 }, "by hand": func(r *netlink.Rule) { r.Protocol = unix.RTPROT_BOOT },
			"protocol": func(r *netlink.Rule) { r.IPProto = 6 }, "tos": func(r *netlink.Rule) { r.Tos = 4 },
		} {
			other := own
			change(&other)
			s := found()
			s.rules = []netlink.Rule{other}
			Expect(s.plan([]*current.IPConfig{one()}, &Config{}).rules).To(HaveLen(1), what)
		}
	})
})

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","table":100,"gateways":["10.0.0.1","fd00::1"],"addSourceHints":true}`)
	f.Add(`{"table":1e3,"gateways":[null],"addSourceHints":[]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		if p.Err() == nil {
			s := state{link: 7, used: map[int]bool{}}
			ip := &current.IPConfig{Address: net.IPNet{IP: net.IPv4(10, 0, 0, 1), Mask: net.CIDRMask(8, 32)}}
			_ = s.plan([]*current.IPConfig{ip}, &c)
		}
	})
}
