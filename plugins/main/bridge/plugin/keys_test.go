// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = Describe("keys", func() {
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one = rig.Container("one")
	})

	config := func(rest string) string {
		return `{"type":"bridge","bridge":"br0"` + rest + `,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
	}

	hostLink := func(name string) (l netlink.Link) {
		rig.OnHost(func() {
			var err error
			l, err = netlink.LinkByName(name)
			Expect(err).NotTo(HaveOccurred())
		})
		return l
	}

	It("use a bridge that is there and bring it in line", func() {
		rig.OnHost(func() {
			attrs := netlink.LinkAttrs{Name: "br0", MTU: 9000, TxQLen: -1}
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})).To(Succeed())
		})
		index := hostLink("br0").Attrs().Index
		result := rig.Add(one, config(`,"mtu":1400,"promiscMode":true,"isGateway":true`))
		bridge := hostLink("br0")
		Expect(bridge.Attrs().Index).To(Equal(index))
		Expect(bridge.Attrs().MTU).To(Equal(1400))
		Expect(bridge.Attrs().Promisc).NotTo(BeZero())
		Expect(bridge.Attrs().Flags & net.FlagUp).NotTo(BeZero())
		for _, iface := range result.Interfaces {
			Expect(iface.Mtu).To(Equal(1400))
		}
	})

	It("about masquerading have no meaning at layer 2", func() {
		const layer2 = `{"type":"bridge","bridge":"br0","ipMasq":true,"ipMasqBackend":"whatever"}`
		_, err := rig.Call("STATUS", one, layer2)
		Expect(err).NotTo(HaveOccurred())
		rig.Add(one, layer2)
	})

	It("refuse a device of another type in the bridge's place", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "br0"
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})).To(Succeed())
		})
		_, err := rig.Call("ADD", one, config(``))
		Expect(err).To(MatchError(ContainSubstring("br0 exists and is no bridge but of type veth")))
		_, err = rig.Call("STATUS", one, config(``))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
	})

	It("configure the port", func() {
		result := rig.Add(one, config(`,"hairpinMode":true,"portIsolation":true`))
		rig.OnHost(func() {
			host, err := netlink.LinkByName(result.Interfaces[hostIndex].Name)
			Expect(err).NotTo(HaveOccurred())
			Expect(host.Attrs().Alias).To(Equal("test/one/eth0"))
			port, err := netlink.LinkGetProtinfo(host)
			Expect(err).NotTo(HaveOccurred())
			Expect(port.Hairpin).To(BeTrue())
			Expect(port.Isolated).To(BeTrue())
		})
	})

	It("set the MAC address that the runtime asks for in CNI_ARGS", func() {
		one.Args = "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=02:00:00:00:00:09"
		result := rig.Add(one, config(``))
		Expect(result.Interfaces[containerIndex].Mac).To(Equal("02:00:00:00:00:09"))
		Expect(rig.Check(one, config(``), result)).To(Succeed())
	})

	It("report the gateway, the routes and the DNS of the configuration", func() {
		result := rig.Add(one, config(`,"isDefaultGateway":true,"dns":{"nameservers":["9.9.9.9"]}`))
		Expect(result.IPs[0].Gateway.String()).To(Equal("10.1.2.1"))
		Expect(*result.IPs[1].Interface).To(Equal(containerIndex))
		Expect(result.Routes).To(HaveLen(2))
		Expect(result.DNS.Nameservers).To(Equal([]string{"9.9.9.9"}))
		Expect(result.Interfaces).To(HaveLen(3))
		Expect(result.Interfaces[containerIndex].Sandbox).To(Equal(one.Path))
	})

	It("have routes with metric, MTU, MSS, table and scope", func() {
		c := `{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24"}],"routes":[
			{"dst":"192.0.2.0/24","gw":"10.1.2.1","priority":77,"mtu":1300,"advmss":1200,"table":99},
			{"dst":"198.51.100.0/24","scope":253}]}}`
		result := rig.Add(one, c)
		one.Do(func() {
			routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 99}, netlink.RT_FILTER_TABLE)
			Expect(err).NotTo(HaveOccurred())
			Expect(routes).To(HaveLen(1))
			Expect([]int{routes[0].Priority, routes[0].MTU, routes[0].AdvMSS}).To(Equal([]int{77, 1300, 1200}))
		})
		Expect(rig.Check(one, c, result)).To(Succeed())
		one.Do(func() {
			Expect(netlink.RouteDel(&netlink.Route{Dst: cidr("192.0.2.0/24"), Table: 99})).To(Succeed())
			Expect(netlink.RouteDel(&netlink.Route{Dst: cidr("198.51.100.0/24"), Scope: 253})).To(Succeed())
		})
		err := rig.Check(one, c, result)
		Expect(err).To(MatchError(ContainSubstring("the route 192.0.2.0/24 via 10.1.2.1 metric 77 mtu 1300 advmss 1200 table 99 is missing")))
		Expect(err).To(MatchError(ContainSubstring("the route 198.51.100.0/24 scope 253 is missing")))
	})

	Describe("at layer 2", func() {
		const layer2 = `{"type":"bridge","bridge":"br0"}`

		It("ADD, CHECK and DEL", func() {
			result := rig.Add(one, layer2)
			Expect(result.IPs).To(BeEmpty())
			Expect(rig.Check(one, layer2, result)).To(Succeed())
			one.Do(func() {
				l, err := netlink.LinkByName("eth0")
				Expect(err).NotTo(HaveOccurred())
				Expect(l.Attrs().OperState).To(BeEquivalentTo(netlink.OperUp))
			})
			rig.Del(one, layer2)
		})

		It("leave the container's interface down if so configured", func() {
			c := `{"type":"bridge","bridge":"br0","disableContainerInterface":true}`
			result := rig.Add(one, c)
			one.Do(func() {
				l, err := netlink.LinkByName("eth0")
				Expect(err).NotTo(HaveOccurred())
				Expect(l.Attrs().Flags & net.FlagUp).To(BeZero())
				addresses, err := netlink.AddrList(l, netlink.FAMILY_V6)
				Expect(err).NotTo(HaveOccurred())
				Expect(addresses).To(BeEmpty())
			})
			Expect(rig.Check(one, c, result)).To(Succeed())
		})
	})

	Describe("a gateway address that is in the way", func() {
		BeforeEach(func() {
			rig.OnHost(func() { addBridge("10.9.9.1/24") })
		})

		It("is an error with both addresses, and no other is added", func() {
			before := testrig.IP(rig.Host, "-o address show dev br0 scope global")
			_, err := rig.Call("ADD", one, `{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"static","addresses":[{"address":"fd00::5/64"},{"address":"10.1.2.5/24"}]}}`)
			Expect(err).To(MatchError(ContainSubstring("br0 has the address 10.9.9.1/24, which conflicts with the gateway address 10.1.2.1/24")))
			Expect(testrig.IP(rig.Host, "-o address show dev br0 scope global")).To(Equal(before))
		})

		It("is replaced with forceAddress", func() {
			rig.Add(one, config(`,"isGateway":true,"forceAddress":true`))
			rig.OnHost(func() {
				addresses, err := netlink.AddrList(hostLink("br0"), netlink.FAMILY_V4)
				Expect(err).NotTo(HaveOccurred())
				Expect(addresses).To(HaveLen(1))
				Expect(addresses[0].IPNet.String()).To(Equal("10.1.2.1/24"))
			})
		})

		It("is replaced with forceAddress, and the gateway's own stays", func() {
			rig.OnHost(func() {
				for _, text := range []string{"10.1.2.1/24", "10.1.2.1/16"} {
					Expect(netlink.AddrAdd(hostLink("br0"), &netlink.Addr{IPNet: cidr(text)})).To(Succeed())
				}
			})
			rig.Add(one, config(`,"isGateway":true,"forceAddress":true`))
			addresses := testrig.Lines(testrig.IP(rig.Host, "-o -4 address show dev br0"), "^$")
			Expect(addresses).To(ConsistOf(ContainSubstring("inet 10.1.2.1/24 ")))
		})
	})

	It("do not put several subnets of one family in each other's way", func() {
		c := `{"type":"bridge","bridge":"br0","isGateway":true,` + rig.HostLocal("", "10.1.2.0/24", "10.1.3.0/24") + `}`
		rig.Add(one, c)
		rig.Add(rig.Container("two"), c)
		rig.OnHost(func() {
			addresses, err := netlink.AddrList(hostLink("br0"), netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(addresses).To(HaveLen(2))
		})
	})

	It("keep the bridge's MAC address as ports come and go", func() {
		before := rig.Add(one, config(`,"isGateway":true`)).Interfaces[bridgeIndex].Mac
		for i := range 5 {
			two := rig.Container(fmt.Sprint("other", i))
			Expect(rig.Add(two, config(`,"isGateway":true`)).Interfaces[bridgeIndex].Mac).To(Equal(before))
			rig.Del(two, config(``))
		}
	})

	DescribeTable("leave no bridge when ADD fails that has made it",
		func(rest string, prepare func()) {
			expectSame := rig.Remember(one)
			prepare()
			_, err := rig.Call("ADD", one, `{"type":"bridge","bridge":"br0","isGateway":true`+rest+`}`)
			Expect(err).To(HaveOccurred())
			expectSame()
		},
		Entry("for want of an address", `,"ipam":{"type":"host-local","ranges":"x"}`, func() {}),
		Entry("for a route that cannot be", `,"ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24"}],"routes":[{"dst":"10.9.0.0/16","gw":"10.7.0.1"}]}`, func() {}),
		Entry("for want of a program", `,"ipMasq":true,"ipMasqBackend":"iptables","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24"}]}`, func() {
			GinkgoT().Setenv("PATH", GinkgoT().TempDir())
		}),
	)

	It("leave a bridge that somebody else uses by now", func() {
		testrig.IP(rig.Host, "link add br0 type bridge")
		for _, device := range []string{"link add port0 master br0 type veth peer name elsewhere", "link add port0 link br0 type macvlan"} {
			testrig.IP(rig.Host, "%s", device)
			rig.OnHost(func() { Expect(removeUnused(hostLink("br0"))).To(Succeed()) })
			testrig.IP(rig.Host, "link del port0")
		}
		rig.OnHost(func() {
			bridge := hostLink("br0")
			Expect(removeUnused(bridge)).To(Succeed())
			Expect(isGone(bridge)).To(BeTrue())
			Expect(removeUnused(bridge)).To(Succeed())
		})
	})

	It("lower the MTU of a VLAN's gateway device, and know what it is", func() {
		testrig.IP(rig.Host, "link add br0.100 type veth peer name port")
		rig.OnHost(func() {
			end := testrig.Find("br0.100")
			Expect(fitGatewayEnd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: 1400}}, end)).To(Succeed())
			Expect(link.Describe(end, "")).To(Equal(link.Describe(testrig.Find("br0.100"), "")))
			Expect(end.Attrs().MTU).To(Equal(1400))
		})
	})

	DescribeTable("control duplicate address detection",
		func(rest, want string) {
			rig.Add(one, config(rest))
			one.Do(func() { Expect(sysctl.Sysctl("net/ipv6/conf/eth0/accept_dad")).To(Equal(want)) })
		},
		Entry("off by default", ``, "0"),
		Entry("on", `,"enabledad":true`, "1"),
	)

	// hasGatewayAddress has a container take the address that is the gateway's for others, and waits until it has it.
	const hasGatewayAddress = `{"type":"bridge","bridge":"br0","enabledad":true,"probe":true,"ipam":{"type":"static","addresses":[{"address":"fd00:9::1/64"}]}}`
	It("have a gateway that is no duplicate and answers when ADD is over, with duplicate address detection", func() {
		c := `{"type":"bridge","bridge":"br0","isGateway":true,"enabledad":true,` + rig.HostLocal("", "fd00:9::/64") + `}`
		rig.Add(one, c)
		Expect(testrig.IP(rig.Host, "-6 address show dev br0 tentative")).To(BeEmpty())
		one.Do(func() { Expect(testutils.Ping("fd00:9::2", "fd00:9::1", 1)).To(Succeed()) })
		rig.Del(one, c)
		testrig.IP(rig.Host, "link del br0")

		two := rig.Container("two")
		rig.Add(two, hasGatewayAddress)
		_, err := rig.Call("ADD", one, c)
		Expect(err).To(MatchError(ContainSubstring("fd00:9::1 is in use by somebody else: duplicate address detection failed on br0")))
		Expect(testrig.IP(rig.Host, "-6 address show dev br0")).NotTo(ContainSubstring("fd00:9::1"), "it is of no use")
		rig.Del(two, c)
		result := rig.Add(one, c)
		Expect(rig.Check(one, c, result)).To(Succeed())
		Expect(testrig.Reach(one.Netns, rig.Host, "fd00:9::1")).To(Equal(result.IPs[0].Address.IP.String()))
	})

	It("detect that somebody else has the gateway address on a bridge made without duplicate address detection, too", func() {
		rig.Add(one, `{"type":"bridge","bridge":"br0"}`)
		acceptDAD := func(set ...string) (value string) {
			GinkgoHelper()
			rig.OnHost(func() {
				var err error
				value, err = sysctl.Sysctl("net/ipv6/conf/br0/accept_dad", set...)
				Expect(err).NotTo(HaveOccurred())
			})
			return value
		}
		Expect(acceptDAD()).To(Equal("0"))
		two, three := rig.Container("two"), rig.Container("three")
		rig.Add(two, hasGatewayAddress)
		c := `{"type":"bridge","bridge":"br0","isGateway":true,"enabledad":true,` + rig.HostLocal("", "fd00:9::/64") + `}`
		_, err := rig.Call("ADD", three, c)
		Expect(err).To(MatchError(ContainSubstring("fd00:9::1 is in use by somebody else: duplicate address detection failed on br0")))
		Expect(acceptDAD()).To(Equal("1"))
		rig.Del(two, c)
		acceptDAD("2") // which is stricter
		rig.Add(three, c)
		Expect(acceptDAD()).To(Equal("2"))
		acceptDAD("0")
		rig.Add(two, c)
		Expect(acceptDAD()).To(Equal("0"), "the address is there")
	})

	It("fail, and leave no gateway address, if several find at once that somebody else has it", func() {
		rig.Add(one, hasGatewayAddress)
		failures := make(chan error, 8)
		for i := range 8 {
			container := rig.Container(fmt.Sprint("another", i))
			c := fmt.Sprintf(`{"type":"bridge","bridge":"br0","isGateway":true,"enabledad":true,"ipam":{"type":"static","addresses":[{"address":"fd00:9::%d/64"}]}}`, i+2)
			go func() {
				defer GinkgoRecover()
				_, err := rig.Call("ADD", container, c)
				failures <- err
			}()
		}
		for range 8 {
			var err error
			Eventually(failures).WithTimeout(30 * time.Second).Should(Receive(&err))
			Expect(err).To(MatchError(ContainSubstring("fd00:9::1 is in use by somebody else")))
		}
		Expect(testrig.IP(rig.Host, "-6 address show dev br0")).NotTo(ContainSubstring("fd00:9::1"))
	})

	DescribeTable("repair a gateway address whose duplicate is gone, such as upstream leaves",
		func(rest string) {
			two := rig.Container("two")
			rig.Add(two, hasGatewayAddress)
			testrig.IP(rig.Host, "address add fd00:9::1/64 dev br0")
			failed := func() string { return testrig.IP(rig.Host, "-6 address show dev br0 dadfailed") }
			Eventually(failed).WithTimeout(10 * time.Second).Should(ContainSubstring("fd00:9::1"))
			rig.Del(two, `{"type":"bridge","bridge":"br0"}`)

			c := `{"type":"bridge","bridge":"br0","isGateway":true` + rest + `,` + rig.HostLocal("", "fd00:9::/64") + `}`
			Expect(rig.Check(one, c, rig.Add(one, c))).To(Succeed())
			Expect(failed()).To(BeEmpty())
			Expect(testrig.Reach(one.Netns, rig.Host, "fd00:9::1")).To(Equal("fd00:9::2"))
		},
		Entry("with duplicate address detection", `,"enabledad":true`),
		Entry("without it", ``),
	)

	It("refuse a name that is taken in the container and leave its owner alone", func() {
		c := config(`,"isGateway":true`)
		result := rig.Add(one, c)
		_, err := rig.Call("ADD", one, c)
		Expect(err).To(MatchError(ContainSubstring(`interface "eth0" already exists in the container`)))
		Expect(rig.Check(one, c, result)).To(Succeed())

		other := `{"name":"other","type":"bridge","bridge":"br0",` + rig.HostLocal("", "10.1.2.0/24") + `}`
		_, err = rig.Call("ADD", one, other)
		Expect(err).To(HaveOccurred())
		rig.Del(one, other)
		Expect(rig.Check(one, c, result)).To(Succeed())
	})

	It("refuse what is attached already when it has another name in the container", func() {
		c := `{"type":"bridge","bridge":"br0","isGateway":true,` + rig.HostLocal("", "10.1.2.0/24") + `}`
		result := rig.Add(one, c)
		one.Rename("eth0", "zz0")
		_, err := rig.Call("ADD", one, c)
		Expect(err).To(MatchError(ContainSubstring("renamed from eth0 to zz0; delete the attachment first")))
		one.Rename("zz0", "eth0")
		Expect(rig.Check(one, c, result)).To(Succeed())
		one.Rename("eth0", "zz0")
		rig.Del(one, c)
		rig.Del(one, c)
		rig.Add(one, c)
	})

	It("have their say even in versions without interfaces", func() {
		_, err := rig.Call("ADD", one, `{"cniVersion":"0.2.0","type":"bridge","bridge":"br0"}`)
		Expect(testrig.Code(err)).To(Equal(types.ErrIncompatibleCNIVersion))
		rig.OnHost(func() {
			_, err := netlink.LinkByName("br0")
			Expect(err).To(HaveOccurred())
		})
	})
})
