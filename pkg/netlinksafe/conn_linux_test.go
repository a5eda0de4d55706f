// SPDX-License-Identifier: Apache-2.0

package netlinksafe_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

var _ = Describe("Conn", func() {
	ask := func(index int, flags int) *nl.NetlinkRequest {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		message := nl.NewIfInfomsg(unix.AF_UNSPEC)
		message.Index = int32(index)
		request.AddData(message)
		return request
	}

	It("gets one answer after another, each with a life of its own", func() {
		conn, err := netlinksafe.Dial()
		Expect(err).NotTo(HaveOccurred())
		defer conn.Close()
		first, err := conn.Execute(ask(1, 0))
		Expect(err).NotTo(HaveOccurred())
		Expect(first).To(HaveLen(1))
		_, err = conn.Execute(ask(4711, 0))
		Expect(err).To(Equal(unix.ENODEV))
		list, err := conn.Execute(ask(0, unix.NLM_F_DUMP))
		Expect(err).NotTo(HaveOccurred())
		Expect(list).NotTo(BeEmpty())
		lo, err := netlink.LinkDeserialize(nil, first[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(lo.Attrs().Name).To(Equal("lo"))
	})

	It("is acknowledged where nothing else is answered", func() {
		answer, err := netlinksafe.Execute(ask(1, unix.NLM_F_ACK))
		Expect(err).NotTo(HaveOccurred())
		Expect(answer).To(HaveLen(1))
	})
})
