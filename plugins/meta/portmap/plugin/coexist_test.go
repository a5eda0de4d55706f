// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("beside others", func() {
	var (
		l        *lab
		one, two *testrig.Container
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
		l = newLab()
		one, two = l.attach("one"), l.attach("two")
		serve(one.Netns, "tcp", 80)
	})

	for _, backend := range netfilter.Names() {
		It("who drop what is forwarded, "+backend+" leaves it to them", func() {
			l.sh("iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
			l.add(one, l.config(one, mapping(8080, 80, "tcp"), fmt.Sprintf(`,"backend":%q`, backend)))
			_, err := reach(l.outside, "tcp", "192.0.2.1", 8080)
			Expect(err).To(HaveOccurred())
			Expect(reach(l.Host, "tcp", "127.0.0.1", 8080)).To(Equal("10.88.0.1"), "that is not forwarded")
			l.sh("iptables -A DOCKER-USER -d 10.88.0.2 -j ACCEPT; iptables -A DOCKER-USER -s 10.88.0.2 -j ACCEPT")
			Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		})
	}

	It("that mark packets to be masqueraded, their chain is used", func() {
		l.sh(`for iptables in iptables ip6tables; do
			$iptables -t nat -N KUBE-MARK-MASQ; $iptables -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
			$iptables -t nat -N KUBE-POSTROUTING; $iptables -t nat -A POSTROUTING -j KUBE-POSTROUTING
			$iptables -t nat -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
		done`)
		config := l.config(one, mapping(8080, 80, "tcp"), `,"externalSetMarkChain":"KUBE-MARK-MASQ"`)
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		for _, client := range []*testrig.Container{one, two} {
			Expect(reach(client.Netns, "tcp", "192.0.2.1", 8080)).To(Equal("10.88.0.1"))
			Expect(reach(client.Netns, "tcp", "2001:db8::1", 8080)).To(Equal("fd88::1"))
		}
		Expect(l.sh("iptables-save -t nat")).NotTo(Or(ContainSubstring("CNI-HOSTPORT-SETMARK"), ContainSubstring("CNI-HOSTPORT-MASQ")))
		l.Del(one, config)
		Expect(l.sh("iptables-save -t nat")).NotTo(ContainSubstring("CNI-DN"))
		_, err := l.Call("ADD", one, l.config(one, mapping(8080, 80, "tcp"), `,"externalSetMarkChain":"NOT-THERE"`))
		Expect(err).To(MatchError(ContainSubstring("NOT-THERE")))
	})

	It("a bit is changed in both chains of marks", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), `,"backend":"iptables"`))
		l.add(two, l.config(two, mapping(8081, 80, "tcp"), `,"backend":"iptables","markMasqBit":5`))
		saved := l.sh("iptables-save -t nat")
		Expect(saved).To(ContainSubstring("--set-xmark 0x20/0x20"))
		Expect(saved).To(ContainSubstring("--mark 0x20/0x20"))
		Expect(saved).NotTo(ContainSubstring("0x2000"))
		Expect(reach(two.Netns, "tcp", "192.0.2.1", 8080)).To(Equal("10.88.0.1"))
		Expect(l.check(one, l.config(one, mapping(8080, 80, "tcp"), `,"backend":"iptables"`))).To(Succeed())
	})
})

