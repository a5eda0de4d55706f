// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"context"
	"errors"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("a mender", func() {
	// An address has one owner, who was last to take it, as in a set of nftables.
	var (
		m      Mender[int]
		owners map[int]plugin.Owner
	)
	BeforeEach(func() {
		owners = map[int]plugin.Owner{}
		m = Mender[int]{
			Store: Store{root: filepath.Join(GinkgoT().TempDir(), "cni", "intent"), plugin: "masquerade"},
			What:  "the masquerading",
			Lost: func(_ context.Context, _ plugin.Owner, address int) (bool, error) {
				_, there := owners[address]
				return !there, nil
			},
			PutBack: func(_ context.Context, owner plugin.Owner, address int) error {
				owners[address] = owner
				return nil
			},
			Remove: func(_ context.Context, owner plugin.Owner, address int) error {
				if owners[address] == owner {
					delete(owners, address)
				}
				return nil
			},
		}
	})
	attach := func(container string, address int) Intent {
		GinkgoHelper()
		req := request("net", container, "eth0")
		m.Remember(req, address)
		Expect(m.PutBack(context.Background(), req.Owner(), address)).To(Succeed())
		return *m.Store.Get(req.Owner())
	}
	detach := func(i Intent, address int) {
		GinkgoHelper()
		Expect(m.Remove(context.Background(), i.Owner(), address)).To(Succeed())
		Expect(m.Forget(i.Owner())).To(Succeed())
	}

	others := func(container string) *Others {
		GinkgoHelper()
		return m.Others(context.Background(), request("net", container, "eth0"))
	}

	It("puts back what is missing, of those that are there", func() {
		one, two := attach("one", 1), attach("two", 2)
		gone := attach("gone", 3)
		gone.Boot = "another"
		Expect(m.Store.Put(gone)).To(Succeed())
		delete(owners, 1)
		delete(owners, 3)
		var mended []int
		m.Mended = func(addresses []int) { mended = append(mended, addresses...) }
		Expect(m.Heal(context.Background())).To(ConsistOf(one.Owner()))
		Expect(owners).To(Equal(map[int]plugin.Owner{1: one.Owner(), 2: two.Owner()}))
		Expect(m.Heal(context.Background())).To(BeEmpty())
		Expect(mended).To(Equal([]int{1}))
	})

	It("goes on after an error", func() {
		attach("one", 1)
		two := attach("two", 2)
		clear(owners)
		putBack, broken := m.PutBack, errors.New("broken")
		m.PutBack = func(ctx context.Context, owner plugin.Owner, address int) error {
			if owner.ContainerID == "one" {
				return broken
			}
			return putBack(ctx, owner, address)
		}
		healed, err := m.Heal(context.Background())
		Expect(err).To(MatchError(broken))
		Expect(healed).To(ConsistOf(two.Owner()))
	})

	It("leaves alone what was detached since it looked", func() {
		one := attach("one", 1)
		clear(owners)
		lost := m.Lost
		m.Lost = func(ctx context.Context, owner plugin.Owner, address int) (bool, error) {
			detach(one, 1)
			return lost(ctx, owner, address)
		}
		Expect(m.Heal(context.Background())).To(BeEmpty())
		Expect(owners).To(BeEmpty())
	})

	It("gives back what the next owner of an address has lost to one that was detached meanwhile", func() {
		one := attach("one", 1)
		clear(owners)
		putBack := m.PutBack
		m.PutBack = func(ctx context.Context, owner plugin.Owner, address int) error {
			m.PutBack = putBack
			detach(one, 1)
			attach("two", 1)
			return putBack(ctx, owner, address)
		}
		Expect(m.Heal(context.Background())).To(BeEmpty())
		Expect(owners).To(HaveKeyWithValue(1, HaveField("ContainerID", "two")))
	})

	It("heals all but the owner whose ADD has found the rules flushed", func() {
		one := attach("one", 1)
		Expect(others("one").Any()).To(BeFalse())
		attach("two", 2)
		clear(owners)
		ofTwo := others("two")
		Expect(ofTwo.Any()).To(BeTrue())
		Expect(testrig.SaidDuring(ofTwo.Heal)).To(BeEmpty())
		Expect(owners).To(Equal(map[int]plugin.Owner{1: one.Owner()}))
	})

	It("says in the name of the plugin what others do not get back", func() {
		attach("one", 1)
		clear(owners)
		m.PutBack = func(context.Context, plugin.Owner, int) error { return errors.New("broken") }
		ofTwo := others("two")
		Expect(ofTwo.Any()).To(BeTrue())
		Expect(testrig.SaidDuring(ofTwo.Heal)).To(Equal("ptp: somebody has flushed rules of other attachments, and they were not put back: broken\n"))
	})

	It("says in the name of the plugin what nobody could put back", func() {
		m.Store.root = "/dev/null"
		Expect(testrig.SaidDuring(func() {
			m.Remember(request("net", "one", "eth0"), 1)
		})).To(HavePrefix("ptp: the masquerading of net/one/eth0 cannot be put back when somebody flushes it: "))
	})

	It("collects what is not valid any more, and heals the others", func() {
		one, two := attach("one", 1), attach("two", 2)
		delete(owners, 1)
		valid := plugin.NewAttachments("net", []types.GCAttachment{{ContainerID: "one", IfName: "eth0"}})
		Expect(m.GC(context.Background(), valid)).To(Succeed())
		Expect(owners).To(Equal(map[int]plugin.Owner{1: one.Owner()}))
		Expect(m.Store.Get(two.Owner())).To(BeNil())
	})
})
