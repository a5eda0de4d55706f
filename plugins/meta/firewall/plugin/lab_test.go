// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// lab is a host with two bridges, as another plugin would have left them, and a
// host outside that knows the way to the containers:
//
//	one 10.1.0.2 fd01::2 ---+- br0
//	two 10.1.0.3 fd01::3 ---+       host 192.0.2.1 ---- outside 192.0.2.9
//	three 10.2.0.2 fd02::2 --- br1       2001:db8::1            2001:db8::9
type lab struct {
	*testrig.Rig
	one, two, three *attached
	outside         ns.NetNS
}

// attached is a container on a bridge.
type attached struct {
	*testrig.Container
	bridge, v4, v6 string
}

// noDAD makes new links usable at once.
const noDAD = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"

func newLab() *lab {
	GinkgoHelper()
	testutils.Need(GinkgoT(), "root", "ipv6", "bridge", "veth", "ip-tool", "iptables", "ip6tables", "nftables", "nft-tool")
	l := &lab{Rig: testrig.New(Plugin, "")}
	within(l.Host, noDAD)
	l.outside = l.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
	within(l.outside, "ip route add 10.0.0.0/8 via 192.0.2.1; ip -6 route add fd00::/8 via 2001:db8::1")
	within(l.Host, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	for i := range 2 {
		within(l.Host, fmt.Sprintf("ip link add br%d type bridge; ip addr add 10.%d.0.1/24 dev br%d; ip addr add fd0%d::1/64 dev br%d nodad; ip link set br%d up",
			i, i+1, i, i+1, i, i))
	}
	l.one, l.two, l.three = l.attach("one", 0, 2), l.attach("two", 0, 3), l.attach("three", 1, 2)
	return l
}

// attach puts a container on a bridge.
func (l *lab) attach(id string, bridge, address int) *attached {
	GinkgoHelper()
	a := &attached{l.Container(id), fmt.Sprintf("br%d", bridge), fmt.Sprintf("10.%d.0.%d", bridge+1, address), fmt.Sprintf("fd0%d::%d", bridge+1, address)}
	within(a.Netns, noDAD)
	within(l.Host, fmt.Sprintf("ip link add veth%s type veth peer name eth0 netns %s; ip link set veth%s master %s up", id, a.Path, id, a.bridge))
	within(a.Netns, fmt.Sprintf("ip addr add %s/24 dev eth0; ip addr add %s/64 dev eth0 nodad; ip link set eth0 up; ip route add default via 10.%d.0.1; ip -6 route add default via fd0%d::1",
		a.v4, a.v6, bridge+1, bridge+1))
	return a
}

// alias is a container that is there for the plugin only, with addresses of the
// bridge that nobody has.
func (l *lab) alias(a *attached, id string, address int) *attached {
	c := *a.Container
	c.ID = id
	bridge := strings.TrimPrefix(a.bridge, "br")
	return &attached{&c, a.bridge, fmt.Sprintf("10.%s.1.%d", bridge, address), fmt.Sprintf("fd0%s::1:%d", bridge, address)}
}

// within runs a script in a namespace and returns what it prints.
func within(netns ns.NetNS, script string) string {
	GinkgoHelper()
	output, err := ns.Call(netns, func() ([]byte, error) { return exec.Command("/bin/sh", "-e", "-c", script).CombinedOutput() })
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", script, output)
	return string(output)
}

// config is a configuration for the container, with the result of the plugin
// that put it on its bridge.
func (a *attached) config(rest string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"firewall"%s,"prevResult":{"cniVersion":"1.1.0",`+
		`"interfaces":[{"name":%q},{"name":"veth%s"},{"name":"eth0","sandbox":%q}],`+
		`"ips":[{"address":"%s/24","interface":2},{"address":"%s/64","interface":2}]}}`, rest, a.bridge, a.ID, a.Path, a.v4, a.v6)
}

// withoutPrev is a configuration without a result.
func withoutPrev(rest string) string { return `{"type":"firewall"` + rest + `}` }

// add runs ADD, which must succeed and pass the result on.
func (l *lab) add(a *attached, rest string) {
	GinkgoHelper()
	result := l.Add(a.Container, a.config(rest))
	Expect(result.Interfaces[0].Name).To(Equal(a.bridge))
	Expect(result.IPs).To(HaveLen(2))
}

func (l *lab) check(a *attached, rest string) error {
	GinkgoHelper()
	_, err := l.Call("CHECK", a.Container, a.config(rest))
	return err
}

// gets wants packets of both families to get from a container to another.
func gets(from, to *attached) {
	GinkgoHelper()
	for _, target := range []string{to.v4, to.v6} {
		_, err := testrig.Reach(from.Netns, to.Netns, target)
		Expect(err).NotTo(HaveOccurred(), "from %s to %s, %s", from.ID, to.ID, target)
	}
}

// misses wants packets of neither family to get there.
func misses(from, to *attached) {
	GinkgoHelper()
	for _, target := range []string{to.v4, to.v6} {
		Expect(testrig.Misses(from.Netns, to.Netns, target)).To(BeTrue(), "from %s to %s, %s", from.ID, to.ID, target)
	}
}

// world is the host outside, as a container that can be reached.
func (l *lab) world() *attached {
	return &attached{Container: &testrig.Container{ID: "outside", Netns: l.outside}, v4: "192.0.2.9", v6: "2001:db8::9"}
}

// rules are all that can be seen of the host, its packet filter included.
func (l *lab) rules() string {
	GinkgoHelper()
	text, err := testutils.Snapshot(l.Host)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// heal is Heal on the host.
func (l *lab) heal() []plugin.Owner {
	GinkgoHelper()
	return l.Heal(func() ([]plugin.Owner, error) { return Heal(context.Background()) })
}

// preferring has iptables and its companions be those of a variant.
func preferring(variant string) {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, which := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(family + "-" + variant + which)
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Symlink(program, filepath.Join(dir, family+which))).To(Succeed())
		}
	}
	GinkgoT().Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
