// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = DescribeTable("whether the kernel has a kind of links, which makes none",
	func(kind, module string) {
		testutils.Need(GinkgoT(), "root")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			before, err := netlink.LinkList()
			Expect(err).NotTo(HaveOccurred())
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = "probe", 1 // the library has no ipvlan without a parent
			err = link.Supported(kind)
			after, listErr := netlink.LinkList()
			Expect(listErr).NotTo(HaveOccurred())
			Expect(after).To(HaveLen(len(before)))
			if made := netlink.LinkAdd(&netlink.GenericLink{LinkAttrs: attrs, LinkType: kind}); made == unix.EOPNOTSUPP {
				Expect(err).To(MatchError("this kernel has no " + kind + " links; load the module " + module + ": operation not supported"))
			} else {
				Expect(err).NotTo(HaveOccurred())
			}
		})
	},
	Entry("veth", "veth", "veth (CONFIG_VETH)"),
	Entry("bridge", "bridge", "bridge (CONFIG_BRIDGE)"),
	Entry("macvlan", "macvlan", "macvlan (CONFIG_MACVLAN)"),
	Entry("ipvlan", "ipvlan", "ipvlan (CONFIG_IPVLAN)"),
	Entry("dummy", "dummy", "dummy (CONFIG_DUMMY)"),
	Entry("vlan", "vlan", "8021q (CONFIG_VLAN_8021Q)"),
	Entry("vrf", "vrf", "vrf (CONFIG_NET_VRF)"),
	Entry("none", "unheardof", "unheardof (CONFIG_UNHEARDOF)"),
)
