// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// needs are what every spec with packets needs.
func needs() []string {
	return []string{"root", "ipv6", "ip-tool", "iptables", "ip6tables", "nftables"}
}

var _ = Describe("packets", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() {
			t := try(backend, needs()...)
			BeforeEach(func() {
				serve(t.one.Netns, "tcp", 80)
				serve(t.one.Netns, "udp", 53)
			})
			t.packetsToPorts()
			t.packetsToOthers()
			t.packetsWithSeveralMappings()
			t.packetsOfFlows()
			if backend == netfilter.IPTables { // elements of nftables have no conditions of their own
				t.packetsMissedByCheck()
			}
		})
	}
})

// trial is a lab with two containers, and a backend to try.
type trial struct {
	*lab
	backend  string // as the last member of a configuration
	one, two *testrig.Container
}

// try makes the trials of the specs of a container, one before each.
func try(backend string, needs ...string) *trial {
	t := &trial{backend: fmt.Sprintf(`,"backend":%q`, backend)}
	BeforeEach(func() {
		testutils.Need(GinkgoT(), needs...)
		t.lab = newLab()
		t.one, t.two = t.attach("one"), t.attach("two")
	})
	return t
}

// refused wants nobody to answer at an address and port.
func refused(from ns.NetNS, network, address string, port int) {
	GinkgoHelper()
	_, err := reach(from, network, address, port)
	Expect(err).To(HaveOccurred())
}

// begin sends a datagram from outside to mapped ports of the host.
func (t *trial) begin() net.Conn {
	GinkgoHelper()
	client, err := ns.Call(t.outside, func() (net.Conn, error) { return net.Dial("udp", "192.0.2.1:5353") })
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	_, _ = client.Write([]byte("hello"))
	return client
}

// restored wants flows to follow a mapping that restore has put back.
func (t *trial) restored(restore func()) {
	GinkgoHelper()
	testutils.Need(GinkgoT(), "nft-tool", "conntrack-tool")
	t.add(t.one, t.config(t.one, mapping(5353, 53, "udp"), t.backend))
	t.sh(`nft 'table ip host { chain in { type filter hook prerouting priority 0; ct state new accept; }; }'`) // so that flows are tracked
	before := t.begin()
	Expect(hear(before)).To(Equal("192.0.2.9"))
	idOf := func(flow net.Conn) string {
		return t.sh("conntrack -L -p udp -o id 2>/dev/null | grep sport=" + strings.Split(flow.LocalAddr().String(), ":")[1] + " | grep -o 'id=.*'")
	}
	was := idOf(before)
	t.sh("iptables -t nat -F 2>/dev/null || true; nft delete table ip cni_portmap 2>/dev/null || true")
	meanwhile := t.begin()
	_, err := hear(meanwhile)
	Expect(err).To(HaveOccurred())
	restore()
	Expect(hear(meanwhile)).To(Equal("192.0.2.9"))
	Expect(hear(before)).To(Equal("192.0.2.9"))
	Expect(idOf(before)).To(Equal(was), "nothing was wrong with it")
}

