// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("an attachment that was removed after Heal has listed it", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() { healingLate(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func healingLate(backend string) {
	var (
		l        *lab
		one, two *testrig.Container
		listed   []intent.Intent
		before   string
	)
	config := func(c *testrig.Container) string { return l.config(c, mapping(8080, 80, "tcp"), backend) }
	ruleset := func() string {
		GinkgoHelper()
		return counters().ReplaceAllString(l.sh("nft list ruleset 2>/dev/null"), "")
	}
	attachNext := func() {
		GinkgoHelper()
		l.add(two, config(two))
		before = ruleset()
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
		testutils.Need(GinkgoT(), append(needs(), "nft-tool", "conntrack-tool")...)
		l = newLab()
		one, two = l.attach("one"), l.attach("two")
		l.add(one, config(one))
		l.OnHost(func() { listed = store().Alive() })
		Expect(listed).To(HaveLen(1))
		l.Del(one, config(one))
	})
	AfterEach(func() {
		Expect(l.check(two, config(two))).To(Succeed())
		Expect(ruleset()).To(Equal(before))
		l.Del(two, config(two))
	})

	It("leaves its port to the next owner", func() {
		attachNext()
		Expect(restoreLate()).To(BeEmpty())
	})

	It("leaves its port to the next owner of its addresses", func() {
		l.number[two] = l.number[one]
		attachNext()
		Expect(restoreLate()).To(BeEmpty())
	})

	It("gives back what was taken before it was noticed", func() {
		l.number[two] = l.number[one]
		attachNext()
		l.OnHost(func() {
			for name, late := range byBackend(listed) {
				taken := false
				late[0].Current = func() bool {
					taken = ruleset() != before
					return !taken
				}
				restored, err := restoreWith(context.Background(), name, late)
				Expect(err).NotTo(HaveOccurred())
				Expect(restored).To(BeEmpty())
				Expect(taken).To(BeTrue())
			}
		})
	})
}
