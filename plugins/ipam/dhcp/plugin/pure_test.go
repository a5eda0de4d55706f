// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/d2g/dhcp4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// message is an ACK for 10.1.2.3 with the options, given as bytes.
func message(options ...byte) dhcp4.Packet {
	p := dhcp4.NewPacket(dhcp4.BootReply)
	p.SetYIAddr(net.IPv4(10, 1, 2, 3))
	return append(p[:240], append(options, byte(dhcp4.End))...)
}

func routesOf(opts options) []string {
	var list []string
	for _, route := range opts.routes() {
		text := fmt.Sprintf("%s via %s", &route.Dst, route.GW)
		if route.Scope != nil {
			text += fmt.Sprintf(" scope %d", *route.Scope)
		}
		list = append(list, text)
	}
	return list
}

var _ = DescribeTable("routes of options",
	func(opts options, want ...string) { Expect(routesOf(opts)).To(Equal(want)) },
	Entry("router", options{3: {10, 0, 0, 1, 10, 0, 0, 2}}, "0.0.0.0/0 via 10.0.0.1"),
	Entry("static ones by class, then the router", options{
		3: {10, 0, 0, 1}, 33: {10, 0, 0, 0, 10, 1, 1, 1, 172, 16, 5, 5, 10, 1, 1, 2, 192, 168, 2, 3, 10, 1, 1, 3, 99},
	}, "10.0.0.0/8 via 10.1.1.1", "172.16.0.0/16 via 10.1.1.2", "192.168.2.0/24 via 10.1.1.3", "0.0.0.0/0 via 10.0.0.1"),
	Entry("classless ones and no others", options{
		3: {10, 0, 0, 1}, 33: {10, 0, 0, 0, 10, 1, 1, 1},
		121: {0, 10, 0, 0, 9, 24, 192, 168, 1, 10, 0, 0, 8, 25, 10, 9, 8, 255, 0, 0, 0, 0},
	}, "10.9.8.128/25 via 0.0.0.0 scope 253", "0.0.0.0/0 via 10.0.0.9", "192.168.1.0/24 via 10.0.0.8"),
	Entry("classless ones, the way to the gateway first", options{
		121: {0, 10, 0, 0, 1, 8, 10, 10, 0, 0, 1, 32, 10, 0, 0, 1, 0, 0, 0, 0},
	}, "10.0.0.1/32 via 0.0.0.0 scope 253", "0.0.0.0/0 via 10.0.0.1", "10.0.0.0/8 via 10.0.0.1"),
	Entry("malformed classless ones are none", options{3: {10, 0, 0, 1}, 121: {33, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, "0.0.0.0/0 via 10.0.0.1"),
	Entry("cut off classless ones are none", options{3: {10, 0, 0, 1}, 121: {0, 10, 0, 0, 9, 24, 192}}, "0.0.0.0/0 via 10.0.0.1"),
)

var _ = Describe("options of a message", func() {
	It("are put together when they are long, and found where they overflow", func() {
		p := message(119, 2, 1, 'a', 0, 52, 1, 3, 119, 1, 0)
		copy(p[108:], []byte{15, 1, 'f', 255})
		copy(p[44:], []byte{12, 1, 's', 255})
		opts := parseOptions(p)
		Expect(opts).To(Equal(options{119: {1, 'a', 0}, 52: {3}, 15: {'f'}, 12: {'s'}}))
	})

	It("end where they are cut off", func() {
		Expect(parseOptions(message(1, 4, 255, 255, 255, 0, 3, 200, 1))).To(Equal(options{1: {255, 255, 255, 0}}))
	})

	It("fill dns as far as it was requested", func() {
		opts := options{6: {8, 8, 8, 8, 1, 1, 1, 1}, 15: []byte("example.com\x00"), 119: []byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04")}
		Expect(opts.dns([]byte{6, 15, 119})).To(And(
			HaveField("Nameservers", []string{"8.8.8.8", "1.1.1.1"}), HaveField("Domain", "example.com"),
			HaveField("Search", []string{"eng.apple.com", "marketing.apple.com"})))
		Expect(opts.dns([]byte{1, 3})).To(BeZero())
	})

	DescribeTable("search lists that are none", func(value string) { Expect(searchList([]byte(value))).To(BeEmpty()) },
		Entry("a pointer to itself", "\xc0\x00"), Entry("a pointer ahead", "\xc0\x02\x01a\x00"), Entry("cut off", "\x05ab"),
		Entry("without an end", "\x01a"), Entry("line breaks", "\x03a\nb\x00"), Entry("a reserved kind of label", "\x80a\x00"))

	It("give an MTU that can be one", func() {
		Expect(options{26: {5, 120}}.mtu([]byte{26})).To(Equal(1400))
		Expect(options{26: {5, 120}}.mtu(nil)).To(BeZero())
		Expect(options{26: {0, 67}}.mtu([]byte{26})).To(BeZero())
	})

	DescribeTable("have a mask, or none", func(value []byte, ones int) {
		got, _ := options{1: value}.mask().Size()
		Expect(got).To(Equal(ones))
	}, Entry("24", []byte{255, 255, 255, 0}, 24), Entry("32", []byte{255, 255, 255, 255}, 32),
		Entry("with holes", []byte{255, 0, 255, 0}, 0), Entry("short", []byte{255, 255}, 0), Entry("missing", nil, 0))
})

var _ = DescribeTable("times of a lease",
	func(opts options, t1, t2, lifetime time.Duration) {
		Expect(opts.times()).To(Equal(times{t1, t2, lifetime}))
	},
	Entry("by default", options{}, 30*time.Minute, 51*time.Minute, time.Hour),
	Entry("as given", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 10}, 59: {0, 0, 0, 20}}, 10*time.Second, 20*time.Second, 100*time.Second),
	Entry("T1 alone", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 30}}, 30*time.Second, 85*time.Second, 100*time.Second),
	Entry("T1 alone, near the end", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 90}}, 90*time.Second, 95*time.Second, 100*time.Second),
	Entry("T2 alone", options{51: {0, 0, 0, 100}, 59: {0, 0, 0, 90}}, 50*time.Second, 90*time.Second, 100*time.Second),
	Entry("T2 alone, early", options{51: {0, 0, 0, 100}, 59: {0, 0, 0, 17}}, 10*time.Second, 17*time.Second, 100*time.Second),
	Entry("T1 after T2", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 30}, 59: {0, 0, 0, 17}}, 10*time.Second, 17*time.Second, 100*time.Second),
	Entry("T2 after the end", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 30}, 59: {0, 0, 0, 200}}, 30*time.Second, 85*time.Second, 100*time.Second),
	Entry("both after the end", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 150}, 59: {0, 0, 0, 200}}, 50*time.Second, 85*time.Second, 100*time.Second),
	Entry("T1 of 0", options{51: {0, 0, 0, 100}, 58: {0, 0, 0, 0}, 59: {0, 0, 0, 17}}, 10*time.Second, 17*time.Second, 100*time.Second),
	Entry("a second", options{51: {0, 0, 0, 1}}, time.Second/2, 850*time.Millisecond, time.Second),
	Entry("infinite", options{51: {255, 255, 255, 255}}, forever, forever, forever),
	Entry("infinite, with T1", options{51: {255, 255, 255, 255}, 58: {0, 0, 0, 1}, 59: {0, 0, 0, 2}}, forever, forever, forever),
	Entry("years", options{51: {0x7f, 255, 255, 255}}, 0x7fffffff*time.Second/2, 0x7fffffff*time.Second/100*85, 0x7fffffff*time.Second),
)

