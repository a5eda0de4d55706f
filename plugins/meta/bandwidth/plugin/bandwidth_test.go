// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
)

const mbit = 1_000_000

var _ = Describe("bandwidth", func() {
	var (
		rig *testrig.Rig
		c   *testrig.Container
	)

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ifb", "tbf", "mirred", "veth")
		rig = testrig.New(Plugin, "")
		c = rig.Container("one")
		attach(rig, c, "host0", "10.1.0.1/24", "10.2.0.1/24", "fd01::1/64", "fd02::1/64")
	})

	// prev is the result so far: the host's ends, and the container's interface.
	prev := func(hosts ...string) *current.Result {
		result := &current.Result{CNIVersion: "1.1.0"}
		for _, name := range hosts {
			result.Interfaces = append(result.Interfaces, &current.Interface{Name: name})
		}
		result.Interfaces = append(result.Interfaces, &current.Interface{Name: c.IfName, Sandbox: c.Path})
		return result
	}
	config := func(members string) string {
		return testrig.WithPrev(`{"type":"bandwidth",`+members+`}`, prev("host0"))
	}
	received := func(rate, burst uint64) string {
		return fmt.Sprintf(`"ingressRate":%d,"ingressBurst":%d`, rate, burst)
	}
	sent := func(rate, burst uint64) string {
		return fmt.Sprintf(`"egressRate":%d,"egressBurst":%d`, rate, burst)
	}
	both := func(rate, burst uint64) string { return received(rate, burst) + "," + sent(rate, burst) }
	onHost := func(name string) netlink.Link {
		GinkgoHelper()
		var l netlink.Link
		rig.OnHost(func() {
			var err error
			l, err = netlink.LinkByName(name)
			Expect(err).NotTo(HaveOccurred())
		})
		return l
	}
	tc := func(command string) string {
		GinkgoHelper()
		testutils.Need(GinkgoT(), "ip-tool")
		out, err := testrig.Run(rig.Host, "tc", strings.Fields(command)...)
		Expect(err).NotTo(HaveOccurred())
		return out
	}
	// disciplines are the queueing disciplines of the host's end, without counters.
	disciplines := func() []string {
		GinkgoHelper()
		counters := regexp.MustCompile(` direct_packets_stat \d+`)
		return testrig.Lines(counters.ReplaceAllString(tc("qdisc show dev host0"), ""), " noqueue ")
	}
	tbfOf := func(l netlink.Link) *netlink.Tbf {
		GinkgoHelper()
		var tbf *netlink.Tbf
		rig.OnHost(func() {
			root, err := rootQdisc(l)
			Expect(err).NotTo(HaveOccurred())
			tbf, _ = root.(*netlink.Tbf)
		})
		return tbf
	}
	linksOnHost := func() (names []string) {
		rig.OnHost(func() {
			links, err := netlink.LinkList()
			Expect(err).NotTo(HaveOccurred())
			for _, l := range links {
				names = append(names, l.Attrs().Name)
			}
		})
		return names
	}
	unnamed := func(of *testrig.Container) *testrig.Container {
		return &testrig.Container{ID: of.ID, IfName: of.IfName, Netns: of.Netns}
	}
	collect := func() {
		GinkgoHelper()
		_, err := rig.Call("GC", c, `{"type":"bandwidth","cni.dev/valid-attachments":[]}`)
		Expect(err).NotTo(HaveOccurred())
	}
	toContainer := func(address string) flow { return flow{rig.Host, c.Netns, address + "2"} }
	toHost := func(address string) flow { return flow{c.Netns, rig.Host, address + "1"} }

	Describe("real flows", func() {
		// The burst, and a queue as long, bridge 300 ms in which nobody sends.
		const rate, burst = 2 * mbit, 320_000
		shaped := BeNumerically("~", rate, rate/10)
		free := BeNumerically(">", 3*rate)

		// expect expects rates of flows. A machine that is busy with something else
		// for too long gets another chance.
		expect := func(offered float64, flows []flow, rates gomegatypes.GomegaMatcher) {
			GinkgoHelper()
			Eventually(func(g Gomega) { g.Expect(measure(g, offered, flows...)).To(rates) }).WithTimeout(15 * time.Second).Should(Succeed())
		}
		bothWays := func(addresses ...string) (flows []flow) {
			for _, address := range addresses {
				flows = append(flows, toContainer(address), toHost(address))
			}
			return flows
		}

		It("have the rate in both directions", func() {
			text := config(both(rate, burst))
			result := rig.Add(c, text)
			expect(4*rate, bothWays("10.1.0."), HaveEach(shaped))
			Expect(rig.Check(c, text, result)).To(Succeed())
			rig.Del(c, text)
			expect(4*rate, bothWays("10.1.0."), HaveEach(free))
		})

		It("have the rates of two entries of a list", func() {
			first := rig.Add(c, config(sent(rate, burst)))
			limited := received(rate, burst) + `,"shapedSubnets":["10.1.0.0/16"]`
			rig.Add(c, testrig.WithPrev(`{"type":"bandwidth",`+limited+`}`, first))
			expect(4*rate, append(bothWays("10.1.0."), toContainer("10.2.0.")), HaveExactElements(shaped, shaped, free))
		})

		It("have different rates in different directions", func() {
			rig.Add(c, config(received(rate, burst)))
			expect(4*rate, bothWays("fd01::"), HaveExactElements(shaped, free))
			Expect(linksOnHost()).NotTo(ContainElement(HavePrefix("bw")), "no device without egress")
		})

		DescribeTable("are shaped by where they go",
			func(subnets string) {
				text := config(both(rate, burst) + subnets)
				result := rig.Add(c, text)
				Expect(rig.Check(c, text, result)).To(Succeed())
				for _, limited := range []string{"10.1.0.", "fd01::"} {
					expect(4*rate, bothWays(limited, "10.2.0.", "fd02::"), HaveExactElements(shaped, shaped, free, free, free, free))
				}
				rig.Del(c, text)
				Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
			},
			Entry("with shapedSubnets", `,"shapedSubnets":["10.1.0.0/16","fd01::/16"]`),
			Entry("with one in the form of IPv6", `,"shapedSubnets":["::ffff:10.1.0.0/112","fd01::/16"]`),
			Entry("with unshapedSubnets", `,"unshapedSubnets":["10.2.0.9/24","fd02::/33"]`),
		)

		DescribeTable("are limited beside what somebody else has put where nothing is needed",
			func(foreign, members string, rates gomegatypes.GomegaMatcher) {
				tc("qdisc add dev host0 " + foreign)
				before := disciplines()
				text := config(members)
				for range 2 {
					result := rig.Add(c, text)
					Expect(rig.Check(c, text, result)).To(Succeed())
					Expect(disciplines()).To(ContainElements(before))
				}
				expect(4*rate, bothWays("10.1.0."), rates)
				rig.Del(c, text)
				Expect(disciplines()).To(Equal(before))
				Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
			},
			Entry("at the hook", "clsact", received(rate, burst), HaveExactElements(shaped, free)),
			Entry("at the root", "root handle 5: pfifo", sent(rate, burst), HaveExactElements(free, shaped)),
			Entry("at the root, with subnets", "root handle 5: pfifo", both(rate, burst)+`,"shapedSubnets":["10.1.0.0/16"]`, HaveEach(shaped)),
		)

		It("have a burst that takes more than 32 bits to compute", func() {
			// 1 Mbit/s with containerd's burst: upstream comes to 20 MiB, not 512,
			// which would be at an end after two seconds.
			text := config(both(mbit, 1<<32-1))
			result := rig.Add(c, text)
			Expect(rig.Check(c, text, result)).To(Succeed())
			expect(80*mbit, bothWays("10.1.0."), HaveEach(BeNumerically(">", 60*mbit)))
		})
	})

	It("reports the device, which says whose it is", func() {
		result := rig.Add(c, config(both(mbit, mbit)))
		Expect(result.Interfaces).To(HaveLen(3))
		device := result.Interfaces[2]
		Expect(device.Name).To(Equal("bwp992292e07561"), "bwp$(printf testone | sha512sum | cut -c1-12)")
		attrs := onHost(device.Name).Attrs()
		Expect(attrs.Alias).To(Equal("test/one/eth0"))
		Expect(device).To(Equal(&current.Interface{Name: attrs.Name, Mac: attrs.HardwareAddr.String(), Mtu: 1500}))
		Expect([]any{attrs.TxQLen, attrs.Flags & net.FlagUp}).To(Equal([]any{0, net.FlagUp}))
	})

	DescribeTable("makes of rates and bursts what upstream makes",
		func(rate, burst, bytes uint64, limit uint32) {
			rig.Add(c, config(both(rate, burst)))
			tbf := tbfOf(onHost("host0"))
			Expect([]any{tbf.Rate, tbf.Limit}).To(Equal([]any{bytes, limit}))
			Expect(tbf.Buffer).To(Equal(netlink.Xmittime(bytes, uint32(burst/8))))
		},
		Entry("small ones", uint64(8000), uint64(80), uint64(1000), uint32(35)),
		Entry("the least", uint64(8), uint64(8), uint64(1), uint32(1)),
		Entry("usual ones", uint64(100*mbit), uint64(10*mbit), uint64(12_500_000), uint32(1_562_500)),
		Entry("a rate that takes 64 bits", uint64(100_000*mbit), uint64(80_000*mbit/8), uint64(12_500_000_000), uint32(312_500_000+1_250_000_000)),
	)

	DescribeTable("lets packets through that a burst has room for, at high rates",
		func(rate, burst uint64, size int) {
			text := config(both(rate, burst))
			result := rig.Add(c, text)
			Expect(testrig.ReachWith(rig.Host, c.Netns, "10.1.0.2", size)).To(Succeed())
			Expect(rig.Check(c, text, result)).To(Succeed())
			Expect(rig.Check(c, config(both(rate, burst/2)), result)).To(MatchError(ContainSubstring("burst in ticks is ")))
			rig.Del(c, text)
		},
		Entry("10 Gbit/s and one packet", uint64(10_000*mbit), uint64(1514*8), 1400),
		Entry("40 Gbit/s and two", uint64(40_000*mbit), uint64(3000*8), 1400),
		Entry("100 Gbit/s and two", uint64(100_000*mbit), uint64(3000*8), 1400),
		Entry("400 Gbit/s and half a megabyte", uint64(400_000*mbit), uint64(4*mbit), 1400),
	)

	It("can have the largest numbers that there are", func() {
		text := config(both(1<<64-1, 1<<35-16))
		result := rig.Add(c, text)
		Expect(testrig.ReachWith(rig.Host, c.Netns, "10.1.0.2", 1400)).To(Succeed())
		Expect(rig.Check(c, text, result)).To(Succeed())
	})

	It("finds the host's end wherever it stands in prevResult", func() {
		other := rig.Container("other")
		attach(rig, other, "host1")
		attach(rig, rig.Container("third"), "host2")
		for _, order := range [][]string{{"host1", "host0", "host2"}, {"host2", "host1", "host0"}, {"host0", "host1"}} {
			text := testrig.WithPrev(`{"type":"bandwidth",`+both(mbit, mbit)+`}`, prev(order...))
			rig.Add(c, text)
			Expect(tbfOf(onHost("host0"))).NotTo(BeNil())
			Expect(tbfOf(onHost("host1"))).To(BeNil())
			rig.Del(c, text)
			Expect(tbfOf(onHost("host0"))).To(BeNil())
		}
	})

	It("says why an interface cannot be shaped", func() {
		refusal := func(result *current.Result) error {
			_, err := rig.Call("ADD", c, testrig.WithPrev(`{"type":"bandwidth",`+both(mbit, mbit)+`}`, result))
			Expect(linksOnHost()).NotTo(ContainElement(HavePrefix("bw")))
			return err
		}
		Expect(refusal(&current.Result{CNIVersion: "1.1.0"})).To(MatchError(ContainSubstring("prevResult.interfaces: host0, the host's end of eth0, is not among them")))
		err := refusal(prev("host1"))
		Expect(err).To(MatchError(ContainSubstring("host0, the host's end of eth0, is not among them")))
		Expect(testrig.Code(err)).To(Equal(uint(types.ErrInvalidNetworkConfig)))

		c.IfName = "lo"
		Expect(refusal(prev("host0"))).To(MatchError(ContainSubstring(`link "lo" is of type device, not veth`)))
		c.IfName = "inside"
		c.Do(func() {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "inside", Index: 500}, PeerName: "peer"})).To(Succeed())
		})
		Expect(refusal(prev("host0", "peer"))).To(MatchError(ContainSubstring("not in this network namespace")))
		_, err = rig.Call("ADD", c, testrig.WithPrev(`{"type":"bandwidth"}`, prev("host0")))
		Expect(err).NotTo(HaveOccurred(), "without limits nothing is looked at")
		_, err = rig.Call("CHECK", c, testrig.WithPrev(`{"type":"bandwidth","ingressRate":0,"ingressBurst":0}`, prev("host0")))
		Expect(err).NotTo(HaveOccurred())
	})

	DescribeTable("does not replace what somebody else has put in a place that is needed",
		func(foreign, members, complaint string) {
			tc("qdisc add dev host0 " + foreign)
			expectSame := rig.Remember(c)
			_, err := rig.Call("ADD", c, config(members))
			Expect(err).To(MatchError(ContainSubstring("host0 has a queueing discipline that is not ours: " + complaint)))
			expectSame()
			rig.Del(c, config(members))
			expectSame()
		},
		Entry("at the root", "root handle 7: bfifo", both(mbit, mbit), "bfifo 7:0; ingressRate needs its place"),
		Entry("at the root, with the handle of ours", "root handle 1: tbf rate 1mbit burst 10k limit 10k", received(mbit, mbit), "tbf 1:0; ingressRate needs its place"),
		Entry("at the root, with the handle of upstream's", "root handle 1: htb default 30", both(mbit, mbit), "htb 1:0; ingressRate needs its place"),
		Entry("at the hook", "clsact", sent(mbit, mbit), "clsact ffff:0; egressRate needs its place"),
		Entry("at the hook, for one direction", "clsact", both(mbit, mbit), "clsact ffff:0; egressRate needs its place"),
		Entry("at the hook, for subnets", "ingress", received(mbit, mbit)+`,"unshapedSubnets":["10.2.0.0/16"]`,
			"ingress ffff:0; ingressRate with subnets needs its place"),
	)

	DescribeTable("does not take for its own what somebody else has put at the root",
		func(foreign, members string) {
			tc("qdisc add dev host0 root " + foreign)
			before := disciplines()
			const limitless = `{"type":"bandwidth"}`
			for _, detach := range []func(){
				func() { rig.Del(c, config(members)) },
				func() { rig.Del(c, limitless) },
				func() { rig.Del(unnamed(c), limitless) },
				collect,
			} {
				rig.Add(c, config(members))
				result := rig.Add(c, config(members))
				Expect(rig.Check(c, config(members), result)).To(Succeed())
				Expect(disciplines()).To(ContainElements(before))
				detach()
				Expect(disciplines()).To(Equal(before))
				rig.Del(c, limitless)
				Expect(disciplines()).To(Equal(before))
				Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
			}
		},
		Entry("tbf, with a limit of what is sent", "handle 1: tbf rate 1mbit burst 10k limit 10k", sent(mbit, mbit)),
		Entry("tbf with upstream's latency", "handle 1: tbf rate 1mbit burst 10k latency 25ms", sent(mbit, mbit)),
		Entry("htb", "handle 1: htb default 30", sent(mbit, mbit)),
		Entry("tbf, with subnets", "handle 1: tbf rate 1mbit burst 10k limit 10k", both(mbit, mbit)+`,"shapedSubnets":["10.1.0.0/16"]`),
		Entry("tbf, without limits", "handle 1: tbf rate 1mbit burst 10k limit 10k", `"ingressRate":0`),
	)

	DescribeTable("removes its shaper, whatever DEL says and somebody else has done",
		func(members string) {
			const limitless = `{"type":"bandwidth"}`
			for _, interfere := range []func(){
				func() {},
				func() { tc("qdisc change dev host0 root handle 1: tbf rate 1mbit burst 10k limit 10k") },
			} {
				for _, detach := range []func(){
					func() { rig.Del(c, config(members)) },
					func() { rig.Del(c, limitless) },
					func() { rig.Del(c, config(sent(mbit, mbit))) },
					func() { rig.Del(unnamed(c), limitless) },
					func() { rig.Add(c, config(sent(mbit, mbit))); rig.Del(c, limitless) },
					collect,
				} {
					rig.Add(c, config(members))
					interfere()
					detach()
					Expect(disciplines()).To(BeEmpty())
					Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
				}
			}
			rig.Add(c, config(members))
			testrig.IP(rig.Host, "link set host0 down")
			testrig.IP(rig.Host, "link set host0 name renamed0")
			rig.Del(c, limitless)
			Expect(tbfOf(onHost("renamed0"))).To(BeNil())
		},
		Entry("of what the container receives alone", received(mbit, mbit)),
		Entry("of both directions", both(mbit, mbit)),
	)

	It("knows its shaper by the limits if there is no record", func() {
		rig.Add(c, config(both(mbit, 1<<32-1)))
		rig.OnHost(func() { Expect(store().Delete(ownerOf("one", "eth0"))).To(Succeed()) })
		rig.Del(c, config(both(mbit, 1<<32-1)))
		Expect(disciplines()).To(BeEmpty())
	})

	DescribeTable("leaves alone the limit of another container,",
		func(mistake func(own, another *testrig.Container), alias string, recorded bool) {
			another := rig.Container("another")
			attach(rig, another, "host1")
			limits := testrig.WithPrev(`{"type":"bandwidth",`+received(mbit, mbit)+`}`, prev("host0", "host1"))
			rig.Add(c, limits)
			rig.Add(another, limits)
			rig.OnHost(func() {
				Expect(netlink.LinkSetAlias(testrig.Find("host1"), alias)).To(Succeed())
				if !recorded {
					Expect(store().Delete(ownerOf("another", "eth0"))).To(Succeed())
				}
			})
			mistake(c, another)
			for range 2 {
				rig.Del(c, limits)
				Expect(tbfOf(onHost("host1"))).NotTo(BeNil())
			}
		},
		Entry("which has the namespace by now", takeNamespace, "test/another/eth0", false),
		Entry("which has the namespace by now, of another plugin", takeNamespace, "", true),
		Entry("which the container pretends to be", pretend, "test/another/eth0", true),
		Entry("which the container pretends to be, of another plugin", pretend, "", true),
		Entry("which the container pretends to be, of upstream", pretend, "", false),
	)

	It("shapes again when ADD is called again", func() {
		rig.Add(c, config(both(mbit, mbit)))
		result := rig.Add(c, config(both(2*mbit, mbit)))
		Expect(rig.Check(c, config(both(2*mbit, mbit)), result)).To(Succeed())
		Expect(rig.Check(c, config(both(mbit, mbit)), result)).To(MatchError(ContainSubstring("rate in bytes is 250000, expected 125000")))
		result = rig.Add(c, config(both(mbit, mbit)+`,"shapedSubnets":["10.1.0.0/16"]`))
		Expect(rig.Check(c, config(both(mbit, mbit)+`,"shapedSubnets":["10.1.0.0/16"]`), result)).To(Succeed())
		rig.Del(c, config(both(mbit, mbit)))
		Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
		Expect(tbfOf(onHost("host0"))).To(BeNil())
	})

	Describe("two entries of a list", func() {
		// then is what the entry after one gets that returned result.
		then := func(members string, result *current.Result) string {
			return testrig.WithPrev(`{"type":"bandwidth",`+members+`}`, result)
		}
		const subnet, another = `,"shapedSubnets":["10.1.0.0/16","fd01::/16"]`, `,"unshapedSubnets":["10.2.0.0/16"]`
		orders := []TableEntry{
			Entry("what is received, and what is sent", received(mbit, mbit), sent(2*mbit, mbit)),
			Entry("what is sent, and what is received", sent(mbit, mbit), received(2*mbit, mbit)),
			Entry("what is received of subnets, and what is sent", received(mbit, mbit)+subnet, sent(2*mbit, mbit)),
			Entry("what is sent, and what is received of subnets", sent(mbit, mbit), received(2*mbit, mbit)+subnet),
			Entry("what is sent of subnets, and what is received", sent(mbit, mbit)+subnet, received(2*mbit, mbit)),
			Entry("what is received, and what is sent of subnets", received(mbit, mbit), sent(2*mbit, mbit)+subnet),
			Entry("what is received and sent of different subnets", received(mbit, mbit)+another, sent(2*mbit, mbit)+subnet),
			Entry("what is sent and received of different subnets", sent(mbit, mbit)+another, received(2*mbit, mbit)+subnet),
		}

		DescribeTable("both limit, and go together:",
			func(one, two string) {
				for _, detach := range []func(){
					func() { rig.Del(c, config(two)) },
					func() { rig.Del(c, config(one)) },
					func() { rig.Del(unnamed(c), `{"type":"bandwidth"}`) },
					collect,
				} {
					for range 2 { // the second time, a DEL has been missed
						first := rig.Add(c, config(one))
						second := rig.Add(c, then(two, first))
						Expect(rig.Check(c, config(one), second)).To(Succeed())
						Expect(rig.Check(c, config(two), second)).To(Succeed())
					}
					detach()
					Expect(disciplines()).To(BeEmpty())
					Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
				}
			}, orders)

		DescribeTable("keep the first one's when the second one cannot have its own:",
			func(one, two string) {
				first := rig.Add(c, config(one))
				expectSame := rig.Remember(c)
				for at := 1; ; at++ {
					fault := &undo.Fault{At: at}
					_, err := rig.CallWith(undo.WithFault(context.Background(), fault), "ADD", c, then(two, first))
					if err == nil {
						break
					}
					Expect(rig.Check(c, config(one), first)).To(Succeed())
					expectSame()
				}
			}, orders)

		DescribeTable("of which the second limits the same take its numbers:",
			func(members string) {
				first := rig.Add(c, config(both(mbit, mbit)+subnet))
				second := rig.Add(c, then(members, first))
				Expect(rig.Check(c, config(members), second)).To(Succeed())
				rig.Del(c, config(members))
				Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
				Expect(disciplines()).To(BeEmpty())
			},
			Entry("received", received(2*mbit, mbit)),
			Entry("received of subnets", received(2*mbit, mbit)+another),
			Entry("sent", sent(2*mbit, mbit)),
			Entry("sent of subnets", sent(2*mbit, mbit)+another),
			Entry("both", both(2*mbit, mbit)),
		)
	})

	It("keeps no limit that the runtime does not give again", func() {
		ofRuntime := func(limits string) string {
			return config(`"capabilities":{"bandwidth":true},"runtimeConfig":{"bandwidth":{` + limits + `}}`)
		}
		for _, again := range []string{received(mbit, mbit), sent(mbit, mbit)} {
			rig.Add(c, ofRuntime(again))
			before := disciplines()
			rig.Add(c, ofRuntime(both(mbit, mbit)))
			rig.Add(c, ofRuntime(again))
			Expect(disciplines()).To(Equal(before))
			rig.Del(c, ofRuntime(again))
		}
	})

	It("has a device for each interface of a container in a network", func() {
		text := func(name string) string {
			return testrig.WithPrev(`{"type":"bandwidth",`+both(mbit, mbit)+`}`, prev("host0", "host1"))
		}
		second := &testrig.Container{ID: c.ID, IfName: "eth1", Netns: c.Netns, Path: c.Path}
		attach(rig, second, "host1")
		one := rig.Add(c, text("host0"))
		two := rig.Add(second, text("host1"))
		Expect(one.Interfaces[3].Name).NotTo(Equal(two.Interfaces[3].Name))
		Expect(onHost(two.Interfaces[3].Name).Attrs().Alias).To(Equal("test/one/eth1"))
		rig.Del(c, text("host0"))
		Expect(rig.Check(second, text("host1"), two)).To(Succeed())
		rig.Del(second, text("host1"))
		Expect(linksOnHost()).To(ConsistOf("lo", "host0", "host1"))
	})

	Describe("an attachment of upstream", func() {
		// upstream makes what upstream's ADD makes.
		upstream := func(rate, burst uint64, kind string) {
			GinkgoHelper()
			name := upstreamName(ownerOf("one", "eth0"))
			s := newShaper(&rate, &burst)
			rig.OnHost(func() {
				Expect(netlink.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1500, Flags: net.FlagUp}})).To(Succeed())
				host, err := netlink.LinkByName("host0")
				Expect(err).NotTo(HaveOccurred())
				ifb, err := netlink.LinkByName(name)
				Expect(err).NotTo(HaveOccurred())
				for _, l := range []netlink.Link{host, ifb} {
					attrs := netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
					if kind == "htb" {
						Expect(netlink.QdiscAdd(netlink.NewHtb(attrs))).To(Succeed())
						class := netlink.ClassAttrs{LinkIndex: attrs.LinkIndex, Parent: attrs.Handle, Handle: legacyClass}
						Expect(netlink.ClassAdd(netlink.NewHtbClass(class, netlink.HtbClassAttrs{Rate: rate, Ceil: 2 * rate}))).To(Succeed())
					} else {
						Expect(netlink.QdiscAdd(&netlink.Tbf{QdiscAttrs: attrs, Rate: s.rate, Limit: s.upstreamLimit(), Buffer: s.upstreamTicks()})).To(Succeed())
					}
				}
				Expect(netlink.QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
					LinkIndex: host.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}})).To(Succeed())
				Expect(netlink.FilterAdd(&netlink.U32{
					FilterAttrs: netlink.FilterAttrs{LinkIndex: host.Attrs().Index, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
					ClassId:     netlink.MakeHandle(1, 1), RedirIndex: ifb.Attrs().Index, Actions: []netlink.Action{netlink.NewMirredAction(ifb.Attrs().Index)},
				})).To(Succeed())
			})
		}

		DescribeTable("is right to CHECK, and goes with DEL",
			func(rate, burst uint64, kind, more string) {
				upstream(rate, burst, kind)
				text := config(both(rate, burst) + more)
				Expect(rig.Check(c, text, prev("host0"))).To(Succeed())
				rig.Del(c, text)
				Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
				Expect(tbfOf(onHost("host0"))).To(BeNil())
			},
			Entry("with usual limits", uint64(8*mbit), uint64(mbit), "tbf", ""),
			Entry("with ticks that did not fit into 32 bits", uint64(mbit), uint64(1<<32-1), "tbf", ""),
			Entry("with a limit that did not", uint64(80_000*mbit), uint64(34359738352), "tbf", ""),
			Entry("with the HTB of 1.5", uint64(8*mbit), uint64(mbit), "htb", ""),
			Entry("with the HTB of 1.5, and subnets", uint64(8*mbit), uint64(mbit), "htb", `,"unshapedSubnets":["10.0.0.0/8"]`),
		)

		It("of 1.5 goes without a device", func() {
			upstream(8*mbit, mbit, "htb")
			rig.OnHost(func() { Expect(link.Delete(upstreamName(ownerOf("one", "eth0")))).To(Succeed()) })
			rig.Del(c, config(received(8*mbit, mbit)))
			Expect(disciplines()).To(BeEmpty())
		})

		DescribeTable("that the plugin itself has made",
			func(members string, byDevice bool) {
				testrig.NeedUpstream(theirs)
				text := config(members)
				removals := []func(){
					func() { rig.Del(c, text) },
					func() { rig.Add(c, text); rig.Del(c, text) },
					func() { rig.Add(c, text); rig.Del(unnamed(c), `{"type":"bandwidth"}`) },
				}
				if byDevice {
					removals = append(removals,
						func() { rig.Del(c, `{"type":"bandwidth"}`) },
						func() { rig.Del(unnamed(c), `{"type":"bandwidth"}`) },
						func() { rig.Add(c, config(sent(mbit, mbit))); rig.Del(c, text) })
				}
				for _, remove := range removals {
					addByUpstream(rig, c, text)
					remove()
					Expect(disciplines()).To(BeEmpty())
					Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
				}
			},
			Entry("of what the container receives", received(mbit, mbit), false),
			Entry("of what it receives, with subnets, which upstream ignores", received(mbit, mbit)+`,"unshapedSubnets":["10.0.0.0/8"]`, false),
			Entry("of what it receives, with more ticks than there are", received(mbit, 1<<32-1), false),
			Entry("of what it sends", sent(mbit, mbit), true),
			Entry("of both", both(mbit, mbit), true),
		)

		It("that the plugin itself has made is right to CHECK with containerd's burst at round rates", func() {
			testrig.NeedUpstream(theirs)
			for _, rate := range []uint64{1000, 2000, 3000, 4000, 8000, 16_000, 32_000, 64_000, mbit} {
				text := config(both(rate, 1<<32-1))
				addByUpstream(rig, c, text)
				Expect(rig.Check(c, text, prev("host0"))).To(Succeed())
				rig.Del(c, text)
			}
		})

		It("is not confused with what somebody else has put there", func() {
			testrig.NeedUpstream(theirs)
			for _, foreign := range []string{"tbf rate 1mbit burst 10k limit 10k", "htb default 30"} {
				tc("qdisc add dev host0 root handle 1: " + foreign)
				before := disciplines()
				for _, text := range []string{config(sent(mbit, mbit)), `{"type":"bandwidth"}`} {
					addByUpstream(rig, c, config(sent(mbit, mbit)))
					rig.Del(c, text)
					Expect(disciplines()).To(Equal(before))
				}
				tc("qdisc del dev host0 root")
			}
		})

		It("makes room for an ADD of the same interface", func() {
			upstream(mbit, mbit, "tbf")
			result := rig.Add(c, config(both(2*mbit, mbit)))
			Expect(rig.Check(c, config(both(2*mbit, mbit)), result)).To(Succeed())
			rig.Del(c, config(both(2*mbit, mbit)))
			Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
		})

		Describe("beside another interface of the container", func() {
			var second *testrig.Container
			withSecond := func(members string) string {
				return testrig.WithPrev(`{"type":"bandwidth",`+members+`}`, prev("host0", "host1"))
			}
			ofUpstream := func() string { return upstreamName(ownerOf("one", "eth0")) }

			BeforeEach(func() {
				upstream(mbit, mbit, "tbf")
				second = &testrig.Container{ID: c.ID, IfName: "eth1", Netns: c.Netns, Path: c.Path}
				attach(rig, second, "host1")
			})

			DescribeTable("is not taken for that one's",
				func(members string) {
					text := withSecond(members)
					result := rig.Add(second, text)
					Expect(rig.Check(second, text, result)).To(Succeed())
					for _, path := range []string{c.Path, c.Path, "", "/run/netns/gone"} {
						second.Path = path
						rig.Del(second, text)
						Expect(tbfOf(onHost("host1"))).To(BeNil())
						Expect(rig.Check(c, config(both(mbit, mbit)), prev("host0"))).To(Succeed())
					}
				},
				Entry("with a device of its own", both(mbit, mbit)),
				Entry("without one", received(mbit, mbit)),
			)

			It("is not taken for that one's when that is gone", func() {
				rig.Add(second, withSecond(both(mbit, mbit)))
				rig.Del(second, withSecond(both(mbit, mbit)))
				rig.OnHost(func() { Expect(link.Delete("host1")).To(Succeed()) })
				for _, path := range []string{c.Path, "", "/run/netns/gone"} {
					second.Path = path
					rig.Del(second, withSecond(both(mbit, mbit)))
					Expect(rig.Check(c, config(both(mbit, mbit)), prev("host0"))).To(Succeed())
				}
			})

			DescribeTable("goes with its own DEL",
				func(path string) {
					rig.Del(&testrig.Container{ID: c.ID, IfName: c.IfName, Path: path}, `{"type":"bandwidth"}`)
					Expect(linksOnHost()).NotTo(ContainElement(ofUpstream()))
					Expect(tbfOf(onHost("host0"))).To(BeNil())
				},
				Entry("without a namespace", ""),
				Entry("with one that is gone", "/run/netns/gone"),
			)

			It("goes with whichever DEL comes first when nothing leads to it", func() {
				rig.OnHost(func() { Expect(link.Delete("host0")).To(Succeed()) })
				rig.Del(second, withSecond(both(mbit, mbit)))
				Expect(linksOnHost()).To(ConsistOf("lo", "host1"))
			})
		})
	})

	Describe("the limit of what the container receives alone", func() {
		ingress := received(mbit, mbit)
		records := func() (names []string) {
			rig.OnHost(func() {
				for _, kept := range store().List() {
					names = append(names, kept.Owner().Comment())
				}
			})
			return names
		}

		It("goes when no namespace is named and the host's end stays", func() {
			rig.Add(c, config(ingress))
			Expect(tbfOf(onHost("host0"))).NotTo(BeNil())
			Expect(records()).To(ConsistOf("test/one/eth0"))
			rig.Del(unnamed(c), `{"type":"bandwidth"}`)
			Expect(tbfOf(onHost("host0"))).To(BeNil())
			Expect(records()).To(BeEmpty())
			rig.Del(unnamed(c), `{"type":"bandwidth"}`)
		})

		It("goes when nobody detaches the container, and it is collected", func() {
			other := rig.Container("other")
			attach(rig, other, "host1")
			text := testrig.WithPrev(`{"type":"bandwidth",`+ingress+`}`, prev("host0", "host1"))
			rig.Add(c, text)
			rig.Add(other, text)
			_, err := rig.Call("GC", c, `{"type":"bandwidth","cni.dev/valid-attachments":[{"containerID":"other","ifname":"eth0"}]}`)
			Expect(err).NotTo(HaveOccurred())
			Expect(tbfOf(onHost("host0"))).To(BeNil())
			Expect(tbfOf(onHost("host1"))).NotTo(BeNil())
			Expect(records()).To(ConsistOf("test/other/eth0"))
			rig.Del(other, text)
			Expect(records()).To(BeEmpty())
		})

		It("goes from the link that was shaped before another took its place", func() {
			rig.Add(c, config(ingress))
			c.Do(func() { Expect(netlink.LinkSetName(testrig.Find("eth0"), "old0")).To(Succeed()) })
			attach(rig, c, "host1")
			rig.Add(c, testrig.WithPrev(`{"type":"bandwidth",`+ingress+`}`, prev("host1")))
			Expect(tbfOf(onHost("host0"))).To(BeNil())
			Expect(tbfOf(onHost("host1"))).NotTo(BeNil())
			rig.Del(unnamed(c), config(ingress))
			Expect(tbfOf(onHost("host1"))).To(BeNil())
		})

		It("is not looked for on a link that has the number by now", func() {
			rig.Add(c, config(ingress))
			rig.OnHost(func() {
				index := onHostIndex("host0")
				Expect(link.Delete("host0")).To(Succeed())
				attrs := netlink.NewLinkAttrs()
				attrs.Name, attrs.Index = "another", index
				Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "end"})).To(Succeed())
				Expect(newShaper(&[]uint64{mbit}[0], &[]uint64{mbit}[0]).apply(testrig.Find("another"))).To(Succeed())
			})
			rig.Del(unnamed(c), config(ingress))
			Expect(tbfOf(onHost("another"))).NotTo(BeNil())
			Expect(records()).To(BeEmpty())
		})

		It("of upstream is found by prevResult", func() {
			result := prev("host0")
			rig.OnHost(func() {
				host := testrig.Find("host0")
				Expect(netlink.LinkSetDown(host)).To(Succeed())
				Expect(netlink.LinkSetName(host, "veth1a2b3c4d")).To(Succeed())
				Expect(newShaper(&[]uint64{mbit}[0], &[]uint64{mbit}[0]).apply(host)).To(Succeed())
				result.Interfaces[0] = &current.Interface{Name: "veth1a2b3c4d", Mac: host.Attrs().HardwareAddr.String()}
			})
			text := testrig.WithPrev(`{"type":"bandwidth",`+ingress+`}`, result)
			result.Interfaces[0].Mac = "02:00:00:00:00:01"
			rig.Del(unnamed(c), testrig.WithPrev(`{"type":"bandwidth",`+ingress+`}`, result))
			Expect(tbfOf(onHost("veth1a2b3c4d"))).NotTo(BeNil(), "another link by now")
			rig.Del(unnamed(c), text)
			Expect(tbfOf(onHost("veth1a2b3c4d"))).To(BeNil())
		})
	})

	It("has room for a thousand subnets", func() {
		var subnets []string
		for i := range 1000 {
			subnets = append(subnets, fmt.Sprintf(`"10.%d.%d.0/24"`, i/250, i%250))
		}
		text := config(both(mbit, mbit) + `,"unshapedSubnets":[` + strings.Join(subnets, ",") + `]`)
		result := rig.Add(c, text)
		Expect(rig.Check(c, text, result)).To(Succeed())
		rig.Del(c, text)
		Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
	})

	It("takes a hook whose device has gone for its own", func() {
		result := rig.Add(c, config(both(mbit, mbit)))
		rig.OnHost(func() { Expect(link.Delete(result.Interfaces[2].Name)).To(Succeed()) })
		rig.Add(c, config(both(mbit, mbit)))
		rig.Del(c, config(both(mbit, mbit)))
		rig.OnHost(func() { Expect(qdiscAt(onHost("host0"), netlink.HANDLE_INGRESS)).To(BeNil()) })
	})

	It("tells beforehand that the kernel can do it", func() {
		for _, more := range []string{both(mbit, mbit), `"capabilities":{"bandwidth":true}`, both(mbit, mbit) + `,"unshapedSubnets":["10.0.0.0/8","::/0"]`} {
			_, err := rig.Call("STATUS", c, `{"type":"bandwidth",`+more+`}`)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(linksOnHost()).To(ConsistOf("lo", "host0"))
	})

	DescribeTable("knows what the kernel makes of bursts that take long",
		func(rate, burst uint64) {
			text := config(both(rate, burst))
			result := rig.Add(c, text)
			Expect(rig.Check(c, text, result)).To(Succeed())
			Expect(rig.Check(c, config(both(rate, burst-burst/10_000)), result)).To(MatchError(ContainSubstring("burst in ticks is ")))
			rig.Del(c, text)
		},
		Entry("containerd's at 1500 bit/s", uint64(1500), uint64(1<<32-1)),
		Entry("containerd's at 3000 bit/s", uint64(3000), uint64(1<<32-1)),
		Entry("containerd's at 3333 bit/s", uint64(3333), uint64(1<<32-1)),
		Entry("CRI-O's at the least rate", uint64(8), uint64(34359738352)),
		Entry("CRI-O's at 3000 bit/s", uint64(3000), uint64(34359738352)),
		Entry("CRI-O's at 12345 bit/s", uint64(12_345), uint64(34359738352)),
		Entry("CRI-O's at 100 Mbit/s", uint64(100*mbit), uint64(34359738352)),
	)

	It("compares a burst in full with one that has been cut short", func() {
		rate, burst := uint64(mbit), uint64(1<<32-1)
		s := newShaper(&rate, &burst)
		rig.Add(c, config(both(rate, burst)))
		short := shaper{rate: s.rate, burst: s.burst / 2}
		rig.OnHost(func() {
			var right, wrong check.Report
			s.check(&right, onHost("host0"))
			short.check(&wrong, onHost("host0"))
			Expect(right.Err()).NotTo(HaveOccurred())
			Expect(wrong.Err()).To(MatchError(ContainSubstring("burst in ticks is")))
		})
	})
})

