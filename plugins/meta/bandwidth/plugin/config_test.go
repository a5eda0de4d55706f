// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"math"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func ownerOf(container, ifName string) plugin.Owner {
	return plugin.Owner{Network: "test", ContainerID: container, IfName: ifName}
}

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("rates without bursts", `{"name":"n","ingressRate":8,"egressRate":8}`,
		"ingressBurst: if rate is set, burst must also be set", "egressBurst: if rate is set"),
	Entry("bursts without rates", `{"name":"n","runtimeConfig":{"bandwidth":{"ingressBurst":8,"egressBurst":8}}}`,
		"runtimeConfig.bandwidth.ingressRate: if burst is set, rate must also be set", "runtimeConfig.bandwidth.egressRate: if burst"),
	Entry("too large a burst", `{"name":"n","ingressRate":8,"ingressBurst":34359738360}`, "ingressBurst: burst cannot be more than 4GB"),
	Entry("too small a rate", `{"name":"n","egressRate":7,"egressBurst":8}`, "egressRate: 7 is less than the least rate"),
	Entry("too small a burst", `{"name":"n","egressRate":1000,"egressBurst":7}`, "egressBurst: 7 is less than the least burst, 8 bits"),
	Entry("too small bursts of the runtime", `{"name":"n","runtimeConfig":{"bandwidth":{"ingressRate":7,"ingressBurst":1,"egressRate":8,"egressBurst":7}}}`,
		"runtimeConfig.bandwidth.ingressRate: 7 is less", "runtimeConfig.bandwidth.ingressBurst: 1 is less", "runtimeConfig.bandwidth.egressBurst: 7 is less"),
	Entry("numbers that are none", `{"name":"n","ingressRate":-1,"egressRate":1.5,"ingressBurst":"1M"}`, "ingressRate: -1", "egressRate: 1.5", "ingressBurst: the string"),
	Entry("both lists", `{"name":"n","shapedSubnets":["10.0.0.0/8"],"unshapedSubnets":["11.0.0.0/8"]}`, "unshapedSubnets: shapedSubnets is there, too"),
	Entry("no subnet", `{"name":"n","shapedSubnets":["10.0.0.0",null]}`, `shapedSubnets[0]: "10.0.0.0" is not CIDR`, "shapedSubnets[1]: null where CIDR notation is expected"),
)

var _ = DescribeTable("a configuration that does",
	func(text string) { Expect(Plugin.Lint([]byte(text))).To(Succeed()) },
	Entry("nothing", `{"name":"n"}`),
	Entry("the largest burst", `{"name":"n","ingressRate":8,"ingressBurst":34359738352}`),
	Entry("the largest rate", `{"name":"n","ingressRate":18446744073709551615,"ingressBurst":8}`),
	Entry("limits of the runtime that do not count", `{"name":"n","ingressRate":0,"runtimeConfig":{"bandWidth":{"egressRate":1}}}`),
)

func planOf(text string) plan {
	GinkgoHelper()
	var c Config
	var p conf.Problems
	_, err := conf.Decode([]byte(text), &c, &p)
	Expect(err).NotTo(HaveOccurred())
	Expect(p.Err()).NotTo(HaveOccurred())
	return c.plan()
}

var _ = DescribeTable("limits",
	func(text string, ingress, egress uint64, subnets int) {
		p := planOf(text)
		Expect([]uint64{p.ingress.rate, p.egress.rate}).To(Equal([]uint64{ingress, egress}))
		Expect(p.traffic.subnets).To(HaveLen(subnets))
	},
	Entry("none", `{}`, uint64(0), uint64(0), 0),
	Entry("of the configuration", `{"ingressRate":80,"ingressBurst":8}`, uint64(10), uint64(0), 0),
	Entry("of the runtime, as go-cni spells them", `{"RuntimeConfig":{"bandWidth":{"IngressRate":80,"EgressRate":160}}}`, uint64(10), uint64(20), 0),
	Entry("of the configuration, not of the runtime", `{"ingressRate":80,"runtimeConfig":{"bandwidth":{"ingressRate":160,"egressRate":160}}}`, uint64(10), uint64(0), 0),
	Entry("of the configuration, which has a zero", `{"egressBurst":0,"runtimeConfig":{"bandwidth":{"ingressRate":160}}}`, uint64(0), uint64(0), 0),
	Entry("of the runtime, with the configuration's subnets", `{"unshapedSubnets":["10.0.0.0/8"],"runtimeConfig":{"bandwidth":{"ingressRate":160}}}`, uint64(20), uint64(0), 1),
	Entry("of the runtime, with its own", `{"unshapedSubnets":["10.0.0.0/8"],"runtimeConfig":{"bandwidth":{"ingressRate":160,"shapedSubnets":["1.0.0.0/8","::/0"]}}}`, uint64(20), uint64(0), 2),
)