var _ = DescribeTable("times of an address of IPv6",
	func(given, want times) {
		const preferred = 60 * time.Second
		address := &dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd77::100"), PreferredLifetime: preferred, ValidLifetime: given.lifetime}
		var t terms
		t.addressOf(&dhcpv6.OptIANA{T1: given.t1, T2: given.t2, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{address}}}, routerAdvert{})
		Expect(t.times).To(Equal(want))
	},
	Entry("by default", times{0, 0, 100 * time.Second}, times{30 * time.Second, 48 * time.Second, 100 * time.Second}),
	Entry("T1 alone", times{10 * time.Second, 0, 100 * time.Second}, times{10 * time.Second, 48 * time.Second, 100 * time.Second}),
	Entry("T1 alone, late", times{50 * time.Second, 0, 100 * time.Second}, times{50 * time.Second, 85 * time.Second, 100 * time.Second}),
	Entry("T2 alone", times{0, 40 * time.Second, 100 * time.Second}, times{30 * time.Second, 40 * time.Second, 100 * time.Second}),
	Entry("T2 alone, early", times{0, 17 * time.Second, 100 * time.Second}, times{10 * time.Second, 17 * time.Second, 100 * time.Second}),
)

var _ = Describe("a lease's age", func() {
	It("tells what to do", func() {
		t := times{10 * time.Second, 20 * time.Second, 30 * time.Second}
		for age, want := range map[time.Duration]phase{0: bound, 10 * time.Second: renewing, 20 * time.Second: rebinding, 30 * time.Second: expired} {
			now, _ := t.at(age)
			Expect(now).To(Equal(want), age.String())
		}
		now, until := times{forever, forever, forever}.at(1 << 62)
		Expect(now).To(Equal(bound))
		Expect(until).To(Equal(forever))
	})

	It("sets the pace of tries", func() {
		for left, want := range map[time.Duration][2]time.Duration{
			time.Second:      {time.Second / 2, time.Second},
			10 * time.Second: {4 * time.Second, 6 * time.Second},
			90 * time.Second: {59 * time.Second, 61 * time.Second},
			time.Hour:        {29 * time.Minute, 31 * time.Minute},
			100 * time.Hour:  {59 * time.Minute, 61 * time.Minute},
		} {
			for range 20 {
				Expect(retryAfter(left)).To(And(BeNumerically(">=", want[0]), BeNumerically("<=", want[1])), left.String())
			}
		}
		l := limits{resendMax: 10 * time.Second}
		Expect(l.backoff(0)).To(And(BeNumerically(">=", time.Second), BeNumerically("<=", 3*time.Second)))
		Expect(l.backoff(100)).To(Equal(10 * time.Second))
	})
})

