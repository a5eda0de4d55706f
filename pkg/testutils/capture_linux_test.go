// SPDX-License-Identifier: Apache-2.0

package testutils_test

import (
	"bytes"
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var (
	ours   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	theirs = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

const experimental = 0x88b5 // IEEE 802 local experimental EtherType

var _ = Describe("Frame", func() {
	payload := []byte("hello")

	DescribeTable("is taken apart",
		func(data []byte, vlans []uint16, text string) {
			frame := testutils.Frame{Data: data}
			Expect(frame.Dst()).To(Equal(theirs))
			Expect(frame.Src()).To(Equal(ours))
			Expect(frame.VLANs()).To(Equal(vlans))
			Expect(frame.EtherType()).To(BeEquivalentTo(experimental))
			Expect(frame.Payload()).To(Equal(payload))
			Expect(frame.String()).To(Equal(text))
		},
		Entry("without a tag", testutils.EthernetFrame(theirs, ours, experimental, payload), nil,
			"02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88b5, 19 bytes"),
		Entry("with a tag", testutils.EthernetFrame(theirs, ours, experimental, payload, 7), []uint16{7},
			"02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 type 0x88b5, 23 bytes"),
		Entry("with two tags, priorities aside", testutils.EthernetFrame(theirs, ours, experimental, payload, 0xa000|7, 4094), []uint16{7, 4094},
			"02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 vlan 4094 type 0x88b5, 27 bytes"),
	)

	It("may be too short for anything", func() {
		whole := testutils.EthernetFrame(theirs, ours, experimental, payload, 7)
		for size := range len(whole) {
			frame := testutils.Frame{Data: whole[:size]}
			Expect(func() { _, _, _ = frame.String(), frame.Payload(), frame.VLANs() }).NotTo(Panic())
		}
	})
})

var _ = Describe("Capture", func() {
	var left, right ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth")
		left, right = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		connect(left, right, []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		Eventually(testutils.SendFrame).WithArguments(left, "eth0", testutils.EthernetFrame(theirs, ours, experimental, nil)).Should(Succeed())
	})

	capture := func(netns ns.NetNS) *testutils.Packets {
		GinkgoHelper()
		packets, err := testutils.Capture(netns, "eth0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(packets.Close)
		return packets
	}
	is := func(data []byte) func(testutils.Frame) bool {
		return func(frame testutils.Frame) bool { return bytes.Equal(frame.Data, data) }
	}

	It("shows frames with their VLAN tags, sent and received", func() {
		sent, received := capture(left), capture(right)
		for _, vlans := range [][]uint16{nil, {7}, {0x6000 | 7}, {7, 8}} {
			data := testutils.EthernetFrame(theirs, ours, experimental, make([]byte, 50), vlans...)
			Expect(testutils.SendFrame(left, "eth0", data)).To(Succeed())

			frame, err := received.Wait(5*time.Second, is(data))
			Expect(err).NotTo(HaveOccurred())
			Expect(frame.Outgoing).To(BeFalse())
			frame, err = sent.Wait(5*time.Second, is(data))
			Expect(err).NotTo(HaveOccurred())
			Expect(frame.Outgoing).To(BeTrue())
		}
	})

	It("shows the tag a VLAN device adds", func() {
		testutils.Need(GinkgoT(), "vlan")
		received := capture(right)
		testutils.Inside(left, func() {
			parent, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "eth0.7", ParentIndex: parent.Attrs().Index}, VlanId: 7}
			Expect(netlink.LinkAdd(vlan)).To(Succeed())
			Expect(netlink.LinkSetUp(vlan)).To(Succeed())
		})
		data := testutils.EthernetFrame(theirs, ours, experimental, make([]byte, 50))
		Eventually(testutils.SendFrame).WithArguments(left, "eth0.7", data).Should(Succeed())
		frame, err := received.Wait(5*time.Second, func(f testutils.Frame) bool { return f.EtherType() == experimental })
		Expect(err).NotTo(HaveOccurred())
		Expect(frame.VLANs()).To(Equal([]uint16{7}))
	})

	It("keeps frames for a later Wait, and returns each once", func() {
		packets := capture(right)
		first := testutils.EthernetFrame(theirs, ours, experimental, []byte("first"))
		second := testutils.EthernetFrame(theirs, ours, experimental, []byte("second"))
		Expect(testutils.SendFrame(left, "eth0", first)).To(Succeed())
		Expect(testutils.SendFrame(left, "eth0", second)).To(Succeed())

		_, err := packets.Wait(5*time.Second, is(second))
		Expect(err).NotTo(HaveOccurred())
		_, err = packets.Wait(5*time.Second, is(first))
		Expect(err).NotTo(HaveOccurred())
		_, err = packets.Wait(10*time.Millisecond, is(first))
		Expect(err).To(MatchError(os.ErrDeadlineExceeded))
	})

	It("says what else there was", func() {
		packets := capture(right)
		Expect(testutils.SendFrame(left, "eth0", testutils.EthernetFrame(theirs, ours, experimental, make([]byte, 50), 9))).To(Succeed())
		_, err := packets.Wait(100*time.Millisecond, func(testutils.Frame) bool { return false })
		Expect(err).To(MatchError(os.ErrDeadlineExceeded))
		Expect(err).To(MatchError(ContainSubstring("\n\t02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 9 type 0x88b5, 68 bytes")))
	})

	It("survives a link that goes down and up", func() {
		packets := capture(right)
		testutils.Inside(right, func() {
			link, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetDown(link)).To(Succeed())
			Expect(netlink.LinkSetUp(link)).To(Succeed())
		})
		testutils.Inside(left, func() { Expect(testutils.Ping("192.0.2.1", "192.0.2.2", 5)).To(Succeed()) })
		_, err := packets.Wait(5*time.Second, func(f testutils.Frame) bool { return f.EtherType() == unix.ETH_P_IP })
		Expect(err).NotTo(HaveOccurred())
	})

	It("does not let a frame get lost on a link that is down", func() {
		testutils.Inside(right, func() {
			link, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetDown(link)).To(Succeed())
		})
		Eventually(testutils.SendFrame).WithArguments(left, "eth0", []byte(nil)).
			Should(MatchError("send on eth0: the link is down, not up"))
	})

	It("needs a link that exists", func() {
		_, err := testutils.Capture(left, "nothere")
		Expect(err).To(MatchError(HavePrefix("capture on nothere: ")))
		Expect(testutils.SendFrame(left, "nothere", nil)).To(MatchError(HavePrefix("send on nothere: ")))
	})

	It("works in the current namespace", func() {
		testutils.Inside(left, func() {
			packets := capture(nil)
			data := testutils.EthernetFrame(theirs, ours, experimental, make([]byte, 50))
			Expect(testutils.SendFrame(nil, "eth0", data)).To(Succeed())
			_, err := packets.Wait(5*time.Second, is(data))
			Expect(err).NotTo(HaveOccurred())
		})
	})
})
