// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
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
		Context("with "+backend, func() {
			t := try(backend, append(needs(), "nft-tool", "conntrack-tool")...)
			t.mappingsOfHeldPorts()
			t.mappingsOfOneContainer()
			t.mappingsOfTwoInterfaces()
			t.manyMappings()
			t.mappingsAndConnections()
			t.mappingsAfterFlush()
		})
	}
})

// left is what the rulesets say of containers.
func (t *trial) left() string {
	GinkgoHelper()
	return t.sh("nft list ruleset 2>/dev/null | grep -E '10.88.0|fd88::|CNI-DN|one|two' || true")
}

// mappingsOfHeldPorts is about ports that another container has, or had.
func (t *trial) mappingsOfHeldPorts() {
	It("are refused when another container has the port, and nothing is changed", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(9090, 90, "tcp", `,"hostIP":"192.0.2.1"`), t.backend))
		before := t.sh("nft list ruleset")
		for held, m := range map[string]string{
			"8080/tcp": mapping(8080, 81, "tcp"), "192.0.2.1:9090/tcp": mapping(9090, 91, "tcp", `,"hostIP":"192.0.2.1"`),
		} {
			_, err := t.Call("ADD", t.two, t.config(t.two, mapping(7070, 70, "tcp")+","+m, t.backend))
			Expect(err).To(MatchError(ContainSubstring(held + " is held by container one, network test")))
			Expect(testrig.Code(err)).To(BeEquivalentTo(11))
			Expect(t.sh("nft list ruleset")).To(Equal(before))
		}
		t.add(t.two, t.config(t.two, mapping(8080, 80, "udp")+","+mapping(9090, 90, "tcp", `,"hostIP":"10.88.0.1"`), t.backend))
	})

	It("are refused when another container is to have the port, though somebody has flushed the rules", func() {
		serve(t.one.Netns, "tcp", 80)
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		t.sh("nft flush ruleset")
		_, err := t.Call("ADD", t.two, t.config(t.two, mapping(8080, 81, "tcp"), t.backend))
		Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network test")))
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(t.left()).NotTo(ContainSubstring(t.v4(t.two)))
	})

	It("take a port over from a container that is gone", func() {
		die := mortal(t.one)
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(7070, 80, "tcp"), t.backend))
		die()
		t.add(t.two, t.config(t.two, mapping(8080, 80, "tcp"), t.backend))
		Expect(t.left()).NotTo(ContainSubstring(t.v4(t.one)+" "), "all that it had")
		Expect(t.left()).NotTo(ContainSubstring("one"))
		Expect(t.check(t.two, t.config(t.two, mapping(8080, 80, "tcp"), t.backend))).To(Succeed())
	})

	It("take a port over with the address", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		t.number[t.two] = t.number[t.one]
		t.add(t.two, t.config(t.two, mapping(8080, 80, "tcp"), t.backend))
		Expect(t.left()).NotTo(ContainSubstring("one"))
	})
}

// mappingsOfOneContainer is about mappings that a container has already.
func (t *trial) mappingsOfOneContainer() {
	It("take the place of those that the container had", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(8081, 81, "tcp")+","+mapping(8082, 82, "udp"), t.backend))
		config := t.config(t.one, mapping(8080, 90, "tcp")+","+mapping(8081, 81, "tcp"), t.backend)
		t.add(t.one, config)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(t.left()).NotTo(ContainSubstring("8082"))
		Expect(t.left()).NotTo(MatchRegexp(`10\.88\.0\.2[ :.]+80\b`))
		t.add(t.one, t.config(t.one, "", t.backend))
		Expect(t.left()).To(BeEmpty(), "nothing to map any more")
	})

	It("stay when the container is added again in vain", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		t.add(t.two, t.config(t.two, mapping(9090, 90, "tcp"), t.backend))
		intentOf := func() (i *intent.Intent) {
			t.OnHost(func() { i = store().Get(ownerOf("one")) })
			return i
		}
		before, remembered := t.left(), intentOf()
		for _, wanted := range []string{mapping(9090, 80, "tcp"), mapping(8080, 80, "tcp") + "," + mapping(9090, 80, "tcp"), mapping(8080, 81, "tcp") + "," + mapping(9090, 80, "tcp")} {
			_, err := t.Call("ADD", t.one, t.config(t.one, wanted, t.backend))
			Expect(err).To(MatchError(ContainSubstring("9090/tcp is held by container two")))
			Expect(strings.Fields(t.left())).To(ConsistOf(strings.Fields(before)))
			Expect(intentOf()).To(Equal(remembered))
			Expect(t.check(t.one, config)).To(Succeed())
		}
		t.Del(t.one, config)
		Expect(t.left()).NotTo(ContainSubstring("one"))
	})

	It("given twice, in other words, are one", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(8080, 80, "tcp", `,"hostIP":"0.0.0.0"`)+","+mapping(8080, 80, "tcp", `,"hostIP":"::"`), t.backend)
		for range 2 {
			t.add(t.one, config)
			Expect(t.check(t.one, config)).To(Succeed())
		}
		t.add(t.one, t.config(t.one, mapping(8081, 80, "tcp"), t.backend))
		Expect(t.left()).NotTo(ContainSubstring("8080"))
		t.add(t.one, config)
		t.Del(t.one, config)
		Expect(t.left()).To(BeEmpty())
		t.add(t.one, config)
		_, err := t.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[]}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(t.left()).To(BeEmpty())
	})

	It("go without anything that DEL could be given", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(5353, 53, "udp"), t.backend))
		t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		t.one.Path = ""
		t.Del(t.one, `{"cniVersion":"1.1.0","name":"test","backend":7}`)
		Expect(t.left()).NotTo(ContainSubstring("one"))
		Expect(t.check(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))).To(Succeed())
		t.Del(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		Expect(t.left()).To(BeEmpty())
	})
}

