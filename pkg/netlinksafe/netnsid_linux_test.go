// SPDX-License-Identifier: Apache-2.0

package netlinksafe_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = It("knows the number of a network namespace", func() {
	testutils.Need(GinkgoT(), "root", "veth")
	var namespaces [2]ns.NetNS
	for n := range namespaces {
		namespaces[n] = testutils.TempNS(GinkgoT())
	}
	other := int(namespaces[1].Fd())
	testutils.Inside(namespaces[0], func() {
		Expect(netlinksafe.NetnsID(other)).To(Equal(-1))
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "here"}, PeerName: "there", PeerNamespace: netlink.NsFd(other)})).To(Succeed())
		here, err := netlinksafe.LinkByName("here")
		Expect(err).NotTo(HaveOccurred())
		Expect(netlinksafe.NetnsID(other)).To(And(BeNumerically(">=", 0), Equal(here.Attrs().NetNsID)))
		_, err = netlinksafe.NetnsID(-1)
		Expect(err).To(HaveOccurred())
	})
})
