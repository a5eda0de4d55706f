// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("Errors of nf_tables", func() {
	DescribeTable("are explained",
		func(err error, text string) { Expect(explain(err)).To(MatchError(text)) },
		Entry("no nfnetlink", unix.EPROTONOSUPPORT, "the kernel has no nf_tables: load the module nf_tables (CONFIG_NF_TABLES): protocol not supported"),
		Entry("no permission", fmt.Errorf("x: %w", unix.EPERM), "nftables: CAP_NET_ADMIN is needed: operation not permitted"),
		Entry("several of one transaction", errors.Join(fmt.Errorf("x: %w", unix.EBUSY), unix.ENOENT), "nftables: device or resource busy"),
		Entry("without a number", errors.New("short message"), "short message"),
	)

	It("keep their identity", func() {
		Expect(explain(unix.EPROTONOSUPPORT)).To(MatchError(errNoNFTables))
		Expect(explain(fmt.Errorf("x: %w", unix.EBUSY))).To(MatchError(unix.EBUSY))
		Expect(explain(nil)).To(Succeed())
	})

	It("tell who has been overtaken", func() {
		for _, errno := range []error{unix.EEXIST, unix.ENOENT, unix.EBUSY, unix.EINTR, unix.EAGAIN} {
			Expect(overtaken(explain(errno))).To(BeTrue())
		}
		Expect(overtaken(explain(unix.EPERM))).To(BeFalse())
		Expect(overtaken(nil)).To(BeFalse())
	})
})

var _ = Describe("kernelHasNFTables", func() {
	It("says what a connection says", func() {
		err := withConn(context.Background(), func(*conn) error { return nil })
		Expect(kernelHasNFTables()).To(Equal(!errors.Is(err, errNoNFTables)))
	})
})
