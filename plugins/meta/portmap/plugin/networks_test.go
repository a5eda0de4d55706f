// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
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
		Context("with "+backend, func() {
			n := networksWith(backend)
			n.inTurn()
			Context("with the same addresses", func() {
				BeforeEach(n.shareAddresses)
				n.apart()
				n.collected()
				if backend == netfilter.NFTables {
					n.mixed()
				}
			})
		})
	}
})

// networks are a container with two interfaces, and another one.
type networks struct {
	*lab
	backend          string // as the last member of a configuration
	one, other, late *testrig.Container
	first, second    string // configurations of one and late, when they share addresses
}

// networksWith makes the networks of the specs of a container, before each.
func networksWith(backend string) *networks {
	n := &networks{backend: fmt.Sprintf(`,"backend":%q`, backend)}
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
		n.lab = newLab()
		n.one, n.late = n.attach("one"), n.attach("late")
		second := *n.one
		n.other = &second
		n.other.IfName = "eth1"
		n.number[n.other] = 77
		within(n.one.Netns, "ip addr add 10.88.0.77/16 dev eth0")
		serve(n.one.Netns, "tcp", 80)
		serve(n.one.Netns, "tcp", 81)
	})
	return n
}

// in is a configuration for another network.
func (n *networks) in(network string, c *testrig.Container, mappings string) string {
	config := strings.Replace(n.config(c, mappings, n.backend), `"test"`, fmt.Sprintf("%q", network), 1)
	return strings.ReplaceAll(config, `"eth0"`, fmt.Sprintf("%q", c.IfName))
}

func (n *networks) left() string {
	GinkgoHelper()
	return n.sh("nft list ruleset 2>/dev/null | grep -E '10.88.0|fd88::|CNI-DN|one' || true")
}

// shareAddresses adds two containers with the same addresses to two networks.
func (n *networks) shareAddresses() {
	n.number[n.late] = n.number[n.one]
	n.first, n.second = n.in("test", n.one, mapping(8080, 80, "tcp")), n.in("other", n.late, mapping(9090, 80, "tcp"))
	n.add(n.one, n.first)
	n.add(n.late, n.second)
}

// leads tells that a port leads to the container, for others and for itself.
func (n *networks) leads(c *testrig.Container, config string, port int) {
	GinkgoHelper()
	Expect(n.check(c, config)).To(Succeed())
	Expect(reach(n.outside, "tcp", "192.0.2.1", port)).To(Equal("192.0.2.9"))
	Expect(reach(n.one.Netns, "tcp", "10.88.0.1", port)).To(Equal("10.88.0.1"))
	Expect(reach(n.one.Netns, "tcp", "fd88::1", port)).To(Equal("fd88::1"))
}

func (n *networks) bothLead() {
	GinkgoHelper()
	n.leads(n.one, n.first, 8080)
	n.leads(n.late, n.second, 9090)
}

