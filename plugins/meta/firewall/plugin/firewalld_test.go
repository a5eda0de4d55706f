// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
)

// zonesOf returns the zones of a container's addresses.
func zonesOf(a *attached) []string {
	GinkgoHelper()
	var zones []string
	Expect(withFirewalld(context.Background(), func(d daemon) error {
		for _, addr := range []string{a.v4, a.v6} {
			zone, err := d.zoneOf(netip.MustParseAddr(addr))
			if err != nil {
				return err
			}
			zones = append(zones, zone)
		}
		return nil
	})).To(Succeed())
	return zones
}

var _ = Describe("firewalld", func() {
	var l *lab
	BeforeEach(func() {
		l = newLab()
		l.StartFirewalld("nftables")
	})

	trusted, none := []string{"trusted", "trusted"}, []string{"", ""}

	It("forwards for the sources of the zone, also after a reload and another ADD", func() {
		misses(l.one, l.world())
		l.add(l.one, ``)
		Expect(zonesOf(l.one)).To(Equal(trusted))
		gets(l.one, l.world())
		misses(l.two, l.world())
		Expect(l.check(l.one, ``)).To(Succeed())

		By("reloading")
		within(l.Host, "firewall-cmd --reload")
		misses(l.one, l.world())
		Expect(l.check(l.one, ``)).To(MatchError(And(
			ContainSubstring(`firewalld: the zone of 10.1.0.2 is "", expected "trusted"`),
			ContainSubstring(`firewalld: the zone of fd01::2 is "", expected "trusted"`))))
		l.add(l.one, ``)
		gets(l.one, l.world())
		Expect(l.check(l.one, ``)).To(Succeed())

		By("reloading, and GC")
		within(l.Host, "firewall-cmd --reload")
		misses(l.one, l.world())
		_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))
		Expect(err).NotTo(HaveOccurred())
		gets(l.one, l.world())

		By("DEL")
		l.Del(l.one.Container, withoutPrev(``))
		Expect(zonesOf(l.one)).To(Equal(none))
		misses(l.one, l.world())
		l.Del(l.one.Container, l.one.config(``))
	})

	It("is told by GC of containers that are gone", func() {
		l.add(l.one, ``)
		l.add(l.two, ``)
		_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"two","ifname":"eth0"}]`))
		Expect(err).NotTo(HaveOccurred())
		Expect(zonesOf(l.one)).To(Equal(none))
		Expect(zonesOf(l.two)).To(Equal(trusted))
		l.Del(l.two.Container, withoutPrev(``))
	})

	It("has the addresses in the zone of the configuration, whatever they were in", func() {
		within(l.Host, "firewall-cmd -q --zone=drop --add-source=10.1.0.2/32; firewall-cmd -q --zone=internal --add-source=fd01::2/128")
		Expect(l.check(l.one, `,"firewalldZone":"internal"`)).To(MatchError(ContainSubstring(`the zone of 10.1.0.2 is "drop", expected "internal"`)))
		l.add(l.one, `,"backend":"firewalld","firewalldZone":"internal"`)
		Expect(zonesOf(l.one)).To(Equal([]string{"internal", "internal"}))
		l.add(l.one, `,"backend":"firewalld","firewalldZone":"trusted"`)
		Expect(zonesOf(l.one)).To(Equal(trusted))
		l.Del(l.one.Container, l.one.config(`,"backend":"iptables","firewalldZone":"internal"`))
		Expect(zonesOf(l.one)).To(Equal(none))
	})

	It("has the addresses in the zone of the last of two entries, which nobody takes for a loss", func() {
		l.add(l.one, `,"firewalldZone":"internal"`)
		l.add(l.one, `,"backend":"firewalld"`)
		Expect(zonesOf(l.one)).To(Equal(trusted))
		Expect(l.heal()).To(BeEmpty())
		within(l.Host, "firewall-cmd --reload")
		Expect(l.heal()).To(HaveLen(1))
		Expect(zonesOf(l.one)).To(Equal(trusted))
		Expect(l.heal()).To(BeEmpty())
		l.Del(l.one.Container, withoutPrev(`,"backend":"iptables"`))
		Expect(zonesOf(l.one)).To(Equal(none))
	})

	It("keeps bridges apart, also while it reloads", func() {
		const policy = `,"ingressPolicy":"same-bridge"`
		for _, a := range []*attached{l.one, l.two, l.three} {
			l.add(a, policy)
		}
		gets(l.one, l.two)
		misses(l.one, l.three)
		within(l.Host, "firewall-cmd --reload")
		for _, a := range []*attached{l.one, l.two, l.three} {
			l.add(a, ``)
		}
		misses(l.one, l.three)
		gets(l.one, l.two)
	})

	It("is checked for what upstream's plugin has told it", func() {
		testrig.NeedUpstream(upstream)
		const policy = `,"ingressPolicy":"same-bridge"`
		l.callUpstream("ADD", l.one, l.one.config(``))
		Expect(l.check(l.one, ``)).To(Succeed())
		Expect(l.check(l.one, policy)).To(MatchError(ContainSubstring("cni_isolation")))
		l.callUpstream("ADD", l.three, l.three.config(policy))
		Expect(l.check(l.three, policy)).To(Succeed())
		Expect(l.check(l.one, policy)).To(MatchError(ContainSubstring("chain CNI-ISOLATION-STAGE-1 lacks")))
		within(l.Host, "firewall-cmd -q --zone=trusted --remove-source=10.1.0.2/32")
		Expect(l.check(l.one, ``)).To(MatchError(ContainSubstring("the zone of 10.1.0.2")))
		l.Del(l.one.Container, l.one.config(``))
		l.Del(l.three.Container, l.three.config(``))
		Expect(zonesOf(l.three)).To(Equal(none))
	})

	It("keeps a bridge apart from one that upstream's plugin has got a policy for", func() {
		testrig.NeedUpstream(upstream)
		const policy, open = `,"ingressPolicy":"same-bridge"`, `,"ingressPolicy":"open"`
		l.callUpstream("ADD", l.three, l.three.config(policy))
		l.add(l.one, policy)
		Expect(l.check(l.one, policy)).To(Succeed())
		misses(l.one, l.three)
		misses(l.three, l.one)
		gets(l.one, l.world())
		_, err := l.Call("STATUS", l.one.Container, withoutPrev(policy))
		Expect(err).NotTo(HaveOccurred())

		By("opening both")
		l.add(l.two, open)
		l.add(l.three, open)
		gets(l.one, l.three)
		gets(l.three, l.one)
		for _, a := range []*attached{l.one, l.two, l.three} {
			l.Del(a.Container, withoutPrev(policy))
		}
	})

	It("keeps a bridge apart from one that upstream's plugin gets a policy for, after CHECK has said so", func() {
		testrig.NeedUpstream(upstream)
		const policy = `,"ingressPolicy":"same-bridge"`
		l.add(l.one, policy)
		l.callUpstream("ADD", l.three, l.three.config(policy))
		Expect(l.check(l.one, policy)).To(MatchError(And(
			ContainSubstring("iptables: table filter: chain CNI-ISOLATION-STAGE-1 lacks the rule -i br0"),
			ContainSubstring("ip6tables: table filter: chain CNI-ISOLATION-STAGE-2 lacks the rule -o br0"))))
		_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))
		Expect(err).NotTo(HaveOccurred())
		Expect(l.check(l.one, policy)).To(Succeed())
		misses(l.one, l.three)
		misses(l.three, l.one)
		l.Del(l.one.Container, withoutPrev(policy))
	})

	It("is not alone where Docker has set a policy", func() {
		within(l.Host, dropForwarded)
		l.add(l.one, ``)
		gets(l.one, l.world())
		Expect(l.check(l.one, ``)).To(Succeed())
		l.Del(l.one.Container, l.one.config(``))
		misses(l.one, l.world())
	})

	It("has live containers keep what an ADD that fails would have taken", func() {
		l.add(l.one, ``)
		for _, a := range []*attached{l.one, l.withAddressesOf(l.two, l.one)} {
			_, err := l.Call("ADD", a.Container, a.config(`,"firewalldZone":"nowhere"`))
			Expect(err).To(HaveOccurred())
			Expect(l.check(l.one, ``)).To(Succeed())
			gets(l.one, l.world())
		}
		l.Del(l.one.Container, withoutPrev(``))
	})

	It("leaves nothing of an ADD that fails, and says why", func() {
		_, err := l.Call("ADD", l.one.Container, l.one.config(`,"firewalldZone":"nowhere"`))
		Expect(err).To(MatchError(ContainSubstring(`firewalldZone: firewalld has no zone "nowhere", it has`)))
		Expect(l.rules()).NotTo(ContainSubstring("test/one/eth0"))
		Expect(zonesOf(l.one)).To(Equal(none))
		_, err = l.Call("STATUS", l.one.Container, withoutPrev(`,"firewalldZone":"nowhere"`))
		Expect(err).To(MatchError(ContainSubstring(`firewalld has no zone "nowhere", it has`)))
		_, err = l.Call("STATUS", l.one.Container, withoutPrev(``))
		Expect(err).NotTo(HaveOccurred())
	})
})
