// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/d2g/dhcp4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// sent is a message of a client that arrived where the server is.
type sent struct {
	at      time.Time
	xid     uint32
	dst     net.IP
	from    net.IP // ciaddr
	options options
}

// traffic collects what clients send.
type traffic struct {
	mu  sync.Mutex
	all []sent
}

// listen collects the messages that reach the server's interface.
func (n *lan) listen() *traffic {
	GinkgoHelper()
	var socket *packetsocket.Socket
	within := &testrig.Container{Netns: n.server}
	within.Do(func() {
		var err error
		socket, err = packetsocket.Open(testrig.Find("eth0").Attrs().Index, unix.ETH_P_IP, nil)
		Expect(err).NotTo(HaveOccurred())
	})
	t := new(traffic)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			packet, _, err := socket.Receive()
			if err != nil {
				return
			}
			t.note(packet)
		}
	}()
	DeferCleanup(func() {
		Expect(socket.Close()).To(Succeed())
		Eventually(ended).Should(BeClosed())
	})
	return t
}

func (t *traffic) note(packet []byte) {
	datagram, ok := parseUDP(packet)
	header := int(packet[0]&0xf) * 4
	if !ok || binary.BigEndian.Uint16(packet[header+2:]) != serverPort || checkMessage(datagram.payload) != nil {
		return
	}
	message := dhcp4.Packet(slices.Clone(datagram.payload))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, sent{time.Now(), binary.BigEndian.Uint32(message.XId()), slices.Clone(datagram.dst), message.CIAddr(), parseOptions(message)})
}

// of returns the messages of a kind that came from a client. One that was sent
// again, since the server had not answered at once, is there once.
func (t *traffic) of(c *testrig.Container, kind dhcp4.MessageType) []sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []sent
	for _, s := range t.all {
		again := func(earlier sent) bool { return earlier.xid == s.xid }
		if string(s.options[optClientID]) == "\x00"+c.ID+"/test/eth0" && s.options.messageType() == kind && !slices.ContainsFunc(list, again) {
			list = append(list, s)
		}
	}
	return list
}

// managedRouter is the announcement of a default router of a network in which
// addresses are had by DHCPv6.
func managedRouter() []byte {
	return []byte{routerAdvertisement, 0, 0, 0, 64, 0x80, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0}
}

// withPrefix is an announcement that says, too, that a prefix of 64 bits is on
// the link.
func withPrefix(message []byte, prefix string) []byte {
	return append(append(slices.Clone(message), raPrefix, 4, 64, 0x80, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0, 0), net.ParseIP(prefix)...)
}

// withOwnPrefix is an announcement of a network whose addresses are made of a
// prefix, for seconds.
func withOwnPrefix(message []byte, prefix string, valid, preferred byte) []byte {
	message = slices.Clone(message)
	message[5] = 0 // not managed
	return append(append(message, raPrefix, 4, 64, 0xc0, 0, 0, 0, valid, 0, 0, 0, preferred, 0, 0, 0, 0), net.ParseIP(prefix)...)
}

// noDefault is the announcement of a router that is not the default router.
func noDefault(message []byte) []byte {
	message = slices.Clone(message)
	message[6], message[7] = 0, 0
	return message
}

// announce has a container say something to everybody, as a router does, again
// and again until the returned function is called.
func (n *lan) announce(c *testrig.Container, message []byte) (silence func()) {
	GinkgoHelper()
	own := net.ParseIP(linkLocalOf(c))
	var socket *packetsocket.Socket
	c.Do(func() {
		var err error
		socket, err = packetsocket.Open(testrig.Find("eth0").Attrs().Index, unix.ETH_P_IPV6, nil)
		Expect(err).NotTo(HaveOccurred())
	})
	all := net.ParseIP("ff02::1")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(stopped)
		for {
			Expect(socket.Send(icmp6(own, all, slices.Clone(message)), multicastMAC(all))).To(Succeed())
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	silence = sync.OnceFunc(func() {
		close(stop)
		<-stopped
		Expect(socket.Close()).To(Succeed())
	})
	DeferCleanup(silence)
	return silence
}

// linkLocalOf returns the link-local address of a container's eth0, which it sets
// up.
func linkLocalOf(c *testrig.Container) string {
	GinkgoHelper()
	var ip net.IP
	c.Do(func() {
		Expect(netlink.LinkSetUp(testrig.Find("eth0"))).To(Succeed())
		Eventually(func() error {
			addresses, err := netlink.AddrList(testrig.Find("eth0"), netlink.FAMILY_V6)
			for _, a := range addresses {
				if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
					ip = a.IP
				}
			}
			if err == nil && ip == nil {
				err = errors.New("it has none that is usable yet")
			}
			return err
		}).Should(Succeed())
	})
	return ip.String()
}
