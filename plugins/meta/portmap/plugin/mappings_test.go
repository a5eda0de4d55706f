// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("mappings", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() { mappingsWith(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func mappingsWith(backend string) {
	var (
		l        *lab
		one, two *testrig.Container
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool", "conntrack-tool")...)
		l = newLab()
		one, two = l.attach("one"), l.attach("two")
	})
	// left is what the rulesets say of containers.
	left := func() string {
		GinkgoHelper()
		return l.sh("nft list ruleset 2>/dev/null | grep -E '10.88.0|fd88::|CNI-DN|one|two' || true")
	}

	It("are refused when another container has the port, and nothing is changed", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp")+","+mapping(9090, 90, "tcp", `,"hostIP":"192.0.2.1"`), backend))
		before := l.sh("nft list ruleset")
		for held, m := range map[string]string{
			"8080/tcp": mapping(8080, 81, "tcp"), "192.0.2.1:9090/tcp": mapping(9090, 91, "tcp", `,"hostIP":"192.0.2.1"`),
		} {
			_, err := l.Call("ADD", two, l.config(two, mapping(7070, 70, "tcp")+","+m, backend))
			Expect(err).To(MatchError(ContainSubstring(held + " is held by container one, network test")))
			Expect(testrig.Code(err)).To(BeEquivalentTo(11))
			Expect(l.sh("nft list ruleset")).To(Equal(before))
		}
		l.add(two, l.config(two, mapping(8080, 80, "udp")+","+mapping(9090, 90, "tcp", `,"hostIP":"10.88.0.1"`), backend))
	})

	It("are refused when another container is to have the port, though somebody has flushed the rules", func() {
		serve(one.Netns, "tcp", 80)
		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		l.add(one, config)
		l.sh("nft flush ruleset")
		_, err := l.Call("ADD", two, l.config(two, mapping(8080, 81, "tcp"), backend))
		Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network test")))
		Expect(l.check(one, config)).To(Succeed())
		Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(left()).NotTo(ContainSubstring(l.v4(two)))
	})

	It("leave a port of another interface to the container that has got it, and go whoever that is", func() {
		second := *one
		second.IfName = "eth1"
		l.number[&second] = 77
		other := strings.ReplaceAll(l.config(&second, mapping(8081, 81, "tcp"), backend), `"eth0"`, `"eth1"`)
		l.add(&second, other)
		var intended *intent.Intent
		l.OnHost(func() { intended = store().Get(plugin.Owner{Network: "test", ContainerID: "one", IfName: "eth1"}) })
		l.Del(&second, other)
		theirs := l.config(two, mapping(8081, 80, "tcp"), backend)
		l.add(two, theirs)
		l.OnHost(func() { Expect(store().Put(*intended)).To(Succeed()) })

		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		for range 2 {
			l.add(one, config)
			Expect(l.check(one, config)).To(Succeed())
			Expect(left()).NotTo(ContainSubstring(l.v4(&second)))
		}
		l.Del(one, config)
		l.Del(&second, other)
		Expect(left()).NotTo(ContainSubstring("one"))
		Expect(l.check(two, theirs)).To(Succeed())
	})

	It("take a port over from a container that is gone", func() {
		die := mortal(one)
		l.add(one, l.config(one, mapping(8080, 80, "tcp")+","+mapping(7070, 80, "tcp"), backend))
		die()
		l.add(two, l.config(two, mapping(8080, 80, "tcp"), backend))
		Expect(left()).NotTo(ContainSubstring(l.v4(one)+" "), "all that it had")
		Expect(left()).NotTo(ContainSubstring("one"))
		Expect(l.check(two, l.config(two, mapping(8080, 80, "tcp"), backend))).To(Succeed())
	})

	It("take a port over with the address", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		l.number[two] = l.number[one]
		l.add(two, l.config(two, mapping(8080, 80, "tcp"), backend))
		Expect(left()).NotTo(ContainSubstring("one"))
	})

	It("of SCTP are made as others are", func() {
		config := l.config(one, mapping(5000, 50, "sctp")+","+mapping(5000, 51, "tcp"), backend)
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		Expect(l.sh("nft list ruleset 2>/dev/null")).To(ContainSubstring("sctp"))
		l.Del(one, config)
		Expect(left()).To(BeEmpty())
	})

	It("of thousands of ports come and go", func() {
		var all []string
		for i := range 2200 {
			all = append(all, mapping(20000+i, 1+i, "udp"))
		}
		config := l.config(one, strings.Join(all, ","), backend)
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		Expect(left()).To(ContainSubstring("22199"))
		l.Del(one, config)
		Expect(left()).To(BeEmpty())
	})

	It("take the place of those that the container had", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp")+","+mapping(8081, 81, "tcp")+","+mapping(8082, 82, "udp"), backend))
		config := l.config(one, mapping(8080, 90, "tcp")+","+mapping(8081, 81, "tcp"), backend)
		l.add(one, config)
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		Expect(left()).NotTo(ContainSubstring("8082"))
		Expect(left()).NotTo(MatchRegexp(`10\.88\.0\.2[ :.]+80\b`))
		l.add(one, l.config(one, "", backend))
		Expect(left()).To(BeEmpty(), "nothing to map any more")
	})

	It("stay when the container is added again in vain", func() {
		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		l.add(one, config)
		l.add(two, l.config(two, mapping(9090, 90, "tcp"), backend))
		intentOf := func() (i *intent.Intent) {
			l.OnHost(func() { i = store().Get(ownerOf("one")) })
			return i
		}
		before, remembered := left(), intentOf()
		for _, wanted := range []string{mapping(9090, 80, "tcp"), mapping(8080, 80, "tcp") + "," + mapping(9090, 80, "tcp"), mapping(8080, 81, "tcp") + "," + mapping(9090, 80, "tcp")} {
			_, err := l.Call("ADD", one, l.config(one, wanted, backend))
			Expect(err).To(MatchError(ContainSubstring("9090/tcp is held by container two")))
			Expect(strings.Fields(left())).To(ConsistOf(strings.Fields(before)))
			Expect(intentOf()).To(Equal(remembered))
			Expect(l.check(one, config)).To(Succeed())
		}
		l.Del(one, config)
		Expect(left()).NotTo(ContainSubstring("one"))
	})

	It("given twice, in other words, are one", func() {
		config := l.config(one, mapping(8080, 80, "tcp")+","+mapping(8080, 80, "tcp", `,"hostIP":"0.0.0.0"`)+","+mapping(8080, 80, "tcp", `,"hostIP":"::"`), backend)
		for range 2 {
			l.add(one, config)
			Expect(l.check(one, config)).To(Succeed())
		}
		l.add(one, l.config(one, mapping(8081, 80, "tcp"), backend))
		Expect(left()).NotTo(ContainSubstring("8080"))
		l.add(one, config)
		l.Del(one, config)
		Expect(left()).To(BeEmpty())
		l.add(one, config)
		_, err := l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[]}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(left()).To(BeEmpty())
	})

	It("go without anything that DEL could be given", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp")+","+mapping(5353, 53, "udp"), backend))
		l.add(two, l.config(two, mapping(8081, 80, "tcp"), backend))
		one.Path = ""
		l.Del(one, `{"cniVersion":"1.1.0","name":"test","backend":7}`)
		Expect(left()).NotTo(ContainSubstring("one"))
		Expect(l.check(two, l.config(two, mapping(8081, 80, "tcp"), backend))).To(Succeed())
		l.Del(two, l.config(two, mapping(8081, 80, "tcp"), backend))
		Expect(left()).To(BeEmpty())
	})

	It("of two interfaces of one container do not get in each other's way", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		second := *one
		second.IfName = "eth1"
		l.number[&second] = 77
		other := strings.ReplaceAll(l.config(&second, mapping(8081, 81, "tcp"), backend), `"eth0"`, `"eth1"`)
		l.add(&second, other)
		Expect(l.check(one, l.config(one, mapping(8080, 80, "tcp"), backend))).To(Succeed())
		Expect(l.check(&second, other)).To(Succeed())
		l.Del(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		Expect(l.check(&second, other)).To(Succeed())
		Expect(left()).NotTo(ContainSubstring("8080"))
		l.Del(&second, other)
		Expect(left()).To(BeEmpty())
	})

	It("end the connections that they are about, and no others", func() {
		track := func(answering string) {
			l.sh(`n=0
			entry() { n=$((n+1)); conntrack -I -p $1 -s 198.51.100.7 -d $2 --sport 4000 --dport $3 ` + answering + ` -t 100 $4 >/dev/null; }
			for proto in udp tcp; do
				state=; [ $proto = udp ] || state="--state ESTABLISHED"
				entry $proto 192.0.2.1 5353 "$state"; entry $proto 127.0.0.1 5353 "$state"
				entry $proto 192.0.2.99 5353 "$state"; entry $proto 192.0.2.1 5354 "$state"; entry $proto 10.88.0.1 7000 "$state"; entry $proto 192.0.2.1 7000 "$state"
			done`)
		}
		tracked := func() string {
			return l.sh(`conntrack -L 2>/dev/null | sed -nE 's/^(udp|tcp) .*src=198.51.100.7 dst=([^ ]+) sport=4000 dport=([0-9]+) .*/\1 \2 \3/p' | sort -u | tr '\n' ';'; conntrack -F 2>/dev/null`)
		}
		const (
			host      = ""
			container = "--reply-src 10.88.0.2 --reply-dst 198.51.100.7 --reply-port-src $n --reply-port-dst 4000"
			spared    = "tcp 127.0.0.1 5353;tcp 192.0.2.1 5353;tcp 192.0.2.1 5354;tcp 192.0.2.1 7000;tcp 192.0.2.99 5353;udp 10.88.0.1 7000;udp 192.0.2.1 5354;udp 192.0.2.1 7000;udp 192.0.2.99 5353;"
			ofMapping = "udp 192.0.2.1 5353;"
		)
		config := l.config(one, mapping(5353, 53, "udp")+","+mapping(7000, 70, "tcp", `,"hostIP":"10.88.0.1"`), backend)
		track(host)
		l.add(one, config)
		Expect(tracked()).To(Equal(spared))
		track(container)
		l.Del(one, config)
		Expect(tracked()).To(Equal(spared))
		l.add(one, config)
		track(host)
		l.Del(one, config)
		Expect(tracked()).To(ContainSubstring(ofMapping), "the host itself answers them")
		track(container)
		l.Del(one, config)
		Expect(tracked()).To(ContainSubstring(ofMapping), "there was no mapping: the port may be somebody else's")
	})

	It("spare the connections of a container that got the port when theirs was gone", func() {
		die := mortal(one)
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		die()
		config := l.config(two, mapping(8080, 80, "tcp"), backend)
		l.add(two, config)
		say := l.talk(two.Netns, 80, "192.0.2.1", 8080)
		l.Del(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		say("still here")
	})

	It("spare the connections by a mapping that comes before them", func() {
		within(l.outside, "ip route add 10.88.0.1 via 192.0.2.1")
		l.add(two, l.config(two, mapping(8080, 80, "tcp", `,"hostIP":"10.88.0.1"`), backend))
		say := l.talk(two.Netns, 80, "10.88.0.1", 8080)
		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		l.add(one, config)
		say("with a mapping for every address")
		l.Del(one, config)
		say("and without")
	})

	It("that somebody flushed are noticed, and put back by GC", func() {
		serve(one.Netns, "tcp", 80)
		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		l.add(one, config)
		l.add(two, l.config(two, mapping(8081, 80, "tcp"), backend))
		rules := func() []string {
			return strings.Split(counters().ReplaceAllString(l.sh("nft list ruleset 2>/dev/null"), ""), "\n")
		}
		complete := rules()
		for range 2 {
			l.sh("nft flush ruleset")
			Expect(l.check(one, config)).To(MatchError(ContainSubstring("port mappings: ")))
			_, err := reach(l.outside, "tcp", "192.0.2.1", 8080)
			Expect(err).To(HaveOccurred())
			_, err = l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"}]}`)
			Expect(err).NotTo(HaveOccurred())
			Expect(l.check(one, config)).To(Succeed())
			Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		}
		Expect(rules()).To(ConsistOf(complete))
	})

	DescribeTable("that somebody flushed are put back by the ADD of another container",
		func(flush string) {
			serve(one.Netns, "tcp", 80)
			config := l.config(one, mapping(8080, 80, "tcp"), backend)
			l.add(one, config)
			l.sh(flush)
			Expect(l.check(one, config)).NotTo(Succeed())
			l.add(two, l.config(two, mapping(8081, 80, "tcp"), backend))
			Expect(l.check(one, config)).To(Succeed())
			Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
			Expect(reach(l.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
		},
		Entry("all rules", "nft flush ruleset"),
		Entry("and chains of iptables, and tables of nftables", `for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done
			nft delete table ip cni_portmap || true; nft delete table ip6 cni_portmap || true`),
	)

	It("are put back by Heal, of those that live", func() {
		die := mortal(two)
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		l.add(two, l.config(two, mapping(8081, 80, "tcp"), backend))
		l.sh("nft flush ruleset")
		die()
		heal := func() ([]plugin.Owner, error) {
			return ns.Call(l.Host, func() ([]plugin.Owner, error) { return Heal(context.Background()) })
		}
		Expect(heal()).To(Equal([]plugin.Owner{ownerOf("one")}))
		Expect(heal()).To(BeEmpty(), "nothing more to do")
		Expect(l.check(one, l.config(one, mapping(8080, 80, "tcp"), backend))).To(Succeed())
		Expect(left()).NotTo(ContainSubstring("8081"))
	})

	It("find what is shared put right by the next ADD", func() {
		config := l.config(one, mapping(8080, 80, "tcp"), backend)
		l.add(one, config)
		l.sh(`nft 'flush chain ip cni_portmap prerouting; flush chain ip6 cni_portmap mappings' || true
			iptables -t nat -F PREROUTING; ip6tables -t nat -F CNI-HOSTPORT-MASQ || true`)
		Expect(l.check(one, config)).NotTo(Succeed())
		l.add(two, l.config(two, mapping(8081, 80, "tcp"), backend))
		Expect(l.check(one, config)).To(Succeed())
	})
}

// counters are what is different in rulesets that are the same.
func counters() *regexp.Regexp { return regexp.MustCompile(`packets \d+ bytes \d+|\[\d+:\d+\]`) }

// mortal gives a container another path, of a namespace that goes with a call of
// die.
func mortal(c *testrig.Container) (die func()) {
	GinkgoHelper()
	netns, err := testutils.NewNS()
	Expect(err).NotTo(HaveOccurred())
	c.Path = netns.Path()
	return func() {
		GinkgoHelper()
		Expect(errors.Join(netns.Close(), testutils.UnmountNS(netns))).To(Succeed())
	}
}

// talk opens a connection from outside to a port of the host, which is that of a
// container, where say has something said to the client.
func (l *lab) talk(in ns.NetNS, containerPort int, address string, port int) (say func(text string)) {
	GinkgoHelper()
	listener, err := ns.Call(in, func() (net.Listener, error) { return net.Listen("tcp", ":"+strconv.Itoa(containerPort)) })
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	client, err := ns.Call(l.outside, func() (net.Conn, error) {
		return net.DialTimeout("tcp", net.JoinHostPort(address, strconv.Itoa(port)), time.Second)
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	server, err := listener.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	return func(text string) {
		GinkgoHelper()
		_, err := server.Write([]byte(text))
		Expect(err).NotTo(HaveOccurred())
		Expect(hear(client)).To(Equal(text))
	}
}