// packetsToPorts is about who gets to mapped ports, and as whom.
func (t *trial) packetsToPorts() {
	It("get to a mapped port where /proc/sys is read-only, but from 127.0.0.1", func() {
		executable := filepath.Join(testrig.Build("meta/portmap"), "portmap")
		call := func(command string) (output []byte) {
			GinkgoHelper()
			t.OnHost(func() {
				cmd := exec.Command("unshare", "--mount", "/bin/sh", "-ec", "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "+executable)
				cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+t.one.ID, "CNI_NETNS="+t.one.Path, "CNI_IFNAME=eth0", "CNI_PATH="+filepath.Dir(executable))
				cmd.Stdin = strings.NewReader(t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
				var err error
				output, err = cmd.CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), "%s", output)
			})
			return output
		}
		Expect(string(call("ADD"))).To(ContainSubstring("portmap: the ports cannot be reached by the host's 127.0.0.1: "))
		Expect(call("CHECK")).To(BeEmpty())
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(reach(t.Host, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.1"))
		refused(t.Host, "tcp", "127.0.0.1", 8080)
		t.Del(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
	})

	It("get to a mapped port from everywhere", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp")+","+mapping(5353, 53, "udp"), t.backend)
		refused(t.outside, "tcp", "192.0.2.1", 8080)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		By("from another host")
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(reach(t.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
		Expect(reach(t.outside, "udp", "192.0.2.1", 5353)).To(Equal("192.0.2.9"))
		Expect(reach(t.outside, "udp", "2001:db8::1", 5353)).To(Equal("2001:db8::9"))
		By("from the host, by each of its addresses")
		Expect(reach(t.Host, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.1"))
		Expect(reach(t.Host, "tcp", "10.88.0.1", 8080)).To(Equal("10.88.0.1"))
		Expect(reach(t.Host, "tcp", "127.0.0.1", 8080)).To(Equal("10.88.0.1"))
		Expect(reach(t.Host, "udp", "127.0.0.1", 5353)).To(Equal("10.88.0.1"))
		Expect(reach(t.Host, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::1"))
		Expect(reach(t.Host, "tcp", "fd88::1", 8080)).To(Equal("fd88::1"))
		By("from the container itself and from its neighbour")
		for _, container := range []*testrig.Container{t.one, t.two} {
			Expect(reach(container.Netns, "tcp", "192.0.2.1", 8080)).To(Equal("10.88.0.1"))
			Expect(reach(container.Netns, "tcp", "10.88.0.1", 8080)).To(Equal("10.88.0.1"))
			Expect(reach(container.Netns, "udp", "10.88.0.1", 5353)).To(Equal("10.88.0.1"))
			Expect(reach(container.Netns, "tcp", "2001:db8::1", 8080)).To(Equal("fd88::1"))
			Expect(reach(container.Netns, "tcp", "fd88::1", 8080)).To(Equal("fd88::1"))
		}
		t.Del(t.one, config)
		refused(t.outside, "tcp", "192.0.2.1", 8080)
		refused(t.outside, "udp", "2001:db8::1", 5353)
	})

	It("get to another port of the container with each family", func() {
		serve(t.one.Netns, "tcp4", 81)
		serve(t.one.Netns, "tcp6", 82)
		config := t.config(t.one, mapping(8080, 81, "tcp", `,"hostIP":"0.0.0.0"`)+","+mapping(8080, 82, "tcp", `,"hostIP":"::"`), t.backend)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(reach(t.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
		t.Del(t.one, config)
		refused(t.outside, "tcp", "192.0.2.1", 8080)
	})

	It("keep their source without snat, and nobody's with masqAll", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend+`,"snat":false`))
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		refused(t.Host, "tcp", "127.0.0.1", 8080)
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend+`,"masqAll":true`)
		t.add(t.one, config)
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("10.88.0.1"))
		Expect(reach(t.outside, "tcp", "2001:db8::1", 8080)).To(Equal("fd88::1"))
		Expect(reach(t.Host, "tcp", "127.0.0.1", 8080)).To(Equal("10.88.0.1"))
		Expect(t.check(t.one, config)).To(Succeed())
	})
}

// packetsToOthers is about what mappings must not change or open.
func (t *trial) packetsToOthers() {
	It("do not get from a container to what listens at the host's 127.0.0.1, nor from there to the host", func() {
		serve(t.Host, "tcp", 9000)
		serve(t.Host, "udp", 9053)
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend)
		t.add(t.one, config)
		within(t.two.Netns, `sysctl -qw net.ipv4.conf.all.route_localnet=1; ip link set lo down; ip route flush table local
			ip route add local `+t.v4(t.two)+` dev eth0 table local; ip route add local 127.0.0.2 dev eth0 table local
			ip route add 127.0.0.1 via 10.88.0.1 dev eth0 src `+t.v4(t.two))
		getsIn := func() bool {
			_, err := reach(t.two.Netns, "tcp", "127.0.0.1", 9000)
			return err == nil
		}
		heard := func() string { return t.sh("nft list set ip heard senders") }
		t.sh(`nft 'table ip heard { set senders { type ipv4_addr; flags dynamic; }; chain input { type filter hook input priority 0; udp dport 9053 add @senders { ip saddr }; }; }'`)
		pretend := func() {
			within(t.two.Netns, `nft 'table ip pretend { chain post { type nat hook postrouting priority 100; udp dport 9053 snat to 127.0.0.2; }; }'`)
			_, _ = reach(t.two.Netns, "udp", "10.88.0.1", 9053)
			within(t.two.Netns, "nft delete table ip pretend")
		}
		Expect(getsIn()).To(BeFalse())
		pretend()
		Expect(heard()).NotTo(ContainSubstring("127.0.0.2"))
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(reach(t.Host, "tcp", "127.0.0.1", 8080)).To(Equal("10.88.0.1"))

		listed := filepath.Join(GinkgoT().TempDir(), "listed")
		Expect(t.sh("nft list table ip cni_loopback | tee "+listed+"; nft -c -f "+listed)).To(ContainSubstring(`elements = { "br0" }`), "it can be read again, too")
		t.sh("nft delete table ip cni_loopback")
		Expect(t.check(t.one, config)).To(MatchError(ContainSubstring("nothing keeps what comes in by br0 from the host's 127.0.0.0/8")))
		Expect(getsIn()).To(BeTrue(), "the guard is what kept it out")
		pretend()
		Expect(heard()).To(ContainSubstring("127.0.0.2"))

		for _, flush := range []string{"", "nft flush chain ip cni_loopback prerouting"} {
			t.sh(flush)
			Expect(t.check(t.one, config)).NotTo(Succeed())
			t.OnHost(func() { Expect(Heal(context.Background())).Error().NotTo(HaveOccurred()) })
			Expect(t.check(t.one, config)).To(Succeed())
			Expect(getsIn()).To(BeFalse())
		}
	})

	It("to other hosts pass, also to a mapped port", func() {
		serve(t.outside, "tcp", 8080)
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp"), t.backend))
		within(t.outside, "ip route add 10.88.0.0/16 via 192.0.2.1; ip -6 route add fd88::/64 via 2001:db8::1")
		Expect(reach(t.two.Netns, "tcp", "192.0.2.9", 8080)).To(Equal(t.v4(t.two)), "not captured on its way through the host")
		Expect(reach(t.two.Netns, "tcp", "2001:db8::9", 8080)).To(Equal(t.v6(t.two)))
		Expect(reach(t.Host, "tcp", "192.0.2.9", 8080)).To(Equal("192.0.2.1"))
	})

	It("get in by the address of a mapping only", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp", `,"hostIP":"10.88.0.1"`)+","+mapping(8081, 80, "tcp", `,"hostIP":"::"`), t.backend))
		Expect(reach(t.two.Netns, "tcp", "10.88.0.1", 8080)).To(Equal("10.88.0.1"))
		refused(t.outside, "tcp", "192.0.2.1", 8080)
		refused(t.outside, "tcp", "2001:db8::1", 8080)
		Expect(reach(t.outside, "tcp", "2001:db8::1", 8081)).To(Equal("2001:db8::9"))
		refused(t.outside, "tcp", "192.0.2.1", 8081)
	})
}

// packetsWithSeveralMappings is about which mapping comes first, and about conditions.
func (t *trial) packetsWithSeveralMappings() {
	It("come to a mapping of their address first, of the same container or another", func() {
		t.add(t.one, t.config(t.one, mapping(8080, 99, "tcp")+","+mapping(8080, 80, "tcp", `,"hostIP":"192.0.2.1"`), t.backend))
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		refused(t.Host, "tcp", "10.88.0.1", 8080)
		general := t.config(t.two, mapping(8081, 99, "tcp"), t.backend)
		t.add(t.two, general)
		t.add(t.one, t.config(t.one, mapping(8081, 80, "tcp", `,"hostIP":"192.0.2.1"`)+","+mapping(8082, 80, "tcp"), t.backend))
		for range 2 {
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8081)).To(Equal("192.0.2.9"))
			refused(t.Host, "tcp", "10.88.0.1", 8081)
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8082)).To(Equal("192.0.2.9"))
			Expect(t.check(t.two, general)).To(Succeed())
			t.add(t.two, general)
		}
	})

	It("come to a mapping with conditions first", func() {
		conditions := map[string]string{
			`,"backend":"iptables"`: `,"conditionsV4":["-s","192.0.2.9"]`, `,"backend":"nftables"`: `,"conditionsV4":["ip","saddr","192.0.2.9"]`,
		}[t.backend]
		t.add(t.two, t.config(t.two, mapping(8080, 99, "tcp"), t.backend))
		t.add(t.one, t.config(t.one, mapping(8080, 80, "tcp", `,"hostIP":"0.0.0.0"`), t.backend+conditions))
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		refused(t.Host, "tcp", "192.0.2.1", 8080)
		specific := t.alias(t.two, "three")
		t.add(specific, t.config(specific, mapping(8080, 80, "tcp", `,"hostIP":"192.0.2.1"`), t.backend))
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		By("of which one container has the port")
		other := t.alias(t.two, "four")
		_, err := t.Call("ADD", other, t.config(other, mapping(8080, 80, "tcp", `,"hostIP":"0.0.0.0"`), t.backend+conditions))
		Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network test")))
	})

	It("get through where a condition is met", func() {
		conditions := `,"conditionsV4":["!","-s","10.88.0.0/16"],"conditionsV6":["!","-s","fd88::/64"]`
		if t.backend == `,"backend":"nftables"` {
			conditions = `,"conditionsV4":["ip saddr != 10.88.0.0/16"],"conditionsV6":["ip6","saddr","!=","{fd88::/64, fd99::1}"]`
		}
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend+conditions)
		t.add(t.one, config)
		Expect(t.check(t.one, config)).To(Succeed())
		Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		Expect(reach(t.outside, "tcp", "2001:db8::1", 8080)).To(Equal("2001:db8::9"))
		refused(t.two.Netns, "tcp", "192.0.2.1", 8080)
		refused(t.two.Netns, "tcp", "2001:db8::1", 8080)
		Expect(t.check(t.one, strings.Replace(config, "10.88.0.0/16", "10.99.0.0/16", 1))).NotTo(Succeed(), "other conditions")
		t.add(t.two, t.config(t.two, mapping(8081, 80, "tcp"), t.backend))
		Expect(t.check(t.one, config)).To(Succeed(), "beside others without conditions")
		t.Del(t.one, config)
		refused(t.outside, "tcp", "192.0.2.1", 8080)
	})
}