var _ = Describe("what is sent", func() {
	sent := func(ipam, args string) map[dhcp4.OptionCode]string {
		c, err := decodeConfig([]byte(`{"name":"net","ipam":{"type":"dhcp"` + ipam + `}}`))
		Expect(err).NotTo(HaveOccurred())
		got := map[dhcp4.OptionCode]string{}
		for _, o := range sentOptions(c.IPAM, args, "c1/net/eth0") {
			got[o.code] = string(o.value)
		}
		return got
	}

	DescribeTable("is as configured", func(ipam, args string, want map[dhcp4.OptionCode]string) {
		all := map[dhcp4.OptionCode]string{55: "\x03\x01", 57: "\x05\xdc", 61: "\x00c1/net/eth0"}
		for code, value := range want {
			if all[code] = value; value == "-" {
				delete(all, code)
			}
		}
		Expect(sent(ipam, args)).To(Equal(all))
	},
		Entry("by default", "", "", nil),
		Entry("a value", `,"provide":[{"option":"host-name","value":"h"},{"option":"99","value":"x"}]`, "", map[dhcp4.OptionCode]string{12: "h", 99: "x"}),
		Entry("of an argument", `,"provide":[{"option":"12","fromArg":"K8S_POD_NAME","value":"h"}]`, "A=1;K8S_POD_NAME=a=b;c", map[dhcp4.OptionCode]string{12: "a=b"}),
		Entry("of an empty argument", `,"provide":[{"option":"12","fromArg":"N","value":"h"}]`, "N=", map[dhcp4.OptionCode]string{12: ""}),
		Entry("of no argument", `,"provide":[{"option":"12","fromArg":"N"}]`, "M=1", nil),
		Entry("another client id", `,"provide":[{"option":"dhcp-client-identifier","value":"me"}]`, "", map[dhcp4.OptionCode]string{61: "me"}),
		Entry("not the kind of a message", `,"provide":[{"option":"53","value":"x"},{"option":"54","value":"x"}]`, "", nil),
		Entry("requests, and the defaults after them", `,"request":[{"option":"121"},{"option":"1"}]`, "", map[dhcp4.OptionCode]string{55: "\x79\x01\x03"}),
		Entry("requests, and no defaults", `,"request":[{"option":"6"},{"skipDefault":true}]`, "", map[dhcp4.OptionCode]string{55: "\x06"}),
		Entry("no requests at all", `,"request":[{"skipDefault":true}]`, "", map[dhcp4.OptionCode]string{55: "-"}),
	)

	It("names the attachment in at most 254 bytes", func() {
		Expect(clientIDOf(plugin.Owner{Network: "net", ContainerID: "c1", IfName: "eth0"})).To(Equal("c1/net/eth0"))
		Expect(clientIDOf(plugin.Owner{Network: strings.Repeat("n", 300), ContainerID: "c1", IfName: "eth0"})).To(HaveLen(254))
	})

	It("is a packet like any other", func() {
		packet := udpPacket{net.IPv4(10, 0, 0, 5), net.IPv4(10, 0, 0, 1), []byte("odd")}.marshal()
		Expect(onesSum(0, packet[:20])).To(Equal(uint16(0xffff)))
		pseudo := uint32(17+8+3) + uint32(onesSum(0, packet[12:20]))
		Expect(onesSum(pseudo, packet[20:])).To(Equal(uint16(0xffff)))
		parsed, ok := parseUDP(packet)
		Expect(ok).To(BeTrue())
		Expect(string(parsed.payload)).To(Equal("odd"))
	})
})

