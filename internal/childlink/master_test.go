// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the default route of the kernel", func() {
	host := func(commands ...string) ns.NetNS {
		GinkgoHelper()
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		netns := testutils.TempNS(GinkgoT())
		commands = append([]string{"link add up0 type veth peer name up1", "addr add 192.0.2.1/24 dev up0", "addr add 198.51.100.1/24 dev up1",
			"link set up0 up", "link set up1 up"}, commands...)
		Expect(netns.Do(func(ns.NetNS) error {
			for _, command := range commands {
				out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), "ip %s: %s", command, out)
			}
			return nil
		})).To(Succeed())
		return netns
	}
	found := func(netns ns.NetNS) (string, error) {
		l, err := ns.Call(netns, func() (netlink.Link, error) { return (&Master{}).find() })
		if err != nil {
			return "", err
		}
		return l.Attrs().Name, nil
	}

	It("counts with its metric", func() {
		Expect(found(host("route add default via 192.0.2.9 metric 200", "route add default via 198.51.100.9 metric 100"))).To(Equal("up1"))
	})

	It("counts with its first hop", func() {
		Expect(found(host("route add default nexthop via 198.51.100.9 nexthop via 192.0.2.9"))).To(Equal("up1"))
	})

	It("does not count if it is unreachable, or in another table", func() {
		Expect(found(host("route add unreachable default metric 1", "route add default via 198.51.100.9 table 100",
			"route add default via 192.0.2.9 metric 500"))).To(Equal("up0"))
	})

	It("may be IPv6 where there is none of IPv4", func() {
		Expect(found(host("-6 route add default dev up1 metric 50"))).To(Equal("up1"))
		Expect(found(host("-6 route add default dev up1 metric 50", "route add default via 192.0.2.9 metric 500"))).To(Equal("up0"))
	})

	It("has to be there", func() {
		_, err := found(host())
		Expect(err).To(MatchError("master: missing, and there is no default route on the host whose interface could take its place; name an interface"))
	})
})
