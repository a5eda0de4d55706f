// SPDX-License-Identifier: Apache-2.0

package utils_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/coreos/go-iptables/iptables"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils"
)

// operations are the five helpers with arguments that suit each other.
func operations(ipt *iptables.IPTables) map[string]func() error {
	rule := []string{"-d", "192.0.2.1", "-j", "ACCEPT"}
	return map[string]func() error{
		"EnsureChain":  func() error { return utils.EnsureChain(ipt, "filter", "CNI-TEST") },
		"ClearChain":   func() error { return utils.ClearChain(ipt, "filter", "CNI-TEST") },
		"DeleteChain":  func() error { return utils.DeleteChain(ipt, "filter", "CNI-TEST") },
		"DeleteRule":   func() error { return utils.DeleteRule(ipt, "filter", "CNI-TEST", rule...) },
		"InsertUnique": func() error { return utils.InsertUnique(ipt, "filter", "CNI-TEST", true, rule) },
	}
}

var _ = Describe("iptables helpers", func() {
	It("refuse to work without a handle", func() {
		for name, operation := range operations(nil) {
			Expect(operation()).To(MatchError(ContainSubstring("no iptables handle")), name)
		}
	})

	It("report that iptables cannot be run", func() {
		path := filepath.Join(GinkgoT().TempDir(), "iptables")
		Expect(os.WriteFile(path, []byte("#!/bin/sh\necho 'iptables v1.8.9 (nf_tables)'\n"), 0o700)).To(Succeed())
		ipt, err := iptables.New(iptables.Path(path))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Remove(path)).To(Succeed())
		for name, operation := range operations(ipt) {
			Expect(operation()).To(MatchError(os.ErrNotExist), name)
		}
	})

	// A command that always fails: with 4 when it did not get the lock.
	It("report that iptables fails", func() {
		path := filepath.Join(GinkgoT().TempDir(), "iptables")
		Expect(os.WriteFile(path, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo 'iptables v1.8.9 (legacy)' && exit\nexit 4\n"), 0o700)).To(Succeed())
		ipt, err := iptables.New(iptables.Path(path))
		Expect(err).NotTo(HaveOccurred())
		for name, operation := range operations(ipt) {
			var failure *iptables.Error
			Expect(errors.As(operation(), &failure)).To(BeTrue(), name)
			Expect(failure.ExitStatus()).To(Equal(4), name)
		}
	})

	for _, variant := range []string{"iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"} {
		Context("with "+variant, func() {
			var (
				netns ns.NetNS
				ipt   *iptables.IPTables
			)
			address := map[bool]string{true: "192.0.2.1/32", false: "2001:db8::1/128"}[variant[:3] == "ipt"]

			BeforeEach(func() {
				testutils.Need(GinkgoT(), "root", variant)
				path, err := exec.LookPath(variant)
				Expect(err).NotTo(HaveOccurred())
				ipt, err = iptables.New(iptables.Path(path))
				Expect(err).NotTo(HaveOccurred())
				netns = testutils.TempNS(GinkgoT())
			})

			here := func(fn func()) { testutils.Inside(netns, fn) }

			It("create and delete a chain, however often", func() {
				here(func() {
					for range 2 {
						Expect(utils.EnsureChain(ipt, "filter", "CNI-TEST")).To(Succeed())
						Expect(ipt.ChainExists("filter", "CNI-TEST")).To(BeTrue())
					}
					for range 2 {
						Expect(utils.DeleteChain(ipt, "filter", "CNI-TEST")).To(Succeed())
						Expect(ipt.ChainExists("filter", "CNI-TEST")).To(BeFalse())
					}
				})
			})

			It("insert a rule once, where it is wanted", func() {
				here(func() {
					Expect(utils.ClearChain(ipt, "filter", "CNI-TEST")).To(Succeed())
					for range 2 {
						Expect(utils.InsertUnique(ipt, "filter", "CNI-TEST", false, []string{"-d", address, "-j", "DROP"})).To(Succeed())
						Expect(utils.InsertUnique(ipt, "filter", "CNI-TEST", true, []string{"-d", address, "-j", "ACCEPT"})).To(Succeed())
						Expect(utils.InsertUnique(ipt, "filter", "CNI-TEST", false, []string{"-j", "RETURN"})).To(Succeed())
					}
					Expect(ipt.List("filter", "CNI-TEST")).To(Equal([]string{
						"-N CNI-TEST", "-A CNI-TEST -d " + address + " -j ACCEPT", "-A CNI-TEST -d " + address + " -j DROP", "-A CNI-TEST -j RETURN",
					}))
				})
			})

			It("empty a chain, or make it", func() {
				here(func() {
					Expect(utils.ClearChain(ipt, "filter", "CNI-TEST")).To(Succeed())
					Expect(ipt.Append("filter", "CNI-TEST", "-j", "RETURN")).To(Succeed())
					Expect(utils.ClearChain(ipt, "filter", "CNI-TEST")).To(Succeed())
					Expect(ipt.List("filter", "CNI-TEST")).To(Equal([]string{"-N CNI-TEST"}))
				})
			})

			It("delete a rule that is there, was, or never could be", func() {
				here(func() {
					Expect(utils.EnsureChain(ipt, "filter", "CNI-TEST")).To(Succeed())
					Expect(ipt.Append("filter", "CNI-TEST", "-j", "RETURN")).To(Succeed())
					for range 2 {
						Expect(utils.DeleteRule(ipt, "filter", "CNI-TEST", "-j", "RETURN")).To(Succeed())
					}
					Expect(ipt.List("filter", "CNI-TEST")).To(Equal([]string{"-N CNI-TEST"}))
					Expect(utils.DeleteRule(ipt, "filter", "CNI-TEST", "-j", "CNI-GONE")).To(Succeed())
					Expect(utils.DeleteRule(ipt, "filter", "CNI-GONE", "-j", "RETURN")).To(Succeed())
				})
			})

			It("say that a chain in use cannot be deleted", func() {
				here(func() {
					Expect(utils.EnsureChain(ipt, "filter", "CNI-TEST")).To(Succeed())
					Expect(ipt.Append("filter", "FORWARD", "-j", "CNI-TEST")).To(Succeed())
					Expect(utils.DeleteChain(ipt, "filter", "CNI-TEST")).NotTo(Succeed())
				})
			})

			// iptables-nft fails now and then with "CHAIN_USER_ADD failed (File
			// exists)" when two create a chain.
			It("make a chain when others do, too", func() {
				for name, make := range map[string]func(*iptables.IPTables, string, string) error{
					"CNI-ENSURED": utils.EnsureChain, "CNI-CLEARED": utils.ClearChain,
				} {
					Expect(atOnce(8, func() error {
						return netns.Do(func(ns.NetNS) error { return make(ipt, "filter", name) })
					})).To(HaveEach(Succeed()))
				}
			})
		})
	}
})

// atOnce calls fn n times at once and returns what it returns.
func atOnce(n int, fn func() error) []error {
	var wg sync.WaitGroup
	results := make([]error, n)
	for i := range results {
		wg.Go(func() { results[i] = fn() })
	}
	wg.Wait()
	return results
}

var _ = Describe("probes", func() {
	It("find what is installed", func() {
		testutils.Need(GinkgoT(), "root", "iptables", "nft-tool")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			Expect(utils.SupportsIPTables()).To(BeTrue())
			Expect(utils.SupportsNFTables()).To(BeTrue())
			tables, err := exec.Command("nft", "list", "tables").Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(tables)).NotTo(ContainSubstring("supports_nftables_test"))
		})
	})

	It("find nothing where nothing is", func() {
		GinkgoT().Setenv("PATH", GinkgoT().TempDir())
		Expect(utils.SupportsIPTables()).To(BeFalse())
		Expect(utils.SupportsNFTables()).To(BeFalse())
	})

	DescribeTable("judge nft by its version and by what it accepts",
		func(version, accept string, want bool) {
			dir := GinkgoT().TempDir()
			script := "#!/bin/sh\n[ \"$1\" = --version ] && echo '" + version + "' && exit\nread -r line\n" + accept + "\n"
			Expect(os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o700)).To(Succeed())
			GinkgoT().Setenv("PATH", dir)
			Expect(utils.SupportsNFTables()).To(Equal(want))
		},
		Entry("too old", "nftables v0.9.9 (X)", "exit 0", false),
		Entry("a little too old", "nftables v1.0.0 (Fearless Fosdick #2)", "exit 0", false),
		Entry("old enough", "nftables v1.0.1 (Fearless Fosdick #3)", "exit 0", true),
		Entry("new", "nftables v1.1.0 (Commodore Bullmoose)", "exit 0", true),
		Entry("on a kernel without comments of tables", "nftables v1.0.6 (Lester Gooch #5)", `case "$line" in *comment*) exit 1;; esac`, true),
		Entry("on a kernel without nftables", "nftables v1.0.6 (Lester Gooch #5)", "exit 1", false),
	)
})
