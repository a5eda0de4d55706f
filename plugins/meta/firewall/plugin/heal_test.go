// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("an attachment that was removed after Heal has listed it", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		Context("with "+backend, func() { healingLate(`,"backend":"` + backend + `"`) })
	}
})

func healingLate(backend string) {
	var (
		l      *lab
		listed []intent.Intent
		next   *attached
		before string
	)
	listing := func(a *attached) {
		GinkgoHelper()
		l.add(a, backend)
		l.OnHost(func() { listed = store().Alive() })
		Expect(listed).To(HaveLen(1))
	}
	attachNext := func(a *attached) {
		GinkgoHelper()
		next = a
		l.add(next, backend)
		before = l.rules()
	}
	restoreLate := func() (restored []plugin.Owner) {
		GinkgoHelper()
		l.OnHost(func() {
			var err error
			restored, err = restore(context.Background(), listed)
			Expect(err).NotTo(HaveOccurred())
		})
		return restored
	}
	BeforeEach(func() {
		l = newLab()
		listing(l.one)
	})
	AfterEach(func() {
		Expect(l.check(next, backend)).To(Succeed())
		Expect(l.rules()).To(Equal(before))
		l.Del(next.Container, withoutPrev(backend))
		Expect(l.rules()).NotTo(Or(ContainSubstring("test/one/eth0"), ContainSubstring("test/two/eth0")))
	})

	It("leaves its addresses to the next owner", func() {
		l.Del(l.one.Container, withoutPrev(backend))
		attachNext(l.withAddressesOf(l.two, l.one))
		Expect(restoreLate()).To(BeEmpty())
	})

	It("gives them back that were taken before it was noticed", func() {
		l.Del(l.one.Container, withoutPrev(backend))
		attachNext(l.withAddressesOf(l.two, l.one))
		l.OnHost(func() {
			late := passageOf(listed[0], nil)
			taken := false
			late.Current = func() bool {
				taken = l.rules() != before
				return !taken
			}
			restored, err := restoreWith(context.Background(), decode(listed[0]), []netfilter.OwnedPassage{late})
			Expect(err).NotTo(HaveOccurred())
			Expect(restored).To(BeEmpty())
			Expect(taken).To(BeTrue())
		})
	})

	It("is not restored with addresses that it does not have any more", func() {
		l.Del(l.one.Container, withoutPrev(backend))
		attachNext(l.alias(l.one, l.one.ID, 2))
		Expect(restoreLate()).To(BeEmpty())
	})
}

// withAddressesOf is a container that has got the addresses of another.
func (l *lab) withAddressesOf(a, other *attached) *attached {
	return &attached{a.Container, a.bridge, other.v4, other.v6}
}