var _ = DescribeTable("filters",
	func(text string, outside addressField, want ...filter) {
		Expect(planOf(text).traffic.filters(outside)).To(Equal(want))
	},
	Entry("for everything", `{}`, sources(), filter{1, unix.ETH_P_ALL, matchAll(), true}),
	Entry("for subnets", `{"shapedSubnets":["10.1.2.3/20","fd00:1::9/36","0.0.0.0/0"]}`, destinations(),
		filter{16, unix.ETH_P_IP, []netlink.TcU32Key{{Mask: 0xfffff000, Val: 0x0a010000, Off: 16}}, true},
		filter{15, unix.ETH_P_IPV6, []netlink.TcU32Key{{Mask: 0xffffffff, Val: 0xfd000001, Off: 24}, {Mask: 0xf0000000, Val: 0, Off: 28}}, true},
		filter{16, unix.ETH_P_IP, matchAll(), true}),
	Entry("for subnets of IPv4 in the form of IPv6", `{"shapedSubnets":["::ffff:192.0.2.9/120","::ffff:0:0/96"]}`, destinations(),
		filter{16, unix.ETH_P_IP, []netlink.TcU32Key{{Mask: 0xffffff00, Val: 0xc0000200, Off: 16}}, true},
		filter{16, unix.ETH_P_IP, matchAll(), true}),
	Entry("for all but subnets", `{"unshapedSubnets":["10.0.0.0/8"]}`, sources(),
		filter{16, unix.ETH_P_IP, []netlink.TcU32Key{{Mask: 0xff000000, Val: 0x0a000000, Off: 12}}, false},
		filter{20, unix.ETH_P_ALL, matchAll(), true}),
)

var _ = DescribeTable("arithmetic",
	func(rate, burst uint64, limit uint32, fits bool) {
		s := shaper{rate: rate, burst: burst}
		Expect(s.limit()).To(Equal(limit))
		Expect(s.fitsTicks()).To(Equal(fits))
		if fits {
			Expect(s.upstreamLimit()).To(Equal(limit))
			Expect(s.upstreamTicks()).To(Equal(netlink.Xmittime(rate, uint32(burst)))) // which reads /proc/net/psched
			Expect(float64(s.upstreamTicks())).To(BeNumerically("~", float64(s.ticks()), float64(s.ticks())/100+16))
		}
	},
	Entry("small", uint64(1000), uint64(10), uint32(35), true),
	Entry("least", uint64(1), uint64(1), uint32(1), true),
	Entry("usual", uint64(125_000_000), uint64(1_000_000), uint32(4_125_000), true),
	Entry("odd", uint64(1_234_567), uint64(98_765), uint32(129_629), true),
	Entry("containerd's burst at 10 Mbit/s", uint64(1_250_000), uint64(math.MaxUint32/8), uint32(31_250+math.MaxUint32/8), false),
)

var _ = DescribeTable("ticks that do not fit are cut short as by upstream",
	func(rate uint64, ticks uint32) {
		Expect(shaper{rate: rate, burst: math.MaxUint32 / 8}.upstreamTicks()).To(Equal(ticks))
	},
	Entry("at 1 kbit/s", uint64(125), uint32(2684229560)),
	Entry("at 8 kbit/s", uint64(1000), uint32(2684338935)),
)

var _ = DescribeTable("ticks are those of the kernel",
	func(rate, burst, ticks uint64) { Expect(shaper{rate: rate, burst: burst}.ticks()).To(Equal(ticks)) },
	Entry("at the least rate", uint64(1), uint64(math.MaxUint32), uint64(math.MaxUint32*1_000_000_000>>6)),
	Entry("at a rate that divides badly", uint64(375), uint64(math.MaxUint32/8), uint64(22_369_621_286_205)),
	Entry("at the largest rate", uint64(math.MaxUint64/8), uint64(math.MaxUint32-1), uint64(0)),
)

var _ = DescribeTable("a burst",
	func(rate, burst uint64, mtu int, ticks bool) {
		l := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{MTU: mtu}}
		Expect(shaper{rate: rate, burst: burst}.tellsTicks(l)).To(Equal(ticks))
	},
	Entry("smaller than a packet", uint64(1000), uint64(10), 1500, true),
	Entry("least", uint64(1), uint64(1), 1500, true),
	Entry("usual", uint64(125_000_000), uint64(1_000_000), 1500, true),
	Entry("of which enough is left for a packet", uint64(1_250_000_000), uint64(4_000), 1500, true),
	Entry("of which enough is left for no larger packet", uint64(1_250_000_000), uint64(9_100), 9_000, false),
	Entry("of which not enough is left for a packet", uint64(1_250_000_000), uint64(1_514), 1500, false),
	Entry("of which nothing is left", uint64(12_500_000_000), uint64(3000), 1500, false),
	Entry("at the largest rate", uint64(math.MaxUint64/8), uint64(math.MaxUint32-1), 1500, false),
	Entry("that does not fit", uint64(1_250_000), uint64(math.MaxUint32/8), 1500, false),
)

var _ = It("has the largest limit that there is for the largest rate", func() {
	Expect(shaper{rate: math.MaxUint64 / 8, burst: math.MaxUint32 - 1}.limit()).To(Equal(uint32(math.MaxUint32)))
})

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","ingressRate":8,"ingressBurst":8,"shapedSubnets":["10.0.0.0/8","fd00::/8"]}`)
	f.Add(`{"egressRate":18446744073709551615,"runtimeConfig":{"bandwidth":null}}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
			planned := c.plan()
			planned.traffic.filters(sources())
			planned.ingress.limit()
		}
		_ = p.Err()
	})
}
