// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// A bridge belongs to everybody: to other networks, to the administrator and to
// upstream's plugin before an upgrade.
var _ = Describe("a bridge that others use, too", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
	})

	config := func(rest string) string {
		return `{"type":"bridge","bridge":"br0","isGateway":true` + rest + `,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
	}

	bridge := func() (l netlink.Link) {
		rig.OnHost(func() { l = testrig.Find("br0") })
		return l
	}

	It("has the smallest MTU of all, whoever comes first", func() {
		large, small := config(`,"mtu":1500`), config(`,"mtu":1400`)
		first := rig.Add(one, large)
		second := rig.Add(two, small)
		Expect(bridge().Attrs().MTU).To(Equal(1400))
		Expect(rig.Check(one, large, first)).To(Succeed())
		Expect(rig.Check(two, small, second)).To(Succeed())
		third := rig.Container("three")
		Expect(rig.Check(third, large, rig.Add(third, large))).To(Succeed())
		Expect(bridge().Attrs().MTU).To(Equal(1400))
		// Nothing that the bridge takes is lost on the way to the smaller port.
		Expect(testrig.ReachWith(rig.Host, two.Netns, second.IPs[0].Address.IP.String(), 1400-28)).To(Succeed())

		rig.Del(two, small)
		Expect(bridge().Attrs().MTU).To(Equal(1500))
		second = rig.Add(two, small)
		rig.OnHost(func() { Expect(netlink.LinkSetMTU(bridge(), 1500)).To(Succeed()) })
		Expect(rig.Check(two, small, second)).To(MatchError(ContainSubstring("br0: mtu is 1500, expected at most 1400")))
		rig.Add(rig.Container("four"), small)
		Expect(rig.Check(two, small, second)).To(Succeed())
	})

	It("has that of the host's way out, as its ports have, if the configuration leaves it to that", func() {
		rig.Outside([]string{"192.0.2.1/24"}, []string{"192.0.2.9/24"})
		testrig.IP(rig.Host, "route add default via 192.0.2.9")
		testrig.IP(rig.Host, "link set uplink mtu 1400")
		auto := config(`,"mtu":"auto"`)
		result := rig.Add(one, auto)
		for _, iface := range result.Interfaces {
			Expect(iface.Mtu).To(Equal(1400), iface.Name)
		}
		Expect(testrig.ReachWith(one.Netns, rig.Host, result.IPs[0].Gateway.String(), 1400-28)).To(Succeed())
		testrig.IP(rig.Host, "link set uplink mtu 1300")
		Expect(rig.Check(one, auto, result)).To(Succeed(), "it was right then")
		Expect(rig.Add(two, auto).Interfaces[containerIndex].Mtu).To(Equal(1300))
		Expect(bridge().Attrs().MTU).To(Equal(1300))
	})

	It("has the smallest MTU also of a network that leaves it to the kernel", func() {
		rig.Add(one, config(`,"mtu":9000`))
		Expect(bridge().Attrs().MTU).To(Equal(9000))
		result := rig.Add(two, config(``))
		Expect(result.Interfaces[bridgeIndex].Mtu).To(Equal(1500))
		_, err := testrig.Run(rig.Host, "ping", "-c", "1", "-W", "2", "-s", "4000", result.IPs[0].Address.IP.String())
		Expect(err).NotTo(HaveOccurred(), "in fragments")
	})

	It("gets back the MTU that it had without us", func() {
		rig.OnHost(func() {
			addBridge()
			addPort("")
		})
		small := config(`,"mtu":1400`)
		rig.Add(one, small)
		Expect(bridge().Attrs().MTU).To(Equal(1400))
		rig.Del(one, small)
		Expect(bridge().Attrs().MTU).To(Equal(1500))
		_, err := rig.Call("ADD", one, `{"type":"bridge","bridge":"br0","mtu":1300,"ipam":{"type":"static"}}`)
		Expect(err).To(HaveOccurred())
		Expect(bridge().Attrs().MTU).To(Equal(1500))
	})

	It("keeps the MTU that somebody has set, if no network wants another", func() {
		rig.OnHost(func() {
			addBridge()
			Expect(netlink.LinkSetMTU(bridge(), 9000)).To(Succeed())
		})
		rig.Add(one, config(``))
		Expect(bridge().Attrs().MTU).To(Equal(9000))
	})

	It("keeps its MAC address, whatever that of the new port is", func() {
		const highest = "fe:ff:ff:ff:ff:ff"
		rig.OnHost(func() {
			addBridge()
			addPort(highest)
		})
		Expect(rig.Add(one, config(``)).Interfaces[bridgeIndex].Mac).To(Equal(highest))
		Expect(bridge().Attrs().HardwareAddr.String()).To(Equal(highest))
		rig.Del(one, config(``))
		Expect(bridge().Attrs().HardwareAddr.String()).To(Equal(highest))
	})

	It("gets a MAC address for good though it had none without ports", func() {
		rig.OnHost(func() {
			addBridge()
			Expect(netlink.LinkDel(addPort(""))).To(Succeed())
			Expect(testrig.Find("br0").Attrs().HardwareAddr).To(BeEmpty())
		})
		mac := rig.Add(one, config(``)).Interfaces[bridgeIndex].Mac
		for i := range 5 {
			rig.Add(rig.Container(fmt.Sprint("other", i)), config(``))
			Expect(bridge().Attrs().HardwareAddr.String()).To(Equal(mac))
		}
	})

	It("may have had the gateway address before, and another MAC address with every port", func() {
		rig.OnHost(func() { addBridge("10.1.2.1/24", "fd00:1:2::1/64") })
		result := rig.Add(one, config(``))
		rig.OnHost(func() { addPort("00:00:5e:00:53:01") }) // the lowest
		Expect(bridge().Attrs().HardwareAddr.String()).To(Equal("00:00:5e:00:53:01"))
		Expect(rig.Check(one, config(``), result)).To(Succeed())
	})

	It("is promiscuous after the end of a capture, too", func() {
		rig.Add(one, config(``))
		var end func()
		rig.OnHost(func() { end = capture("br0") })
		promiscuous := config(`,"promiscMode":true`)
		result := rig.Add(two, promiscuous)
		end()
		Expect(bridge().Attrs().Promisc).To(Equal(1))
		Expect(rig.Check(two, promiscuous, result)).To(Succeed())

		rig.OnHost(func() {
			end = capture("br0")
			Expect(netlink.SetPromiscOff(bridge())).To(Succeed())
		})
		defer end()
		Expect(rig.Check(two, promiscuous, result)).To(MatchError(ContainSubstring("br0: promiscuous mode is false, expected true")))
	})

	It("keeps the gateway address when the one that it was secondary to is replaced", func() {
		rig.OnHost(func() { addBridge("10.1.2.77/24", "10.1.2.1/24") })
		forced := config(`,"forceAddress":true`)
		result := rig.Add(one, forced)
		Expect(rig.Check(one, forced, result)).To(Succeed())
		Expect(testrig.Reach(one.Netns, rig.Host, "10.1.2.1")).To(Equal(result.IPs[0].Address.IP.String()))
	})

	DescribeTable("is the gateway of several IPv4 subnets",
		func(ranges string, works bool) {
			c := fmt.Sprintf(`{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"host-local","dataDir":%q,"ranges":[%s]}}`, rig.DataDir, ranges)
			rig.Add(one, c) // which takes all that the first range of one set has
			stdout, err := rig.Call("ADD", two, c)
			if !works {
				Expect(err).To(MatchError(ContainSubstring("br0 has the address 10.22.0.1/30, which conflicts with the gateway address 10.23.0.1/24")))
				return
			}
			Expect(err).NotTo(HaveOccurred())
			address := testrig.Result(stdout).IPs[0].Address.IP.String()
			Expect(testrig.Reach(one.Netns, two.Netns, address)).To(Equal("10.22.0.2"))
		},
		Entry("with a range set each", `[{"subnet":"10.22.0.0/29"}],[{"subnet":"10.23.0.0/24"}]`, true),
		Entry("in one range set, as ranges of one that covers them",
			`[{"subnet":"10.22.0.0/15","rangeEnd":"10.22.0.2"},{"subnet":"10.22.0.0/15","rangeStart":"10.23.0.0","rangeEnd":"10.23.0.255"}]`, true),
		Entry("in one range set not", `[{"subnet":"10.22.0.0/30"},{"subnet":"10.23.0.0/24"}]`, false),
	)

	DescribeTable("has an IPv6 gateway once, with the larger of its subnets",
		func(addresses string) {
			c := `{"type":"bridge","bridge":"br0","isGateway":true,"ipam":{"type":"static","addresses":[` + addresses + `]}}`
			result := rig.Add(one, c)
			Expect(rig.Check(one, c, result)).To(Succeed())
			Expect(testrig.Reach(one.Netns, rig.Host, "fd00:9::1")).To(Equal("fd00:9::5"))
		},
		Entry("first", `{"address":"fd00:9::5/64","gateway":"fd00:9::1"},{"address":"fd00:77::1/128","gateway":"fd00:9::1"}`),
		Entry("last", `{"address":"fd00:77::1/128","gateway":"fd00:9::1"},{"address":"fd00:9::5/64","gateway":"fd00:9::1"}`),
	)

	It("has a link-local gateway beside the kernel's own link-local address", func() {
		outside := rig.Outside([]string{"2001:db8::1/64"}, []string{"2001:db8::9/64"})
		testrig.Route(outside, "fd00:9::/64", "2001:db8::1")
		rig.OnHost(func() {
			addBridge()
			addPort("")
		})
		Eventually(func() string { return testrig.IP(rig.Host, "-6 address show dev br0") }).Should(ContainSubstring("fe80:"))
		for i, container := range []*testrig.Container{one, two} {
			address := fmt.Sprintf("fd00:9::%d", i+5)
			c := `{"type":"bridge","bridge":"br0","isDefaultGateway":true,
				"ipam":{"type":"static","addresses":[{"address":"` + address + `/64","gateway":"fe80::1"}]}}`
			result := rig.Add(container, c)
			Expect(rig.Check(container, c, result)).To(Succeed())
			Expect(testrig.Reach(container.Netns, outside, "2001:db8::9")).To(Equal(address))
			testrig.IP(rig.Host, "-6 route del fd00:9::/64 dev br0")
			Expect(rig.Check(container, c, result)).To(MatchError(ContainSubstring("the route to fd00:9::/64 through br0 is missing")))
		}
	})

	DescribeTable("gives the address back, whatever has become of ipam",
		func(ipam string) {
			c := `{"type":"bridge","bridge":"br0","ipam":{"type":"host-local","subnet":"10.1.2.0/24"}}` // in the usual directory
			for _, dir := range []string{"test", ".cni-index/test"} {
				DeferCleanup(os.RemoveAll, filepath.Join("/var/lib/cni/networks", dir))
			}
			reservation := func(result *current.Result) string {
				return filepath.Join("/var/lib/cni/networks/test", result.IPs[0].Address.IP.String())
			}
			first, second := reservation(rig.Add(one, c)), reservation(rig.Add(two, c))
			Expect(first).To(BeAnExistingFile())
			rig.Del(one, `{"type":"bridge","bridge":"br0"`+ipam+`}`)
			Expect(first).NotTo(BeAnExistingFile())
			Expect(second).To(BeAnExistingFile())
			rig.Del(two, c)
		},
		Entry("gone", ``), Entry("null", `,"ipam":null`), Entry("a text", `,"ipam":"x"`), Entry("without a type", `,"ipam":{"subnet":"10.1.2.0/24"}`),
		Entry("with a number as its type", `,"ipam":{"type":5}`), Entry("of another type", `,"ipam":{"type":"static"}`),
	)

	It("is left by a DEL without ipam, whatever host-local says", func() {
		dir := GinkgoT().TempDir()
		script := "#!/bin/sh\ncat >" + dir + "/asked\necho '{\"code\":1,\"msg\":\"incompatible CNI versions\"}'\nexit 1\n"
		Expect(os.WriteFile(filepath.Join(dir, "host-local"), []byte(script), 0o755)).To(Succeed())
		Expect(os.MkdirAll("/var/lib/cni/networks/test", 0o755)).To(Succeed())
		DeferCleanup(os.RemoveAll, "/var/lib/cni/networks")
		rig = testrig.New(Plugin, dir)
		one = rig.Container("one")
		c := `{"type":"bridge","bridge":"br0"}`
		rig.Add(one, c)
		rig.Del(one, c)
		asked, err := os.ReadFile(filepath.Join(dir, "asked"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(asked)).To(ContainSubstring(`"cniVersion":"0.1.0"`)) // which host-local of any age knows
	})

	It("keeps its IPv6 addresses when a network with a smaller MTU comes", func() {
		first := rig.Add(one, config(`,"isGateway":true,"mtu":1500`))
		dual := `{"type":"bridge","bridge":"br0","isGateway":true,` + rig.HostLocal("", "10.1.2.0/24", "fd00:9::/64") + `}`
		result := rig.Add(two, dual)
		expectSame := rig.Remember(one)
		small := &testrig.Container{ID: "small", IfName: "eth1", Netns: one.Netns, Path: one.Path}
		for _, c := range []string{`{"name":"small","type":"bridge","bridge":"br0","mtu":1279}`, strings.Replace(dual, `"isGateway":true`, `"mtu":1200`, 1)} {
			_, err := rig.Call("ADD", small, c)
			Expect(err).To(MatchError(ContainSubstring("would take fd00:9::1/64 from br0, whose MTU is that of its smallest port: IPv6 needs 1280")))
			Expect(testrig.Code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		}
		expectSame()
		Expect(rig.Check(two, dual, result)).To(Succeed())
		rig.Add(small, `{"name":"small","type":"bridge","bridge":"br0","mtu":1280}`)
		Expect(rig.Check(two, dual, result)).To(Succeed())
		rig.Del(two, dual)
		rig.OnHost(func() { testrig.IP(rig.Host, "-6 address flush dev br0 scope global") })
		rig.Del(small, `{"name":"small","type":"bridge","bridge":"br0"}`)
		rig.Add(small, `{"name":"small","type":"bridge","bridge":"br0","mtu":1000}`)
		Expect(first.Interfaces[0].Mtu).To(Equal(1500))
	})

	It("keeps the ports of containers that are not ours through GC", func() {
		// What Docker and upstream call theirs, where chance has it that they begin as ours do.
		prefix := plugin.Owner{Network: "test"}.HostLinkPrefix()
		names := []string{prefix + "01a", prefix + "0ab9"}
		rig.OnHost(func() {
			for _, name := range names {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = name
				Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "p" + name[len(prefix):]})).To(Succeed())
			}
		})
		rig.Add(one, config(``))
		_, err := rig.Call("GC", one, config(`,"cni.dev/valid-attachments":[]`))
		Expect(err).NotTo(HaveOccurred())
		rig.OnHost(func() {
			for _, name := range names {
				testrig.Find(name)
			}
		})
		one.Do(func() {
			_, err := netlink.LinkByName("eth0")
			Expect(err).To(BeAssignableToTypeOf(netlink.LinkNotFoundError{}))
		})
	})
})

// addBridge makes br0 as an administrator would, with addresses.
func addBridge(addresses ...string) {
	GinkgoHelper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})).To(Succeed())
	br := testrig.Find("br0")
	Expect(netlink.LinkSetUp(br)).To(Succeed())
	for _, address := range addresses {
		Expect(netlink.AddrAdd(br, &netlink.Addr{IPNet: cidr(address)})).To(Succeed())
	}
}

// addPort gives br0 a port with a carrier, and a MAC address of the kernel's if
// mac is empty.
func addPort(mac string) netlink.Link {
	GinkgoHelper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = "port", testrig.Find("br0").Attrs().Index
	attrs.HardwareAddr, _ = net.ParseMAC(mac)
	Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})).To(Succeed())
	for _, end := range []string{"port", "peer"} {
		Expect(netlink.LinkSetUp(testrig.Find(end))).To(Succeed())
	}
	return testrig.Find("port")
}

// capture puts a link of this namespace into promiscuous mode as tcpdump does,
// until end is called.
func capture(name string) (end func()) {
	GinkgoHelper()
	index := int32(testrig.Find(name).Attrs().Index)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: index, Type: unix.PACKET_MR_PROMISC})).To(Succeed())
	return func() { Expect(unix.Close(fd)).To(Succeed()) }
}
