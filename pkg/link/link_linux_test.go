// SPDX-License-Identifier: Apache-2.0

package link_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// names are those of all links but lo.
func names() []string {
	GinkgoHelper()
	links, err := netlinksafe.LinkList()
	Expect(err).NotTo(HaveOccurred())
	var all []string
	for _, l := range links {
		if name := l.Attrs().Name; name != "lo" {
			all = append(all, name)
		}
	}
	return all
}

func mustFind(name string) netlink.Link {
	GinkgoHelper()
	l, err := link.Find(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}

func mustParse(text string) *netlink.Addr {
	GinkgoHelper()
	addr, err := netlink.ParseAddr(text)
	Expect(err).NotTo(HaveOccurred())
	return addr
}

func soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	DeferCleanup(cancel)
	return ctx
}

var _ = Describe("IsNotFound", func() {
	It("knows what says that a link does not exist", func() {
		Expect(link.IsNotFound(netlink.LinkNotFoundError{})).To(BeTrue())
		Expect(link.IsNotFound(fmt.Errorf("set it up: %w", unix.ENODEV))).To(BeTrue())
		Expect(link.IsNotFound(fmt.Errorf("delete it: %w", link.ErrNotFound))).To(BeTrue())
		Expect(link.IsNotFound(unix.EPERM)).To(BeFalse())
		Expect(link.IsNotFound(nil)).To(BeFalse())
	})
})

var _ = Describe("RandomMAC", func() {
	It("gives local unicast addresses that differ", func() {
		seen := map[string]bool{}
		for range 1000 {
			mac := link.RandomMAC()
			Expect(mac).To(HaveLen(6))
			Expect(mac[0] & 0x03).To(Equal(byte(0x02)))
			seen[mac.String()] = true
		}
		Expect(len(seen)).To(BeNumerically(">", 990))
	})
})

