// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the master", func() {
	const addresses = `"ipam":{"type":"static","addresses":[{"address":"192.0.2.5/24"}]}`
	var rig *testrig.Rig
	var one *testrig.Container
	var outside ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "macvlan")
		rig = testrig.New(Plugin, ipamPath())
		one = rig.Container("one")
		outside = rig.Outside([]string{"192.0.2.1/24"}, []string{"192.0.2.9/24"})
	})

	expectAttached := func(config string) {
		GinkgoHelper()
		result := rig.Add(one, config)
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.5"))
		Expect(rig.Check(one, config, result)).To(Succeed())
		rig.Del(one, config)
	}

	It("is the link of the default route", func() {
		const config = `{"type":"macvlan",` + addresses + `}`
		_, err := rig.Call("ADD", one, config)
		Expect(err).To(MatchError(ContainSubstring("master: missing, and there is no default route on the host")))
		_, err = rig.Call("STATUS", one, config)
		Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
		testrig.Route(rig.Host, "0.0.0.0/0", "192.0.2.9")
		_, err = rig.Call("STATUS", one, config)
		Expect(err).NotTo(HaveOccurred())
		expectAttached(config)
	})

	It("may be in the container, and have another name", func() {
		testrig.MoveLink(rig.Host, "uplink", one.Netns)
		one.Do(func() {
			Expect(setLink("uplink", func(l netlink.Link) error { return netlink.LinkAddAltName(l, "the-link-to-the-outside") })).To(Succeed())
		})
		expectAttached(`{"type":"macvlan","linkInContainer":true,"master":"the-link-to-the-outside",` + addresses + `}`)
		_, err := rig.Call("ADD", one, `{"type":"macvlan","linkInContainer":true,`+addresses+`}`)
		Expect(err).To(MatchError(ContainSubstring("there is no default route in the container")))
		one.Do(func() {
			addr, err := netlink.ParseAddr("198.51.100.1/24")
			Expect(err).NotTo(HaveOccurred())
			Expect(setLink("uplink", func(l netlink.Link) error { return netlink.AddrAdd(l, addr) })).To(Succeed())
		})
		testrig.Route(one.Netns, "0.0.0.0/0", "198.51.100.9")
		expectAttached(`{"type":"macvlan","linkInContainer":true,` + addresses + `}`)
	})

	It("may be in the same namespace as the interface", func() {
		other := &testrig.Container{ID: "other", IfName: "net1", Netns: rig.Host, Path: rig.Host.Path(), Override: "TRUE"}
		expectSame := rig.Remember(other)
		for _, config := range []string{`{"type":"macvlan","master":"uplink"}`, `{"type":"macvlan","master":"uplink","linkInContainer":true}`} {
			result := rig.Add(other, config)
			Expect(rig.Check(other, config, result)).To(Succeed())
			rig.Del(other, config)
		}
		expectSame()
	})

	It("may be a macvlan, on the host or in the container, which the kernel skips", func() {
		testrig.IP(rig.Host, "link add shim link uplink type macvlan mode bridge")
		testrig.IP(rig.Host, "link set shim up")
		expectAttached(`{"type":"macvlan","master":"shim",` + addresses + `}`)

		first := *one
		first.IfName = "net0"
		rig.Add(&first, `{"type":"macvlan","master":"uplink"}`)
		inside := `{"type":"macvlan","master":"net0","linkInContainer":true,` + addresses + `}`
		expectAttached(inside)

		result := rig.Add(one, inside)
		testrig.IP(rig.Host, "link add other type veth peer name end")
		testrig.IP(rig.Host, "link add shim2 link other type macvlan mode bridge")
		testrig.MoveLink(rig.Host, "shim2", one.Netns)
		another := strings.ReplaceAll(inside, "net0", "shim2")
		Expect(rig.Check(one, another, result)).To(MatchError(ContainSubstring("eth0: the master is not shim2 in the container")))
	})

	It("is in another namespace than its namesake", func() {
		testrig.MoveLink(rig.Host, "uplink", one.Netns)
		result := rig.Add(one, `{"type":"macvlan","master":"uplink","linkInContainer":true,`+addresses+`}`)
		var index int
		one.Do(func() { index = testrig.Find("uplink").Attrs().Index })
		testrig.IP(rig.Host, "link add uplink index %d type veth peer name other", index)
		err := rig.Check(one, `{"type":"macvlan","master":"uplink",`+addresses+`}`, result)
		Expect(err).To(MatchError(ContainSubstring("eth0: the master is not uplink on the host")))
	})

	It("is looked for where it should be", func() {
		result := rig.Add(one, `{"type":"macvlan","master":"uplink",`+addresses+`}`)
		err := rig.Check(one, `{"type":"macvlan","master":"uplink","linkInContainer":true,`+addresses+`}`, result)
		Expect(err).To(MatchError(ContainSubstring(`there is no interface "uplink" in the container`)))
	})

	It("has the greater MTU", func() {
		const config = `{"type":"macvlan","master":"uplink","mtu":1501}`
		const want = "mtu: 1501 is greater than 1500, the MTU of the master uplink"
		_, err := rig.Call("ADD", one, config)
		Expect(err).To(MatchError(ContainSubstring(want)))
		Expect(testrig.Code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		_, err = rig.Call("STATUS", one, config)
		Expect(err).To(MatchError(ContainSubstring(want)))
		Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
	})

	DescribeTable("sets a limit to the MTU, which a plugin later in the chain may change",
		func(version string, reported int) {
			config := `{"cniVersion":"` + version + `","type":"macvlan","master":"uplink","mtu":1400,` + addresses + `}`
			result := rig.Add(one, config)
			Expect(result.Interfaces[0].Mtu).To(Equal(reported))
			Expect(rig.Check(one, config, result)).To(Succeed())
			one.Do(func() {
				Expect(setLink("eth0", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) })).To(Succeed())
			})
			if reported != 0 {
				Expect(rig.Check(one, config, result)).To(MatchError(ContainSubstring("eth0: mtu is 1300, expected 1400")))
				result.Interfaces[0].Mtu = 1300
			}
			Expect(rig.Check(one, config, result)).To(Succeed())
		},
		Entry("and its result says so", "1.1.0", 1400),
		Entry("and its result cannot say so", "0.4.0", 0),
	)

	It("may belong to somebody who shares it with nobody", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "bridge"
			bridge := &netlink.Bridge{LinkAttrs: attrs}
			Expect(netlink.LinkAdd(bridge)).To(Succeed())
			Expect(setLink("uplink", func(l netlink.Link) error { return netlink.LinkSetMaster(l, bridge) })).To(Succeed())
		})
		_, err := rig.Call("ADD", one, `{"type":"macvlan","master":"uplink"}`)
		Expect(err).To(MatchError(ContainSubstring("the master belongs to something that shares it with nobody")))
	})

	It("is no concern of a DEL of another network, nor is its interface", func() {
		config := `{"type":"macvlan","master":"uplink",` + addresses + `}`
		result := rig.Add(one, config)
		other := `{"name":"other","type":"macvlan","master":"uplink",` + addresses + `}`
		_, err := rig.Call("ADD", one, other)
		Expect(err).To(MatchError(ContainSubstring(`interface "eth0" already exists in the container; use another CNI_IFNAME`)))
		rig.Del(one, other)
		Expect(rig.Check(one, config, result)).To(Succeed())
	})

	DescribeTable("gets no second interface for what is attached already, which keeps its address",
		func(code uint, change func(c *testrig.Container, config string) string) {
			config := `{"type":"macvlan","master":"uplink","args":{"cni":{"ips":["10.1.2.77"]}},` + rig.HostLocal("", "10.1.2.0/24") + `}`
			reservation := filepath.Join(rig.DataDir, "test", "10.1.2.77")
			result := rig.Add(one, config)
			rig.Add(rig.Container("two"), strings.Replace(config, "10.1.2.77", "10.1.2.78", 1))
			again := rig.Container("one")
			_, err := rig.Call("ADD", again, change(again, config))
			Expect(testrig.Code(err)).To(Equal(code), err.Error())
			Expect(os.ReadFile(reservation)).To(BeEquivalentTo("one\r\neth0"))
			again.Do(func() {
				_, err := netlinksafe.LinkByName("eth0")
				Expect(err).To(MatchError(ContainSubstring("not found")))
			})

			one.Rename("eth0", "zz0")
			one.Args = again.Args
			_, err = rig.Call("ADD", one, change(one, config))
			Expect(testrig.Code(err)).To(Equal(code), err.Error())
			Expect(os.ReadFile(reservation)).To(BeEquivalentTo("one\r\neth0"))
			one.Rename("zz0", "eth0")
			one.Args = ""
			Expect(rig.Check(one, config, result)).To(Succeed())
		},
		Entry("with the same address", ipam.ErrHasAddress, func(_ *testrig.Container, config string) string { return config }),
		Entry("with any address", ipam.ErrHasAddress, func(_ *testrig.Container, config string) string {
			return strings.Replace(config, `"10.1.2.77"`, "", 1)
		}),
		Entry("with another address", ipam.ErrHasAddress, func(_ *testrig.Container, config string) string {
			return strings.Replace(config, "10.1.2.77", "10.1.2.79", 1)
		}),
		Entry("with the address of another container", ipam.ErrHasAddress, func(_ *testrig.Container, config string) string {
			return strings.Replace(config, "10.1.2.77", "10.1.2.78", 1)
		}),
		Entry("with other ranges", ipam.ErrHasAddress, func(_ *testrig.Container, config string) string {
			return strings.NewReplacer("10.1.2.77", "10.9.2.7", "10.1.2.0/24", "10.9.2.0/24").Replace(config)
		}),
		Entry("with a resolvConf that is not there", types.ErrIOFailure, func(_ *testrig.Container, config string) string {
			return strings.Replace(config, `"dataDir"`, `"resolvConf":"/nowhere","dataDir"`, 1)
		}),
		Entry("with a range that makes no sense", types.ErrInvalidNetworkConfig, func(_ *testrig.Container, config string) string {
			return strings.Replace(config, "10.1.2.0/24", "10.1.2.0/99", 1)
		}),
		Entry("with nonsense in CNI_ARGS", types.ErrInvalidEnvironmentVariables, func(c *testrig.Container, config string) string {
			c.Args = "IgnoreUnknown=1;IP=zz"
			return config
		}),
	)
})