// packetsOfFlows is about what connection tracking knows already.
func (t *trial) packetsOfFlows() {
	It("of a flow that was opened after a flush follow the mapping that Heal puts back", func() {
		t.restored(func() {
			t.OnHost(func() { Expect(Heal(context.Background())).To(HaveLen(1)) })
		})
	})

	It("of such a flow follow the mapping that the next ADD puts back", func() {
		t.restored(func() { t.add(t.two, t.config(t.two, mapping(5354, 53, "udp"), t.backend)) })
	})

	It("of a flow end with the mapping when a GC or another ADD takes it", func() {
		serve(t.Host, "udp", 5353)
		config := t.config(t.one, mapping(5353, 53, "udp"), t.backend)
		for _, remove := range []func(){
			func() {
				t.OnHost(func() { Expect(collect(context.Background(), plugin.NewAttachments("test", nil))).To(Succeed()) })
			},
			func() { t.add(t.one, t.config(t.one, mapping(5354, 53, "udp"), t.backend)) },
		} {
			t.add(t.one, config)
			client := t.begin()
			Expect(hear(client)).To(Equal("192.0.2.9"))
			toContainer := t.sh("conntrack -L -p udp --orig-port-dst 5353 2>/dev/null")
			Expect(toContainer).To(ContainSubstring("src=10.88.0.2 "))
			remove()
			Expect(t.sh("conntrack -L -p udp --orig-port-dst 5353 2>/dev/null")).NotTo(ContainSubstring("src=10.88.0.2 "))
			Expect(hear(client)).To(Equal("192.0.2.9"), "the host answers")
		}
	})

	It("of a flow that goes on follow the mapping", func() {
		client := t.begin()
		t.add(t.one, t.config(t.one, mapping(5353, 53, "udp"), t.backend))
		Expect(hear(client)).To(Equal("192.0.2.9"))
		t.Del(t.one, t.config(t.one, mapping(5353, 53, "udp"), t.backend))
		_, err := hear(client)
		Expect(err).To(HaveOccurred(), "the flow ends with the mapping")
		serve(t.two.Netns, "udp", 53)
		t.add(t.two, t.config(t.two, mapping(5353, 53, "udp"), t.backend))
		Expect(hear(client)).To(Equal("192.0.2.9"), "and goes on with another")
	})
}

