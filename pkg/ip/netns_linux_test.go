// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// addVeth adds a veth pair in the current namespace.
func addVeth(name, peer string) netlink.Link {
	GinkgoHelper()
	Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer})).To(Succeed())
	return findLink(name)
}

func findLink(name string) netlink.Link {
	GinkgoHelper()
	l, err := netlinksafe.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}

func linkNames() []string {
	GinkgoHelper()
	links, err := netlinksafe.LinkList()
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func cidr(text string) *net.IPNet {
	GinkgoHelper()
	addr, network, err := net.ParseCIDR(text)
	Expect(err).NotTo(HaveOccurred())
	return &net.IPNet{IP: addr, Mask: network.Mask}
}

func addAddress(l netlink.Link, text string) {
	GinkgoHelper()
	Expect(netlink.AddrAdd(l, &netlink.Addr{IPNet: cidr(text)})).To(Succeed())
}
