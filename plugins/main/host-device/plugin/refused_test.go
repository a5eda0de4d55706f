// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// What the kernel lets an interface have follows what it is on top of, which may have
// changed while it was lent.
var _ = Describe("an interface that the kernel does not let be as it was", func() {
	var (
		rig *testrig.Rig
		c   *testrig.Container
	)
	const lower = "card"
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ip-tool", "veth")
		rig, c = withNIC()
		testrig.IP(rig.Host, "link add %s type veth peer name switch", lower)
		testrig.IP(rig.Host, "link set %s up", lower)
	})
	onHost := func(command string) func() {
		return func() { testrig.IP(rig.Host, "%s", command) }
	}
	const address = "02:00:00:00:00:66" // top0's, unless it has the one of card
	byDEL := func(config string) { rig.Del(c, config) }
	byDELWithoutNamespace := func(config string) {
		testrig.MoveLink(c.Netns, "net1", rig.Host)
		c.Path = ""
		rig.Del(c, config)
	}
	byGC := func(string) { collectNone(rig, c) }

	DescribeTable("comes home with all the rest",
		func(kind, state string, change func(), refused string, how func(string)) {
			testutils.Need(GinkgoT(), kind)
			testrig.IP(rig.Host, "link add link %s name top0 type %s", lower, state)
			if kind != "ipvlan" {
				testrig.IP(rig.Host, "link set top0 address %s", address)
			}
			testrig.IP(rig.Host, "link set top0 alias above txqueuelen 700 up")
			config := `{"type":"host-device","device":"top0"}`
			rig.Add(c, config)
			testrig.IP(c.Netns, "link set net1 txqueuelen 77 alias mine")
			change()
			Expect(testrig.SaidDuring(func() { how(config) })).To(ContainSubstring("host-device: top0 is home, but not all that it was: " + refused))
			rig.OnHost(func() {
				attrs := testrig.Find("top0").Attrs()
				Expect(attrs.Alias).To(Equal("above"))
				Expect(attrs.TxQLen).To(Equal(700))
				Expect(attrs.AltNames).To(BeEmpty())
			})
			Expect(hasRecord(rig)).To(BeFalse())
			Expect(testrig.SaidDuring(func() { rig.Del(c, config) })).To(BeEmpty())
		},
		Entry("by DEL, the MTU being too large by now", "macvlan", "macvlan", onHost("link set card mtu 1400"),
			"restore the MTU of top0: invalid argument", byDEL),
		Entry("by DEL after the namespace has gone", "macvlan", "macvlan", onHost("link set card mtu 1400"),
			"restore the MTU of top0: invalid argument", byDELWithoutNamespace),
		Entry("by GC", "macvlan", "macvlan", onHost("link set card mtu 1400"),
			"restore the MTU of top0: invalid argument", byGC),
		Entry("by DEL, the address being in use by now", "macvlan", "macvlan", onHost("link set card address "+address),
			"restore the state of top0: address already in use", byDEL),
		Entry("by DEL, the parent being down", "vlan", "vlan id 9", onHost("link set card down"),
			"restore the state of top0: network is down", byDEL),
		Entry("by DEL, the hardware address being the master's", "ipvlan", "ipvlan", onHost("link set card address 02:00:00:00:00:77"),
			"restore the hardware address of top0: operation not supported", byDEL),
	)

	It("is made so as far as possible, and every refusal is said", func() {
		testutils.Need(GinkgoT(), "macvlan")
		testrig.IP(rig.Host, "link add link %s name top0 address %s type macvlan", lower, address)
		testrig.IP(rig.Host, "link set top0 up")
		config := `{"type":"host-device","device":"top0"}`
		rig.Add(c, config)
		testrig.IP(rig.Host, "link set %s mtu 1400 address %s", lower, address)
		Expect(testrig.SaidDuring(func() { rig.Del(c, config) })).To(Equal(
			"host-device: top0 is home, but not all that it was: restore the MTU of top0: invalid argument\n" +
				"host-device: top0 is home, but not all that it was: restore the state of top0: address already in use\n"))
	})
})