var _ = Describe("links", func() {
	var host, container ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth")
		host, container = testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
	})

	// spec is a pair from the host's namespace into the container's.
	spec := func() link.VethSpec {
		return link.VethSpec{
			Host:      link.VethEnd{Name: "veth0"},
			Container: link.VethEnd{Name: "eth0", Netns: container},
		}
	}
	create := func() (netlink.Link, netlink.Link) {
		GinkgoHelper()
		hostEnd, containerEnd, err := link.CreateVeth(spec())
		Expect(err).NotTo(HaveOccurred())
		return hostEnd, containerEnd
	}

	Describe("Find", func() {
		It("finds by name and by index", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(mustFind("veth0").Attrs().Index).To(Equal(hostEnd.Attrs().Index))
				byIndex, err := link.FindByIndex(hostEnd.Attrs().Index)
				Expect(err).NotTo(HaveOccurred())
				Expect(byIndex.Attrs().Name).To(Equal("veth0"))
			})
		})

		It("says which link there is not", func() {
			testutils.Inside(host, func() {
				_, err := link.Find("eth7")
				Expect(err).To(MatchError(`link "eth7": not found`))
				Expect(errors.Is(err, link.ErrNotFound)).To(BeTrue())
				_, err = link.FindByIndex(4711)
				Expect(err).To(MatchError("link #4711: not found"))
				Expect(link.IsNotFound(err)).To(BeTrue())
			})
		})
	})

	Describe("DescribeNow", func() {
		It("says what the kernel does, also of a link by its alternative name", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkAddAltName(hostEnd, "other")).To(Succeed())
				Expect(netlink.LinkSetMTU(hostEnd, 1400)).To(Succeed())
				for _, name := range []string{"veth0", "other"} {
					Expect(link.DescribeNow(name, "/run/netns/a")).To(Equal(link.Describe(mustFind("veth0"), "/run/netns/a")))
				}
				_, err := link.DescribeNow("eth7", "")
				Expect(err).To(MatchError(link.ErrNotFound))
			})
		})
	})

	Describe("OtherEnd", func() {
		It("finds the other end of a veth, here or in another namespace", func() {
			testutils.Inside(host, func() {
				_, containerEnd := create()
				found, err := link.OtherEnd(mustFind("veth0"))
				Expect(err).NotTo(HaveOccurred())
				expectSame(containerEnd, found)
				Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "two"})).To(Succeed())
				found, err = link.OtherEnd(mustFind("one"))
				Expect(err).NotTo(HaveOccurred())
				Expect(found.Attrs().Name).To(Equal("two"))
				_, err = link.OtherEnd(mustFind("lo"))
				Expect(err).To(And(MatchError("link at the other end of lo: not found"), MatchError(link.ErrNotFound)))
			})
		})
	})

	Describe("FindVeth", func() {
		It("says the index of the peer, as the statistics of the driver do", func() {
			testutils.Inside(host, func() {
				_, containerEnd := create()
				found, peer, err := link.FindVeth("veth0")
				Expect(err).NotTo(HaveOccurred())
				expectSame(mustFind("veth0"), found)
				Expect(peer).To(Equal(containerEnd.Attrs().Index))
				Expect(link.PeerFromStatistics("veth0")).To(Equal(peer))
			})
		})

		It("finds nothing for what is no veth, or not there", func() {
			testutils.Inside(host, func() {
				_, _, err := link.FindVeth("lo")
				Expect(err).To(MatchError(ContainSubstring("not veth")))
				_, _, err = link.FindVeth("nothing")
				Expect(err).To(MatchError(link.ErrNotFound))
				_, err = link.PeerFromStatistics("lo")
				Expect(err).To(MatchError(ContainSubstring("lo")))
				_, err = link.PeerFromStatistics("nothing")
				Expect(err).To(MatchError(unix.ENODEV))
			})
		})
	})

	Describe("Delete", func() {
		It("deletes by name and by index, and does not mind when there is nothing", func() {
			testutils.Inside(host, func() {
				create()
				Expect(link.Delete("veth0")).To(Succeed())
				Expect(names()).To(BeEmpty())
				Expect(link.Delete("veth0")).To(Succeed())
				hostEnd, _ := create()
				Expect(link.DeleteByIndex(hostEnd.Attrs().Index)).To(Succeed())
				Expect(names()).To(BeEmpty())
				Expect(link.DeleteByIndex(hostEnd.Attrs().Index)).To(Succeed())
			})
			testutils.Inside(container, func() { Expect(names()).To(BeEmpty()) })
		})

		It("reports what keeps a link from being deleted", func() {
			testutils.Inside(host, func() {
				Expect(link.Delete("lo")).To(And(MatchError(ContainSubstring(`delete link "lo"`)), MatchError(unix.EOPNOTSUPP)))
				Expect(link.DeleteByIndex(0)).NotTo(Succeed())
			})
		})
	})

	Describe("CreateVeth", func() {
		It("puts each end in its place, as asked for", func() {
			mac, _ := net.ParseMAC("02:00:00:00:00:01")
			asked := spec()
			asked.MTU = 1400
			asked.Container.MAC = mac
			var hostEnd, containerEnd netlink.Link
			testutils.Inside(host, func() {
				var err error
				hostEnd, containerEnd, err = link.CreateVeth(asked)
				Expect(err).NotTo(HaveOccurred())
				Expect(names()).To(ConsistOf("veth0"))
				expectSame(hostEnd, mustFind("veth0"))
				Expect(hostEnd.Attrs().MTU).To(Equal(1400))
				Expect(mustFind("veth0").Attrs()).To(And(HaveField("NumTxQueues", 1), HaveField("NumRxQueues", 1)), "not one for each processor")
			})
			testutils.Inside(container, func() {
				Expect(names()).To(ConsistOf("eth0"))
				Expect(mustFind("eth0").Attrs()).To(And(HaveField("NumTxQueues", 1), HaveField("NumRxQueues", 1)))
				expectSame(containerEnd, mustFind("eth0"))
				Expect(containerEnd.Attrs().HardwareAddr).To(Equal(mac))
				Expect(containerEnd.Attrs().MTU).To(Equal(1400))
			})
		})

		It("works from the container's side, too", func() {
			asked := link.VethSpec{Host: link.VethEnd{Name: "veth0", Netns: host}, Container: link.VethEnd{Name: "eth0"}}
			var hostEnd, containerEnd netlink.Link
			testutils.Inside(container, func() {
				var err error
				hostEnd, containerEnd, err = link.CreateVeth(asked)
				Expect(err).NotTo(HaveOccurred())
				expectSame(containerEnd, mustFind("eth0"))
			})
			testutils.Inside(host, func() { expectSame(hostEnd, mustFind("veth0")) })
		})

		It("finds the pair where the kernel does not send it back", func() {
			testutils.Inside(host, func() {
				hostEnd, containerEnd := create()
				foundHost, foundContainer, err := link.FindPair(spec())
				Expect(err).NotTo(HaveOccurred())
				expectSame(foundHost, hostEnd)
				expectSame(foundContainer, containerEnd)
			})
		})

		It("says whose name is taken", func() {
			testutils.Inside(host, func() {
				create()
				again := spec()
				_, _, err := link.CreateVeth(again)
				Expect(err).To(MatchError(`interface "eth0" already exists in the container`))
				Expect(errors.Is(err, unix.EEXIST)).To(BeTrue())
				again.Container.Name = "eth1"
				_, _, err = link.CreateVeth(again)
				Expect(err).To(MatchError(`interface "veth0" already exists on the host`))
				var exists *link.ExistsError
				Expect(errors.As(err, &exists)).To(BeTrue())
				Expect(*exists).To(Equal(link.ExistsError{Name: "veth0"}))
				Expect(names()).To(ConsistOf("veth0"))
			})
			testutils.Inside(container, func() { Expect(names()).To(ConsistOf("eth0")) })
		})

		It("refuses what the kernel refuses", func() {
			testutils.Inside(host, func() {
				asked := spec()
				asked.MTU = 70000
				_, _, err := link.CreateVeth(asked)
				Expect(err).To(MatchError(ContainSubstring("create the veth pair veth0 (host) and eth0 (container)")))
				asked = spec()
				asked.Host.Netns = container
				_, _, err = link.CreateVeth(asked)
				Expect(err).To(MatchError(ContainSubstring("one has to be in the current one")))
				Expect(names()).To(BeEmpty())
			})
		})
	})

	Describe("CreateIn", func() {
		bridge := func() netlink.Link { return &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{TxQLen: -1, MTU: 1400}} }

		BeforeEach(func() { testutils.Need(GinkgoT(), "bridge") })

		It("creates the link under its final name, also if the host has one of that name", func() {
			testutils.Inside(host, func() {
				create()
				created, err := link.CreateIn(container, bridge(), "veth0")
				Expect(err).NotTo(HaveOccurred())
				Expect(created.Type()).To(Equal("bridge"))
				Expect(created.Attrs().MTU).To(Equal(1400))
				Expect(created.Attrs().HardwareAddr).To(HaveLen(6))
			})
			testutils.Inside(container, func() { Expect(names()).To(ConsistOf("eth0", "veth0")) })
		})

		It("refuses a name that is taken in the container, and changes nothing", func() {
			testutils.Inside(host, func() {
				create()
				_, err := link.CreateIn(container, bridge(), "eth0")
				Expect(err).To(MatchError(`interface "eth0" already exists in the container`))
				Expect(names()).To(ConsistOf("veth0"))
			})
			testutils.Inside(container, func() { Expect(names()).To(ConsistOf("eth0")) })
		})

		It("can rename the link instead, and removes it when that fails", func() {
			testutils.Inside(host, func() {
				created, err := link.CreateAndRename(container, bridge(), "eth0")
				Expect(err).NotTo(HaveOccurred())
				Expect(created.Attrs().Name).To(Equal("eth0"))
				_, err = link.CreateAndRename(container, bridge(), "eth0")
				Expect(err).To(And(MatchError(ContainSubstring("rename veth")), MatchError(unix.EEXIST)))
			})
			testutils.Inside(container, func() { Expect(names()).To(ConsistOf("eth0")) })
		})
	})

	Describe("Veths", func() {
		It("lists those with the prefix, with their aliases", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(link.Own(hostEnd.Attrs().Index, "net/ctr/eth0")).To(Succeed())
				other := spec()
				other.Host.Name, other.Container.Name = "other0", "eth1"
				_, _, err := link.CreateVeth(other)
				Expect(err).NotTo(HaveOccurred())
				veths, err := link.Veths("veth")
				Expect(err).NotTo(HaveOccurred())
				Expect(veths).To(HaveLen(1))
				Expect(veths[0].Attrs().Alias).To(Equal("net/ctr/eth0"))
				Expect(link.Veths("")).To(HaveLen(2))
			})
		})
	})

	Describe("a bridge port", func() {
		var bridge netlink.Link

		BeforeEach(func() {
			testutils.Need(GinkgoT(), "bridge")
			testutils.Inside(host, func() {
				bridge = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", TxQLen: -1}}
				Expect(netlink.LinkAdd(bridge)).To(Succeed())
				Expect(netlink.LinkSetUp(bridge)).To(Succeed())
			})
		})

		It("gets master, alias and state at once, and no link-local address", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(link.Join(hostEnd.Attrs().Index, link.Port{Bridge: bridge.Attrs().Index, Alias: "who/whose/eth0"})).To(Succeed())
				attrs := mustFind("veth0").Attrs()
				Expect(attrs.MasterIndex).To(Equal(bridge.Attrs().Index))
				Expect(attrs.Alias).To(Equal("who/whose/eth0"))
				Expect(attrs.Flags & net.FlagUp).NotTo(BeZero())
				testutils.Inside(container, func() { Expect(netlink.LinkSetUp(mustFind("eth0"))).To(Succeed()) })
				Expect(link.WaitUp(soon(), hostEnd.Attrs().Index)).To(Succeed())
				Expect(link.Addresses(hostEnd, netlink.FAMILY_ALL)).To(BeEmpty())
				testutils.Inside(container, func() {
					Eventually(func() ([]netlink.Addr, error) { return link.Addresses(mustFind("eth0"), netlink.FAMILY_V6) }).ShouldNot(BeEmpty())
				})
			})
		})

		It("gets hairpin mode and isolation, and loses them", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				for _, want := range []struct{ hairpin, isolated bool }{{true, false}, {false, true}, {true, true}, {false, false}} {
					settings := link.Port{Bridge: bridge.Attrs().Index, Alias: "x", Hairpin: want.hairpin, Isolated: want.isolated}
					Expect(link.Join(hostEnd.Attrs().Index, settings)).To(Succeed())
					Expect(link.PortOf(hostEnd.Attrs().Index)).To(Equal(settings))
					port, err := netlinksafe.LinkGetProtinfo(hostEnd)
					Expect(err).NotTo(HaveOccurred())
					Expect([]bool{port.Hairpin, port.Isolated}).To(Equal([]bool{want.hairpin, want.isolated}))
				}
			})
		})

		It("says what is wrong when it cannot be one", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				err := link.Join(hostEnd.Attrs().Index, link.Port{Bridge: 4711, Alias: "x"})
				Expect(err).To(MatchError(ContainSubstring("attach it: ")))
				_, err = link.PortOf(hostEnd.Attrs().Index)
				Expect(err).To(MatchError("veth0 is no port of a bridge"))
				Expect(link.Join(4711, link.Port{Bridge: bridge.Attrs().Index, Alias: "x"})).To(MatchError(unix.ENODEV))
			})
		})

		It("is up as soon as WaitUp returns, and passes packets", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.AddrAdd(bridge, mustParse("10.9.0.1/24"))).To(Succeed())
				Expect(link.Join(hostEnd.Attrs().Index, link.Port{Bridge: bridge.Attrs().Index, Alias: "x"})).To(Succeed())
				testutils.Inside(container, func() {
					Expect(netlink.AddrAdd(mustFind("eth0"), mustParse("10.9.0.2/24"))).To(Succeed())
					Expect(netlink.LinkSetUp(mustFind("eth0"))).To(Succeed())
				})
				Expect(link.WaitUp(soon(), hostEnd.Attrs().Index)).To(Succeed())
				Expect(testutils.Ping("10.9.0.1", "10.9.0.2", 1)).To(Succeed())
			})
		})
	})

	Describe("WaitUp", func() {
		It("waits for the other end", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
				done := make(chan error, 1)
				go func() {
					done <- host.Do(func(ns.NetNS) error { return link.WaitUp(soon(), hostEnd.Attrs().Index) })
				}()
				Consistently(done, "100ms").ShouldNot(Receive())
				testutils.Inside(container, func() { Expect(netlink.LinkSetUp(mustFind("eth0"))).To(Succeed()) })
				Eventually(done, "3s").Should(Receive(BeNil()))
				Expect(mustFind("veth0").Attrs().OperState).To(Equal(netlink.LinkOperState(netlink.OperUp)))
			})
		})

		It("tells what the link was like when the time was over", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				err := link.WaitUp(ctx, hostEnd.Attrs().Index)
				Expect(err).To(MatchError("link veth0 is down, waited for it to be up: context deadline exceeded"))
				Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
				Expect(time.Since(began)).To(And(BeNumerically(">=", 50*time.Millisecond), BeNumerically("<", time.Second)))
			})
		})

		It("ends with its context", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(20*time.Millisecond, cancel)
				Expect(link.WaitUp(ctx, hostEnd.Attrs().Index)).To(MatchError(context.Canceled))
			})
		})

		It("ends when the link goes away", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				done := make(chan error, 1)
				go func() {
					done <- host.Do(func(ns.NetNS) error { return link.WaitUp(soon(), hostEnd.Attrs().Index) })
				}()
				Consistently(done, "50ms").ShouldNot(Receive())
				Expect(link.Delete("veth0")).To(Succeed())
				Eventually(done, "2s").Should(Receive(MatchError(link.ErrNotFound)))
			})
		})

		It("takes a link that does not tell its state for up when it is set up", func() {
			testutils.Inside(host, func() {
				lo := mustFind("lo")
				Expect(netlink.LinkSetUp(lo)).To(Succeed())
				Expect(mustFind("lo").Attrs().OperState).To(Equal(netlink.LinkOperState(netlink.OperUnknown)))
				Expect(link.WaitUp(soon(), lo.Attrs().Index)).To(Succeed())
			})
		})
	})

	Describe("WaitDAD", func() {
		const address = "2001:db8::2"

		// start adds the address to the container's end and sets it up.
		start := func() int {
			GinkgoHelper()
			eth0 := mustFind("eth0")
			Expect(netlink.AddrAdd(eth0, mustParse(address+"/64"))).To(Succeed())
			Expect(netlink.LinkSetUp(eth0)).To(Succeed())
			return eth0.Attrs().Index
		}

		BeforeEach(func() { testutils.Need(GinkgoT(), "ipv6") })

		It("waits until the addresses are usable", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
			})
			testutils.Inside(container, func() {
				index := start()
				Expect(flagsOf("eth0")).To(ContainElement(ContainSubstring("tentative")))
				Expect(link.WaitDAD(soon(), index)).To(Succeed())
				Expect(flagsOf("eth0")).NotTo(ContainElement(ContainSubstring("tentative")))
			})
		})

		It("does not wait for other addresses than the given ones", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
			})
			testutils.Inside(container, func() {
				start()
				eth0 := mustFind("eth0")
				unique := mustParse("2001:db8::3/64")
				unique.Flags = unix.IFA_F_NODAD
				Expect(netlink.AddrAdd(eth0, unique)).To(Succeed())
				began := time.Now()
				Expect(link.WaitDAD(soon(), eth0.Attrs().Index, unique.IP)).To(Succeed())
				Expect(time.Since(began)).To(BeNumerically("<", 900*time.Millisecond))
			})
		})

		It("does not wait without carrier", func() {
			testutils.Inside(host, func() { create() })
			testutils.Inside(container, func() {
				index := start()
				began := time.Now()
				Expect(link.WaitDAD(soon(), index)).To(Succeed())
				Expect(time.Since(began)).To(BeNumerically("<", 900*time.Millisecond))
			})
		})

		It("stops waiting when the carrier is lost", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
			})
			testutils.Inside(container, func() {
				Expect(sysctl.Set("net/ipv6/conf/eth0/dad_transmits", "20")).To(Succeed()) // a second each
				index := start()
				done := make(chan error, 1)
				go func() {
					done <- container.Do(func(ns.NetNS) error { return link.WaitDAD(soon(), index) })
				}()
				Consistently(done, "100ms").ShouldNot(Receive())
				testutils.Inside(host, func() { Expect(netlink.LinkSetDown(mustFind("veth0"))).To(Succeed()) })
				Eventually(done, "3s").Should(Receive(BeNil())) // the kernel takes up to a second to tell
				Expect(flagsOf("eth0")).To(ContainElement(ContainSubstring("tentative")))
			})
		})

		It("names the address that somebody else has", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				taken := mustParse(address + "/64")
				taken.Flags = unix.IFA_F_NODAD
				Expect(netlink.AddrAdd(hostEnd, taken)).To(Succeed())
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
			})
			testutils.Inside(container, func() {
				err := link.WaitDAD(soon(), start())
				Expect(err).To(MatchError(And(ContainSubstring(address), ContainSubstring("eth0"), ContainSubstring("duplicate"))))
			})
		})

		It("reports the address that was tentative to the end", func() {
			testutils.Inside(host, func() {
				hostEnd, _ := create()
				Expect(netlink.LinkSetUp(hostEnd)).To(Succeed())
			})
			testutils.Inside(container, func() {
				eth0 := mustFind("eth0")
				Expect(netlink.LinkSetUp(eth0)).To(Succeed())
				Expect(link.WaitUp(soon(), eth0.Attrs().Index)).To(Succeed())
				index := start()
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				Expect(link.WaitDAD(ctx, index, net.ParseIP(address))).To(And(
					MatchError(ContainSubstring("link eth0 has the tentative address "+address)), MatchError(context.DeadlineExceeded)))
			})
		})
	})
})

// expectSame compares what identifies a link in a result.
func expectSame(got, want netlink.Link) {
	GinkgoHelper()
	describe := func(l netlink.Link) string {
		attrs := l.Attrs()
		return fmt.Sprintf("%s %d %s mac %s mtu %d peer %d up %v", l.Type(), attrs.Index, attrs.Name, attrs.HardwareAddr, attrs.MTU,
			attrs.ParentIndex, attrs.Flags&net.FlagUp != 0)
	}
	Expect(describe(got)).To(Equal(describe(want)))
}

// flagsOf says of every IPv6 address of a link whether it is tentative.
func flagsOf(name string) []string {
	GinkgoHelper()
	addresses, err := link.Addresses(mustFind(name), netlink.FAMILY_V6)
	Expect(err).NotTo(HaveOccurred())
	var all []string
	for _, addr := range addresses {
		text := []string{addr.IP.String()}
		if addr.Flags&unix.IFA_F_TENTATIVE != 0 {
			text = append(text, "tentative")
		}
		all = append(all, strings.Join(text, " "))
	}
	return all
}
