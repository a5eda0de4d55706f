// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dummy

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the container", func() {
	const config = `{"type":"dummy","ipam":{"type":"static","addresses":[{"address":"192.0.2.5/24","gateway":"192.0.2.1"},
		{"address":"2001:db8::5/64","gateway":"2001:db8::1"}],"routes":[{"dst":"198.51.100.0/24"}],"dns":{"nameservers":["192.0.2.53"]}}`
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "dummy")
		rig = testrig.New(Plugin, ipamPath())
		one = rig.Container("one")
	})

	It("reaches itself by its addresses, whatever the host calls its links", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "eth0"
			Expect(netlink.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})).To(Succeed())
		})
		result := rig.Add(one, config+`}`)
		Expect(result.DNS.Nameservers).To(Equal([]string{"192.0.2.53"}))
		Expect(testrig.Reach(one.Netns, one.Netns, "192.0.2.5")).To(Equal("192.0.2.5"))
		Expect(testrig.Reach(one.Netns, one.Netns, "2001:db8::5")).To(Equal("2001:db8::5"))
		Expect(rig.Check(one, config+`}`, result)).To(Succeed())
		rig.Del(one, config+`}`)
		rig.OnHost(func() {
			_, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
		})
	})

	It("gets the DNS settings of the configuration, if there are any", func() {
		result := rig.Add(one, config+`,"dns":{"nameservers":["198.51.100.53"]}}`)
		Expect(result.DNS.Nameservers).To(Equal([]string{"198.51.100.53"}))
	})

	It("keeps an interface that it has already", func() {
		rig.Add(one, config+`}`)
		_, err := rig.Call("ADD", one, `{"name":"other",`+config[1:]+`}`)
		Expect(err).To(MatchError(ContainSubstring(`interface "eth0" already exists in the container`)))
		_, err = rig.Call("DEL", one, `{"name":"other",`+config[1:]+`}`)
		Expect(err).NotTo(HaveOccurred())
		one.Do(func() {
			l, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Alias).To(Equal("test/one/eth0"))
		})
	})
})
