// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("host names of veth pairs that are taken", func() {
	var host, container ns.NetNS

	BeforeEach(func() {
		if os.Geteuid() != 0 {
			Skip("needs root to make network namespaces")
		}
		host, container = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		for _, name := range []string{"veth0", "veth1"} {
			attrs := netlink.LinkAttrs{Name: name}
			Expect(host.Do(func(ns.NetNS) error {
				return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"})
			})).To(Succeed())
		}
	})

	// add makes a pair whose host end gets the next of the names veth0, veth1 ...
	// below limit, over and over.
	add := func(limit int) (tried int, err error) {
		doErr := container.Do(func(ns.NetNS) error {
			spec := link.VethSpec{Host: link.VethEnd{Netns: host}, Container: link.VethEnd{Name: "eth0"}}
			err = createUnderFreeName(&spec, func() (string, error) {
				tried++
				return fmt.Sprintf("veth%d", (tried-1)%limit), nil
			})
			return nil
		})
		Expect(doErr).NotTo(HaveOccurred())
		return tried, err
	}

	It("are passed over", func() {
		tried, err := add(3)
		Expect(err).NotTo(HaveOccurred())
		Expect(tried).To(Equal(3))
		Expect(host.Do(func(ns.NetNS) error {
			_, err := link.Find("veth2")
			return err
		})).To(Succeed())
	})

	It("are an error when there is no end of them", func() {
		tried, err := add(2)
		Expect(err).To(MatchError(unix.EEXIST))
		Expect(tried).To(Equal(10))
	})

	It("are not to blame when the container's name is taken", func() {
		_, err := add(3)
		Expect(err).NotTo(HaveOccurred())
		tried, err := add(100)
		Expect(err).To(MatchError(unix.EEXIST))
		Expect(tried).To(Equal(1))
	})
})
