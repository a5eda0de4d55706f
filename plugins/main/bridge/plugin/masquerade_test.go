// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the iptables chain that the attachments of a container share", func() {
	const masquerading = `{"type":"bridge","bridge":"br0","isGateway":true,"ipMasq":true,"ipMasqBackend":"iptables",`

	var (
		rig          *testrig.Rig
		first, other *testrig.Container
		config       string
	)

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "iptables", "ip6tables")
		rig = testrig.New(Plugin, ipamPath())
		first = rig.Container("one")
		second := *first
		second.IfName = "eth1"
		other = &second
		config = masquerading + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
	})

	// sources returns the addresses that iptables masquerades.
	sources := func() []string {
		GinkgoHelper()
		var found []string
		for _, program := range []string{"iptables-save", "ip6tables-save"} {
			rules, err := testrig.Run(rig.Host, program, "-t", "nat")
			Expect(err).NotTo(HaveOccurred())
			for _, jump := range regexp.MustCompile(`-A POSTROUTING -s (\S+)/\d+ `).FindAllStringSubmatch(rules, -1) {
				found = append(found, jump[1])
			}
			Expect(strings.Contains(rules, "\n:CNI-")).To(Equal(strings.Contains(rules, "-A POSTROUTING")), rules)
		}
		return found
	}

	It("stays when another interface is deleted whose namespace is out of reach", func() {
		result := rig.Add(first, config)
		gone := rig.Add(other, config).IPs[0].Address.IP.String()
		other.Path = ""
		rig.Del(other, config)
		Expect(sources()).NotTo(ContainElement(gone))
		Expect(rig.Check(first, config, result)).To(Succeed())
		rig.Del(first, config)
		Expect(sources()).To(BeEmpty())
	})

	It("stays when an ADD of another interface has failed and is cleaned up after", func() {
		single := masquerading + `"ipam":{"type":"host-local","dataDir":"` + rig.DataDir + `","ranges":[[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.5","rangeEnd":"10.1.2.5"}]]}}`
		result := rig.Add(first, single)
		_, err := rig.Call("ADD", other, single)
		Expect(err).To(MatchError(ContainSubstring("10.1.2.5")))
		rig.Del(other, single)
		Expect(rig.Check(first, single, result)).To(Succeed())
		rig.Del(first, single)
		Expect(sources()).To(BeEmpty())
	})

	It("stays when another interface is deleted again", func() {
		result := rig.Add(first, config)
		rig.Add(other, config)
		Expect(sources()).To(HaveLen(4))
		for range 2 {
			rig.Del(other, config)
			Expect(sources()).To(ConsistOf("10.1.2.2", "fd00:1:2::2"))
		}
		Expect(rig.Check(first, config, result)).To(Succeed())
	})

	It("stays when another interface is deleted again whose namespace is out of reach, and goes with its own", func() {
		result := rig.Add(first, config)
		rig.Add(other, config)
		other.Path = ""
		for range 2 {
			rig.Del(other, config)
			Expect(sources()).To(ConsistOf("10.1.2.2", "fd00:1:2::2"))
		}
		Expect(rig.Check(first, config, result)).To(Succeed())
		first.Path = ""
		for range 2 {
			rig.Del(first, config)
			Expect(sources()).To(BeEmpty())
		}
	})

	DescribeTable("loses the addresses of an interface",
		func(before ...string) {
			rig.Add(first, config)
			rig.Add(other, config)
			for _, command := range before {
				testrig.IP(other.Netns, "%s", command)
			}
			rig.Del(other, config)
			Expect(sources()).To(ConsistOf("10.1.2.2", "fd00:1:2::2"))
		},
		Entry("from which a DEL that was killed has taken them", "address flush dev eth1 scope global"),
		Entry("that has been renamed", "link set eth1 down", "link set eth1 name renamed", "link set renamed up"),
	)

	It("goes with the container's namespace where nothing is remembered, as of upstream's attachments", func() {
		rig.Add(first, config)
		rig.Add(other, config)
		Expect(os.RemoveAll("/run/cni/intent/masquerade")).To(Succeed())
		other.Path = "/run/netns/gone"
		rig.Del(other, config)
		Expect(sources()).To(BeEmpty())
	})
})
