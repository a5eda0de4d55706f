// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("a container with link-local addresses", func() {
	for _, backend := range netfilter.Names() {
		It("is led to at the others, and rid of mappings to them, with "+backend, func() { besideLinkLocal(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func besideLinkLocal(backend string) {
	testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
	l := newLab()
	l.sh("ip route add 169.254.0.0/16 dev br0")
	one := l.attach("one")
	serve(one.Netns, "tcp", 80)
	plain := l.config(one, mapping(8080, 80, "tcp"), backend)
	config := strings.Replace(plain, `{"address":"10.88.0.2/16"`,
		`{"address":"fe80::5/64","interface":2},{"address":"169.254.7.5/16","interface":2},{"address":"10.88.0.2/16"`, 1)
	rules := func() string { return l.sh("nft list ruleset 2>/dev/null") }

	By("of an older version")
	l.add(one, strings.Replace(plain, "10.88.0.2/16", "169.254.7.5/16", 1))
	Expect(rules()).To(ContainSubstring("169.254.7.5"))
	Expect(l.check(one, config)).NotTo(Succeed())
	l.Del(one, config)
	Expect(rules()).NotTo(Or(ContainSubstring("169.254.7.5"), ContainSubstring("fd88::2")))
	By("of upstream")
	l.sh(`nft 'table ip6 cni_hostport { chain hostports { tcp dport 8080 dnat to [fe80::5]:80 comment "one"; }; chain masquerading { }; }'`)
	l.Del(one, config)
	Expect(rules()).NotTo(ContainSubstring("fe80::5"))
	By("and now")
	_, err := l.Call("ADD", one, config)
	Expect(err).NotTo(HaveOccurred())
	Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
	Expect(reach(l.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
	Expect(l.check(one, config)).To(Succeed())
	l.Del(one, config)
}
