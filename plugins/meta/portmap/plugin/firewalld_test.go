// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("beside firewalld", func() {
	for _, backend := range []string{"nftables", "iptables"} {
		It("with "+backend+", mapped ports are put back after it has reloaded, and no zone closes them", func() { besideFirewalld(backend) })
	}
})

func besideFirewalld(backend string) {
	testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
	l := newLab()
	one, two, three := l.attach("one"), l.attach("two"), l.attach("three")
	byNFTables := l.config(one, mapping(8080, 80, "tcp"), `,"backend":"nftables"`)
	byIPTables := l.config(two, mapping(8081, 80, "tcp"), `,"backend":"iptables"`)
	serve(one.Netns, "tcp", 80)
	serve(two.Netns, "tcp", 80)
	l.StartFirewalld(backend)
	l.add(one, byNFTables)
	l.add(two, byIPTables)

	open := func(c *testrig.Container, config string, port int) {
		GinkgoHelper()
		Expect(l.check(c, config)).To(Succeed())
		Expect(reach(l.outside, "tcp", "192.0.2.1", port)).To(Equal("192.0.2.9"))
		Expect(reach(l.outside, "tcp", "2001:db8::1", port)).To(Equal("2001:db8::9"))
		Expect(reach(l.Host, "tcp", "127.0.0.1", port)).To(Equal("10.88.0.1"))
		Expect(reach(three.Netns, "tcp", "192.0.2.1", port)).To(Equal("10.88.0.1"))
	}
	lost := func(shared string) {
		GinkgoHelper()
		Expect(l.check(two, byIPTables)).To(MatchError(And(ContainSubstring("iptables: table nat: "+shared), ContainSubstring("ip6tables: table nat: "+shared))))
		for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
			_, err := reach(l.outside, "tcp", address, 8081)
			Expect(err).To(HaveOccurred())
		}
	}
	open(one, byNFTables, 8080)
	open(two, byIPTables, 8081)

	By("reloading: nothing of nftables is touched, everything of iptables is flushed")
	l.sh("firewall-cmd --reload")
	open(one, byNFTables, 8080)
	lost("chain CNI-DN-")
	l.add(three, l.config(three, mapping(8082, 80, "tcp"), `,"backend":"iptables"`)) // puts back the others' as well
	open(two, byIPTables, 8081)
	l.sh("firewall-cmd --reload")
	lost("chain CNI-DN-")
	_, err := l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"},{"containerID":"three","ifname":"eth0"}]}`)
	Expect(err).NotTo(HaveOccurred())
	open(two, byIPTables, 8081)

	By("reloading completely")
	l.sh("firewall-cmd --complete-reload")
	open(one, byNFTables, 8080)
	lost("chain CNI-DN-")
	Expect(ns.Call(l.Host, func() ([]plugin.Owner, error) { return Heal(context.Background()) })).To(HaveLen(2))
	open(two, byIPTables, 8081)

	for _, zone := range []string{"drop", "block"} {
		By("having the zone " + zone + " for everybody")
		l.sh("firewall-cmd --set-default-zone=" + zone) // which flushes, too
		Expect(ns.Call(l.Host, func() ([]plugin.Owner, error) { return Heal(context.Background()) })).NotTo(ContainElement(HaveField("ContainerID", "one")))
		open(one, byNFTables, 8080)
		open(two, byIPTables, 8081)
		Expect(testrig.Misses(l.outside, l.Host, "192.0.2.1")).To(BeTrue(), "the zone is in force")
	}
	for _, c := range []*testrig.Container{one, two, three} {
		l.Del(c, `{}`)
	}
}
