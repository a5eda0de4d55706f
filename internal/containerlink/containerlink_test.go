// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerlink_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the container's interface", func() {
	var req *plugin.Request
	var netns ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		netns = testrig.Namespace()
		req = &plugin.Request{Network: "n", ContainerID: "c", IfName: "eth0", Netns: ns.RefTo(netns, netns.Path())}
		testrig.IP(netns, "link add eth0 mtu 1400 type veth peer name peer")
		testrig.IP(netns, "addr add 192.0.2.5/24 dev eth0")
	})

	find := func() netlink.Link {
		GinkgoHelper()
		found, err := containerlink.Find(req, "veth")
		Expect(err).NotTo(HaveOccurred())
		Expect(found).NotTo(BeNil())
		return found
	}

	It("is silenced and deleted", func() {
		removed, err := containerlink.Silence(req, find())
		Expect(err).NotTo(HaveOccurred())
		Expect(removed).To(HaveLen(1))
		Expect(testrig.IP(netns, "-4 addr show dev eth0")).To(BeEmpty())
		Expect(containerlink.Delete(req, find())).To(Succeed())
		Expect(containerlink.Find(req, "veth")).To(BeNil())
	})

	It("may go away before it is silenced: two DELs at once", func() {
		found := find()
		testrig.IP(netns, "link del eth0")
		removed, err := containerlink.Silence(req, found)
		Expect(err).NotTo(HaveOccurred())
		Expect(removed).To(BeEmpty())
		Expect(containerlink.Delete(req, found)).To(Succeed())
	})
})
