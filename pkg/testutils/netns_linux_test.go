// SPDX-License-Identifier: Apache-2.0

package testutils_test

import (
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// connect makes a veth pair between two namespaces, up and with the addresses.
func connect(left, right ns.NetNS, leftCIDRs, rightCIDRs []string) {
	GinkgoHelper()
	testutils.Inside(left, func() {
		Expect(netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(right.Fd()),
		})).To(Succeed())
	})
	configure(left, leftCIDRs)
	configure(right, rightCIDRs)
}

func configure(netns ns.NetNS, cidrs []string) {
	GinkgoHelper()
	testutils.Inside(netns, func() {
		link, err := netlink.LinkByName("eth0")
		Expect(err).NotTo(HaveOccurred())
		for _, cidr := range cidrs {
			addr, err := netlink.ParseAddr(cidr)
			Expect(err).NotTo(HaveOccurred())
			addr.Flags = unix.IFA_F_NODAD
			Expect(netlink.AddrAdd(link, addr)).To(Succeed())
		}
		Expect(netlink.LinkSetUp(link)).To(Succeed())
	})
}

var _ = Describe("NewNS", func() {
	BeforeEach(needRoot)

	It("makes a namespace with a path, and UnmountNS removes it", func() {
		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		Expect(netns.Path()).To(MatchRegexp(`/netns/cnitest-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`))
		Expect(ns.WithNetNSPath(netns.Path(), func(ns.NetNS) error {
			links, err := net.Interfaces()
			Expect(err).NotTo(HaveOccurred())
			Expect(links).To(HaveLen(1))
			return nil
		})).To(Succeed())
		Expect(testutils.UnmountNS(netns)).To(Succeed(), "while it is open")
		Expect(netns.Path()).NotTo(BeAnExistingFile())
		Expect(netns.Close()).To(Succeed())
	})

	It("leaves the calling thread where it is", func() {
		before, err := os.Readlink("/proc/thread-self/ns/net")
		Expect(err).NotTo(HaveOccurred())
		testutils.TempNS(GinkgoT())
		Expect(os.Readlink("/proc/thread-self/ns/net")).To(Equal(before))
	})

	It("does not unmount what is elsewhere", func() {
		netns, err := ns.GetNS("/proc/self/ns/net")
		Expect(err).NotTo(HaveOccurred())
		defer netns.Close()
		Expect(testutils.UnmountNS(netns)).To(Succeed())
		Expect(netns.Path()).To(BeAnExistingFile())
	})
})

var _ = Describe("Ping", func() {
	var left, right ns.NetNS

	BeforeEach(func() {
		needRoot()
		left, right = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		connect(left, right,
			[]string{"192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"},
			[]string{"192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"})
	})

	DescribeTable("gets an answer",
		func(from, to string) {
			testutils.Inside(left, func() { Expect(testutils.Ping(from, to, 5)).To(Succeed()) })
		},
		Entry("over IPv4", "192.0.2.1", "192.0.2.2"),
		Entry("over IPv6", "2001:db8::1", "2001:db8::2"),
		Entry("from a link-local address", "fe80::1%eth0", "fe80::2%eth0"),
	)

	It("takes a name, and no time for a default one", func() {
		testutils.Inside(left, func() {
			lo, err := netlinksafe.LinkByName("lo")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetUp(lo)).To(Succeed())
			Expect(testutils.Ping("127.0.0.1", "localhost", 0)).To(Succeed())
		})
	})

	DescribeTable("fails",
		func(from, to, why string) {
			testutils.Inside(left, func() {
				began := time.Now()
				err := testutils.Ping(from, to, 1)
				Expect(err).To(MatchError(ContainSubstring(why)))
				Expect(err).To(MatchError(HavePrefix("ping from " + from + " to " + to)))
				Expect(time.Since(began)).To(BeNumerically("<", 3*time.Second))
			})
		},
		Entry("without an answer", "192.0.2.1", "192.0.2.3", "no reply within 1s"),
		Entry("without a route", "192.0.2.1", "198.51.100.1", "unreachable"),
		Entry("from an address that is not there", "192.0.2.9", "192.0.2.2", "cannot assign requested address"),
		Entry("across families", "192.0.2.1", "2001:db8::2", "different families"),
		Entry("to no address", "192.0.2.1", "no address", "lookup no address"),
	)
})