// inTurn is about a port that several want to lead to one container.
func (n *networks) inTurn() {
	for _, network := range []string{"test", "other"} {
		It("of a container, or one twice, lead a port to the first, and then to the next: "+network, func() {
			first, next := n.in("test", n.one, mapping(8080, 80, "tcp")), n.in(network, n.other, mapping(8080, 81, "tcp")+","+mapping(8081, 81, "tcp"))
			leadsTo := func(address string) {
				GinkgoHelper()
				Expect(reach(n.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
				Expect(n.sh("conntrack -L -p tcp --orig-port-dst 8080 2>/dev/null; conntrack -F 2>/dev/null")).To(ContainSubstring("src=" + address + " "))
			}
			n.add(n.one, first)
			n.add(n.other, next)
			leadsTo(n.v4(n.one))
			n.add(n.other, next)
			leadsTo(n.v4(n.one))
			Expect(n.check(n.one, first)).To(Succeed())
			Expect(n.check(n.other, next)).To(Succeed())
			_, err := n.Call("ADD", n.late, n.in("test", n.late, mapping(8080, 80, "tcp")))
			Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network ")))
			n.Del(n.one, first)
			leadsTo(n.v4(n.other))
			Expect(n.check(n.other, next)).To(Succeed())
			n.Del(n.other, next)
			Expect(n.left()).To(BeEmpty())
		})
	}

	It("of a container lead a port to the next also when the first has another backend", func() {
		n.add(n.one, n.config(n.one, mapping(8080, 80, "tcp"), n.backend))
		opposite := map[string]string{"nftables": "iptables", "iptables": "nftables"}[strings.Split(n.backend, `"`)[3]]
		next := strings.Replace(n.in("other", n.other, mapping(8080, 80, "tcp")), n.backend, fmt.Sprintf(`,"backend":%q`, opposite), 1)
		n.add(n.other, next)
		Expect(n.check(n.other, next)).To(Succeed())
		n.Del(n.one, n.config(n.one, mapping(8080, 80, "tcp"), n.backend))
		Expect(n.check(n.other, next)).To(Succeed())
		Expect(reach(n.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
	})
}

// apart is about an attachment whose other has gone.
func (n *networks) apart() {
	It("do not take each other's ports", func() {
		n.leaveInTurn()
	})

	It("do not need each other", func() {
		n.Del(n.one, n.first)
		n.leads(n.late, n.second, 9090)
		n.add(n.one, n.first)
		n.add(n.late, n.second)
		n.leaveInTurn()
	})

	It("lose nothing to who evicts one that is gone", func() {
		n.Del(n.one, n.first)
		die := mortal(n.one)
		n.first = n.in("test", n.one, mapping(8080, 80, "tcp"))
		n.add(n.one, n.first)
		die()
		next := n.attach("next")
		third := n.in("third", next, mapping(8080, 80, "tcp"))
		n.add(next, third)
		Expect(n.left()).NotTo(ContainSubstring("one"))
		n.leads(n.late, n.second, 9090)
		n.Del(next, third)
		n.Del(n.late, n.second)
		Expect(n.left()).To(BeEmpty())
	})
}

// leaveInTurn expects both to lead to their containers, and to go one by one.
func (n *networks) leaveInTurn() {
	GinkgoHelper()
	n.bothLead()
	n.Del(n.late, n.second)
	n.leads(n.one, n.first, 8080)
	n.Del(n.one, n.first)
	Expect(n.left()).To(BeEmpty())
}

// collected is about what GC and Heal do to either.
func (n *networks) collected() {
	It("lose nothing when GC collects the other", func() {
		_, err := n.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[]}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(n.left()).NotTo(ContainSubstring("test"))
		n.leads(n.late, n.second, 9090)
		n.Del(n.late, n.second)
		Expect(n.left()).To(BeEmpty())
	})

	It("are healed, each for itself", func() {
		n.sh("nft flush ruleset")
		n.OnHost(func() { Expect(Heal(context.Background())).To(HaveLen(2)) })
		n.bothLead()
		n.Del(n.late, n.second) // the first to be healed
		n.leads(n.one, n.first, 8080)
	})

}

// mixed is about what both once had in the same sets of nftables.
func (n *networks) mixed() {
	It("shared the elements that masquerade, until GC gives each its own", func() {
		n.sh(`for family in ip ip6; do
			for set in $(nft list table $family cni_portmap | sed -nE 's/^\tset (sources[0-9]+-[^ ]*) .*/\1/p'); do nft flush set $family cni_portmap $set; done
		done`)
		Expect(n.check(n.late, n.second)).To(MatchError(ContainSubstring("the masquerading in set sources")))
		_, err := n.Call("GC", &testrig.Container{}, `{"name":"other","cni.dev/valid-attachments":[{"containerID":"late","ifname":"eth0"}]}`)
		Expect(err).NotTo(HaveOccurred())
		n.bothLead()
		n.Del(n.one, n.first)
		n.leads(n.late, n.second, 9090)
	})
}