var _ = DescribeTable("a configuration that makes no sense",
	func(text, want string) { Expect(Plugin.Lint([]byte(text))).To(MatchError(ContainSubstring(want))) },
	Entry("no ipam", `{"name":"n"}`, "ipam: missing"),
	Entry("options", `{"name":"n","ipam":{"type":"dhcp","provide":[{"option":"x"},{"option":"256"}],"request":[{"option":"-1"}]}}`,
		`ipam.provide[0].option: Can not parse option "x"`),
	Entry("an option that is no byte", `{"name":"n","ipam":{"type":"dhcp","request":[{"option":"256"}]}}`, `ipam.request[0].option: Can not parse option "256"`),
	Entry("a long value", `{"name":"n","ipam":{"type":"dhcp","provide":[{"option":"12","value":"`+strings.Repeat("x", 256)+`"}]}}`,
		"ipam.provide[0].value: value too long for option 12"),
	Entry("a metric", `{"name":"n","ipam":{"type":"dhcp","priority":-1}}`, "ipam.priority: -1 is outside 0-4294967295"),
	Entry("a typo", `{"name":"n","ipam":{"type":"dhcp","requests":[]}}`, `did you mean "request"?`),
	Entry("a socket's path that is too long for one", `{"name":"n","ipam":{"type":"dhcp","daemonSocketPath":"/`+strings.Repeat("x", 107)+`"}}`,
		`ipam.daemonSocketPath: it has 108 bytes, the path of a socket has 107 at most`),
)