// mappingsOfTwoInterfaces is about those of one container.
func (t *trial) mappingsOfTwoInterfaces() {
	It("of two interfaces of one container do not get in each other's way", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		second := *t.one
		second.IfName = "eth1"
		t.number[&second] = 77
		other := strings.ReplaceAll(t.config(&second, mapping(8081, 81, "tcp"), t.backend), `"eth0"`, `"eth1"`)
		t.add(&second, other)
		Expect(t.check(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))).To(Succeed())
		Expect(t.check(&second, other)).To(Succeed())
		t.Del(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		Expect(t.check(&second, other)).To(Succeed())
		Expect(t.left()).NotTo(ContainSubstring("8080"))
		t.Del(&second, other)
		Expect(t.left()).To(BeEmpty())
	})

	It("leave a port of another interface to the container that has got it, and go whoever that is", func() {
		second := *t.one
		second.IfName = "eth1"
		t.number[&second] = 77
		other := strings.ReplaceAll(t.config(&second, mapping(8081, 81, "tcp"), t.backend), `"eth0"`, `"eth1"`)
		t.add(&second, other)
		var intended *intent.Intent
		t.OnHost(func() { intended = store().Get(plugin.Owner{Network: "test", ContainerID: "one", IfName: "eth1"}) })
		t.Del(&second, other)
		theirs := t.config(t.two, mapping(8081, 80, "tcp"), t.backend)
		t.add(t.two, theirs)
		t.OnHost(func() { Expect(store().Put(*intended)).To(Succeed()) })

		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		for range 2 {
			t.add(t.one, config)
			Expect(t.check(t.one, config)).To(Succeed())
			Expect(t.left()).NotTo(ContainSubstring(t.v4(&second)))
		}
		t.Del(t.one, config)
		t.Del(&second, other)
		Expect(t.left()).NotTo(ContainSubstring("one"))
		Expect(t.check(t.two, theirs)).To(Succeed())
	})
}

// manyMappings is about another protocol, and a great number.
func (t *trial) manyMappings() {
	It("of SCTP are made as others are", func() {
		config := t.config(t.one, mapping(5000, 50, "sctp")+","+mapping(5000, 51, "tcp"), t.backend)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(t.sh("nft list ruleset 2>/dev/null")).To(ContainSubstring("sctp"))
		t.Del(t.one, config)
		Expect(t.left()).To(BeEmpty())
	})

	It("of thousands of ports come and go", func() {
		var all []string
		for i := range 2200 {
			all = append(all, mapping(20000+i, 1+i, "udp"))
		}
		config := t.config(t.one, strings.Join(all, ","), t.backend)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(t.left()).To(ContainSubstring("22199"))
		t.Del(t.one, config)
		Expect(t.left()).To(BeEmpty())
	})
}

