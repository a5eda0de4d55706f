// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = It("the note of an interface is not for another one, in a namespace of the same number", func() {
	rig := testrig.New(Plugin, "")
	c := rig.Container("one")
	ref, err := ns.OpenRef(c.Path)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(ref.Close)
	req := &plugin.Request{Network: "test", ContainerID: "one", IfName: "eth0", Netns: ref}
	var eth0 netlink.Link
	c.Do(func() {
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"})).To(Succeed())
		eth0 = testrig.Find("eth0")
	})
	var luggage baggage
	c.Do(func() { luggage, err = pack(eth0, unix.RT_TABLE_MAIN, baggage{AcceptDAD: "1"}) })
	Expect(err).NotTo(HaveOccurred())
	rig.OnHost(func() {
		n := noteOf(req)
		n.write(luggage)
		Expect(n.read(eth0).AcceptDAD).To(Equal("1"))
		eth0.Attrs().HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 7}
		Expect(n.read(eth0)).To(Equal(baggage{}))
		Expect(n.remove()).To(Succeed())
	})
})
