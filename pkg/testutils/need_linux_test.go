// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
)

// tbSpy notes what Need does to a test.
type tbSpy struct{ skipped, failed string }

func (s *tbSpy) Helper()                           {}
func (s *tbSpy) Skipf(format string, args ...any)  { s.skipped = fmt.Sprintf(format, args...) }
func (s *tbSpy) Fatalf(format string, args ...any) { s.failed = fmt.Sprintf(format, args...) }

var _ = Describe("Need", func() {
	BeforeEach(func() { GinkgoT().Setenv(NoSkipVariable, "") })

	It("refuses a feature it does not know", func() {
		spy := &tbSpy{}
		Need(spy, "warp drive")
		Expect(spy.failed).To(HavePrefix(`feature "warp drive" is unknown, there are bridge, bridge-vlan-filtering, `))
		Expect(spy.skipped).To(BeEmpty())
	})

	It("skips with a reason, unless that is forbidden", func() {
		spy := &tbSpy{}
		giveUp(spy, "vrf", "needs it")
		Expect(*spy).To(Equal(tbSpy{skipped: "needs it"}))

		for _, list := range []string{"all", "vrf", "dummy, vrf"} {
			GinkgoT().Setenv(NoSkipVariable, list)
			spy = &tbSpy{}
			giveUp(spy, "vrf", "needs it")
			Expect(*spy).To(Equal(tbSpy{failed: "needs it; CNI_TEST_NO_SKIP forbids to skip"}))
		}
		GinkgoT().Setenv(NoSkipVariable, "dummy,vr")
		spy = &tbSpy{}
		giveUp(spy, "vrf", "needs it")
		Expect(spy.failed).To(BeEmpty())
	})

	It("takes what Ginkgo and testing offer", func() {
		var _ TB = GinkgoT()
		Need(GinkgoT())
	})

	Context("on this machine", func() {
		BeforeEach(func() {
			if os.Geteuid() != 0 {
				Skip("needs root to make network namespaces")
			}
		})

		It("finds what every kernel for containers has", func() {
			spy := &tbSpy{}
			Need(spy, "root", "veth", "bridge", "ipv6")
			Expect(*spy).To(Equal(tbSpy{}))
		})

		It("names the package of a command that is not there", func() {
			GinkgoT().Setenv("PATH", GinkgoT().TempDir())
			for name, pkg := range map[string]string{
				"tcpdump": "package tcpdump", "nft-tool": "package nftables", "ip6tables-legacy": "package iptables",
			} {
				spy := &tbSpy{}
				Need(spy, "veth", name)
				Expect(spy.skipped).To(HavePrefix(fmt.Sprintf("needs %q (", name)))
				Expect(spy.skipped).To(ContainSubstring(pkg))
				Expect(spy.skipped).To(ContainSubstring("executable file not found"))
				Expect(spy.failed).To(BeEmpty())
			}
		})

		It("says of every feature that is missing how to get it", func() {
			for _, name := range slices.Sorted(maps.Keys(allFeatures())) {
				spy := &tbSpy{}
				Need(spy, name)
				Expect(spy.failed).To(BeEmpty())
				if spy.skipped != "" {
					AddReportEntry(spy.skipped)
					Expect(spy.skipped).To(MatchRegexp(`^needs "[a-z0-9-]+" \(.*(kernel|command).*\): .+`))
				}
			}
		})

		It("leaves nothing in the current namespace", func() {
			netns, err := ns.TempNetNS()
			Expect(err).NotTo(HaveOccurred())
			defer netns.Close()
			Expect(netns.Do(func(ns.NetNS) error {
				before, err := Snapshot()
				Expect(err).NotTo(HaveOccurred())
				for _, feature := range allFeatures() {
					_ = feature.try()
				}
				Expect(Snapshot()).To(Equal(before))
				return nil
			})).To(Succeed())
		})

		It("reports a probe that fails", func() {
			cause := errors.New("no such device")
			Expect(feature{"nothing", func() error { return cause }}.try()).To(BeIdenticalTo(cause))
		})
	})
})
