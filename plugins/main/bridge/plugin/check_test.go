// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
)

var _ = Describe("CHECK of the bridge that ADD reported", func() {
	const config = `{"type":"bridge","bridge":"br0","isGateway":true,"mtu":1500,` +
		`"ipam":{"type":"static","addresses":[{"address":"10.1.2.5/24"}]}}`
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one = rig.Container("one")
	})

	DescribeTable("differs where",
		func(change func(*current.Result), command, want string) {
			result := rig.Add(one, config)
			Expect(rig.Check(one, config, result)).To(Succeed())
			change(result)
			if command != "" {
				testrig.IP(rig.Host, "%s", command)
			}
			Expect(rig.Check(one, config, result)).To(MatchError(ContainSubstring(want)))
		},
		Entry("it has another MAC address", func(*current.Result) {}, "link set br0 address 02:00:00:00:00:77", "br0: mac is 02:00:00:00:00:77, expected "),
		Entry("somebody has lowered its MTU", func(*current.Result) {}, "link set br0 mtu 1300", "br0: mtu is 1300, expected 1500"),
		Entry("prevResult lacks it", func(r *current.Result) {
			r.Interfaces = r.Interfaces[1:]
			r.IPs[0].Interface = current.Int(1)
		}, "", "prevResult does not name the bridge br0"),
		Entry("prevResult has another", func(r *current.Result) { r.Interfaces[bridgeIndex].Name = "br9" }, "", "prevResult does not name the bridge br0"),
		Entry("prevResult has it in the container", func(r *current.Result) { r.Interfaces[bridgeIndex].Sandbox = "/x" }, "", "prevResult does not name the bridge br0"),
	)

	DescribeTable("agrees where its MAC address",
		func(config string, before, after []string) {
			for _, command := range before {
				testrig.IP(rig.Host, "%s", command)
			}
			result := rig.Add(one, config)
			for _, command := range after {
				testrig.IP(rig.Host, "%s", command)
			}
			Expect(testrig.IP(rig.Host, "link show br0")).NotTo(ContainSubstring(result.Interfaces[bridgeIndex].Mac))
			Expect(rig.Check(one, config, result)).To(Succeed())
		},
		Entry("follows the ports, as that of somebody else's with the gateway's address", config,
			[]string{"link add br0 type bridge", "addr add 10.1.2.1/24 dev br0"},
			[]string{"link add first address 02:00:00:00:00:01 type veth", "link set first master br0"}),
		Entry("is nobody's gateway's", `{"type":"bridge","bridge":"br0"}`, nil, []string{"link set br0 address 02:00:00:00:00:77"}),
	)

	It("agrees where its MTU is that of a smaller port, or a larger one after that has left", func() {
		result := rig.Add(one, config)
		testrig.IP(rig.Host, "link add small mtu 1300 type veth")
		testrig.IP(rig.Host, "link set small master br0")
		Expect(testrig.IP(rig.Host, "link show br0")).To(ContainSubstring("mtu 1300"))
		Expect(rig.Check(one, config, result)).To(Succeed())
		const largest = `{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"static","addresses":[{"address":"10.1.2.6/24"}]}}`
		two := rig.Container("two")
		result = rig.Add(two, largest)
		Expect(result.Interfaces[bridgeIndex].Mtu).To(Equal(1300))
		testrig.IP(rig.Host, "link del small")
		Expect(rig.Check(two, largest, result)).To(Succeed())
	})
})
