// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"context"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/undo"
	macvlan "github.com/containernetworking/plugins/plugins/main/macvlan/plugin"
)

const (
	nicMAC  = "02:00:00:00:00:01"
	wantsIt = `{"type":"host-device","device":"nic0"}`
)

// standIn makes an interface that plays a network card.
func standIn(name, mac string, mtu int, up bool) {
	GinkgoHelper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	l := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}
	Expect(netlink.LinkAdd(l)).To(Succeed())
	address, err := net.ParseMAC(mac)
	Expect(err).NotTo(HaveOccurred())
	Expect(netlink.LinkSetHardwareAddr(l, address)).To(Succeed())
	Expect(netlink.LinkSetMTU(l, mtu)).To(Succeed())
	if up {
		Expect(netlink.LinkSetUp(l)).To(Succeed())
	}
}

// withNIC is a host with a stand-in for a network card, and a container that is to
// get it.
func withNIC() (*testrig.Rig, *testrig.Container) {
	GinkgoHelper()
	rig := testrig.New(Plugin, ipamPath())
	c := rig.Container("one")
	c.IfName = "net1"
	rig.OnHost(func() {
		standIn("nic0", nicMAC, 1400, true)
		Expect(netlink.LinkSetAlias(testrig.Find("nic0"), "to the left")).To(Succeed())
	})
	return rig, c
}

// lentTo is the attachment of that container.
func lentTo() plugin.Owner { return plugin.Owner{Network: "test", ContainerID: "one", IfName: "net1"} }

// hasRecord tells whether it is on record that the container has the interface.
func hasRecord(rig *testrig.Rig) (found bool) {
	rig.OnHost(func() { found = kept(lentTo()) != nil })
	return found
}

