// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("what an interface has on the host", func() {
	DescribeTable("is there again after an ADD that has failed", func(ifName string, commands ...string) {
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		rig := testrig.New(Plugin, ipamPath())
		c := rig.Container("one")
		c.IfName = ifName
		for _, command := range append([]string{
			"link add nic0 type veth peer name switch0", "link add nic1 type veth peer name switch1",
			"link set switch0 up", "link set switch1 up", "link set nic1 up", "addr add 10.4.4.4/24 dev nic1", "addr add 2001:db8:4::4/64 dev nic1 nodad",
		}, commands...) {
			testrig.IP(rig.Host, "%s", command)
		}
		expectNothingChanged := rig.Remember(c)
		_, err := rig.Call("ADD", c, `{"device":"nic0","ipam":{"type":"host-local","ranges":[[{"subnet":"10.9.9.0/24","rangeStart":"10.9.9.9","rangeEnd":"10.9.9.8"}]]}}`)
		Expect(err).To(HaveOccurred())
		Expect(err).To(MatchError(Not(ContainSubstring("undo "))))
		expectNothingChanged()
	},
		Entry("while it is down", "eth0", "addr add 10.3.3.3/24 dev nic0"),
		Entry("with routes of IPv4", "eth0", "link set nic0 up",
			"addr add 10.3.3.3/24 brd + dev nic0 label nic0:a", "addr add 10.3.3.4/24 dev nic0", "addr add 10.5.5.5 peer 10.5.5.6/32 dev nic0",
			"addr add 10.6.6.6/24 dev nic0 scope link noprefixroute valid_lft 6000 preferred_lft 3000",
			"route add default via 10.3.3.9 metric 7 mtu 1300 src 10.3.3.4", "route add 10.7.0.0/16 via 172.16.0.1 dev nic0 onlink table 77 proto static",
			"route add 10.8.0.0/16 nexthop via 10.3.3.9 weight 2 nexthop via 10.4.4.9", "route add 10.9.0.0/16 dev nic0 tos 4",
			"neigh add 10.3.3.9 lladdr 02:00:00:00:00:09 dev nic0 nud permanent"),
		Entry("with routes of IPv6", "eth0", "link set nic0 up",
			"addr add 2001:db8:3::3/64 dev nic0 nodad", "addr add 2001:db8:5::5/64 dev nic0 nodad noprefixroute",
			"route add default via 2001:db8:3::9 metric 7 src 2001:db8:3::3", "route add 2001:db8:7::/48 via fe80::9 dev nic0 table 77 mtu 1400",
			"route add 2001:db8:8::/48 nexthop via 2001:db8:3::9 nexthop via 2001:db8:4::9",
			"neigh add 2001:db8:3::9 lladdr 02:00:00:00:00:09 dev nic0 nud permanent"),
		Entry("and not what another has", "eth0", "link set nic0 up", "addr add 10.3.3.3/24 dev nic0", "route add 10.7.0.0/16 via 10.4.4.9", "route add default via 10.3.3.9"),
	)
})
