// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"fmt"
	"net"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var _ = Describe("the addresses of a link", func() {
	var left netlink.Link

	// within runs body in a namespace with addresses of all kinds.
	within := func(body func()) {
		GinkgoHelper()
		inside(newNS(), func() {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"})).To(Succeed())
			for _, name := range []string{"lo", "right", "left"} {
				var err error
				left, err = netlink.LinkByName(name)
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.LinkSetUp(left)).To(Succeed())
				for i, text := range []string{"10.1.%d.3/24", "fd00::%d:3/64"} {
					addr, err := netlink.ParseAddr(fmt.Sprintf(text, left.Attrs().Index))
					Expect(err).NotTo(HaveOccurred())
					addr.Flags = []int{0, unix.IFA_F_NODAD}[i]
					Expect(netlink.AddrAdd(left, addr)).To(Succeed())
				}
			}
			peer := &netlink.Addr{IPNet: single("10.9.9.1"), Peer: single("10.9.9.2"), Label: "left:7"}
			Expect(netlink.AddrAdd(left, peer)).To(Succeed())
			body()
		})
	}

	It("are those that a list of all has, in every detail", func() {
		within(func() {
			for _, family := range []int{netlink.FAMILY_ALL, netlink.FAMILY_V4, netlink.FAMILY_V6} {
				all, err := perCall().AddrList(left, family)
				Expect(err).NotTo(HaveOccurred())
				Expect(len(chosen(all))).To(BeNumerically(">=", 1))
				own, err := AddrList(left, family)
				Expect(err).NotTo(HaveOccurred())
				Expect(chosen(own)).To(Equal(chosen(all)))
			}
		})
	})

	It("are not looked for among those of others", func() {
		within(func() {
			messages, err := addressMessages(left.Attrs().Index, netlink.FAMILY_ALL)
			Expect(err).NotTo(HaveOccurred())
			for _, message := range messages {
				Expect(int(nl.DeserializeIfAddrmsg(message).Index)).To(Equal(left.Attrs().Index))
			}
		})
	})

	It("are those of all links where none is named", func() {
		within(func() {
			all, err := AddrList(nil, netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.IsLoopback() })).To(BeTrue())
			Expect(len(all)).To(Equal(5))
		})
	})
})

// chosen leaves out the addresses that the kernel gives a link in its own time.
func chosen(addresses []netlink.Addr) []netlink.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() })
}

func single(text string) *net.IPNet {
	return &net.IPNet{IP: net.ParseIP(text).To4(), Mask: net.CIDRMask(32, 32)}
}
