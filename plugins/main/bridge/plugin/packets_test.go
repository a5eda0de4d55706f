// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"
	"net"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
)

var _ = Describe("packets", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
	})

	dualStack := func(rest string) string {
		return `{"type":"bridge","bridge":"br0"` + rest + `,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
	}

	DescribeTable("go from container to container and to the gateway",
		func(mtu int) {
			config := dualStack(fmt.Sprintf(`,"isDefaultGateway":true,"mtu":%d`, mtu))
			rig.Add(one, config)
			result := rig.Add(two, config)
			for i, headers := range []int{28, 48} { // IP and UDP
				target := result.IPs[i].Address.IP.String()
				Expect(testrig.ReachWith(one.Netns, two.Netns, target, mtu-headers)).To(Succeed())
				Expect(testrig.ReachWith(one.Netns, rig.Host, result.IPs[i].Gateway.String(), mtu-headers)).To(Succeed())
				Expect(testrig.ReachWith(one.Netns, two.Netns, target, mtu-headers+1)).NotTo(Succeed())
			}
		},
		Entry("with the usual MTU", 1500),
		Entry("with a small MTU", 1280),
		Entry("with jumbo frames", 9000),
	)

	It("do not begin while somebody else on the bridge has the address, if that is to be made sure", func() {
		const bridge = `"type":"bridge","bridge":"br0"`
		rig.Add(two, `{`+bridge+`,"ipam":{"type":"static","addresses":[{"address":"10.1.2.9/24","gateway":"10.1.2.1"},{"address":"fd00:1:2::9/64"}]},"isGateway":true}`)
		rig.ExpectProbed(one, bridge, "10.1.2.8/24", "10.1.2.9/24", "fd00:1:2::9/64", "10.1.2.1/24")
	})

	DescribeTable("leave the host as the host's own with ipMasq",
		func(backend string) {
			outside := rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
			config := dualStack(`,"isDefaultGateway":true,"ipMasq":true` + backend)
			rig.Add(one, config)
			result := rig.Add(two, config)
			Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
			Expect(testrig.Reach(one.Netns, outside, "2001:db8::9")).To(Equal("2001:db8::1"))
			Expect(testrig.Reach(one.Netns, two.Netns, result.IPs[0].Address.IP.String())).To(Equal("10.1.2.2"))
			rig.Del(one, config)
			rig.Del(two, config)
		},
		Entry("by the default backend", ``),
		Entry("by nftables", `,"ipMasqBackend":"nftables"`),
		Entry("by iptables", `,"ipMasqBackend":"iptables"`),
	)

	It("come back through a port in hairpin mode only", func() {
		// The container talks to itself by way of an address that the host
		// translates; without NAT, a broadcast frame shows the same.
		config := dualStack(`,"hairpinMode":true`)
		rig.Add(one, config)
		Expect(hearsItself(one, arrival)).To(BeTrue())
		rig.Add(two, dualStack(``))
		Expect(hearsItself(two, absence)).To(BeFalse())
	})

	It("go to the new owner of an address at once", func() {
		config := dualStack(`,"isGateway":true`)
		rig.Add(one, config)
		for range 25 { // an announcement that comes too early may get through
			heir := rig.Container("heir")
			result := rig.Add(heir, config)
			was := macOf(heir)
			for _, ip := range result.IPs {
				target := ip.Address.IP.String()
				Expect(testrig.Reach(one.Netns, heir.Netns, target)).Error().NotTo(HaveOccurred())
				Expect(testrig.Reach(rig.Host, heir.Netns, target)).Error().NotTo(HaveOccurred())
			}
			rig.Del(heir, config)
			Expect(rig.Add(heir, withAddressesOf(result)).IPs).To(HaveLen(len(result.IPs)))
			Expect(macOf(heir)).NotTo(Equal(was))
			for _, ip := range result.IPs {
				Eventually(neighbour).WithArguments(one.Netns, one.IfName, ip.Address.IP).WithTimeout(arrival).Should(Equal(macOf(heir)))
				Eventually(neighbour).WithArguments(rig.Host, "br0", ip.Address.IP).WithTimeout(arrival).Should(Equal(macOf(heir)))
			}
			rig.Del(heir, withAddressesOf(result))
		}
	})

	It("do not go from one isolated port to another, but to the gateway", func() {
		config := dualStack(`,"isDefaultGateway":true,"portIsolation":true`)
		rig.Add(one, config)
		result := rig.Add(two, config)
		_, err := testrig.Reach(one.Netns, two.Netns, result.IPs[0].Address.IP.String())
		Expect(err).To(HaveOccurred())
		Expect(testrig.Reach(one.Netns, rig.Host, "10.1.2.1")).To(Equal("10.1.2.2"))
	})
})

// withAddressesOf is a configuration that gives the addresses of a result again.
func withAddressesOf(result *current.Result) string {
	var addresses []string
	for _, ip := range result.IPs {
		addresses = append(addresses, fmt.Sprintf(`{"address":%q,"gateway":%q}`, ip.Address.String(), ip.Gateway.String()))
	}
	return `{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"static","addresses":[` + strings.Join(addresses, ",") + `]}}`
}

// neighbour is the MAC address that a link's neighbour is known by.
func neighbour(at ns.NetNS, ifName string, ip net.IP) (mac net.HardwareAddr) {
	GinkgoHelper()
	Expect(at.Do(func(ns.NetNS) error {
		l, err := netlink.LinkByName(ifName)
		if err != nil {
			return err
		}
		kernel, err := netlinksafe.NewHandle()
		if err != nil {
			return err
		}
		defer kernel.Close()
		neighbours, err := kernel.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
		for _, n := range neighbours {
			if n.IP.Equal(ip) {
				mac = n.HardwareAddr
			}
		}
		return err
	})).To(Succeed())
	return mac
}
