// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
)

var _ = Describe("the links", func() {
	It("are those that the library lists, and may have more names than it can read", func() {
		inside(newNS(), func() {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"})).To(Succeed())
			all, err := perCall().LinkList()
			Expect(err).NotTo(HaveOccurred())
			Expect(LinkList()).To(Equal(all))

			left, err := netlink.LinkByName("left")
			Expect(err).NotTo(HaveOccurred())
			count := 0
			for ; err == nil; count++ { // as many as the kernel takes
				err = netlink.LinkAddAltName(left, fmt.Sprintf("%03d", count)+strings.Repeat("x", 120))
			}
			Expect(count).To(BeNumerically(">", 400), err.Error())
			links, err := LinkList()
			Expect(err).NotTo(HaveOccurred())
			at := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == "left" })
			Expect(links[at].Attrs().AltNames).To(HaveLen(count - 1))
		})
	})
})