// packetsMissedByCheck is about rules that somebody has changed.
func (t *trial) packetsMissedByCheck() {
	It("are missed by CHECK where an earlier address gets them, until Heal leads them on", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp", `,"hostIP":"192.0.2.1"`)+","+mapping(8081, 80, "tcp"), t.backend)
		t.add(t.one, config)
		stale := func(how, matches string) {
			GinkgoHelper()
			t.sh(`chain=$(iptables -t nat -S | sed -n 's/^-N \(CNI-DN-.*\)/\1/p'); iptables -t nat ` + how + ` $chain ` + matches + ` -j DNAT --to-destination 10.88.0.77:80`)
		}
		stale("-A", "-p tcp --dport 8080")
		stale("-I", "-p udp --dport 8080")
		stale("-I", "-p tcp --dport 8082")
		stale("-I", "-p tcp --dport 8080 -d 192.0.2.77")
		Expect(t.check(t.one, config)).To(Succeed(), "what nothing for the container comes to")
		for _, matches := range []string{"-p tcp --dport 8080", "-p tcp --dport 8080 -d 192.0.2.1", "-p tcp --dport 8081 -d 192.0.2.1"} {
			stale("-I", matches)
			Expect(t.check(t.one, config)).To(MatchError(And(ContainSubstring("10.88.0.77:80"), ContainSubstring("ahead of the rule for that port"))))
			t.OnHost(func() { Expect(Heal(context.Background())).To(HaveLen(1)) })
			Expect(t.check(t.one, config)).To(Succeed())
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
			Expect(reach(t.outside, "tcp", "192.0.2.1", 8081)).To(Equal("192.0.2.9"))
		}
	})

	It("are missed by CHECK where they get through without a condition", func() {
		config := t.config(t.one, mapping(8080, 80, "tcp"), t.backend+`,"conditionsV4":["-s","192.0.2.0/24"]`)
		t.add(t.one, config)
		t.sh(`rule=$(iptables -t nat -S CNI-HOSTPORT-DNAT | grep 8080 | sed 's#-s 192.0.2.0/24##')
			iptables -t nat -F CNI-HOSTPORT-DNAT; eval iptables -t nat $rule`)
		Expect(t.check(t.one, config)).To(MatchError(ContainSubstring("has no rule that leads 8080/tcp")))
	})
}

