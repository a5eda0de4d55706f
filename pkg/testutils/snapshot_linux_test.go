// SPDX-License-Identifier: Apache-2.0

package testutils_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("Snapshot", func() {
	var netns ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nft-tool", "ip-tool")
		netns = testutils.TempNS(GinkgoT())
	})

	// do runs commands, one per line, in netns.
	do := func(script string) {
		GinkgoHelper()
		testutils.Inside(netns, func() {
			out, err := exec.Command("sh", "-ec", script).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), script+"\n"+string(out))
		})
	}
	snapshot := func() string {
		GinkgoHelper()
		text, err := testutils.Snapshot(netns)
		Expect(err).NotTo(HaveOccurred())
		return text
	}

	const base = `
		ip link add left type veth peer name right
		ip link add br0 type bridge
		ip link set left master br0
		ip link set left up; ip link set right up; ip link set br0 up
		ip addr add 192.0.2.1/24 dev br0
		ip -6 addr add 2001:db8::1/64 dev br0 nodad
		ip route add 198.51.100.0/24 via 192.0.2.2
		nft add table inet one; nft add chain inet one c; nft add map inet one m '{ type ipv4_addr : verdict; }'
		nft add element inet one m '{ 192.0.2.5 : drop, 192.0.2.6 : accept }'
	`

	It("does not change by itself, nor with indexes", func() {
		do(base)
		before := snapshot()
		Expect(snapshot()).To(Equal(before))

		do("ip link del left; ip link add spare type veth peer name spare1; ip link del spare")
		Expect(snapshot()).NotTo(Equal(before))
		do("ip link add left type veth peer name right; ip link set left address 02:00:00:00:00:01")
		do("ip link set right address 02:00:00:00:00:02; ip link set left master br0; ip link set left up; ip link set right up")
		again := snapshot()
		do("ip link del left; ip link add left type veth peer name right; ip link set left address 02:00:00:00:00:01")
		do("ip link set right address 02:00:00:00:00:02; ip link set left master br0; ip link set left up; ip link set right up")
		Expect(snapshot()).To(Equal(again))
	})

	DescribeTable("notices a change, and that it has been taken back",
		func(change, takeBack, shows string) {
			do(base)
			before := snapshot()
			do(change)
			after := snapshot()
			Expect(after).NotTo(Equal(before))
			Expect(after).To(ContainSubstring(shows))
			do(takeBack)
			Expect(snapshot()).To(Equal(before))
		},
		Entry("a link", "ip link add v0 type veth peer name v1", "ip link del v0", "link v0 type veth parent v1 mtu 1500 mac "),
		Entry("an MTU", "ip link set right mtu 1400", "ip link set right mtu 1500", "mtu 1400"),
		Entry("a link that goes down", "ip link set right down", "ip link set right up", "flags down"),
		Entry("an alias", "ip link set right alias mine", "ip link set right alias ''", "alias mine"),
		Entry("promiscuous mode", "ip link set right promisc on", "ip link set right promisc off", "flags up,promisc"),
		Entry("a master", "ip link set right master br0", "ip link set right nomaster", "link right type veth master br0"),
		Entry("a setting of a port", "PATH=/usr/sbin:/sbin bridge link set dev left hairpin on", "PATH=/usr/sbin:/sbin bridge link set dev left hairpin off", "port Hairpin"),
		Entry("an address", "ip addr add 203.0.113.1/32 dev right", "ip addr del 203.0.113.1/32 dev right", "addr 203.0.113.1/32 dev right"),
		Entry("an IPv6 address", "ip addr add 2001:db8:1::1/64 dev right nodad", "ip addr del 2001:db8:1::1/64 dev right", "addr 2001:db8:1::1/64 dev right"),
		Entry("a route", "ip route add default via 192.0.2.3", "ip route del default", "route 0.0.0.0/0 type 1 table 254 via 192.0.2.3 dev br0"),
		Entry("a route in another table", "ip -6 route add 2001:db8:9::/48 via 2001:db8::2 table 100", "ip -6 route flush table 100", "table 100"),
		Entry("a route with two next hops", "ip route add 10.0.0.0/8 nexthop via 192.0.2.3 nexthop via 192.0.2.4", "ip route del 10.0.0.0/8", "nexthops [via 192.0.2.3 dev br0"),
		Entry("a route's MTU", "ip route change 198.51.100.0/24 via 192.0.2.2 mtu 1300", "ip route change 198.51.100.0/24 via 192.0.2.2", "mtu 1300"),
		Entry("a rule", "ip rule add from 192.0.2.7 table 100", "ip rule del from 192.0.2.7 table 100", "from 192.0.2.7/32 table 100"),
		Entry("a proxied neighbour", "ip neigh add proxy 192.0.2.9 dev right", "ip neigh del proxy 192.0.2.9 dev right", "neighbour 192.0.2.9 dev right proxy"),
		Entry("a permanent neighbour", "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev br0", "ip neigh del 192.0.2.9 dev br0", "mac 02:00:00:00:00:09"),
		Entry("a qdisc", "tc qdisc add dev right ingress", "tc qdisc del dev right ingress", "qdisc ingress dev right handle ffff:"),
		Entry("an nft element", "nft add element inet one m '{ 10.9.9.9 : drop }'", "nft delete element inet one m '{ 10.9.9.9 }'", "element 10.9.9.9 : drop"),
		Entry("an nft rule", `nft add rule inet one c counter accept comment '"it, {me}"'`, "nft flush chain inet one c", `comment "it, {me}"`),
	)

	It("does not care for the order of nft objects", func() {
		do("nft add table ip a; nft add chain ip a x; nft add set ip a s '{ type ipv4_addr; }'; nft add element ip a s '{ 10.0.0.1, 10.0.0.2 }'; nft add table ip b")
		before := snapshot()
		do("nft flush ruleset; nft add table ip b; nft add table ip a; nft add set ip a s '{ type ipv4_addr; }'; nft add element ip a s '{ 10.0.0.2 }'; nft add element ip a s '{ 10.0.0.1 }'; nft add chain ip a x")
		Expect(snapshot()).To(Equal(before))
	})

	It("does not show counters, but the order of rules", func() {
		testutils.Need(GinkgoT(), "iptables")
		do("ip link set lo up; nft add table ip a; nft add chain ip a o '{ type filter hook output priority 0; }'; nft add rule ip a o counter accept; nft add rule ip a o counter drop")
		do("iptables -A OUTPUT -d 127.0.0.0/8 -j ACCEPT")
		before := snapshot()
		testutils.Inside(netns, func() { Expect(testutils.Ping("127.0.0.1", "127.0.0.1", 2)).To(Succeed()) })
		Expect(snapshot()).To(Equal(before))
		do("nft flush chain ip a o; nft add rule ip a o counter drop; nft add rule ip a o counter accept")
		Expect(snapshot()).NotTo(Equal(before))
	})

	DescribeTable("shows iptables rules of both kinds and families",
		func(command string) {
			testutils.Need(GinkgoT(), command)
			before := snapshot()
			do(command + " -t nat -A POSTROUTING -m comment --comment 'number one' -j MASQUERADE")
			after := snapshot()
			Expect(after).NotTo(Equal(before))
			Expect(after).To(ContainSubstring(command + `-save -A POSTROUTING -m comment --comment "number one" -j MASQUERADE`))
			Expect(snapshot()).To(Equal(after))
		},
		Entry(nil, "iptables-nft"),
		Entry(nil, "iptables-legacy"),
		Entry(nil, "ip6tables-nft"),
		Entry(nil, "ip6tables-legacy"),
	)

	It("shows several namespaces, or the current one", func() {
		do(base)
		empty := testutils.TempNS(GinkgoT())
		both, err := testutils.Snapshot(netns, empty)
		Expect(err).NotTo(HaveOccurred())
		Expect(both).To(MatchRegexp(`(?s)^===== namespace 1 =====.*link left.*===== namespace 2 =====\n# links\nlink lo type device mtu 65536`))
		testutils.Inside(netns, func() {
			Expect(testutils.Snapshot()).To(ContainSubstring("link left"))
			Expect(testutils.Snapshot(nil, empty)).To(Equal(both))
		})
	})

	It("fails without the nft tool rather than see nothing", func() {
		do("nft add table ip a")
		GinkgoT().Setenv("PATH", GinkgoT().TempDir())
		_, err := testutils.Snapshot(netns)
		Expect(err).To(MatchError(ContainSubstring("package nftables")))
	})

	It("fails without the tool for legacy iptables rules, too", func() {
		testutils.Need(GinkgoT(), "iptables-legacy")
		do("iptables-legacy -A OUTPUT -j ACCEPT")
		GinkgoT().Setenv("PATH", GinkgoT().TempDir())
		_, err := testutils.Snapshot(netns)
		Expect(err).To(MatchError(ContainSubstring("package iptables")))
	})

	It("needs no tool where nothing is", func() {
		GinkgoT().Setenv("PATH", GinkgoT().TempDir())
		Expect(testutils.Snapshot(netns)).To(ContainSubstring("link lo"))
	})

	It("has no index in it", func() {
		do(base)
		rows := strings.Split(snapshot(), "\n")
		Expect(rows).To(ContainElement(HavePrefix("link ")))
		for _, row := range rows {
			Expect(row).NotTo(MatchRegexp(`(?i)index|@if`))
		}
	})
})

