// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("packets", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container
	var outside ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "macvlan")
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
		outside = rig.Outside(nil, []string{"192.0.2.9/24", "2001:db8::9/64"})
	})

	config := func(mode string) string {
		return `{"type":"macvlan","master":"uplink","mode":"` + mode + `",` + rig.HostLocal("", "192.0.2.0/24") + `}`
	}

	// attachBoth attaches two containers, which have to reach the outside, and
	// returns the address of the second.
	attachBoth := func(mode string) string {
		GinkgoHelper()
		c := config(mode)
		rig.Add(one, c)
		result := rig.Add(two, c)
		Expect(rig.Check(two, c, result)).To(Succeed())
		for _, container := range []*testrig.Container{one, two} {
			_, err := testrig.Reach(container.Netns, outside, "192.0.2.9")
			Expect(err).NotTo(HaveOccurred())
		}
		return result.IPs[0].Address.IP.String()
	}

	It("reach other containers and the outside in mode bridge", func() {
		second := attachBoth("bridge")
		Expect(testrig.Reach(one.Netns, two.Netns, second)).To(HavePrefix("192.0.2."))
		rig.Del(one, config("bridge"))
		rig.Del(two, config("bridge"))
	})

	It("reach nobody who does not have the address any more, though the container has renamed the interface", func() {
		attachBoth("bridge")
		testrig.IP(one.Netns, "link set eth0 down name renamed")
		testrig.IP(one.Netns, "link set renamed up")
		rig.Del(one, config("bridge"))
		Expect(testrig.IP(one.Netns, "link show")).NotTo(ContainSubstring("renamed"))
		rig.Del(one, config("bridge"))
		rig.Del(two, config("bridge"))
	})

	It("reach the outside only in mode private", func() {
		second := attachBoth("private")
		_, err := testrig.Reach(one.Netns, two.Netns, second)
		Expect(err).To(HaveOccurred())
	})

	It("reach other containers by way of a switch that sends back in mode vepa", func() {
		second := attachBoth("vepa")
		_, err := testrig.Reach(one.Netns, two.Netns, second)
		Expect(err).To(HaveOccurred())
		makeReflective(outside)
		Expect(testrig.Reach(one.Netns, two.Netns, second)).To(HavePrefix("192.0.2."))
	})

	It("have the master to themselves, and its MAC address, in mode passthru", func() {
		before := macOf(rig.Host, "uplink")
		result := rig.Add(one, config("passthru"))
		Expect(result.Interfaces[0].Mac).To(Equal(before))
		_, err := testrig.Reach(one.Netns, outside, "192.0.2.9")
		Expect(err).NotTo(HaveOccurred())
		_, err = rig.Call("ADD", two, config("passthru"))
		Expect(err).To(MatchError(ContainSubstring("in mode passthru, which tolerates no other")))
		rig.Del(two, config("passthru"))
		rig.Del(one, config("passthru"))

		const wanted = "02:00:00:00:00:77"
		result = rig.Add(one, `{"type":"macvlan","master":"uplink","mode":"passthru","mac":"`+wanted+`"}`)
		Expect(result.Interfaces[0].Mac).To(Equal(wanted))
		Expect(macOf(rig.Host, "uplink")).To(Equal(wanted))
		rig.Del(one, config("passthru"))
		Expect(macOf(rig.Host, "uplink")).To(Equal(before))
	})

	It("do not begin while somebody else has the address, if that is to be made sure", func() {
		testrig.WaitUp(outside, "uplink")
		rig.ExpectProbed(one, `"type":"macvlan","master":"uplink"`, "192.0.2.8/24", "192.0.2.9/24", "2001:db8::9/64")
		config := `{"type":"macvlan","master":"uplink","probe":true,"ipam":{"type":"host-local","dataDir":"` + rig.DataDir + `",
			"ranges":[[{"subnet":"192.0.2.0/24","rangeStart":"192.0.2.9"}]]}}`
		_, err := rig.Call("ADD", one, config)
		Expect(err).To(MatchError(ContainSubstring("192.0.2.9 is in use by somebody else: " + macOf(outside, "uplink") + " says that it has it")))
		rig.Add(one, config)
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.10"), "the next address is tried next")
	})

	It("are IPv6, too, when ADD is over", func() {
		result := rig.Add(one, `{"type":"macvlan","master":"uplink","ipam":{"type":"static","addresses":[{"address":"2001:db8::5/64","gateway":"2001:db8::9"}]}}`)
		Expect(result.IPs).To(HaveLen(1))
		one.Do(func() { Expect(testutils.Ping("2001:db8::5", "2001:db8::9", 2)).To(Succeed()) })
	})

	It("are not waited for without carrier", func() {
		Expect(outside.Do(func(ns.NetNS) error { return setLink("uplink", netlink.LinkSetDown) })).To(Succeed())
		start := time.Now()
		rig.Add(one, `{"type":"macvlan","master":"uplink","ipam":{"type":"static",
			"addresses":[{"address":"2001:db8::5/64","gateway":"2001:db8::9"}],"routes":[{"dst":"::/0"}]}}`)
		Expect(time.Since(start)).To(BeNumerically("<", 3*time.Second))
	})
})

func setLink(name string, set func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return set(l)
}

func macOf(at ns.NetNS, name string) (mac string) {
	GinkgoHelper()
	Expect(at.Do(func(ns.NetNS) error {
		mac = testrig.Find(name).Attrs().HardwareAddr.String()
		return nil
	})).To(Succeed())
	return mac
}

// makeReflective makes the outside a switch whose port sends frames back where
// they came from.
func makeReflective(outside ns.NetNS) {
	GinkgoHelper()
	Expect(outside.Do(func(ns.NetNS) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "switch"
		bridge := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		for _, set := range []func(netlink.Link) error{
			func(l netlink.Link) error { return netlink.LinkSetMaster(l, bridge) },
			func(l netlink.Link) error { return netlink.LinkSetHairpin(l, true) },
		} {
			if err := setLink("uplink", set); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(bridge)
	})).To(Succeed())
}
