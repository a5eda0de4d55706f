// SPDX-License-Identifier: Apache-2.0

//go:build linux

package acd_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/acd"
	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// What RFC 5227 has in seconds.
const (
	probes   = 3
	interval = 200 * time.Millisecond
)

func TestACD(t *testing.T) { testrig.RunSpecs(t, "pkg/utils/acd") }

var _ = Describe("an address", func() {
	var here, there ns.NetNS

	BeforeEach(func() {
		here, there = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		testrig.Join(testrig.End{Netns: here, Name: "eth0"}, testrig.End{Netns: there, Name: "eth0", Addresses: []string{"192.0.2.9/24"}})
		testrig.WaitUp(here, "eth0")
		testrig.WaitUp(there, "eth0")
	})

	// on does something in a namespace, with its link.
	on := func(netns ns.NetNS, work func(netlink.Link) error) error {
		return netns.Do(func(ns.NetNS) error { return work(testrig.Find("eth0")) })
	}
	probe := func(ctx context.Context, ips ...net.IP) error {
		return on(here, func(l netlink.Link) error { return acd.Probe(ctx, l.Attrs().Index, l.Attrs().HardwareAddr, ips) })
	}
	macOf := func(netns ns.NetNS) (mac net.HardwareAddr) {
		Expect(on(netns, func(l netlink.Link) error { mac = l.Attrs().HardwareAddr; return nil })).To(Succeed())
		return mac
	}

	It("is somebody's who answers, and found among others at once", func() {
		start := time.Now()
		err := probe(context.Background(), net.IPv4(192, 0, 2, 8), net.IPv4(192, 0, 2, 9))
		Expect(time.Since(start)).To(BeNumerically("<", probes*interval))
		var conflict *acd.ConflictError
		Expect(errors.As(err, &conflict)).To(BeTrue(), "%v", err)
		Expect(conflict.IP.String()).To(Equal("192.0.2.9"))
		Expect(conflict.MAC).To(Equal(macOf(there)))
	})

	It("is nobody's where nobody answers in time, whatever else there is to be heard", func() {
		over := make(chan struct{})
		go func() { // all the time, about another
			defer GinkgoRecover()
			defer close(over)
			Expect(on(there, func(l netlink.Link) error {
				socket, err := packetsocket.Open(l.Attrs().Index, unix.ETH_P_ARP, nil)
				if err != nil {
					return err
				}
				question := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, l.Attrs().HardwareAddr...)
				question = append(question, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7)
				for end := time.Now().Add(probes * interval); time.Now().Before(end); {
					everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
					if err := socket.Send(question, everybody); err != nil {
						return err
					}
				}
				return socket.Close()
			})).To(Succeed())
		}()
		start := time.Now()
		Expect(probe(context.Background(), net.IPv4(192, 0, 2, 8))).To(Succeed())
		Expect(time.Since(start)).To(And(BeNumerically(">=", probes*interval), BeNumerically("<", 3*probes*interval)))
		Eventually(over).Should(BeClosed())
	})

	It("is not used by two who ask for it at the same time", func() {
		errs := make(chan error, 2)
		for _, netns := range []ns.NetNS{here, there} {
			go func() {
				defer GinkgoRecover()
				errs <- on(netns, func(l netlink.Link) error {
					return acd.Probe(context.Background(), l.Attrs().Index, l.Attrs().HardwareAddr, []net.IP{net.IPv4(192, 0, 2, 8)})
				})
			}()
		}
		first, second := <-errs, <-errs
		Expect(errors.Join(first, second)).To(MatchError(ContainSubstring("192.0.2.8 is in use by somebody else")))
	})

	It("is not waited for when there is no more time", func() {
		ctx, cancel := context.WithTimeout(context.Background(), interval/4)
		defer cancel()
		start := time.Now()
		Expect(probe(ctx, net.IPv4(192, 0, 2, 8))).To(MatchError(context.DeadlineExceeded))
		Expect(time.Since(start)).To(BeNumerically("<", probes*interval))
	})
})
