// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("an attachment that was removed after Heal has listed it", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		Context("with "+backend, func() { healingLate(`,"backend":"` + backend + `"`) })
	}
})

var _ = Describe("an attachment that a DEL is at", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		It("gets nothing back of what is removed already, with "+backend, func() {
			l, rest := newLab(), `,"backend":"`+backend+`"`
			l.add(l.one, rest)
			l.Del(l.one.Container, withoutPrev(rest))
			before := l.rules()
			l.add(l.one, rest)

			l.DelHalfway(filepath.Join(testrig.Build("meta/firewall"), "firewall"), l.one.Container, withoutPrev(rest))
			Expect(l.rules()).To(Equal(before))
			Expect(l.heal()).To(BeEmpty())
			l.OnHost(func() {
				i := store().Left(plugin.Owner{Network: "test", ContainerID: "one", IfName: "eth0"})
				Expect(restore(context.Background(), []intent.Intent{*i})).To(BeEmpty(), "listed before")
			})
			Expect(l.rules()).To(Equal(before))
			l.Del(l.one.Container, withoutPrev(rest))
			l.OnHost(func() { Expect(store().Lost()).To(BeEmpty()) })
		})
	}

	It("loses again what was put back since it was removed", func() {
		l := newLab()
		l.add(l.one, "")
		l.OnHost(func() {
			owner := plugin.Owner{Network: "test", ContainerID: "one", IfName: "eth0"}
			listed := store().Alive()
			late := entry{store().Decode(listed[0]), listed[0]}.passage(nil)
			asked := 0
			late.Current = func() bool {
				if asked++; asked == 1 {
					return true
				}
				Expect(store().Retire(owner)).To(Succeed())
				return store().Holds(listed[0])
			}
			Expect(removeRules(context.Background(), owner, nil)).To(Succeed())
			before := l.rules()
			Expect(restoreWith(context.Background(), store().Decode(listed[0]), []netfilter.OwnedPassage{late})).To(BeEmpty())
			Expect(l.rules()).To(Equal(before))
			Expect(asked).To(Equal(2))
		})
	})
})

var _ = Describe("what is kept of two entries of a list", func() {
	const same, mine = `,"backend":"iptables","ingressPolicy":"same-bridge"`, `,"backend":"iptables","iptablesAdminChainName":"MINE"`
	var l *lab
	chains := func() (names []string) {
		GinkgoHelper()
		l.OnHost(func() {
			for _, was := range store().Decode(*store().Get(plugin.Owner{Network: "test", ContainerID: "one", IfName: "eth0"})).all() {
				names = append(names, was.Passage.AdminChain)
			}
		})
		return names
	}
	BeforeEach(func() {
		l = newLab()
		l.add(l.one, same)
		DeferCleanup(func() { l.Del(l.one.Container, withoutPrev("")) })
	})

	It("is what each wants now, once", func() {
		l.add(l.one, mine)
		Expect(chains()).To(Equal([]string{"CNI-ADMIN", "MINE"}))
		l.add(l.one, same)
		Expect(chains()).To(Equal([]string{"MINE", "CNI-ADMIN"}))
	})

	It("is nothing of what the container had with other addresses, or in another sandbox", func() {
		l.add(l.withAddressesOf(l.one, l.two), mine)
		Expect(chains()).To(Equal([]string{"MINE"}))
		other := l.withAddressesOf(l.three, l.two)
		other.Container.ID = "one"
		l.add(other, same)
		Expect(chains()).To(Equal([]string{"CNI-ADMIN"}))
	})
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
	restoreLate := func() []plugin.Owner {
		GinkgoHelper()
		return l.Heal(func() ([]plugin.Owner, error) { return restore(context.Background(), listed) })
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
		late := entry{store().Decode(listed[0]), listed[0]}.passage(nil)
		current, taken := testrig.CurrentUntil(l.rules)
		late.Current = current
		Expect(l.Heal(func() ([]plugin.Owner, error) {
			return restoreWith(context.Background(), store().Decode(listed[0]), []netfilter.OwnedPassage{late})
		})).To(BeEmpty())
		Expect(*taken).To(BeTrue())
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
