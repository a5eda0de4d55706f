// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("a link that was down", func() {
	var n *lan
	var c *testrig.Container
	var added string // address

	BeforeEach(func() {
		n = newLAN()
		c = n.Container("c1")
	})

	add := func(family string) {
		GinkgoHelper()
		config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"bridge","bridge":"br0","ipam":{"type":"dhcp","family":%q,"daemonSocketPath":%q}}`, family, n.socket())
		printed, err := n.run(interfacePlugin("bridge"), "ADD", c, config)
		Expect(err).NotTo(HaveOccurred(), printed)
		added = testrig.Result(printed).IPs[0].Address.IP.String()
	}
	bounce := func() {
		GinkgoHelper()
		testrig.IP(c.Netns, "link set eth0 down")
		testrig.IP(c.Netns, "link set eth0 up")
	}
	routes := func(of string) func() []string {
		return func() []string { return testrig.Lines(testrig.IP(c.Netns, "%s", of), "^$") }
	}
	seen := func() {
		GinkgoHelper()
		Eventually(func() *sighting {
			r, err := readRecord(n.record(c.ID))
			Expect(err).NotTo(HaveOccurred())
			return r.Seen[inet4]
		}, "30s").ShouldNot(BeNil())
	}
	gone := MatchRegexp("^default ")
	const patience = "60s"

	It("has the routes of both families again, and the address of IPv6, once the lease is confirmed", func() {
		testutils.Need(GinkgoT(), "ipv6")
		n.dnsmasq6("fd77::,ra-only")
		d := n.daemon()
		add("dual")
		before := routes("-6 address show dev eth0 scope global")()
		Expect(before).NotTo(BeEmpty())
		restored := func() {
			GinkgoHelper()
			Eventually(routes("-4 route"), patience).Should(ContainElement(HavePrefix("default via " + serverAddress + " dev eth0")))
			Eventually(routes("-6 route"), patience).Should(ContainElement(MatchRegexp("^default via fe80:.* dev eth0")))
			Expect(routes("-6 address show dev eth0 scope global -tentative")()).To(ContainElement(ContainSubstring("inet6 fd77:")))
		}
		bounce() // before anybody has seen what the plugin configured
		restored()
		seen()
		bounce()
		restored()

		By("and after the next daemon has missed it")
		d.end(syscall.SIGKILL)
		bounce()
		Expect(routes("-4 route")()).NotTo(ContainElement(gone))
		d = n.daemon()
		restored()

		By("and where no daemon has seen it before")
		d.end(syscall.SIGKILL)
		bounce()
		n.edit(c, func(r map[string]any) { delete(r, "seen") })
		n.daemon()
		restored()
	})

	It("has no route again that somebody has removed", func() {
		server := n.dnsmasq()
		d := n.daemon()
		add("ipv4")
		testrig.IP(c.Netns, "route del default")
		seen()
		for range 2 {
			Expect(server.Err.Clear()).To(Succeed())
			bounce()
			Eventually(server.Err).Should(gbytes.Say("DHCPACK"))
			Consistently(routes("-4 route"), "2s").ShouldNot(ContainElement(gone))
			d.end(syscall.SIGKILL)
			d = n.daemon()
		}
	})

	for title, look := range map[string]func(){"that were seen there": seen, "that are where its rule leads to": func() {}} {
		It("has routes again "+title+", where sbr has moved them", func() {
			n.dnsmasq()
			n.daemon()
			add("ipv4")
			testrig.IP(c.Netns, "rule add from %s/32 table 100", added)
			testrig.IP(c.Netns, "route add 10.77.0.0/24 dev eth0 scope link table 100")
			testrig.IP(c.Netns, "route add default via %s table 100", serverAddress)
			testrig.IP(c.Netns, "route del default")
			look()
			bounce()
			table := func() string { return strings.Join(routes("-4 route show table 100")(), "\n") }
			Eventually(table, patience).Should(And(ContainSubstring("default via "+serverAddress+" dev eth0"), MatchRegexp("(?m)^10.77.0.0/24 dev eth0 .*scope link")))
			Expect(routes("-4 route")()).NotTo(ContainElement(gone))
		})

		It("has routes again "+strings.Replace(title, "its rule leads to", "it belongs to", 1)+", in a VRF", func() {
			testutils.Need(GinkgoT(), "vrf")
			n.dnsmasq()
			n.daemon()
			add("ipv4")
			testrig.IP(c.Netns, "link add vrf0 type vrf table 77")
			testrig.IP(c.Netns, "link set vrf0 up")
			testrig.IP(c.Netns, "link set eth0 master vrf0")
			testrig.IP(c.Netns, "route replace default via %s vrf vrf0", serverAddress)
			look()
			bounce()
			Eventually(routes("-4 route show table 77"), patience).Should(ContainElement(HavePrefix("default via " + serverAddress + " dev eth0")))
			Expect(routes("-4 route")()).NotTo(ContainElement(gone))
		})
	}
})
