// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("packets", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container
	var outside ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ipvlan")
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
		outside = rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
	})

	// expectReach expects both containers to reach each other and the outside,
	// and the outside them.
	expectReach := func(second, outsideAddress string) {
		GinkgoHelper()
		for _, leg := range []struct {
			from, to ns.NetNS
			target   string
		}{{one.Netns, two.Netns, second}, {one.Netns, outside, outsideAddress}, {two.Netns, outside, outsideAddress}, {outside, two.Netns, second}} {
			_, err := testrig.Reach(leg.from, leg.to, leg.target)
			Expect(err).NotTo(HaveOccurred())
		}
	}

	It("reach other containers and the outside in mode l2", func() {
		config := `{"type":"ipvlan","master":"uplink","mode":"l2",` +
			rig.HostLocal("", "192.0.2.0/24") + `}`
		rig.Add(one, config)
		result := rig.Add(two, config)
		Expect(rig.Check(two, config, result)).To(Succeed())
		expectReach(result.IPs[0].Address.IP.String(), "192.0.2.9")
		rig.Del(one, config)
		rig.Del(two, config)
	})

	DescribeTable("reach them by the routes of the host in mode",
		func(mode string) {
			testrig.Route(outside, "10.1.2.0/24", "192.0.2.1")
			testrig.Route(outside, "fd00:1:2::/64", "2001:db8::1")
			config := `{"type":"ipvlan","master":"uplink","mode":"` + mode + `",` +
				rig.HostLocal(`,"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]`, "10.1.2.0/24", "fd00:1:2::/64") + `}`
			rig.Add(one, config)
			result := rig.Add(two, config)
			Expect(rig.Check(two, config, result)).To(Succeed())
			expectReach(result.IPs[0].Address.IP.String(), "192.0.2.9")
			expectReach(result.IPs[1].Address.IP.String(), "2001:db8::9")
		},
		Entry("l3", "l3"), Entry("l3s", "l3s"),
	)

	It("go through a master of the container", func() {
		testrig.MoveLink(rig.Host, "uplink", one.Netns)
		config := `{"type":"ipvlan","master":"uplink","linkInContainer":true,` + rig.HostLocal("", "192.0.2.0/24") + `}`
		result := rig.Add(one, config)
		Expect(rig.Check(one, config, result)).To(Succeed())
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal(result.IPs[0].Address.IP.String()))
		rig.Del(one, config)
	})

	It("go through a master that is an ipvlan, which the kernel skips", func() {
		testrig.IP(rig.Host, "link add shim link uplink type ipvlan mode l2")
		testrig.IP(rig.Host, "link set shim up")
		config := `{"type":"ipvlan","master":"shim",` + rig.HostLocal("", "192.0.2.0/24") + `}`
		result := rig.Add(one, config)
		Expect(rig.Check(one, config, result)).To(Succeed())
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal(result.IPs[0].Address.IP.String()))
		rig.Del(one, config)
	})
})

var _ = Describe("after another plugin", func() {
	const config = `{"type":"ipvlan"}`
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		rig.Outside(nil, nil)
		one = rig.Container("one")
	})

	previous := func(interfaces, ips string) string {
		return `{"cniVersion":"1.1.0","type":"ipvlan","prevResult":{"cniVersion":"1.1.0","interfaces":[` + interfaces + `],"ips":[` + ips + `],
			"routes":[{"dst":"0.0.0.0/0","gw":"192.0.2.9"}],"dns":{"nameservers":["192.0.2.53"]}}}`
	}

	It("takes its master, addresses, routes and DNS settings", func() {
		testutils.Need(GinkgoT(), "ipvlan")
		result := rig.Add(one, previous(`{"name":"uplink"}`, `{"address":"192.0.2.5/24","interface":0}`))
		Expect(result.Interfaces).To(HaveLen(1))
		Expect(result.Interfaces[0].Name).To(Equal("eth0"))
		Expect(result.Interfaces[0].Sandbox).To(Equal(one.Path))
		Expect(*result.IPs[0].Interface).To(BeZero())
		Expect(result.Routes).To(HaveLen(1))
		Expect(result.DNS.Nameservers).To(Equal([]string{"192.0.2.53"}))
		Expect(rig.Check(one, config, result)).To(Succeed())
		rig.Del(one, config)
	})

	DescribeTable("refuses a result without",
		func(interfaces, ips, want string) {
			_, err := rig.Call("ADD", one, previous(interfaces, ips))
			Expect(err).To(MatchError(ContainSubstring(want)))
			Expect(testrig.Code(err)).To(Equal(uint(7)))
		},
		Entry("addresses", `{"name":"uplink"}`, ``, "ipam.type: missing, and prevResult has no addresses to take over"),
		Entry("an interface", ``, `{"address":"192.0.2.5/24"}`, "master: missing, and prevResult has 0 interfaces"),
		Entry("a single interface", `{"name":"a"},{"name":"b"}`, `{"address":"192.0.2.5/24"}`, "master: missing, and prevResult has 2 interfaces"),
		Entry("a name", `{"name":""}`, `{"address":"192.0.2.5/24"}`, "master: missing, and prevResult has 1 interfaces"),
	)

	DescribeTable("is ready before there is a result",
		func(config string) {
			testutils.Need(GinkgoT(), "ipvlan")
			_, err := rig.Call("STATUS", one, config)
			Expect(err).NotTo(HaveOccurred())
		},
		Entry("to take addresses from", config),
		Entry("to take the master from alone", `{"type":"ipvlan","ipam":{"type":"static","addresses":[{"address":"192.0.2.5/24"}]}}`),
	)

	It("is not ready without the master that is named", func() {
		_, err := rig.Call("STATUS", one, `{"type":"ipvlan","master":"downlink"}`)
		Expect(err).To(MatchError(ContainSubstring(`there is no interface "downlink" on the host`)))
		Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
	})

	It("takes its master, and has addresses of its own", func() {
		testutils.Need(GinkgoT(), "ipvlan")
		chained := `{"cniVersion":"1.1.0","name":"test","type":"ipvlan","ipam":{"type":"static","addresses":[{"address":"192.0.2.7/24"}]}`
		result := rig.Add(one, chained+`,"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"uplink"}]}}`)
		Expect(result.IPs[0].Address.String()).To(Equal("192.0.2.7/24"))
		Expect(rig.Check(one, chained+"}", result)).To(Succeed())
		rig.Del(one, chained+"}")
	})
})
