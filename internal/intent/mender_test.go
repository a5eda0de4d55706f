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

	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("a mender", func() {
	// An address has one owner, who was last to take it, as in a set of nftables.
	var (
		m      Mender
		owners map[string]plugin.Owner
	)
	BeforeEach(func() {
		owners = map[string]plugin.Owner{}
		address := func(i Intent) string { return string(i.Content) }
		m = Mender{
			Store: Store{root: filepath.Join(GinkgoT().TempDir(), "cni", "intent"), plugin: "masquerade"},
			Lost: func(_ context.Context, i Intent) (bool, error) {
				_, there := owners[address(i)]
				return !there, nil
			},
			PutBack: func(_ context.Context, i Intent) error {
				owners[address(i)] = i.Owner()
				return nil
			},
			Remove: func(_ context.Context, i Intent) error {
				if owners[address(i)] == i.Owner() {
					delete(owners, address(i))
				}
				return nil
			},
		}
	})
	attach := func(container string, address int) Intent {
		GinkgoHelper()
		i, err := New(request("net", container, "eth0"), address)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Store.Put(i)).To(Succeed())
		Expect(m.PutBack(context.Background(), i)).To(Succeed())
		return i
	}
	detach := func(i Intent) {
		GinkgoHelper()
		Expect(m.Remove(context.Background(), i)).To(Succeed())
		Expect(m.Store.Delete(i.Owner())).To(Succeed())
	}

	It("puts back what is missing, of those that are there", func() {
		one, two := attach("one", 1), attach("two", 2)
		gone := attach("gone", 3)
		gone.Boot = "another"
		Expect(m.Store.Put(gone)).To(Succeed())
		delete(owners, "1")
		delete(owners, "3")
		Expect(m.Heal(context.Background())).To(ConsistOf(one.Owner()))
		Expect(owners).To(Equal(map[string]plugin.Owner{"1": one.Owner(), "2": two.Owner()}))
		Expect(m.Heal(context.Background())).To(BeEmpty())
	})

	It("goes on after an error", func() {
		attach("one", 1)
		two := attach("two", 2)
		clear(owners)
		putBack, broken := m.PutBack, errors.New("broken")
		m.PutBack = func(ctx context.Context, i Intent) error {
			if i.Container == "one" {
				return broken
			}
			return putBack(ctx, i)
		}
		healed, err := m.Heal(context.Background())
		Expect(err).To(MatchError(broken))
		Expect(healed).To(ConsistOf(two.Owner()))
	})

	It("leaves alone what was detached since it looked", func() {
		one := attach("one", 1)
		clear(owners)
		lost := m.Lost
		m.Lost = func(ctx context.Context, i Intent) (bool, error) {
			detach(one)
			return lost(ctx, i)
		}
		Expect(m.Heal(context.Background())).To(BeEmpty())
		Expect(owners).To(BeEmpty())
	})

	It("gives back what the next owner of an address has lost to one that was detached meanwhile", func() {
		one := attach("one", 1)
		clear(owners)
		putBack := m.PutBack
		m.PutBack = func(ctx context.Context, i Intent) error {
			m.PutBack = putBack
			detach(one)
			attach("two", 1)
			return putBack(ctx, i)
		}
		Expect(m.Heal(context.Background())).To(BeEmpty())
		Expect(owners).To(HaveKeyWithValue("1", HaveField("ContainerID", "two")))
	})

	It("collects what is not valid any more, and heals the others", func() {
		one, two := attach("one", 1), attach("two", 2)
		delete(owners, "1")
		valid := plugin.NewAttachments("net", []types.GCAttachment{{ContainerID: "one", IfName: "eth0"}})
		Expect(m.GC(context.Background(), valid)).To(Succeed())
		Expect(owners).To(Equal(map[string]plugin.Owner{"1": one.Owner()}))
		Expect(m.Store.Get(two.Owner())).To(BeNil())
	})
})