var _ = DescribeTable("where no daemon can be there is no lease",
	func(path string) {
		config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"n","ipam":{"type":"dhcp","daemonSocketPath":%q}}`, path)
		for _, verb := range []string{"DEL", "GC"} {
			args := &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", StdinData: []byte(config)}
			Expect(Plugin.Call(context.Background(), verb, args, new(bytes.Buffer))).To(Succeed(), verb)
		}
	},
	Entry("in no directory", "/nonexistent/dhcp.sock"),
	Entry("in a file", "/proc/version"),
	Entry("below a file", "/proc/version/dhcp.sock"),
	Entry("in a directory's place", "/proc"),
	Entry("behind a path that is too long", "/"+strings.Repeat("x", 107)),
)

var _ = Describe("the journal", func() {
	It("is for one daemon, holds whole records, and says what it cannot read", func() {
		dir := filepath.Join(GinkgoT().TempDir(), "a", "b")
		j, err := openJournal(dir)
		Expect(err).NotTo(HaveOccurred())
		_, err = openJournal(dir)
		Expect(err).To(MatchError(ContainSubstring("another daemon is running")))

		owner := plugin.Owner{Network: "net", ContainerID: "c1", IfName: "eth0"}
		r := record{Args: &skel.CmdArgs{ContainerID: "c1", StdinData: []byte("{}")}, Place: place{Netns: "/x", Inode: 1 << 60, Cookie: 1<<64 - 1, station: station{IfName: "eth0", MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}},
			Grants: map[family]*grant{inet4: {Message: []byte{1, 2}, Since: time.Hour, Via: net.HardwareAddr{6, 5, 4, 3, 2, 1}}}}
		for range 2 {
			Expect(j.write(owner, r)).To(Succeed())
		}
		Expect(os.WriteFile(filepath.Join(dir, "half.json~"), []byte("{"), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "bad.json"), []byte("{"), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "empty.json"), []byte("{}"), 0o600)).To(Succeed())
		read, err := j.read()
		Expect(err).To(MatchError(And(ContainSubstring("bad.json"), ContainSubstring("empty.json"))))
		Expect(read).To(Equal([]record{r}))
		Expect(filepath.Join(dir, "half.json~")).NotTo(BeAnExistingFile())
		Expect(filepath.Join(dir, "precious")).To(BeAnExistingFile(), "it is not the journal's")
		for range 2 {
			Expect(j.remove(owner)).To(Succeed())
		}
		Expect(j.Close()).To(Succeed())
		j, err = openJournal(dir)
		Expect(err).NotTo(HaveOccurred())
		Expect(j.Close()).To(Succeed())
	})
})

var _ = Describe("the record of a lease", func() {
	// What releases have written is to be read by all later ones.
	It("is what it has been", func() {
		r, err := readRecord("testdata/record.json")
		Expect(err).NotTo(HaveOccurred())
		a, err := revive(settings{log: log.New(GinkgoWriter, "", 0)}, r)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.owner).To(Equal(plugin.Owner{Network: "lan", ContainerID: "c1", IfName: "eth0"}))
		Expect(a.place.same(place{Device: 4, Inode: 4026532200, Cookie: 4107, station: station{Index: 7, MAC: net.HardwareAddr{10, 88, 10, 77, 0, 10}}})).To(BeTrue())
		g := a.leases[0].held()
		Expect(g.terms.address.String()).To(Equal("10.77.0.10/24"))
		Expect(g.terms.gateway.String()).To(Equal("10.77.0.1"))
		Expect(g.terms.times).To(Equal(times{time.Minute, 105 * time.Second, 2 * time.Minute}))
		Expect(g.Since).To(Equal(90 * time.Minute))
		Expect(g.Via.String()).To(Equal("02:00:00:00:00:01"))
		data, err := os.ReadFile("testdata/record.json")
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Marshal(recordOf(a))).To(MatchJSON(data))
	})

	It("of two families may have one grant", func() {
		r, err := readRecord("testdata/record.json")
		Expect(err).NotTo(HaveOccurred())
		r.Args.StdinData = []byte(`{"name":"lan","ipam":{"type":"dhcp","family":"dual"}}`)
		a, err := revive(settings{log: log.New(GinkgoWriter, "", 0)}, r)
		Expect(err).NotTo(HaveOccurred())
		held := a.leases[0].held()
		_, err = a.result()
		Expect(err).To(MatchError(ContainSubstring("IPv4: the address has run out")), "long ago")
		held.Since = bootTime()
		_, err = a.result()
		Expect(err).To(MatchError(ContainSubstring("IPv6: the address has run out, or a server has taken it away")))
		a.leases[0].set(nil, held)
		noted := recordOf(a)
		Expect(noted.Grants).To(And(HaveLen(2), HaveKeyWithValue(inet6, &grant{Lost: true})), "until there is another")
		noted.Args.StdinData = []byte(`{"name":"lan","ipam":{"type":"dhcp"}}`)
		again, err := revive(settings{log: log.New(GinkgoWriter, "", 0)}, noted)
		Expect(err).NotTo(HaveOccurred())
		Expect(again.leases[0].held()).To(BeNil(), "a server has taken it away")
		Expect(again.leases[0].configured()).To(HaveLen(1))
		r.Args.StdinData = []byte(`{"name":"lan","ipam":{"type":"dhcp","family":"dual"}}`)
		delete(r.Grants, inet4)
		_, err = revive(settings{}, r)
		Expect(err).To(MatchError(ContainSubstring("lan/c1/eth0: IPv4: the journal has no grant")))
	})
})

var _ = Describe("a link that has not followed a lease", func() {
	of := func(address string) *grant {
		ip, network, err := net.ParseCIDR(address)
		Expect(err).NotTo(HaveOccurred())
		return &grant{terms: terms{address: net.IPNet{IP: ip, Mask: network.Mask}}}
	}

	It("may be configured for what is held and for what was, once each", func() {
		a, b := of("10.77.0.5/24"), of("10.77.0.6/24")
		l := new(lease)
		Expect(l.configured()).To(BeEmpty())
		l.set(b, a)
		Expect(l.configured()).To(Equal([]*grant{a, b}))
		l.set(nil, l.configured()...)
		Expect(l.configured()).To(Equal([]*grant{a, b}))
		Expect(l.latest()).To(BeIdenticalTo(b))
		Expect(others([]*grant{a, b, of("10.77.0.5/24")}, of("10.77.0.6/24"))).To(Equal([]*grant{a}))
	})
})

var _ = It("a sleep of the machine has all leases look at the time", func() {
	l := &lease{nudged: make(chan struct{}, 1)}
	w := &watch{places: map[int][]*attachment{0: {{leases: []*lease{l}}}}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ticks, asleep := make(chan time.Time), make(chan time.Duration)
	go w.mindSleep(ctx, ticks, func() time.Duration { return <-asleep })
	asleep <- time.Hour
	for _, seconds := range []time.Duration{0, 1, 1} {
		ticks <- time.Time{}
		asleep <- time.Hour + seconds*time.Second
	}
	Consistently(l.nudged, "50ms").ShouldNot(Receive())
	ticks <- time.Time{}
	asleep <- 2 * time.Hour
	Eventually(l.nudged).Should(Receive())
	ticks <- time.Time{}
	asleep <- 2 * time.Hour
	Consistently(l.nudged, "50ms").ShouldNot(Receive())
	Expect(timeAsleep()).To(BeNumerically(">", -time.Second))
})

func FuzzMessage(f *testing.F) {
	f.Add([]byte(message(1, 4, 255, 255, 255, 0, 53, 1, 5, 54, 4, 10, 0, 0, 1, 119, 2, 0xc0, 0, 121, 3, 8, 10, 1, 52, 1, 3)))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &wire{xid: []byte{0, 0, 0, 0}, kinds: []dhcp4.MessageType{dhcp4.ACK, dhcp4.NAK}, mac: net.HardwareAddr{}}
		w.isAnswer(data)
		g := &grant{Message: bytes.Clone(data)}
		if terms4(g, identity{options: []option{{dhcp4.OptionParameterRequestList, []byte{6, 15, 26, 119}}}}) != nil {
			return
		}
		if got := g.terms.times; got.t1 <= 0 || got.t1 > got.t2 || got.t2 > got.lifetime {
			t.Errorf("times %v", got)
		}
	})
}

func FuzzPacket(f *testing.F) {
	f.Add(udpPacket{net.IPv4bcast, net.IPv4bcast, []byte("x")}.marshal())
	f.Fuzz(func(_ *testing.T, data []byte) {
		parseUDP(data)
	})
}