var _ = Describe("packets from ::1", func() {
	var (
		l      *lab
		one    *testrig.Container
		config string
	)
	// bridged has the kernel pass bridged packets of IPv6 to netfilter, or not.
	bridged := func(value string) {
		l.sh("[ ! -e /proc/sys/net/bridge/bridge-nf-call-ip6tables ] || echo " + value + " > /proc/sys/net/bridge/bridge-nf-call-ip6tables")
	}
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
		l = newLab()
		one = l.attach("one")
		serve(one.Netns, "tcp", 80)
		serve(one.Netns, "udp", 53)
		config = l.config(one, mapping(8080, 80, "tcp")+","+mapping(5353, 53, "udp", `,"hostIP":"::1"`), `,"backend":"nftables"`)
		bridged("0")
	})

	It("get to a mapped port, and the answers back, with nftables", func() {
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		Expect(reach(l.Host, "tcp", "::1", 8080)).To(Equal("fd88::1"))
		Expect(reach(l.Host, "udp", "::1", 5353)).To(Equal("fd88::1"))
		By("losing the route")
		l.sh("ip -6 route del local ::1 dev br0 table local")
		_, err := reach(l.Host, "tcp", "::1", 8080)
		Expect(err).To(HaveOccurred())
		Expect(l.check(one, config)).To(MatchError(ContainSubstring("what answers ::1 has no route")))
		l.add(one, config)
		Expect(reach(l.Host, "tcp", "::1", 8080)).To(Equal("fd88::1"))
		By("losing it with the device's state, and nothing else")
		l.sh("ip link set br0 down; ip link set br0 up; ip -6 addr replace fd88::1/64 dev br0 nodad")
		meet(l.Host, one.Netns, l.v6(one))
		Expect(l.check(one, config)).To(MatchError(ContainSubstring("what answers ::1 has no route")))
		l.Heal(func() ([]plugin.Owner, error) { return Heal(context.Background()) })
		Expect(l.check(one, config)).To(Succeed())
		Expect(reach(l.Host, "tcp", "::1", 8080)).To(Equal("fd88::1"))
		l.Del(one, config)
		_, err = reach(l.Host, "tcp", "::1", 8080)
		Expect(err).To(HaveOccurred())
	})

	It("get to the containers behind each of several devices", func() {
		l.sh("ip link add br1 type bridge; ip link set br1 up; ip addr add fd99::1/64 dev br1 nodad")
		two := l.attach("two")
		l.sh("ip link set " + fmt.Sprintf("veth%d", l.number[two]) + " master br1")
		within(two.Netns, "ip addr add fd99::3/64 dev eth0 nodad")
		meet(l.Host, two.Netns, "fd99::3")
		serve(two.Netns, "tcp", 80)
		other := strings.ReplaceAll(strings.ReplaceAll(l.config(two, mapping(8081, 80, "tcp"), `,"backend":"nftables"`), "fd88::3", "fd99::3"), "br0", "br1")
		l.add(one, config)
		l.add(two, other)
		Expect(l.check(one, config)).To(Succeed())
		Expect(l.check(two, other)).To(Succeed())
		Expect(reach(l.Host, "tcp", "::1", 8080)).To(Equal("fd88::1"))
		Expect(reach(l.Host, "tcp", "::1", 8081)).To(Equal("fd99::1"))
	})

	It("do not without snat, and need no route then", func() {
		config := l.config(one, mapping(8080, 80, "tcp"), `,"backend":"nftables","snat":false`)
		l.add(one, config)
		Expect(l.check(one, config)).To(Succeed())
		Expect(l.sh("ip -6 route show table local")).NotTo(ContainSubstring("::1 dev br0 metric"))
	})

	It("come from the host only: nobody else gets to its ::1", func() {
		serve(l.Host, "udp", 7777)
		Expect(reach(one.Netns, "udp", "fd88::1", 7777)).To(Equal(l.v6(one)))
		l.add(one, config)
		within(one.Netns, "ip -6 addr del ::1/128 dev lo; ip -6 route add ::1/128 via fd88::1 dev eth0")
		for _, value := range []string{"0", "1"} {
			bridged(value)
			before := l.sh("cat /proc/thread-self/net/snmp6 | grep Ip6InHdrErrors")
			_, err := reach(one.Netns, "udp", "::1", 7777)
			Expect(err).To(HaveOccurred())
			Expect(l.sh("cat /proc/thread-self/net/snmp6 | grep Ip6InHdrErrors")).NotTo(Equal(before), "it was sent, and dropped at once")
			_, err = reach(one.Netns, "udp", "::1", 5353)
			Expect(err).To(HaveOccurred(), "not even to a mapped port")
		}
	})
})

func within(netns ns.NetNS, script string) {
	GinkgoHelper()
	testutils.Inside(netns, func() { sh(script) })
}
