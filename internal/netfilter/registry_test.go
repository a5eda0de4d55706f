// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("an attachment in a registry", func() {
	It("has one record when its ADD and somebody who heals write it at the same time", func() {
		testutils.Need(GinkgoT(), "root", "nftables")
		f, ctx := families()[0], context.Background()
		r := f.registry()
		pairsOf := func(last byte) []pair {
			return f.pairs([]*net.IPNet{{IP: net.IPv4(10, 88, 0, last), Mask: net.CIDRMask(16, 32)}})
		}
		pairs := pairsOf(2)
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			Expect(withConn(ctx, func(first *conn) error {
				Expect(r.put(first, "podman/another/eth0", pairsOf(3))).To(Succeed()) // makes the table
				return first.commit()
			})).To(Succeed())
			Expect(withConn(ctx, func(adding *conn) error {
				return withConn(ctx, func(healing *conn) error {
					for _, c := range []*conn{adding, healing} {
						Expect(r.put(c, "podman/c1/eth0", pairs)).To(Succeed())
					}
					Expect(adding.commit()).To(Succeed())
					err := healing.commit()
					Expect(err == nil || overtaken(err)).To(BeTrue(), "%v", err)
					Expect(r.differences(adding, "podman/c1/eth0", pairs)).To(BeEmpty())
					return nil
				})
			})).To(Succeed())
		})
	})
})