// attach connects a container to the host by a veth pair; its end has the same
// addresses with a 2 at the end.
func attach(rig *testrig.Rig, c *testrig.Container, host string, addresses ...string) {
	GinkgoHelper()
	rig.OnHost(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = host
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: c.IfName, PeerNamespace: netlink.NsFd(c.Netns.Fd())})).To(Succeed())
		configure(host, addresses, 1)
	})
	c.Do(func() { configure(c.IfName, addresses, 2) })
}

// takeNamespace has a runtime say that the container is where another one is.
func takeNamespace(own, another *testrig.Container) {
	own.Netns, own.Path = another.Netns, another.Path
}

// pretend replaces a container's interface by one with the numbers of another's.
func pretend(own, another *testrig.Container) {
	GinkgoHelper()
	testutils.Need(GinkgoT(), "ip-tool")
	var like netlink.Link
	another.Do(func() { like = testrig.Find(another.IfName) })
	own.Do(func() { Expect(netlink.LinkDel(testrig.Find(own.IfName))).To(Succeed()) })
	testrig.IP(own.Netns, "link add %s index %d type veth peer name end index %d netns %s",
		own.IfName, like.Attrs().Index, like.Attrs().ParentIndex, filepath.Base(testutils.TempNS(GinkgoT()).Path()))
}

func configure(name string, addresses []string, last byte) {
	GinkgoHelper()
	l, err := netlink.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	for _, text := range addresses {
		ip, network, err := net.ParseCIDR(text)
		Expect(err).NotTo(HaveOccurred())
		ip = slices.Clone(ip)
		ip[len(ip)-1] = last
		Expect(link.AddAddress(l, &net.IPNet{IP: ip, Mask: network.Mask}, true)).To(Succeed())
	}
	Expect(netlink.LinkSetUp(l)).To(Succeed())
}

func onHostIndex(name string) int {
	GinkgoHelper()
	l, err := netlink.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	return l.Attrs().Index
}
