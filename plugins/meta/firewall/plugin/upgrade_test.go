// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// upstream is the firewall plugin of Debian's containernetworking-plugins.
const upstream = "/usr/lib/cni/firewall"

// callUpstream runs a command of it, which has to succeed.
func (l *lab) callUpstream(verb string, a *attached, config string) {
	GinkgoHelper()
	cmd := exec.Command(upstream)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+a.ID, "CNI_NETNS="+a.Path, "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(config, `"cniVersion":"1.1.0"`, `"cniVersion":"1.0.0"`))
	output, err := ns.Call(l.Host, cmd.CombinedOutput)
	Expect(err).NotTo(HaveOccurred(), "%s", output)
}

var _ = Describe("beside upstream's plugin", func() {
	const iptables = `,"backend":"iptables"`
	var l *lab
	BeforeEach(func() {
		testrig.NeedUpstream(upstream)
		l = newLab()
	})

	for _, variant := range []string{"nft", "legacy"} {
		It("takes over what it has made, with iptables-"+variant, func() {
			testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
			preferring(variant)
			within(l.Host, dropForwarded)
			l.callUpstream("ADD", l.two, l.two.config(iptables))
			l.callUpstream("DEL", l.two, l.two.config(iptables))
			clean := l.rules()
			l.callUpstream("ADD", l.one, l.one.config(iptables))
			made := filterRules(l, "CNI-FW-")

			Expect(l.check(l.one, iptables)).To(Succeed())
			gets(l.one, l.world())
			l.Del(l.one.Container, l.one.config(iptables))
			Expect(l.rules()).To(Equal(clean))

			By("ADD of both")
			l.callUpstream("ADD", l.one, l.one.config(iptables))
			l.add(l.one, iptables)
			Expect(filterRules(l, "CNI-FW-")).To(Equal(made), "nothing but a record is new")
			l.Del(l.one.Container, withoutPrev(iptables))
			Expect(l.rules()).To(Equal(clean))
		})

		It("collects the policies of bridges that are gone, with iptables-"+variant, func() {
			testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
			preferring(variant)
			const same, isolated = iptables + `,"ingressPolicy":"same-bridge"`, iptables + `,"ingressPolicy":"isolated"`
			l.callUpstream("ADD", l.three, l.three.config(same))
			l.add(l.three, same)
			l.add(l.one, isolated)
			collect := func() []string {
				GinkgoHelper()
				_, err := l.Call("GC", l.one.Container, withoutPrev(iptables+`,"cni.dev/valid-attachments":[]`))
				Expect(err).NotTo(HaveOccurred())
				names := regexp.MustCompile("-[io] br[01]").FindAllString(within(l.Host, "iptables -S; ip6tables -S"), -1)
				slices.Sort(names)
				return slices.Compact(names)
			}
			Expect(collect()).To(Equal([]string{"-i br0", "-i br1", "-o br0", "-o br1"}), "the bridges are there")
			within(l.Host, "ip link delete br1")
			Expect(collect()).To(Equal([]string{"-i br0", "-o br0"}))
			within(l.Host, "ip link delete br0")
			Expect(collect()).To(BeEmpty())
		})

		It("leaves nothing that does something when it is followed by it, with iptables-"+variant, func() {
			testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
			preferring(variant)
			within(l.Host, dropForwarded)
			l.add(l.two, iptables)
			l.Del(l.two.Container, withoutPrev(iptables))
			clean, shared := l.rules(), filterRules(l, "CNI-FW-")
			l.add(l.one, iptables)
			l.callUpstream("CHECK", l.one, l.one.config(iptables))
			l.callUpstream("DEL", l.one, l.one.config(iptables))
			misses(l.one, l.world())
			Expect(filterRules(l, "CNI-FW-")).To(Equal(shared))
			_, err := l.Call("GC", l.one.Container, withoutPrev(iptables+`,"cni.dev/valid-attachments":[]`))
			Expect(err).NotTo(HaveOccurred())
			Expect(l.rules()).To(Equal(clean))
		})
	}

	for _, backend := range []string{"iptables", "nftables"} {
		It("removes what it has made in the place of ours, with "+backend, func() {
			ours := fmt.Sprintf(`,"backend":%q`, backend)
			l.add(l.two, ours)
			l.Del(l.two.Container, withoutPrev(ours))
			l.callUpstream("ADD", l.two, l.two.config(iptables))
			l.callUpstream("DEL", l.two, l.two.config(iptables))
			clean := l.rules()

			l.add(l.one, ours)
			l.callUpstream("DEL", l.one, l.one.config(iptables))
			again := l.alias(l.one, l.one.ID, 7)
			l.callUpstream("ADD", again, again.config(iptables))
			l.Del(again.Container, again.config(ours))
			Expect(l.rules()).To(Equal(clean))
		})
	}

	It("takes over its ingress policies", func() {
		const same = iptables + `,"ingressPolicy":"same-bridge"`
		l.callUpstream("ADD", l.one, l.one.config(same))
		l.callUpstream("ADD", l.three, l.three.config(same))
		misses(l.three, l.one)
		made := filterRules(l, "CNI-FW-")
		Expect(l.check(l.one, same)).To(Succeed())
		l.add(l.one, same)
		Expect(filterRules(l, "CNI-FW-")).To(Equal(made), "nothing but a record is new")
		Expect(l.check(l.one, same)).To(Succeed())

		By("making a bridge open")
		l.callUpstream("DEL", l.one, l.one.config(same))
		const open = iptables + `,"ingressPolicy":"open"`
		l.add(l.two, open)
		Expect(l.check(l.two, open)).To(Succeed())
		gets(l.three, l.two)
		gets(l.two, l.three)
		l.Del(l.two.Container, withoutPrev(iptables))
	})

	It("leaves an address to the container that has it now", func() {
		within(l.Host, dropForwarded)
		l.add(l.one, iptables)
		newer := *l.one
		newer.Container = &testrig.Container{ID: "newer", IfName: "eth0", Path: l.one.Path, Netns: l.one.Netns}
		l.add(&newer, iptables)
		l.Del(l.one.Container, l.one.config(iptables))
		gets(l.one, l.world())
		l.Del(newer.Container, withoutPrev(iptables))
		misses(l.one, l.world())
	})
})