var _ = Describe("the programs of iptables", func() {
	var l *lab
	var during func(call func()) []string
	BeforeEach(func() {
		testutils.Need(GinkgoT(), needs()...)
		l = newLab()
		during = testrig.RecordStarts("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
	})

	It("are started twice a family by ADD, with all kinds of mappings, and not at all by DEL of iptables-nft", func() {
		if path, _ := filepath.EvalSymlinks("/usr/sbin/iptables"); !strings.Contains(path, "nft") {
			Skip("iptables is not iptables-nft here")
		}
		c := l.attach("one")
		var mappings []string
		for i := range 40 {
			mappings = append(mappings, mapping(8000+i, 80, []string{"tcp", "udp"}[i%2]))
		}
		config := l.config(c, strings.Join(mappings, ","), `,"backend":"iptables"`)
		Expect(during(func() { l.add(c, config) })).To(Equal([]string{"iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"}))
		Expect(l.check(c, config)).To(Succeed())
		Expect(during(func() { l.Del(c, config) })).To(BeEmpty())
	})

	It("are started twice a family by Heal and by GC, for all attachments", func() {
		one := l.attach("one")
		valid := ""
		var all []*testrig.Container
		for i := range 20 {
			c := l.alias(one, fmt.Sprint("c", i))
			l.add(c, l.config(c, mapping(8000+i, 80, "tcp"), `,"backend":"iptables"`))
			valid += fmt.Sprintf(`,{"containerID":%q,"ifname":"eth0"}`, c.ID)
			all = append(all, c)
		}
		once := []string{"iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"}
		rules := func() []string {
			return strings.Split(l.sh("iptables-save -t nat | grep -v '^[#:]'; ip6tables-save -t nat | grep -v '^[#:]'"), "\n")
		}
		wanted := rules()
		flush := "for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done"
		expectAll := func() {
			GinkgoHelper()
			Expect(rules()).To(ConsistOf(wanted))
			for i, c := range all[:3] {
				Expect(l.check(c, l.config(c, mapping(8000+i, 80, "tcp"), `,"backend":"iptables"`))).To(Succeed())
			}
		}
		heal := func() (healed []plugin.Owner) {
			GinkgoHelper()
			l.OnHost(func() {
				var err error
				healed, err = Heal(GinkgoT().Context())
				Expect(err).NotTo(HaveOccurred())
			})
			return healed
		}
		l.sh(flush)
		Expect(during(func() { Expect(heal()).To(HaveLen(20)) })).To(Equal(once))
		Expect(during(func() { Expect(heal()).To(BeEmpty()) })).To(Equal([]string{"iptables-save", "ip6tables-save"}))
		expectAll()
		l.sh(flush)
		Expect(during(func() {
			_, err := l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[`+valid[1:]+`]}`)
			Expect(err).NotTo(HaveOccurred())
		})).To(Equal(once))
		expectAll()

		By("healing the others when one cannot be, which is said")
		var robbed *intent.Intent
		l.OnHost(func() { robbed = store().Get(plugin.Owner{Network: "test", ContainerID: "c7", IfName: "eth0"}) })
		l.Del(all[7], l.config(all[7], mapping(8007, 80, "tcp"), `,"backend":"iptables"`))
		intruder := l.alias(one, "intruder")
		l.add(intruder, strings.Replace(l.config(intruder, mapping(8007, 80, "tcp"), `,"backend":"iptables"`), `"test"`, `"other"`, 1))
		l.OnHost(func() { Expect(store().Put(*robbed)).To(Succeed()) })
		l.sh(flush)
		var healed []plugin.Owner
		var err error
		l.OnHost(func() { healed, err = Heal(GinkgoT().Context()) })
		Expect(err).To(MatchError(ContainSubstring("test/c7/eth0: 8007/tcp is held by container intruder, network other")))
		Expect(healed).To(HaveLen(20))
		Expect(l.check(all[0], l.config(all[0], mapping(8000, 80, "tcp"), `,"backend":"iptables"`))).To(Succeed())
	})

	It("are not started with nothing to map, nor by nftables", func() {
		c := l.attach("one")
		for _, backend := range []string{"iptables", "nftables"} {
			config := l.config(c, "", fmt.Sprintf(`,"backend":%q`, backend))
			Expect(during(func() {
				l.add(c, config)
				Expect(l.check(c, config)).To(Succeed())
				l.Del(c, config)
			})).To(BeEmpty())
		}
		config := l.config(c, mapping(8080, 80, "tcp"), "")
		Expect(during(func() {
			l.add(c, config)
			Expect(l.check(c, config)).To(Succeed())
			l.Del(c, config)
		})).To(BeEmpty())
	})
})

var _ = Describe("fifty at once", func() {
	for _, backend := range netfilter.Names() {
		It("are mapped and unmapped with "+backend, func() {
			testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
			const crowd = 50
			l := newLab()
			mapper, err := netfilter.SelectPortMapper(backend)
			Expect(err).NotTo(HaveOccurred())
			together := func(do func(i int) error) {
				GinkgoHelper()
				errs := make([]error, crowd)
				var all sync.WaitGroup
				for i := range crowd {
					all.Go(func() { l.OnHost(func() { errs[i] = do(i) }) })
				}
				all.Wait()
				Expect(errs).To(HaveEach(BeNil()))
			}
			owner := func(i int) plugin.Owner {
				return plugin.Owner{Network: "test", ContainerID: fmt.Sprint("c", i), IfName: "eth0"}
			}
			together(func(i int) error {
				return mapper.MapPorts(GinkgoT().Context(), owner(i), portsOf(i), holders{})
			})
			rules := l.sh("nft list ruleset 2>/dev/null; iptables-save -t nat; ip6tables-save -t nat")
			for _, chain := range []string{"prerouting", "PREROUTING", "postrouting", "POSTROUTING", "output", "OUTPUT"} {
				Expect(l.duplicates(chain)).To(BeEmpty())
			}
			for i := range crowd {
				Expect(rules).To(ContainSubstring(fmt.Sprint("10.88.1.", i)))
			}
			together(func(i int) error {
				ports := portsOf(i)
				_, err := netfilter.RemovePorts(GinkgoT().Context(), owner(i), netfilter.Mapped{Ports: &ports}, holders{})
				return err
			})
			Expect(l.sh("nft list ruleset 2>/dev/null; iptables-save -t nat")).NotTo(Or(ContainSubstring("10.88.1."), ContainSubstring("CNI-DN")))
		})
	}
})

// duplicates returns the rules that a chain of any table has twice.
func (l *lab) duplicates(chain string) []string {
	GinkgoHelper()
	lines := strings.Fields(l.sh(`for family in ip ip6; do for table in nat cni_portmap; do
		nft list chain $family $table ` + chain + ` 2>/dev/null | tr ' ' _ | grep -v '[{}]' | sort | uniq -d || true
	done; done`))
	return slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
}

// portsOf is what attachment i of a crowd has mapped.
func portsOf(i int) netfilter.HostPorts {
	return netfilter.HostPorts{
		Containers: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.88.1.%d/16", i)), netip.MustParsePrefix(fmt.Sprintf("fd88::1:%x/64", i))},
		Mappings:   []netfilter.PortMapping{{Protocol: "tcp", HostPort: uint16(20000 + i), ContainerPort: 80}},
		SNAT:       true, MarkBit: defaultMarkBit,
	}
}