var _ = Describe("SnapshotDirs", func() {
	It("shows paths, modes and contents", func() {
		dir := GinkgoT().TempDir()
		missing := filepath.Join(dir, "missing")
		Expect(os.MkdirAll(filepath.Join(dir, "sub"), 0o750)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "sub", "10.0.0.1"), []byte("id\r\neth0"), 0o600)).To(Succeed())
		Expect(os.Symlink("10.0.0.1", filepath.Join(dir, "sub", "last"))).To(Succeed())
		Expect(os.Chmod(dir, 0o755)).To(Succeed())

		text, err := testutils.SnapshotDirs(filepath.Join(dir, "sub"), missing)
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(Equal(strings.ReplaceAll(strings.Join([]string{
			"DIR/missing does not exist",
			"DIR/sub drwxr-x---",
			`DIR/sub/10.0.0.1 -rw------- "id\r\neth0"`,
			`DIR/sub/last Lrwxrwxrwx -> "10.0.0.1"`,
		}, "\n"), "DIR", dir)))

		Expect(os.WriteFile(filepath.Join(dir, "sub", "10.0.0.1"), []byte("other"), 0o600)).To(Succeed())
		Expect(testutils.SnapshotDirs(filepath.Join(dir, "sub"), missing)).NotTo(Equal(text))
	})
})
