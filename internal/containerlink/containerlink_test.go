// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerlink_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the container's interface", func() {
	var req *plugin.Request
	var netns ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		netns = testutils.TempNS(GinkgoT())
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

	DescribeTable("is found by its owner when the container has renamed it",
		func(commands ...string) {
			testrig.IP(netns, "link set eth0 alias n/c/eth0")
			own := find().Attrs().Index
			for _, command := range append([]string{"link set eth0 name renamed"}, commands...) {
				testrig.IP(netns, "%s", command)
			}
			Expect(containerlink.Find(req, "veth")).To(BeNil())
			found, err := containerlink.FindOwn(req, "veth")
			Expect(err).NotTo(HaveOccurred())
			Expect(found.Attrs().Index).To(Equal(own))
			Expect(containerlink.FindOwn(req, "macvlan")).To(BeNil(), "of another kind")
			testrig.IP(netns, "link set renamed alias n/c/eth1")
			Expect(containerlink.FindOwn(req, "veth")).To(BeNil(), "of another attachment")
		},
		Entry("and there is none of that name"),
		Entry("and another has the name", "link set peer name eth0", "link set eth0 alias n/c/eth7"),
		Entry("and one of another kind has the name", "link add eth0 type bridge"),
	)

	DescribeTable("has the MTU 1400, which is",
		func(ipamType string, previous, configured int, problem string) {
			req.IPAM = ipam.NewDelegate(ipamType, nil)
			req.Prev = &current.Result{Interfaces: []*current.Interface{{Name: "eth0", Sandbox: netns.Path(), Mtu: previous}}}
			var report check.Report
			containerlink.Check(&report, req, containerlink.Want{Kind: "veth", MTU: configured})
			if problem == "" {
				Expect(report.Err()).To(Succeed())
			} else {
				Expect(report.Err()).To(MatchError(problem))
			}
		},
		Entry("what ADD reported", "static", 1400, 0, ""),
		Entry("what ADD reported at layer 2", "", 1400, 0, ""),
		Entry("what a later plugin has made of the configured one", "static", 1400, 1500, ""),
		Entry("not what ADD reported", "static", 1500, 0, "eth0: mtu is 1400, expected 1500"),
		Entry("not what ADD reported, though configured", "static", 1500, 1400, "eth0: mtu is 1400, expected 1500"),
		Entry("what is configured, when there is no report", "static", 0, 1400, ""),
		Entry("not what is configured, when there is no report", "static", 0, 1500, "eth0: mtu is 1400, expected 1500"),
		Entry("anything, when nobody says", "static", 0, 0, ""),
		Entry("what a server says now", "dhcp", 1500, 1500, ""),
	)
})
