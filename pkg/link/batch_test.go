// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("Batch", func() {
	// alias is the message that gives a link an alias.
	alias := func(name, text string) *nl.NetlinkRequest {
		request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(text)))
		return request
	}

	here := func(fn func()) {
		GinkgoHelper()
		testutils.OnVethPair(GinkgoT(), fn)
	}

	It("tells what became of each message", func() {
		here(func() {
			answers, err := link.Batch(alias("left", "a"), alias("nobody", "b"), alias("right", "c"), alias("nobody", "d"))
			Expect(err).NotTo(HaveOccurred())
			Expect(answers).To(Equal([]error{nil, unix.ENODEV, nil, unix.ENODEV}))
			left, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(left.Attrs().Alias).To(Equal("a"))
		})
	})

	It("sends thousands of messages", func() {
		here(func() {
			var requests []*nl.NetlinkRequest
			for i := range 5000 {
				requests = append(requests, alias("left", fmt.Sprint(i)))
			}
			answers, err := link.Batch(requests...)
			Expect(err).NotTo(HaveOccurred())
			Expect(answers).To(HaveLen(5000))
			Expect(answers).To(HaveEach(BeNil()))
			left, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(left.Attrs().Alias).To(Equal("4999"))
		})
	})
})