// mappingsAndConnections is about what connection tracking knows.
func (t *trial) mappingsAndConnections() {
	It("end the connections that they are about, and no others", func() {
		track := func(answering string) {
			t.sh(`n=0
			entry() { n=$((n+1)); conntrack -I -p $1 -s 198.51.100.7 -d $2 --sport 4000 --dport $3 ` + answering + ` -t 100 $4 >/dev/null; }
			for proto in udp tcp; do
				state=; [ $proto = udp ] || state="--state ESTABLISHED"
				entry $proto 192.0.2.1 5353 "$state"; entry $proto 127.0.0.1 5353 "$state"
				entry $proto 192.0.2.99 5353 "$state"; entry $proto 192.0.2.1 5354 "$state"; entry $proto 10.88.0.1 7000 "$state"; entry $proto 192.0.2.1 7000 "$state"
			done`)
		}
		tracked := func() string {
			return t.sh(`conntrack -L 2>/dev/null | sed -nE 's/^(udp|tcp) .*src=198.51.100.7 dst=([^ ]+) sport=4000 dport=([0-9]+) .*/\1 \2 \3/p' | sort -u | tr '\n' ';'; conntrack -F 2>/dev/null`)
		}
		const (
			host      = ""
			container = "--reply-src 10.88.0.2 --reply-dst 198.51.100.7 --reply-port-src $n --reply-port-dst 4000"
			spared    = "tcp 127.0.0.1 5353;tcp 192.0.2.1 5353;tcp 192.0.2.1 5354;tcp 192.0.2.1 7000;tcp 192.0.2.99 5353;udp 10.88.0.1 7000;udp 192.0.2.1 5354;udp 192.0.2.1 7000;udp 192.0.2.99 5353;"
			ofMapping = "udp 192.0.2.1 5353;"
		)
		config := t.config(t.one, mapping(5353, 53, "udp")+","+mapping(7000, 70, "tcp", `,"hostIP":"10.88.0.1"`), t.backend)
		track(host)
		t.add(t.one, config)
		Expect(tracked()).To(Equal(spared))
		track(container)
		t.Del(t.one, config)
		Expect(tracked()).To(Equal(spared))
		t.add(t.one, config)
		track(host)
		t.Del(t.one, config)
		Expect(tracked()).To(ContainSubstring(ofMapping), "the host itself answers them")
		track(container)
		t.Del(t.one, config)
		Expect(tracked()).To(ContainSubstring(ofMapping), "there was no mapping: the port may be somebody else's")
	})

	It("spare the connections of a container that got the port when theirs was gone", func() {
		die := mortal(t.one)
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		die()
		config := t.config(t.two, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.two, config)
		say := t.talk(t.two.Netns, 80, "192.0.2.1", 8080)
		t.Del(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		say("still here")
	})

	It("spare the connections by a mapping that comes before them", func() {
		within(t.outside, "ip route add 10.88.0.1 via 192.0.2.1")
		t.add(t.two, t.config(t.two, mapping(8080, 80, "tcp", `,"hostIP":"10.88.0.1"`), t.backend))
		say := t.talk(t.two.Netns, 80, "10.88.0.1", 8080)
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		say("with a mapping for every address")
		t.Del(t.one, config)
		say("and without")
	})
}

// mappingsAfterFlush is about rules that somebody has taken away.
func (t *trial) mappingsAfterFlush() {
	It("that somebody flushed are noticed, and put back by GC", func() {
		serve(t.one.Netns, "tcp", 80)
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		rules := func() []string {
			return strings.Split(counters().ReplaceAllString(t.sh("nft list ruleset 2>/dev/null"), ""), "\n")
		}
		complete := rules()
		for range 2 {
			t.sh("nft flush ruleset")
			Expect(t.check(t.one, config)).To(MatchError(ContainSubstring("port mappings: ")))
			_, err := reach(t.outside, "tcp", "192.0.2.1", 8080)
			Expect(err).To(HaveOccurred())
			_, err = t.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"}]}`)
			Expect(err).NotTo(HaveOccurred())
			Expect(t.check(t.one, config)).To(Succeed())
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		}
		Expect(rules()).To(ConsistOf(complete))
	})

	DescribeTable("that somebody flushed are put back by the ADD of another container",
		func(flush string) {
			serve(t.one.Netns, "tcp", 80)
			config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
			t.add(t.one, config)
			t.sh(flush)
			Expect(t.check(t.one, config)).NotTo(Succeed())
			t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
			Expect(t.check(t.one, config)).To(Succeed())
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
			Expect(reach(t.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
		},
		Entry("all rules", "nft flush ruleset"),
		Entry("and chains of iptables, and tables of nftables", `for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done
			nft delete table ip cni_portmap || true; nft delete table ip6 cni_portmap || true`),
	)

	It("are put back by Heal, of those that live", func() {
		die := mortal(t.two)
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		t.sh("nft flush ruleset")
		die()
		heal := func() []plugin.Owner {
			GinkgoHelper()
			return t.Heal(func() ([]plugin.Owner, error) { return Heal(context.Background()) })
		}
		Expect(heal()).To(Equal([]plugin.Owner{ownerOf("one")}))
		Expect(heal()).To(BeEmpty(), "nothing more to do")
		Expect(t.check(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))).To(Succeed())
		Expect(t.left()).NotTo(ContainSubstring("8081"))
	})

	It("find what is shared put right by the next ADD", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		t.sh(`nft 'flush chain ip cni_portmap prerouting; flush chain ip6 cni_portmap mappings' || true
			iptables -t nat -F PREROUTING; ip6tables -t nat -F CNI-HOSTPORT-MASQ || true`)
		Expect(t.check(t.one, config)).NotTo(Succeed())
		t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		Expect(t.check(t.one, config)).To(Succeed())
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
