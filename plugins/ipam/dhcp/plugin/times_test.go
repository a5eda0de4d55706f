// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/d2g/dhcp4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
)

var _ = Describe("the times of a server", func() {
	var n *lan
	BeforeEach(func() { n = newLAN() })

	It("may be infinite: nothing is renewed, whatever T1 is; the lease outlives the daemon and is released", func() {
		// Not dnsmasq, which leaves out T1 and T2 with such leases.
		server := n.keaWith(10, timing{lease: infinite}, map[string]any{"option-data": forced(1, 2)})
		seen := n.listen()
		c, config := n.container("c1"), n.config("")
		first := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		Eventually(first.Err).Should(gbytes.Say("for ever"))
		Expect(n.acknowledged(c)).To(And(HaveKeyWithValue(optT1, []byte{0, 0, 0, 1}), HaveKeyWithValue(dhcp4.OptionIPAddressLeaseTime, []byte{255, 255, 255, 255})))
		requests := func() []sent { return seen.of(c, dhcp4.Request) }
		Consistently(requests, "1500ms").Should(HaveLen(1))
		first.end(syscall.SIGKILL)
		second := n.daemon()
		Eventually(second.Err).Should(gbytes.Say("1 leases taken up"))
		Consistently(requests, "1500ms").Should(HaveLen(1))
		Expect(testrig.Reach(n.Host, c.Netns, addressOf(result))).To(Equal(hostAddress))

		c.Do(func() {
			Expect(netlink.LinkSetDown(testrig.Find("eth0"))).To(Succeed())
			Expect(netlink.LinkSetUp(testrig.Find("eth0"))).To(Succeed())
		})
		Eventually(requests).Should(HaveLen(2), "an infinite lease is confirmed, too, when the link comes back")
		Consistently(requests, "500ms").Should(HaveLen(2))
		Expect(n.Check(c, config, result)).To(Succeed())
		n.Del(c, config)
		Eventually(func() []sent { return seen.of(c, dhcp4.Release) }).ShouldNot(BeEmpty())
		Eventually(server.Out).Should(gbytes.Say("DHCP4_RELEASE .*" + addressOf(result) + " was released properly"))
	})

	It("may be T1 alone: the lease is renewed then", func() {
		n.keaWith(10, timing{lease: 600}, map[string]any{"renew-timer": 1})
		seen := n.listen()
		n.daemon()
		c := n.container("c1")
		configure(c, n.Add(c, n.config("")))
		Expect(n.acknowledged(c)).To(And(HaveKeyWithValue(optT1, fourBytes(1)), Not(HaveKey(optT2))))
		Eventually(func() int { return len(seen.of(c, dhcp4.Request)) }).Should(BeNumerically(">=", 3))
		Expect(seen.of(c, dhcp4.Request)[2].dst.String()).To(Equal(serverAddress))
	})

	It("tell when any server is asked, though its own is then being asked", func() {
		server := n.kea(10, timing{1, 3, 60})
		seen := n.listen()
		n.daemon("-timeout", "10s")
		c := n.container("c1")
		configure(c, n.Add(c, n.config("")))
		granted := time.Now()
		server.end(syscall.SIGKILL)
		toAll := func() []sent {
			return slices.DeleteFunc(seen.of(c, dhcp4.Request), func(s sent) bool { return s.from.IsUnspecified() || !s.dst.Equal(net.IPv4bcast) })
		}
		Eventually(toAll, "8s").ShouldNot(BeEmpty())
		Expect(toAll()[0].at).To(BeTemporally("~", granted.Add(3*time.Second), time.Second))
		n.Del(c, n.config(""))
	})

	It("may make no sense: the lease is renewed in time, and not all the time", func() {
		const lifetime = 4 // seconds
		cases := []struct {
			name   string
			t1, t2 uint32
		}{
			{"zero", 0, 0}, {"t1-zero", 0, 3}, {"t1-after-t2", 3, 2}, {"equal", 2, 2}, {"t2-after-the-end", 1, 9},
			{"all-after-the-end", 100, 200}, {"infinite", infinite, infinite}, {"t2-infinite", 1, infinite},
		}
		var classes []any
		for _, each := range cases {
			classes = append(classes, map[string]any{
				"name": each.name, "test": fmt.Sprintf("option[60].text == '%s'", each.name),
				"option-data": forced(each.t1, each.t2),
			})
		}
		n.keaWith(10, timing{lease: lifetime}, map[string]any{"client-classes": classes})
		seen := n.listen()
		n.daemon()
		containers := make([]*testrig.Container, len(cases))
		for i, each := range cases {
			containers[i] = n.container(each.name)
			configure(containers[i], n.Add(containers[i], n.config(fmt.Sprintf(`,"provide":[{"option":"60","value":%q}]`, each.name))))
			Expect(n.acknowledged(containers[i])).To(And(
				HaveKeyWithValue(optT1, fourBytes(each.t1)), HaveKeyWithValue(optT2, fourBytes(each.t2))), each.name)
		}
		for i, each := range cases {
			Eventually(func() int { return len(seen.of(containers[i], dhcp4.Request)) }).Should(BeNumerically(">=", 3), each.name)
		}
		for i, each := range cases {
			requests := seen.of(containers[i], dhcp4.Request)
			for at := 1; at < len(requests); at++ {
				Expect(requests[at].at.Sub(requests[at-1].at)).To(And(
					BeNumerically(">", 900*time.Millisecond), BeNumerically("<", lifetime*time.Second)), each.name)
				Expect(requests[at].dst.String()).To(Equal(serverAddress), each.name)
			}
			Expect(seen.of(containers[i], dhcp4.Discover)).To(HaveLen(1), each.name)
		}
		Expect(n.leases()).To(HaveLen(len(cases)))
	})
})

// forced is T1 and T2 for a server that knows better.
func forced(t1, t2 uint32) []any {
	return []any{
		map[string]any{"name": "dhcp-renewal-time", "data": fmt.Sprint(t1), "always-send": true},
		map[string]any{"name": "dhcp-rebinding-time", "data": fmt.Sprint(t2), "always-send": true},
	}
}

func fourBytes(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// acknowledged returns the options of the message that a lease of a container
// is held by, as the journal has it.
func (n *lan) acknowledged(c *testrig.Container) options {
	GinkgoHelper()
	for _, path := range n.leases() {
		data, err := os.ReadFile(filepath.Clean(path))
		Expect(err).NotTo(HaveOccurred())
		var r record
		Expect(json.Unmarshal(data, &r)).To(Succeed())
		if r.Args.ContainerID == c.ID {
			return parseOptions(r.Grants[inet4].Message)
		}
	}
	Fail("no lease of " + c.ID)
	return nil
}