var _ = Describe("an interface", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
	)

	// begin remembers how host and container are, for expectNothingChanged.
	begin := func() { expectNothingChanged = rig.Remember(c) }
	// beginDown begins with an interface that was never up: the kernel has not yet
	// given it the queueing discipline that it loses as it is moved.
	beginDown := func() {
		rig.OnHost(func() {
			Expect(netlink.LinkDel(testrig.Find("nic0"))).To(Succeed())
			standIn("nic0", nicMAC, 1400, false)
		})
		begin()
	}

	BeforeEach(func() {
		rig, c = withNIC()
		begin()
	})

	It("has no DNS settings without addresses", func() {
		Expect(rig.Add(c, `{"device":"nic0","dns":{"nameservers":["10.0.0.2"]}}`).DNS.IsEmpty()).To(BeTrue())
	})

	It("is lent and comes home as it was", func() {
		result := rig.Add(c, wantsIt)
		Expect(result.Interfaces).To(Equal([]*current.Interface{{Name: "net1", Mac: nicMAC, Mtu: 1400, Sandbox: c.Path}}))
		rig.OnHost(func() { Expect(links()).To(ConsistOf("lo")) })
		c.Do(func() {
			l := testrig.Find("net1")
			Expect(l.Attrs().Alias).To(Equal("nic0"), "what upstream's plugin goes by")
			Expect(l.Attrs().AltNames).To(ConsistOf("owner:test:one:net1", "home:nic0:up:1400:to+the+left:"+nicMAC))
			Expect(l.Attrs().Flags & net.FlagUp).NotTo(BeZero())
		})
		Expect(rig.Check(c, wantsIt, result)).To(Succeed())
		rig.Del(c, wantsIt)
		expectNothingChanged()
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})

	It("stays where it is while somebody else has the address, if that is to be made sure", func() {
		testrig.WaitUp(rig.Outside(nil, []string{"192.0.2.9/24", "2001:db8::9/64"}), "uplink")
		rig.ExpectProbed(c, `"type":"host-device","device":"uplink"`, "192.0.2.8/24", "192.0.2.9/24", "2001:db8::9/64")
	})

	It("is only the one's who has it, in whose namespace others have theirs", func() {
		rig.OnHost(func() {
			Expect(link.AddAltNames(testrig.Find("nic0").Attrs().Index, "owner:test:two:net1")).To(Succeed()) // it was too late
			standIn("nic1", "02:00:00:00:00:02", 1400, true)
		})
		other := rig.Container("two")
		other.IfName = "net1"
		rig.Add(c, wantsIt)
		c.Do(func() {
			Expect(testrig.Find("net1").Attrs().AltNames).To(ConsistOf("owner:test:one:net1", HavePrefix("home:nic0:")))
		})
		rig.Add(other, `{"type":"host-device","device":"nic1"}`)
		comesBackAs(rig, c, "nic0")
		rig.Del(other, `{"type":"host-device","device":"nic1"}`)
		rig.OnHost(func() { Expect(links()).To(ConsistOf("lo", "nic0", "nic1")) })
		rig.Del(c, wantsIt)
	})

	It("stays down if it was down", func() {
		beginDown()
		rig.Add(c, wantsIt)
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})

	It("comes home as it was whatever the container has done to it", func() {
		rig.Add(c, wantsIt)
		c.Do(func() {
			l := testrig.Find("net1")
			other, _ := net.ParseMAC("02:00:00:00:00:02")
			Expect(netlink.LinkSetDown(l)).To(Succeed())
			Expect(netlink.LinkSetHardwareAddr(l, other)).To(Succeed())
			Expect(netlink.LinkSetMTU(l, 1300)).To(Succeed())
			Expect(netlink.LinkSetName(l, "renamed")).To(Succeed())
			Expect(netlink.LinkSetAlias(l, "mine")).To(Succeed())
			Expect(netlink.LinkSetUp(l)).To(Succeed())
		})
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})

	It("leaves its addresses behind", func() {
		rig.OnHost(func() {
			address, _ := netlink.ParseAddr("192.0.2.1/24")
			Expect(netlink.AddrAdd(testrig.Find("nic0"), address)).To(Succeed())
		})
		config := `{"type":"host-device","device":"nic0","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
		result := rig.Add(c, config)
		Expect(result.IPs).To(HaveLen(1))
		Expect(*result.IPs[0].Interface).To(Equal(0))
		c.Do(func() { Expect(addresses("net1")).To(Equal([]string{"10.0.0.5/24"})) })
		Expect(rig.Check(c, config, result)).To(Succeed())
		rig.Del(c, config)
		rig.OnHost(func() { Expect(addresses("nic0")).To(BeEmpty()) })
	})

	It("comes home after every step that can fail", func() {
		config := `{"type":"host-device","device":"nic0","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
		var steps []string
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			_, err := rig.CallWith(undo.WithFault(context.Background(), fault), "ADD", c, config)
			if fault.Fired == "" {
				Expect(err).NotTo(HaveOccurred())
				break
			}
			Expect(err).To(MatchError(Not(ContainSubstring("undo "))))
			steps = append(steps, fault.Fired)
			expectNothingChanged()
		}
		Expect(steps).To(Equal([]string{"marks of nic0", "move of nic0 into the container", "IPAM reservation"}))
	})

	Describe("whose name is taken", func() {
		It("in the container stays on the host", func() {
			c.Do(func() { standIn("net1", "02:00:00:00:00:09", 1500, true) })
			begin()
			_, err := rig.Call("ADD", c, wantsIt)
			Expect(err).To(MatchError(ContainSubstring(`interface "net1" already exists in the container`)))
			expectNothingChanged()
			rig.Del(c, wantsIt)
			expectNothingChanged()
		})

		It("in the container, and known by the kernel only after the move, comes home", func() {
			rig.OnHost(func() { Expect(link.AddAltNames(testrig.Find("nic0").Attrs().Index, "net1")).To(Succeed()) })
			begin()
			_, err := rig.Call("ADD", c, wantsIt)
			Expect(err).To(MatchError(ContainSubstring("file exists")))
			Expect(err).To(MatchError(Not(ContainSubstring("undo "))))
			expectNothingChanged()
		})

		It("on the host stays in the container until it is free", func() {
			config := `{"type":"host-device","device":"nic0",` + rig.HostLocal("", "10.0.0.0/24") + `}`
			rig.Add(c, config)
			rig.OnHost(func() { standIn("nic0", "02:00:00:00:00:09", 1500, false) })
			foreign := testrig.Snapshot(rig.Host)
			for range 2 {
				_, err := rig.Call("DEL", c, config)
				Expect(err).To(MatchError(ContainSubstring(`interface "nic0" already exists on the host`)))
				Expect(testrig.Snapshot(rig.Host)).To(Equal(foreign))
				c.Do(func() {
					Expect(testrig.Find("net1").Attrs().Flags & net.FlagUp).NotTo(BeZero())
					Expect(addresses("net1")).To(BeEmpty(), "they are released")
				})
			}
			rig.OnHost(func() { Expect(netlink.LinkDel(testrig.Find("nic0"))).To(Succeed()) })
			rig.Del(c, config)
			expectNothingChanged()
		})

		It("on the host, by an interface that came from nowhere, destroys neither", func() {
			rig.Add(c, wantsIt)
			comesBackAs(rig, c, "dev7")
			rig.OnHost(func() { standIn("nic0", "02:00:00:00:00:09", 1500, false) })
			foreign := testrig.Snapshot(rig.Host)
			c.Path = ""
			_, err := rig.Call("DEL", c, wantsIt)
			Expect(err).To(MatchError(ContainSubstring(`interface "nic0" already exists on the host`)))
			Expect(testrig.Snapshot(rig.Host)).To(Equal(foreign))
		})

		It("as the host's in the container is no obstacle", func() {
			c.Do(func() { standIn("nic0", "02:00:00:00:00:09", 1500, true) })
			begin()
			rig.Add(c, wantsIt)
			c.Do(func() { Expect(links()).To(ConsistOf("lo", "nic0", "net1")) })
			rig.Del(c, wantsIt)
			expectNothingChanged()
		})

		It("by itself, as it keeps its name, is no obstacle", func() {
			c.IfName = "nic0"
			rig.Add(c, wantsIt)
			rig.Del(c, wantsIt)
			expectNothingChanged()
		})
	})

	// The kernel brings hardware home when a namespace goes away: down, under the
	// name it had, or dev and a number if that is taken.
	DescribeTable("that came back to the host by itself comes home",
		func(name string, how func()) {
			rig.Add(c, wantsIt)
			comesBackAs(rig, c, name)
			c.Path = ""
			how()
			expectNothingChanged()
		},
		Entry("by DEL", "net1", func() { rig.Del(c, wantsIt) }),
		Entry("by DEL that knows nothing", "net1", func() { rig.Del(c, `{}`) }),
		Entry("by DEL that knows another device", "net1", func() { rig.Del(c, `{"device":"lo"}`) }),
		Entry("by DEL, whatever the kernel calls it", "dev12", func() { rig.Del(c, wantsIt) }),
		Entry("by DEL, by its own name", "nic0", func() { rig.Del(c, wantsIt) }),
		Entry("by GC", "dev12", func() {
			_, err := rig.Call("GC", c, `{"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]}`)
			Expect(err).NotTo(HaveOccurred())
		}),
		Entry("by DEL, by a name that the container gave it", "renamed", func() { rig.Del(c, wantsIt) }),
		Entry("by GC, by a name that the container gave it", "renamed", func() { collectNone(rig, c) }),
		Entry("by the next ADD and DEL", "dev12", func() {
			other := rig.Container("two")
			rig.Add(other, wantsIt)
			rig.Del(other, wantsIt)
		}),
		Entry("after the next ADD, whose container vanished too, by the DEL for the first", "dev12", func() {
			other := rig.Container("two")
			rig.Add(other, wantsIt)
			comesBackAs(rig, other, "eth0")
			rig.Del(c, wantsIt)
			other.Path = ""
			rig.Del(other, wantsIt)
		}),
	)

	It("that came back is left alone by those who do not own it", func() {
		rig.Add(c, wantsIt)
		comesBackAs(rig, c, "net1")
		c.Path = ""
		here := testrig.Snapshot(rig.Host)
		other := rig.Container("two")
		other.IfName, other.Path = "net1", ""
		rig.Del(other, `{}`)
		rig.Del(other, `{"name":"other"}`)
		_, err := rig.Call("GC", c, `{"cni.dev/valid-attachments":[{"containerID":"one","ifname":"net1"}]}`)
		Expect(err).NotTo(HaveOccurred())
		_, err = rig.Call("GC", c, `{"name":"other"}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(testrig.Snapshot(rig.Host)).To(Equal(here))
	})

	It("of somebody else's is never taken, whatever its alias says", func() {
		rig.OnHost(func() {
			standIn("net1", "02:00:00:00:00:09", 1500, true)
			Expect(netlink.LinkSetAlias(testrig.Find("net1"), "uplink")).To(Succeed())
		})
		c.Do(func() {
			standIn("net1", "02:00:00:00:00:09", 1500, true)
			Expect(netlink.LinkSetAlias(testrig.Find("net1"), "uplink")).To(Succeed())
		})
		begin()
		rig.Del(c, wantsIt)
		rig.Del(c, `{}`)
		c.Path = ""
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})

	It("that several attachments want goes to one of them", func() {
		other := rig.Container("two")
		rig.Add(c, wantsIt)
		_, err := rig.Call("ADD", other, wantsIt)
		Expect(err).To(MatchError(ContainSubstring(`there is no interface "nic0" on the host; it may be in a container`)))
		_, err = rig.Call("STATUS", other, wantsIt)
		Expect(testrig.Code(err)).To(Equal(uint(50)))
		rig.Del(other, wantsIt)
		c.Do(func() { testrig.Find("net1") })
		rig.Del(c, wantsIt)
		_, err = rig.Call("STATUS", other, wantsIt)
		Expect(err).NotTo(HaveOccurred())
	})

	It("is missed by CHECK", func() {
		result := rig.Add(c, wantsIt)
		c.Do(func() {
			l := testrig.Find("net1")
			Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
			Expect(netlink.LinkSetAlias(l, "")).To(Succeed())
			Expect(netlink.LinkSetDown(l)).To(Succeed())
		})
		err := rig.Check(c, wantsIt, result)
		Expect(err).To(MatchError(ContainSubstring("net1: the interface does not say what it is called on the host")))
		Expect(err).To(MatchError(ContainSubstring("net1: the interface is down")))
	})

	It("passes packets", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "card"
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "switch"})).To(Succeed())
			address, _ := netlink.ParseAddr("10.0.0.1/24")
			Expect(netlink.AddrAdd(testrig.Find("switch"), address)).To(Succeed())
			Expect(netlink.LinkSetUp(testrig.Find("switch"))).To(Succeed())
		})
		config := `{"type":"host-device","device":"card","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
		rig.Add(c, config)
		Expect(testrig.Reach(c.Netns, rig.Host, "10.0.0.1")).To(Equal("10.0.0.5"))
		rig.Del(c, config)
		rig.OnHost(func() { Expect(links()).To(ContainElements("card", "switch")) })
	})

	It("is not deleted by plugins whose interface it could be", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = "nic9", testrig.Find("nic0").Attrs().Index
			Expect(netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})).To(Succeed())
		})
		lends := `{"type":"host-device","device":"nic9"}`
		rig.Add(c, lends)
		rig.Plugin = macvlan.Plugin
		rig.Del(c, `{"type":"macvlan","master":"nic0"}`)
		rig.Plugin = Plugin
		rig.Del(c, lends)
		rig.OnHost(func() { Expect(links()).To(ContainElement("nic9")) })
	})

	// Upstream's plugin, after a downgrade, brings an interface home and leaves the
	// marks, and so does somebody who moves it by hand. Then it is used again.
	Describe("that others have brought home, and use", func() {
		broughtHome := func(alias string) {
			rig.Add(c, wantsIt)
			comesBackAs(rig, c, "nic0")
			rig.OnHost(func() { Expect(netlink.LinkSetAlias(testrig.Find("nic0"), alias)).To(Succeed()) })
		}
		// use makes it an interface for something else.
		use := func(name string) {
			l := testrig.Find("nic0")
			other, _ := net.ParseMAC("02:00:00:00:00:02")
			Expect(netlink.LinkSetName(l, name)).To(Succeed())
			Expect(netlink.LinkSetMTU(l, 1450)).To(Succeed())
			Expect(netlink.LinkSetHardwareAddr(l, other)).To(Succeed())
			Expect(netlink.LinkSetUp(l)).To(Succeed())
			address, _ := netlink.ParseAddr("192.0.2.1/24")
			Expect(netlink.AddrAdd(testrig.Find(name), address)).To(Succeed())
			_, subnet, _ := net.ParseCIDR("198.51.100.0/24")
			Expect(netlink.RouteAdd(&netlink.Route{Dst: subnet, Gw: net.ParseIP("192.0.2.9")})).To(Succeed())
		}
		// withoutMarks is the host's state when the marks have gone.
		withoutMarks := func(name string) string {
			stale := testrig.Find(name).Attrs().AltNames
			Expect(stale).To(HaveLen(2))
			index := testrig.Find(name).Attrs().Index
			Expect(link.RemoveAltNames(index, stale...)).To(Succeed())
			want := testrig.Snapshot(rig.Host)
			Expect(link.AddAltNames(index, stale...)).To(Succeed())
			return want
		}

		DescribeTable("stays as it is",
			func(alias, name string, how func()) {
				broughtHome(alias)
				var want string
				rig.OnHost(func() { use(name); want = withoutMarks(name) })
				how()
				Expect(testrig.Snapshot(rig.Host)).To(Equal(want))
			},
			Entry("in GC", "", "storage0", func() { collectNone(rig, c) }),
			Entry("in GC, under its own name", "", "nic0", func() { collectNone(rig, c) }),
			Entry("in GC, moved by hand", "nic0", "storage0", func() { collectNone(rig, c) }),
			Entry("in DEL", "", "storage0", func() { rig.Del(c, wantsIt) }),
			Entry("in DEL, under its own name", "", "nic0", func() { rig.Del(c, wantsIt) }),
			Entry("in DEL, moved by hand", "nic0", "storage0", func() { rig.Del(c, wantsIt) }),
		)

		DescribeTable("comes home from the next container as it is now", func(alias string) {
			broughtHome(alias)
			other := rig.Container("two")
			config := `{"type":"host-device","device":"lan0"}`
			rig.OnHost(func() {
				l := testrig.Find("nic0")
				mac, _ := net.ParseMAC("02:00:00:00:00:02")
				Expect(netlink.LinkSetName(l, "lan0")).To(Succeed())
				Expect(netlink.LinkSetMTU(l, 1450)).To(Succeed())
				Expect(netlink.LinkSetHardwareAddr(l, mac)).To(Succeed())
				want := withoutMarks("lan0")
				rig.Add(other, config)
				other.Do(func() {
					Expect(testrig.Find("eth0").Attrs().AltNames).To(ConsistOf("owner:test:two:eth0", "home:lan0:down:1450:"+alias+":02:00:00:00:00:02"))
				})
				rig.Del(other, config)
				Expect(testrig.Snapshot(rig.Host)).To(Equal(want))
			})
		},
			Entry("without alias", ""),
			Entry("with the alias that upstream's plugin left in earlier versions", "nic0"),
		)

		It("is not what an ADD takes by its former name", func() {
			broughtHome("")
			rig.OnHost(func() { use("storage0") })
			before := testrig.Snapshot(rig.Host)
			_, err := rig.Call("ADD", rig.Container("two"), wantsIt)
			Expect(err).To(MatchError(ContainSubstring(`there is no interface "nic0" on the host`)))
			Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		})
	})

	DescribeTable("that came back to the host by itself, and that something there has set up, comes home",
		func(name string, how func()) {
			rig.Add(c, wantsIt)
			comesBackAs(rig, c, name)
			rig.OnHost(func() { Expect(netlink.LinkSetUp(testrig.Find(name))).To(Succeed()) })
			c.Path = ""
			how()
			expectNothingChanged()
		},
		Entry("by DEL", "net1", func() { rig.Del(c, wantsIt) }),
		Entry("by GC", "dev12", func() { collectNone(rig, c) }),
	)

	// What upstream's plugin has moved has an alias, neither marks nor a record. It
	// comes home down.
	Describe("without marks", func() {
		var result *current.Result
		BeforeEach(func() {
			beginDown()
			result = rig.Add(c, wantsIt)
			rig.OnHost(func() {
				Expect(discard(plugin.Owner{Network: "test", ContainerID: c.ID, IfName: c.IfName})).To(Succeed())
			})
			c.Do(func() {
				l := testrig.Find("net1")
				Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
			})
		})

		It("comes home by the device's name", func() { rig.Del(c, wantsIt); expectNothingChanged() })
		It("comes home by its address", func() { rig.Del(c, `{"hwaddr":"`+nicMAC+`"}`); expectNothingChanged() })
		DescribeTable("comes home, whatever its address, if the device was found by its path",
			func(config string) {
				result.Interfaces[0].Mac = "02:00:00:00:00:02" // tuning's, whose DEL has put the old one back
				_, err := rig.Call("DEL", c, testrig.WithPrev(config, result))
				Expect(err).NotTo(HaveOccurred())
				expectNothingChanged()
			},
			Entry("in PCI", `{"pciBusID":"0000:00:05.0"}`),
			Entry("in sysfs", `{"kernelpath":"/sys/devices/pci0000:00/0000:00:05.0"}`),
			Entry("that the runtime gave", `{"runtimeConfig":{"deviceID":"0000:00:05.0"}}`),
			Entry("that the runtime gave with ADD alone", `{"capabilities":{"deviceID":true}}`),
		)
		It("comes home by its path without prevResult", func() {
			rig.Del(c, `{"cniVersion":"0.3.1","pciBusID":"0000:00:05.0"}`)
			expectNothingChanged()
		})
		It("comes home by an alternative name", func() {
			c.Do(func() { Expect(link.AddAltNames(testrig.Find("net1").Attrs().Index, "enx020000000001")).To(Succeed()) })
			rig.Del(c, `{"cniVersion":"0.3.1","device":"enx020000000001"}`)
			rig.OnHost(func() {
				Expect(link.RemoveAltNames(testrig.Find("nic0").Attrs().Index, "enx020000000001")).To(Succeed())
			})
			expectNothingChanged()
		})
		DescribeTable("stays where it is if it cannot be what is meant",
			func(alias, config string) {
				c.Do(func() { Expect(netlink.LinkSetAlias(testrig.Find("net1"), alias)).To(Succeed()) })
				begin()
				rig.Del(c, config)
				expectNothingChanged()
			},
			Entry("by another name", "nic0", `{"device":"nic1"}`),
			Entry("by another address", "nic0", `{"hwaddr":"02:00:00:00:00:09"}`),
			Entry("by nothing", "nic0", `{}`),
			Entry("as it has no alias", "", `{"pciBusID":"0000:00:05.0"}`),
			Entry("as its alias is another attachment's", "test/one/net1", `{"pciBusID":"0000:00:05.0"}`),
			Entry("as its alias is a text", "to the left", `{"pciBusID":"0000:00:05.0"}`),
			Entry("as its alias is too long for a name", "rack-3-unit-14-left", `{"pciBusID":"0000:00:05.0"}`),
		)
		It("stays where it is if its name is not that asked for", func() {
			c.IfName = "net2"
			begin()
			rig.Del(c, `{"pciBusID":"0000:00:05.0"}`)
			expectNothingChanged()
		})
		It("comes home by prevResult", func() {
			_, err := rig.Call("DEL", c, testrig.WithPrev(`{}`, result))
			Expect(err).NotTo(HaveOccurred())
			expectNothingChanged()
		})
		It("comes home though it was renamed", func() {
			c.Do(func() {
				Expect(netlink.LinkSetDown(testrig.Find("net1"))).To(Succeed())
				Expect(netlink.LinkSetName(testrig.Find("net1"), "renamed")).To(Succeed())
			})
			rig.Del(c, wantsIt)
			expectNothingChanged()
		})
		It("comes home from the host", func() {
			comesBackAs(rig, c, "dev3")
			c.Path = ""
			rig.Del(c, wantsIt)
			expectNothingChanged()
		})
		It("is given to the next container", func() {
			comesBackAs(rig, c, "dev3")
			other := rig.Container("two")
			rig.Add(other, wantsIt)
			rig.Del(other, wantsIt)
			expectNothingChanged()
		})
	})
})

// comesBackAs does what the kernel does with hardware as a namespace goes away.
func comesBackAs(rig *testrig.Rig, c *testrig.Container, name string) {
	GinkgoHelper()
	c.Do(func() {
		l := testrig.Find(c.IfName)
		Expect(netlink.LinkSetDown(l)).To(Succeed())
		Expect(netlink.LinkSetName(l, name)).To(Succeed())
		Expect(netlink.LinkSetNsFd(l, int(rig.Host.Fd()))).To(Succeed())
	})
}

// collectNone is GC when there is nothing valid.
func collectNone(rig *testrig.Rig, c *testrig.Container) {
	GinkgoHelper()
	_, err := rig.Call("GC", c, `{"type":"host-device","cni.dev/valid-attachments":[]}`)
	Expect(err).NotTo(HaveOccurred())
}

func links() []string {
	GinkgoHelper()
	all, err := netlink.LinkList()
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, l := range all {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func addresses(name string) []string {
	GinkgoHelper()
	all, err := netlink.AddrList(testrig.Find(name), netlink.FAMILY_V4)
	Expect(err).NotTo(HaveOccurred())
	var list []string
	for _, address := range all {
		list = append(list, address.IPNet.String())
	}
	return list
}
