// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// upstream is release 1.1.1 of Debian's package containernetworking-plugins.
const upstream = "/usr/lib/cni/portmap"

// upstreamNFT writes what upstream 1.9 writes with nftables for container one, and
// for another one, with id X.
const upstreamNFT = `
table ip cni_hostport {
	comment "CNI portmap plugin"
	chain prerouting {
		type nat hook prerouting priority -100;
		fib daddr type local jump hostports_all
	}
	chain output {
		type nat hook output priority -100;
		fib daddr type local jump hostports_all
	}
	chain hostports_all {
		jump hostip_hostports
		jump hostports
	}
	chain hostip_hostports {
		ip daddr 192.0.2.1 tcp dport 8089 dnat to 10.88.0.2:89 comment "one"
	}
	chain hostports {
		tcp dport 8080 dnat to 10.88.0.2:80 comment "one"
		ip daddr 192.0.2.1 tcp dport 8081 dnat to 10.88.0.2:80 comment "one"
		tcp dport 9090 dnat to 10.88.0.9:90 comment "X"
	}
	chain masquerading {
		type nat hook postrouting priority 100;
		ip saddr 10.88.0.2 ip daddr 10.88.0.2 masquerade comment "one"
		ip saddr 127.0.0.1 ip daddr 10.88.0.2 masquerade comment "one"
		ip saddr 10.88.0.9 ip daddr 10.88.0.9 masquerade comment "X"
	}
}
table ip6 cni_hostport {
	chain hostports {
		tcp dport 8080 dnat to [fd88::2]:80 comment "one"
		tcp dport 9090 dnat to [fd88::9]:90 comment "X"
	}
	chain masquerading {
		type nat hook postrouting priority 100;
		ip6 saddr fd88::2 ip6 daddr fd88::2 masquerade comment "one"
	}
}
`

