// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"fmt"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

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

var _ = Describe("an attachment that a DEL is at", func() {
	for _, backend := range netfilter.Names() {
		It("gets nothing back of what is removed already, with "+backend, func() {
			testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
			l := newLab()
			one, two := l.attach("one"), l.attach("two")
			configOf := func(c *testrig.Container) string {
				return l.config(c, mapping(8080, 80, "tcp"), fmt.Sprintf(`,"backend":%q`, backend))
			}
			l.add(one, configOf(one))
			l.Del(one, configOf(one))
			before := l.ruleset()
			l.add(one, configOf(one))

			l.DelHalfway(filepath.Join(testrig.Build("meta/portmap"), "portmap"), one, configOf(one))
			l.OnHost(func() {
				Expect(Heal(context.Background())).To(BeEmpty())
				Expect(store().HealNetwork(context.Background(), plugin.NewAttachments("test", []types.GCAttachment{{ContainerID: "one", IfName: "eth0"}}), restore)).To(Succeed())
			})
			l.add(two, configOf(two))
			l.Del(two, configOf(two))
			l.Del(one, l.config(one, "", ""))
			Expect(l.ruleset()).To(Equal(before))
			l.OnHost(func() {
				Expect(store().Left(ownerOf("one"))).To(BeNil())
			})
		})

		It("loses what a killed DEL has left to the next ADD, with "+backend, func() {
			testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
			l := newLab()
			one := l.attach("one")
			configOf := func(port int) string {
				return l.config(one, mapping(port, 80, "tcp"), fmt.Sprintf(`,"backend":%q`, backend))
			}
			l.add(one, configOf(8080))
			l.OnHost(func() { Expect(store().Retire(ownerOf("one"))).To(Succeed()) })
			l.add(one, configOf(9090))
			Expect(l.ruleset()).To(ContainSubstring("9090"))
			Expect(l.ruleset()).NotTo(ContainSubstring("8080"))
			l.Del(one, configOf(9090))
			Expect(l.ruleset()).NotTo(ContainSubstring("9090"))
		})
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
	attachNext := func() {
		GinkgoHelper()
		l.add(two, config(two))
		before = l.ruleset()
	}
	restoreLate := func() []plugin.Owner {
		GinkgoHelper()
		return l.Heal(func() ([]plugin.Owner, error) { return restore(context.Background(), listed) })
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
		Expect(l.ruleset()).To(Equal(before))
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
		sorted := byBackend(listed)
		Expect(sorted).To(HaveLen(1))
		for name, late := range sorted {
			current, taken := testrig.CurrentUntil(l.ruleset)
			late[0].Current = current
			Expect(l.Heal(func() ([]plugin.Owner, error) { return restoreWith(context.Background(), name, late) })).To(BeEmpty())
			Expect(*taken).To(BeTrue())
		}
	})
}

// ruleset is what nft lists, without the counters.
func (l *lab) ruleset() string {
	GinkgoHelper()
	return counters().ReplaceAllString(l.sh("nft list ruleset 2>/dev/null"), "")
}

func ownerOf(container string) plugin.Owner {
	return plugin.Owner{Network: "test", ContainerID: container, IfName: "eth0"}
}
