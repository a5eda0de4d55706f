// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("of several routers", func() {
	first, second := net.ParseIP("fe80::1"), net.ParseIP("fe80::2")
	said := func(router net.IP, message []byte) notice { return notice{message, router, parseRA(message)} }
	full := withPrefix(managedRouter(), "fd77::")
	// by makes a grant that goes by the first router, which has just spoken when
	// the spec runs: the entries of a table are made long before.
	by := func(message []byte) func() *grant {
		return func() *grant {
			g := &grant{RA: message, Router: first, Heard: bootTime()}
			g.terms.address = net.IPNet{IP: net.ParseIP("fd77::5"), Mask: net.CIDRMask(64, 128)}
			return g
		}
	}
	over := func(made func() *grant) func() *grant {
		return func() *grant {
			g := made()
			g.Heard -= 2 * g.current().lifetime
			return g
		}
	}
	fresh := func() *grant { return new(grant) }

	DescribeTable("one is chosen besides DHCPv6", func(made func() *grant, heard []notice, want net.IP) {
		Expect(chooseRouter(made(), heard).router).To(Equal(want))
	},
		Entry("the grant's, whoever is first", by(full), []notice{said(second, full), said(first, full)}, first),
		Entry("the grant's, not one that is no default router", by(full), []notice{said(second, noDefault(full)), said(first, full)}, first),
		Entry("another one that is a default router, when the grant's says that it is none", by(full), []notice{said(first, noDefault(full)), said(second, managedRouter())}, second),
		Entry("the grant's, if nobody is a default router", by(full), []notice{said(second, noDefault(full)), said(first, noDefault(full))}, first),
		Entry("one that can fill the place of a silent one", by(full), []notice{said(second, full)}, second),
		Entry("a silent one that is a default router", by(full), []notice{said(second, noDefault(full))}, first),
		Entry("a silent one that has the prefix", by(full), []notice{said(second, managedRouter())}, first),
		Entry("any, when the time of the silent one is over", over(by(full)), []notice{said(second, noDefault(managedRouter()))}, second),
		Entry("a default router, for a new grant", fresh, []notice{said(first, noDefault(full)), said(second, managedRouter())}, second),
	)

	own := withOwnPrefix(managedRouter(), "fd77::", 90, 60)
	DescribeTable("one is chosen for a prefix", func(heard []notice, want net.IP) {
		Expect(choosePrefix(by(own)(), heard).router).To(Equal(want))
	},
		Entry("the grant's, whoever is first", []notice{said(second, own), said(first, own)}, first),
		Entry("one that has the prefix", []notice{said(first, managedRouter()), said(second, noDefault(own))}, second),
		Entry("a default router", []notice{said(first, noDefault(own)), said(second, own)}, second),
		Entry("one that has another prefix, where ours is out of date", []notice{said(first, withOwnPrefix(withOwnPrefix(managedRouter(), "fd77::", 0, 0), "fd78::", 90, 60)), said(second, withOwnPrefix(managedRouter(), "fd78::", 90, 60))}, first),
	)

	It("none is chosen where there is none", func() {
		Expect(chooseRouter(new(grant), nil)).To(BeNil())
		Expect(choosePrefix(new(grant), nil)).To(BeNil())
	})
})
