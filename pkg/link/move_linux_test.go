// SPDX-License-Identifier: Apache-2.0

package link_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("Move", func() {
	var here, there ns.NetNS
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root")
		here, there = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
	})
	ifb := func(name string) int {
		GinkgoHelper()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		Expect(netlink.LinkAdd(&netlink.Ifb{LinkAttrs: attrs})).To(Succeed())
		l, err := link.Find(name)
		Expect(err).NotTo(HaveOccurred())
		return l.Attrs().Index
	}

	It("takes name, alias and alternative names along", func() {
		testutils.Inside(here, func() {
			index := ifb("a0")
			Expect(link.AddAltNames(index, "one:of:two", "two:of:two")).To(Succeed())
			Expect(link.AddAltNames(index, "one:of:two")).To(MatchError(unix.EEXIST))
			Expect(link.RemoveAltNames(index, "one:of:two")).To(Succeed())
			Expect(link.RemoveAltNames(index)).To(Succeed(), "none")
			Expect(link.RemoveAltNames(index, "one:of:two")).To(Succeed(), "gone already")
			Expect(link.AddAltNames(index, "three:of:two")).To(Succeed())
			Expect(link.RemoveAltNames(index, "one:of:two", "three:of:two")).To(Succeed(), "one gone already")
			Expect(link.Move(index, there, "b0", "was a0")).To(Succeed())
			_, err := link.Find("a0")
			Expect(err).To(MatchError(link.ErrNotFound))
			Expect(link.IsNotFound(link.Move(index, there, "b0", ""))).To(BeTrue())
			Expect(link.IsNotFound(link.AddAltNames(index, "x"))).To(BeTrue())
		})
		testutils.Inside(there, func() {
			l, err := link.Find("b0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Alias).To(Equal("was a0"))
			Expect(l.Attrs().AltNames).To(Equal([]string{"two:of:two"}))
			byAltName, err := link.Find("two:of:two")
			Expect(err).NotTo(HaveOccurred())
			Expect(byAltName.Attrs().Name).To(Equal("b0"))
			Expect(link.Move(l.Attrs().Index, here, "c0", "")).To(Succeed())
		})
		testutils.Inside(here, func() {
			l, err := link.Find("c0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Alias).To(Equal("was a0"), "unless there is another")
		})
	})

	It("moves nothing where neither name is free", func() {
		testutils.Inside(there, func() { ifb("a0"); ifb("b0") })
		testutils.Inside(here, func() {
			index := ifb("a0")
			Expect(link.Move(index, there, "b0", "")).To(MatchError(unix.EEXIST))
			l, err := link.Find("a0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Index).To(Equal(index))
		})
	})

	It("gets by the old name's owner", func() {
		testutils.Inside(there, func() { ifb("a0") })
		testutils.Inside(here, func() { Expect(link.Move(ifb("a0"), there, "b0", "")).To(Succeed()) })
		testutils.Inside(there, func() {
			for _, name := range []string{"a0", "b0"} {
				_, err := link.Find(name)
				Expect(err).NotTo(HaveOccurred())
			}
		})
	})
})
