// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

// newNS makes a namespace for the length of a spec. (testutils, which could ask for what
// that needs, imports this package.)
func newNS() ns.NetNS {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root to make network namespaces")
	}
	netns, err := ns.TempNetNS()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { netns.Close() })
	return netns
}

var _ = Describe("in a namespace", func() {
	var target ns.NetNS

	BeforeEach(func() {
		target = newNS()
		inside(target, func() {
			veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"}
			Expect(netlink.LinkAdd(veth)).To(Succeed())
			Expect(netlink.LinkSetUp(veth)).To(Succeed())
			Expect(netlink.AddrAdd(veth, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, 2, 3), Mask: net.CIDRMask(24, 32)}})).To(Succeed())
		})
	})

	// lists has to hold for the package's functions and for a handle alike.
	type lists interface {
		AddrList(netlink.Link, int) ([]netlink.Addr, error)
		LinkByName(string) (netlink.Link, error)
		LinkList() ([]netlink.Link, error)
		QdiscList(netlink.Link) ([]netlink.Qdisc, error)
		RouteListFiltered(int, *netlink.Route, uint64) ([]netlink.Route, error)
		RuleList(int) ([]netlink.Rule, error)
		NeighList(int, int) ([]netlink.Neigh, error)
		NeighProxyList(int, int) ([]netlink.Neigh, error)
	}
	seesEverything := func(kernel lists) {
		GinkgoHelper()
		Expect(kernel.LinkList()).To(HaveLen(3))
		link, err := kernel.LinkByName("left")
		Expect(err).NotTo(HaveOccurred())
		Expect(kernel.AddrList(link, netlink.FAMILY_V4)).To(HaveLen(1))
		all := &netlink.Route{}
		Expect(kernel.RouteListFiltered(netlink.FAMILY_V4, all, netlink.RT_FILTER_TABLE)).NotTo(BeEmpty())
		Expect(kernel.RuleList(netlink.FAMILY_V4)).To(HaveLen(3))
		Expect(kernel.QdiscList(link)).NotTo(BeEmpty())
		_, err = kernel.NeighList(0, netlink.FAMILY_V4)
		Expect(err).NotTo(HaveOccurred())
		Expect(kernel.NeighProxyList(0, netlink.FAMILY_V4)).To(BeEmpty())

		_, err = kernel.LinkByName("nothere")
		Expect(errors.As(err, &netlink.LinkNotFoundError{})).To(BeTrue())
	}

	It("lists the current namespace", func() {
		inside(target, func() { seesEverything(perCall()) })
	})

	It("lists the namespace a handle was opened in, from elsewhere", func() {
		handle, err := NewHandleAt(netns.NsHandle(target.Fd()))
		Expect(err).NotTo(HaveOccurred())
		defer handle.Close()
		seesEverything(handle)
	})

	It("keeps a handle's namespace", func() {
		var handle Handle
		inside(target, func() {
			var err error
			handle, err = NewHandle()
			Expect(err).NotTo(HaveOccurred())
		})
		defer handle.Close()
		seesEverything(handle)
	})

	It("sends requests made elsewhere", func() {
		inside(target, func() {
			request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
			request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
			Expect(Dump("links", request, unix.NETLINK_ROUTE, unix.RTM_NEWLINK)).To(HaveLen(3))
			Expect(Dump("links", request, unix.NETLINK_ROUTE, unix.RTM_NEWLINK)).To(HaveLen(3), "twice")
		})
	})

	It("closes a handle that was never opened", func() {
		Handle{}.Close()
	})

	It("gives the whole list or an error while links come and go", func() {
		var churning atomic.Bool
		churning.Store(true)
		done := make(chan error, 1)
		go func() {
			done <- target.Do(func(ns.NetNS) error {
				for i := 0; churning.Load(); i++ {
					name := fmt.Sprintf("churn%d", i%7)
					veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
					if err := netlink.LinkAdd(veth); err != nil {
						return err
					}
					if err := netlink.LinkDel(veth); err != nil {
						return err
					}
				}
				return nil
			})
		}()
		inside(target, func() {
			for range 300 {
				links, err := LinkList()
				if err != nil {
					Expect(errors.As(err, new(*InterruptedError))).To(BeTrue(), err.Error())
					continue
				}
				Expect(links).To(ContainElements(named("lo"), named("left"), named("right")))
			}
		})
		churning.Store(false)
		Expect(<-done).To(Succeed())
	})
})

func named(name string) any {
	return WithTransform(func(link netlink.Link) string { return link.Attrs().Name }, Equal(name))
}

func inside(target ns.NetNS, fn func()) {
	GinkgoHelper()
	Expect(target.Do(func(ns.NetNS) error {
		fn()
		return nil
	})).To(Succeed())
}
