// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"math"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
)

var _ = Describe("a store of one kind of content", func() {
	type limit struct{ Rate float64 }
	var k Kept[limit]
	BeforeEach(func() { k.Store = Store{root: filepath.Join(GinkgoT().TempDir(), "cni", "intent"), plugin: "portmap"} })

	It("recalls what it remembers, also while that is being removed", func() {
		req := request("net", "c1", "eth0")
		Expect(k.Recall(req.Owner())).Error().To(BeFalse())
		Expect(testrig.SaidDuring(func() { k.Remember(req, limit{7}, "none") })).To(BeEmpty())
		for range 2 {
			was, remembered := k.Recall(req.Owner())
			Expect(remembered).To(BeTrue())
			Expect(was).To(Equal(limit{7}))
			Expect(k.Retire(req.Owner())).To(Succeed())
		}
	})

	It("says in the name of the plugin what is so without", func() {
		said := testrig.SaidDuring(func() { k.Remember(request("net", "c1", "eth0"), limit{math.NaN()}, "there is no limit") })
		Expect(said).To(Equal("ptp: there is no limit: json: unsupported value: NaN\n"))
		k.root = "/dev/null"
		said = testrig.SaidDuring(func() { k.Remember(request("net", "c1", "eth0"), limit{7}, "there is no limit") })
		Expect(said).To(HavePrefix("ptp: there is no limit: mkdir /dev/null: "))
	})

	It("makes nothing of what somebody else wrote", func() {
		foreign := Intent{Content: []byte(`"fast"`)}
		Expect(k.Decode(foreign)).To(BeZero())
		Expect(k.Content(foreign)).Error().To(HaveOccurred())
	})

	It("reports what one attachment of each kind lacks", func() {
		for container, rate := range map[string]float64{"c1": 7, "c2": 7, "c3": 8} {
			k.Remember(request("net", container, "eth0"), limit{rate}, "none")
		}
		kindOf := func(i Intent) string { return string(i.Content) }
		Expect(testrig.SaidDuring(func() {
			k.ReportLost("limits", kindOf, func(i Intent) ([]string, error) {
				if k.Decode(i).Rate > 7 {
					return nil, nil
				}
				return []string{"one", "two"}, nil
			})
		})).To(Equal("portmap: limits were flushed, a GC of their networks puts them back: net/c1/eth0: one\n"))
	})
})
