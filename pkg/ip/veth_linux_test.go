// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"fmt"
	"net"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("veth pairs", func() {
	var host, container ns.NetNS

	BeforeEach(func() {
		host, container = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
	})

	setup := func(name, hostName string, mtu int, mac string) (hostEnd, containerEnd net.Interface, err error) {
		doErr := container.Do(func(ns.NetNS) error {
			hostEnd, containerEnd, err = ip.SetupVethWithName(name, hostName, mtu, mac, host)
			return nil
		})
		Expect(doErr).NotTo(HaveOccurred())
		return hostEnd, containerEnd, err
	}

	It("has one end in each namespace", func() {
		hostEnd, containerEnd, err := setup("eth0", "", 1400, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(containerEnd.Name).To(Equal("eth0"))
		Expect(hostEnd.Name).To(MatchRegexp("^veth[0-9a-f]{8}$"))
		testutils.Inside(container, func() {
			attrs := findLink("eth0").Attrs()
			Expect(attrs.Index).To(Equal(containerEnd.Index))
			Expect(attrs.ParentIndex).To(Equal(hostEnd.Index))
			Expect(attrs.MTU).To(Equal(1400))
			Expect(attrs.Flags&net.FlagUp).To(BeZero(), "some rename it, which takes a link that is down before Linux 6.2")
			Expect(attrs.HardwareAddr).To(Equal(containerEnd.HardwareAddr))
		})
		testutils.Inside(host, func() {
			attrs := findLink(hostEnd.Name).Attrs()
			Expect(attrs.Index).To(Equal(hostEnd.Index))
			Expect(attrs.ParentIndex).To(Equal(containerEnd.Index))
			Expect(attrs.MTU).To(Equal(1400))
			Expect(attrs.Flags & net.FlagUp).NotTo(BeZero())
			Expect(attrs.HardwareAddr).To(Equal(hostEnd.HardwareAddr))
			Expect(os.ReadFile("/proc/sys/net/ipv6/conf/" + hostEnd.Name + "/accept_ra")).To(BeEquivalentTo("0\n"))
		})
		Expect(hostEnd.Flags & net.FlagUp).NotTo(BeZero())
		Expect(hostEnd.MTU).To(Equal(1400))
	})

	It("has the default MTU when none is given", func() {
		for _, none := range []int{0, -1} {
			hostEnd, containerEnd, err := setup(fmt.Sprintf("eth%d", -none), "", none, "")
			Expect(err).NotTo(HaveOccurred())
			Expect(hostEnd.MTU).To(Equal(1500))
			Expect(containerEnd.MTU).To(Equal(1500))
		}
	})

	It("gets an explicit MAC address on the container's side only", func() {
		const mac = "02:00:00:00:01:23"
		hostEnd, containerEnd, err := setup("eth0", "", 0, mac)
		Expect(err).NotTo(HaveOccurred())
		Expect(containerEnd.HardwareAddr.String()).To(Equal(mac))
		Expect(hostEnd.HardwareAddr.String()).NotTo(Equal(mac))
	})

	It("gets the given host name, even the same as in the container", func() {
		hostEnd, containerEnd, err := setup("eth0", "eth0", 0, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(hostEnd.Name).To(Equal("eth0"))
		Expect(containerEnd.Name).To(Equal("eth0"))
	})

	It("has a random host name with SetupVeth", func() {
		testutils.Inside(container, func() {
			hostEnd, _, err := ip.SetupVeth("eth0", 0, "", host)
			Expect(err).NotTo(HaveOccurred())
			Expect(hostEnd.Name).To(HavePrefix("veth"))
		})
	})

	DescribeTable("names both ends on a clash and leaves what was there",
		func(hostName string) {
			_, _, err := setup("eth0", "vethgiven", 0, "")
			Expect(err).NotTo(HaveOccurred())
			name := "eth0"
			if hostName == "vethgiven" {
				name = "eth1"
			}
			_, _, err = setup(name, hostName, 0, "")
			Expect(err).To(MatchError(And(ContainSubstring(`"%s"`, name), ContainSubstring(`"veth`))))
			Expect(os.IsExist(errorRoot(err))).To(BeTrue())
			testutils.Inside(container, func() { Expect(linkNames()).To(ConsistOf("lo", "eth0")) })
			testutils.Inside(host, func() { Expect(linkNames()).To(ConsistOf("lo", "vethgiven")) })
		},
		Entry("in the container", ""),
		Entry("in the container, with a host name", "vethother"),
		Entry("on the host", "vethgiven"),
	)

	It("refuses a MAC address that is none before it makes anything", func() {
		_, _, err := setup("eth0", "", 0, "nonsense")
		Expect(err).To(MatchError(ContainSubstring("nonsense")))
		testutils.Inside(container, func() { Expect(linkNames()).To(ConsistOf("lo")) })
	})

	It("refuses an MTU the kernel does not take and leaves nothing", func() {
		_, _, err := setup("eth0", "", 1<<20, "")
		Expect(err).To(HaveOccurred())
		testutils.Inside(container, func() { Expect(linkNames()).To(ConsistOf("lo")) })
		testutils.Inside(host, func() { Expect(linkNames()).To(ConsistOf("lo")) })
	})

	It("removes the pair when a later step fails", func() {
		testutils.Inside(container, func() {
			_, _, err := ip.SetupVethWithName("eth0", "vethgiven", 0, "", failingNS{host})
			Expect(err).To(MatchError("cannot be entered"))
			Expect(linkNames()).To(ConsistOf("lo"))
		})
		testutils.Inside(host, func() { Expect(linkNames()).To(ConsistOf("lo")) })
	})

	It("is gone on both sides when one is deleted", func() {
		hostEnd, _, err := setup("eth0", "", 0, "")
		Expect(err).NotTo(HaveOccurred())
		testutils.Inside(container, func() { Expect(ip.DelLinkByName("eth0")).To(Succeed()) })
		testutils.Inside(host, func() { Expect(linkNames()).NotTo(ContainElement(hostEnd.Name)) })
	})

	It("tells each end the index of the other", func() {
		hostEnd, containerEnd, err := setup("eth0", "", 0, "")
		Expect(err).NotTo(HaveOccurred())
		testutils.Inside(container, func() {
			l, peer, err := ip.GetVethPeerIfindex("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Index).To(Equal(containerEnd.Index))
			Expect(peer).To(Equal(hostEnd.Index))
		})
		testutils.Inside(host, func() {
			l, peer, err := ip.GetVethPeerIfindex(hostEnd.Name)
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().Index).To(Equal(hostEnd.Index))
			Expect(peer).To(Equal(containerEnd.Index))
		})
	})

	It("has no peer when it is no veth, or nothing", func() {
		testutils.Inside(host, func() {
			_, _, err := ip.GetVethPeerIfindex("lo")
			Expect(err).To(MatchError(ContainSubstring("not veth")))
			_, _, err = ip.GetVethPeerIfindex("nothing")
			Expect(err).To(MatchError(ip.ErrLinkNotFound))
		})
	})
})

var _ = Describe("RandomVethName", func() {
	It("is veth and eight hexadecimal digits, different each time", func() {
		seen := map[string]bool{}
		for range 100 {
			name, err := ip.RandomVethName()
			Expect(err).NotTo(HaveOccurred())
			Expect(name).To(MatchRegexp("^veth[0-9a-f]{8}$"))
			seen[name] = true
		}
		Expect(seen).To(HaveLen(100))
	})
})

var _ = Describe("links", func() {
	var netns ns.NetNS

	BeforeEach(func() { netns = testutils.TempNS(GinkgoT()) })

	It("are renamed", func() {
		testutils.Inside(netns, func() {
			before := addVeth("left", "right")
			Expect(ip.RenameLink("left", "middle")).To(Succeed())
			Expect(findLink("middle").Attrs().Index).To(Equal(before.Attrs().Index))
			Expect(ip.RenameLink("left", "other")).To(BeAssignableToTypeOf(netlink.LinkNotFoundError{}))
			Expect(ip.RenameLink("middle", "right") == unix.EEXIST).To(BeTrue())
		})
	})

	It("are not found in so many words", func() {
		testutils.Inside(netns, func() {
			Expect(ip.DelLinkByName("nothing") == ip.ErrLinkNotFound).To(BeTrue())
			_, err := ip.DelLinkByNameAddr("nothing")
			Expect(err == ip.ErrLinkNotFound).To(BeTrue())
		})
	})

	It("say which addresses they had", func() {
		testutils.Inside(netns, func() {
			l := addVeth("left", "right")
			addAddress(l, "10.1.2.3/24")
			addAddress(l, "2001:db8::5/64")
			addAddress(l, "169.254.3.4/16") // link-local, so not among them
			addresses, err := ip.DelLinkByNameAddr("left")
			Expect(err).NotTo(HaveOccurred())
			var texts []string
			for _, addr := range addresses {
				texts = append(texts, addr.String())
			}
			Expect(texts).To(ConsistOf("10.1.2.3/24", "2001:db8::5/64"))
			Expect(linkNames()).To(ConsistOf("lo"))
		})
	})

	It("say so when they had none", func() {
		testutils.Inside(netns, func() {
			addVeth("left", "right")
			addresses, err := ip.DelLinkByNameAddr("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(addresses).NotTo(BeNil())
			Expect(addresses).To(BeEmpty())
		})
	})

	It("that cannot be deleted are an error", func() {
		testutils.Inside(netns, func() {
			err := ip.DelLinkByName("lo")
			Expect(err).To(MatchError(ContainSubstring(`delete link "lo"`)))
			Expect(err).NotTo(MatchError(ip.ErrLinkNotFound))
		})
	})
})

// failingNS can be handed to the kernel, but not be entered.
type failingNS struct{ ns.NetNS }

func (failingNS) Do(func(ns.NetNS) error) error { return errCannotEnter }

var errCannotEnter = errorText("cannot be entered")

type errorText string

func (e errorText) Error() string { return string(e) }

// errorRoot returns the innermost error of err.
func errorRoot(err error) error {
	for {
		wrapper, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = wrapper.Unwrap()
	}
}