var _ = Describe("without all programs", func() {
	var l *lab
	var path string
	BeforeEach(func() {
		l = newLab()
		within(l.Host, dropForwarded)
		path = os.Getenv("PATH")
	})
	// only has nothing but the programs of a family in PATH, or nothing.
	only := func(families ...string) {
		GinkgoHelper()
		dir := GinkgoT().TempDir()
		for _, family := range families {
			for _, which := range []string{"", "-save", "-restore"} {
				GinkgoT().Setenv("PATH", path)
				program, err := exec.LookPath(family + which)
				Expect(err).NotTo(HaveOccurred())
				Expect(os.Symlink(program, filepath.Join(dir, family+which))).To(Succeed())
			}
		}
		GinkgoT().Setenv("PATH", dir)
	}
	const dual = `,"backend":"iptables"`
	ipv4 := func(a *attached) string {
		return strings.Replace(a.config(dual), `,{"address":"`+a.v6+`/64","interface":2}`, "", 1)
	}

	It("works for the family whose programs are there", func() {
		only("iptables")
		l.Add(l.one.Container, ipv4(l.one))
		_, err := l.Call("CHECK", l.one.Container, ipv4(l.one))
		Expect(err).NotTo(HaveOccurred())
		_, err = l.Call("STATUS", l.one.Container, withoutPrev(dual))
		Expect(err).NotTo(HaveOccurred())
		GinkgoT().Setenv("PATH", path)
		Expect(testrig.Reach(l.one.Netns, l.outside, "192.0.2.9")).To(Equal(l.one.v4))
	})

	It("says what to install for the other, and leaves nothing", func() {
		before := l.rules()
		only("iptables")
		_, err := l.Call("ADD", l.one.Container, l.one.config(dual))
		Expect(err).To(MatchError(And(ContainSubstring("ip6tables-save is not in PATH"), ContainSubstring("install the package iptables"))))
		GinkgoT().Setenv("PATH", path)
		Expect(l.rules()).To(Equal(before))
	})

	It("says so before it takes anything from live containers", func() {
		l.Add(l.one.Container, ipv4(l.one))
		taker := l.withAddressesOf(l.two, l.one)
		for _, families := range [][]string{{"iptables"}, nil} {
			for _, a := range []*attached{l.one, taker} {
				only(families...)
				_, err := l.Call("ADD", a.Container, a.config(dual))
				Expect(err).To(MatchError(ContainSubstring("ip6tables-save is not in PATH")))
				GinkgoT().Setenv("PATH", path)
				_, err = l.Call("CHECK", l.one.Container, ipv4(l.one))
				Expect(err).NotTo(HaveOccurred())
			}
		}
		l.Del(l.one.Container, withoutPrev(dual))
	})

	It("gives back what it has taken from live containers, when a program fails", func() {
		const same = dual + `,"ingressPolicy":"same-bridge"`
		l.add(l.three, same)
		l.Add(l.one.Container, strings.Replace(ipv4(l.one), dual, same, 1))
		before := l.rules()
		taker := l.withAddressesOf(l.two, l.one)
		for _, a := range []*attached{l.one, taker} {
			only("iptables", "ip6tables")
			broken := filepath.Join(os.Getenv("PATH"), "ip6tables-restore")
			Expect(os.Remove(broken)).To(Succeed())
			Expect(os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o755)).To(Succeed())
			_, err := l.Call("ADD", a.Container, a.config(dual+`,"ingressPolicy":"isolated"`))
			Expect(err).To(MatchError(ContainSubstring("ip6tables-restore")))
			GinkgoT().Setenv("PATH", path)
			Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
			Expect(l.heal()).To(BeEmpty())
		}
		Expect(testrig.Reach(l.one.Netns, l.outside, "192.0.2.9")).To(Equal(l.one.v4))
		l.Del(l.one.Container, withoutPrev(dual))
		l.Del(l.three.Container, withoutPrev(dual))
	})

	It("removes without any", func() {
		l.add(l.two, dual)
		l.Del(l.two.Container, withoutPrev(dual))
		clean := l.rules()
		l.add(l.one, dual)
		only()
		_, err := l.Call("STATUS", l.one.Container, withoutPrev(dual))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
		Expect(err).To(MatchError(ContainSubstring("install the package iptables, or choose the backend nftables")))
		l.Del(l.one.Container, withoutPrev(dual))
		l.add(l.one, `,"backend":"nftables"`)
		l.Del(l.one.Container, withoutPrev(dual))
		GinkgoT().Setenv("PATH", path)
		Expect(strings.Split(l.rules(), "\n")).To(ContainElements(strings.Split(clean, "\n")))
		misses(l.one, l.world())
	})

	It("says that firewalld does not run, and removes without it", func() {
		_, err := l.Call("STATUS", l.one.Container, withoutPrev(`,"backend":"firewalld"`))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
		Expect(err).To(MatchError(ContainSubstring("install the package firewalld and start it")))
		_, err = l.Call("ADD", l.one.Container, l.one.config(`,"backend":"firewalld"`))
		Expect(err).To(MatchError(ContainSubstring("firewalld does not run")))
		Expect(l.rules()).NotTo(ContainSubstring("test/one/eth0"))
		l.Del(l.one.Container, l.one.config(`,"backend":"firewalld"`))
	})
})
