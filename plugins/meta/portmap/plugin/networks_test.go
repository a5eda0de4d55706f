// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("several networks", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() { networksWith(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func networksWith(backend string) {
	var (
		l                *lab
		one, other, late *testrig.Container
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
		l = newLab()
		one, late = l.attach("one"), l.attach("late")
		second := *one
		other = &second
		other.IfName = "eth1"
		l.number[other] = 77
		within(one.Netns, "ip addr add 10.88.0.77/16 dev eth0")
		serve(one.Netns, "tcp", 80)
		serve(one.Netns, "tcp", 81)
	})
	in := func(network string, c *testrig.Container, mappings string) string {
		config := strings.Replace(l.config(c, mappings, backend), `"test"`, fmt.Sprintf("%q", network), 1)
		return strings.ReplaceAll(config, `"eth0"`, fmt.Sprintf("%q", c.IfName))
	}
	left := func() string {
		GinkgoHelper()
		return l.sh("nft list ruleset 2>/dev/null | grep -E '10.88.0|fd88::|CNI-DN|one' || true")
	}

	for _, network := range []string{"test", "other"} {
		It("of a container, or one twice, lead a port to the first, and then to the next: "+network, func() {
			first, next := in("test", one, mapping(8080, 80, "tcp")), in(network, other, mapping(8080, 81, "tcp")+","+mapping(8081, 81, "tcp"))
			leadsTo := func(address string) {
				GinkgoHelper()
				Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
				Expect(l.sh("conntrack -L -p tcp --orig-port-dst 8080 2>/dev/null; conntrack -F 2>/dev/null")).To(ContainSubstring("src=" + address + " "))
			}
			l.add(one, first)
			l.add(other, next)
			leadsTo(l.v4(one))
			l.add(other, next)
			leadsTo(l.v4(one))
			Expect(l.check(one, first)).To(Succeed())
			Expect(l.check(other, next)).To(Succeed())
			_, err := l.Call("ADD", late, in("test", late, mapping(8080, 80, "tcp")))
			Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network ")))
			l.Del(one, first)
			leadsTo(l.v4(other))
			Expect(l.check(other, next)).To(Succeed())
			l.Del(other, next)
			Expect(left()).To(BeEmpty())
		})
	}

	It("of a container lead a port to the next also when the first has another backend", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		opposite := map[string]string{"nftables": "iptables", "iptables": "nftables"}[strings.Split(backend, `"`)[3]]
		next := strings.Replace(in("other", other, mapping(8080, 80, "tcp")), backend, fmt.Sprintf(`,"backend":%q`, opposite), 1)
		l.add(other, next)
		Expect(l.check(other, next)).To(Succeed())
		l.Del(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		Expect(l.check(other, next)).To(Succeed())
		Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
	})

	It("with the same addresses do not take each other's ports", func() {
		first, second := in("test", one, mapping(8080, 80, "tcp")), in("other", late, mapping(9090, 80, "tcp"))
		l.number[late] = l.number[one]
		second = in("other", late, mapping(9090, 80, "tcp"))
		l.add(one, first)
		l.add(late, second)
		Expect(l.check(one, first)).To(Succeed())
		Expect(l.check(late, second)).To(Succeed())
		Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		l.Del(late, second)
		Expect(l.check(one, first)).To(Succeed())
		l.Del(one, first)
		Expect(left()).To(BeEmpty())
	})
}