var _ = Describe("a node that is upgraded", func() {
	var (
		l        *lab
		one, two *testrig.Container
		config   string
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool", "iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft")...)
		testrig.NeedUpstream(upstream)
		l = newLab()
		one, two = l.attach("one"), l.attach("two")
		serve(one.Netns, "tcp", 80)
		config = l.config(one, mapping(8080, 80, "tcp")+","+mapping(8081, 80, "tcp", `,"hostIP":"192.0.2.1"`), "")
	})
	// theirs runs upstream's plugin, with iptables of a variant under that name.
	theirs := func(verb, variant string, c *testrig.Container, config string) (string, error) {
		GinkgoHelper()
		cmd := exec.Command(upstream)
		cmd.Env = []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + c.ID, "CNI_NETNS=" + c.Path, "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni",
			"PATH=" + variantPath(variant) + ":" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(config, `"1.1.0"`, `"1.0.0"`))
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		err := l.Host.Do(func(ns.NetNS) error { return cmd.Run() })
		return output.String(), err
	}
	rules := func() string {
		GinkgoHelper()
		return l.sh(`nft list ruleset 2>/dev/null; for v in legacy nft; do iptables-$v-save -t nat; ip6tables-$v-save -t nat; done 2>/dev/null`)
	}
	gc := func(valid string) {
		GinkgoHelper()
		_, err := l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[`+valid+`]}`)
		Expect(err).NotTo(HaveOccurred())
	}
	expectNothingOf := func(traces ...string) {
		GinkgoHelper()
		for _, trace := range traces {
			Expect(rules()).NotTo(ContainSubstring(trace))
		}
	}
	const validOne = `{"containerID":"one","ifname":"eth0"}`

	for _, variant := range []string{"nft", "legacy"} {
		Context("with attachments of 1.1.1 by iptables-"+variant, func() {
			BeforeEach(func() {
				GinkgoT().Setenv("PATH", variantPath(variant)+":"+os.Getenv("PATH"))
				output, err := theirs("ADD", variant, one, config)
				Expect(err).NotTo(HaveOccurred(), output)
				Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
			})

			It("checks them", func() {
				Expect(l.check(one, config)).To(Succeed())
				l.sh("iptables -t nat -F OUTPUT")
				Expect(l.check(one, config)).To(MatchError(ContainSubstring("chain OUTPUT has no jump to CNI-HOSTPORT-DNAT")))
			})

			It("deletes them, and what it has made itself beside them", func() {
				l.add(two, l.config(two, mapping(8082, 80, "tcp"), ""))
				l.Del(one, config)
				expectNothingOf("10.88.0.2:", "fd88::2", "CNI-DN", `"one"`)
				l.Del(two, l.config(two, mapping(8082, 80, "tcp"), ""))
				expectNothingOf("10.88.0.3", "fd88::3", "test/two")
			})

			It("collects them", func() {
				gc(validOne)
				Expect(rules()).To(ContainSubstring("10.88.0.2:80"))
				Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
				gc("")
				expectNothingOf("10.88.0.2:", "CNI-DN")
			})

			It("does not take their ports", func() {
				for _, backend := range []string{`,"backend":"iptables"`, ""} {
					_, err := l.Call("ADD", two, l.config(two, mapping(8080, 80, "tcp"), backend))
					Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network test")))
				}
			})

			It("is downgraded, too", func() {
				second := l.config(two, mapping(8082, 80, "tcp"), `,"backend":"iptables"`)
				l.add(two, second)
				output, err := theirs("DEL", variant, two, second)
				Expect(err).NotTo(HaveOccurred(), output)
				expectNothingOf("10.88.0.3", "fd88::3", `"two"`)
				Expect(rules()).To(ContainSubstring("10.88.0.2:80"))
			})

			It("has the rules that it had", func() {
				theirRules := rules()
				l.Del(one, config)
				l.add(one, strings.Replace(config, `"type"`, `"backend":"iptables","type"`, 1))
				l.sh("nft delete table ip cni_loopback") // which upstream has nothing like
				Expect(withoutCounters(rules())).To(Equal(withoutCounters(theirRules)))
			})
		})
	}

	Context("with attachments of 1.1.1 by the variant that iptables is not", func() {
		for _, variant := range []string{"nft", "legacy"} {
			It("checks those of "+variant+", and does not take their ports", func() {
				opposite := map[string]string{"nft": "legacy", "legacy": "nft"}[variant]
				GinkgoT().Setenv("PATH", variantPath(opposite)+":"+os.Getenv("PATH"))
				output, err := theirs("ADD", variant, one, config)
				Expect(err).NotTo(HaveOccurred(), output)
				Expect(l.check(one, config)).To(Succeed())
				for _, backend := range []string{`,"backend":"iptables"`, ""} {
					_, err := l.Call("ADD", two, l.config(two, mapping(8080, 80, "tcp"), backend))
					Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network test")))
					Expect(testrig.Code(err)).To(BeEquivalentTo(11))
				}
				l.Del(one, config)
				expectNothingOf("10.88.0.2:", "fd88::2", "CNI-DN", `"one"`)
			})
		}
	})

	Context("with attachments of 1.9 by nftables", func() {
		BeforeEach(func() {
			l.sh("nft -f - <<'E'\n" + upstreamNFT + "E\n")
			Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
		})

		It("checks them", func() {
			Expect(l.check(one, config)).To(MatchError(ContainSubstring("route_localnet")), "1.9 would have set it")
			l.sh("echo 1 > /proc/sys/net/ipv4/conf/br0/route_localnet")
			Expect(l.check(one, config)).To(Succeed())
			for lacking, asked := range map[string]string{
				"8088/tcp to 10.88.0.2:80": mapping(8088, 80, "tcp"), "8080/udp to 10.88.0.2:80": mapping(8080, 80, "udp"),
				"8080/tcp to 10.88.0.2:81":           mapping(8080, 81, "tcp"),
				"192.0.2.1:8080/tcp to 10.88.0.2:80": mapping(8080, 80, "tcp", `,"hostIP":"192.0.2.1"`),
			} {
				Expect(l.check(one, l.config(one, asked, ""))).To(MatchError(ContainSubstring("table ip cni_hostport does not lead " + lacking)))
			}
			l.sh("nft flush chain ip cni_hostport hostports; nft add rule ip cni_hostport hostports ip saddr 192.0.2.9 tcp dport 8080 dnat to 10.88.0.2:80 comment one")
			Expect(l.check(one, config)).To(MatchError(ContainSubstring("table ip cni_hostport does not lead 192.0.2.1:8081/tcp to 10.88.0.2:80")))
			l.sh("nft add rule ip cni_hostport hostports ip saddr 192.0.2.9 ip daddr 192.0.2.1 tcp dport 8081 dnat to 10.88.0.2:80 comment one")
			Expect(l.check(one, config)).To(Succeed())
			l.sh("nft flush chain ip cni_hostport masquerading")
			Expect(l.check(one, config)).To(MatchError(ContainSubstring("does not masquerade for 10.88.0.2")))
		})

		It("does not take their ports", func() {
			for _, backend := range []string{`,"backend":"iptables"`, ""} {
				for held, m := range map[string]string{
					"8080/tcp": mapping(8080, 80, "tcp"), "192.0.2.1:8081/tcp": mapping(8081, 80, "tcp", `,"hostIP":"192.0.2.1"`),
					"192.0.2.1:8089/tcp": mapping(8089, 80, "tcp", `,"hostIP":"192.0.2.1"`),
				} {
					_, err := l.Call("ADD", two, l.config(two, m, backend))
					Expect(err).To(MatchError(ContainSubstring(held + " is held by container one, in table ip cni_hostport")))
					Expect(testrig.Code(err)).To(BeEquivalentTo(11))
				}
				l.add(two, l.config(two, mapping(8080, 80, "udp")+","+mapping(8089, 80, "tcp")+","+mapping(8081, 80, "tcp", `,"hostIP":"10.88.0.1"`), backend))
				l.Del(two, l.config(two, "", backend))
			}
			By("but what leads to an address that is another's by now")
			l.number[two] = l.number[one]
			l.add(two, l.config(two, mapping(8080, 80, "tcp"), ""))
			expectNothingOf(`"one"`)
			Expect(rules()).To(ContainSubstring("10.88.0.9:90"))
		})

		It("deletes them", func() {
			l.Del(one, config)
			expectNothingOf(`"one"`, "10.88.0.2", "fd88::2")
			Expect(rules()).To(ContainSubstring("10.88.0.9:90"))
		})

		It("collects them, unless they may be another network's", func() {
			gc(validOne + `,{"containerID":"X","ifname":"eth0"}`)
			Expect(rules()).To(ContainSubstring("fd88::2"))
			gc(`{"containerID":"X","ifname":"eth0"}`)
			expectNothingOf(`"one"`, "10.88.0.2", "fd88::2")
			Expect(rules()).To(ContainSubstring("10.88.0.9:90"))
			gc("")
			expectNothingOf("10.88.0.9", "fd88::9")
		})
	})
})

// variantPath returns a directory in which iptables and the programs that go with
// it are those of a variant.
func variantPath(variant string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, which := range []string{"", "-save", "-restore"} {
			path, err := exec.LookPath(name + "-" + variant + which)
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Symlink(path, filepath.Join(dir, name+which))).To(Succeed())
		}
	}
	return dir
}

func withoutCounters(rules string) string {
	var kept []string
	for line := range strings.Lines(rules) {
		if !strings.HasPrefix(line, "#") {
			kept = append(kept, counters().ReplaceAllString(line, ""))
		}
	}
	return fmt.Sprint(kept)
}
