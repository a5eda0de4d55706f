// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"os/exec"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/testutils/killpoint"
)

// Whole chains, as runtimes configure them: what one plugin leaves behind may be
// in the way of another.

// chained is a list of plugins in one configuration.
func chained(name string, plugins ...Object) Suite {
	suite := Suite{
		Name:   name,
		Plugin: plugin.Plugin{Name: "chain"},
		Dir:    "pkg/testutils/conformance/testdata/chain",
		IPAM:   plugin.RequiredIPAM,
		Needs:  []string{"iptables", "ip6tables", "nftables", "ipv6"},
		Config: func(*Host) Object { return Object{"plugins": plugins} },
	}
	for _, p := range plugins {
		suite.Others = append(suite.Others, directoryOf(p["type"].(string)))
	}
	return suite
}

func directoryOf(name string) string {
	if name == "bridge" {
		return "plugins/main/bridge"
	}
	return "plugins/meta/" + name
}

func bridgeWith(backend string) Object {
	return Object{"type": "bridge", "bridge": "conf0", "isGateway": true, "hairpinMode": true, "ipMasq": true, "ipMasqBackend": backend}
}

func portmapWith(backend string) Object {
	return Object{"type": "portmap", "backend": backend, "runtimeConfig": Object{"portMappings": []any{
		Object{"hostPort": "OWN-PORT", "containerPort": 80, "protocol": "tcp"},
		Object{"hostPort": "OWN-PORT", "containerPort": 53, "protocol": "udp"},
	}}}
}

// podman is the list that podman has by default.
func podman(backend string) Suite {
	return chained("podman's list with "+backend,
		bridgeWith(backend),
		portmapWith(backend),
		Object{"type": "firewall", "backend": backend, "ingressPolicy": "same-bridge"},
		Object{"type": "tuning", "sysctl": Object{"net.ipv4.conf.IFNAME.arp_filter": "1"}},
	)
}

var _ = Describe("A chain", Ordered, ContinueOnFailure, func() {
	const crowd = 50
	lists := []Suite{podman("nftables"), podman("iptables")}
	m := new(matrix)
	BeforeAll(func() { m.build(lists) })

	for _, list := range lists {
		It("attaches and detaches 50 containers at once, "+list.Name, func() {
			testutils.Need(GinkgoT(), append([]string{"root", "nft-tool"}, list.Needs...)...)
			m.suite = list
			m.host = m.newHost()
			config := m.config("1.1.0")
			var containers []*Container
			for i := range crowd {
				containers = append(containers, m.container(containerID("c%d", i)))
			}
			attachments := make([]Attachment, crowd)
			Expect(inParallel(crowd, func(i int) (err error) {
				attachments[i], err = m.host.attach(containers[i], config)
				return err
			})).To(Succeed())
			expectUniqueAddresses(attachments, list)
			m.expectNothingTwice()
			Expect(inParallel(crowd, func(i int) error {
				return m.call("CHECK", containers[i], with(config, Object{"prevResult": attachments[i].Result})).silentSuccess()
			})).To(Succeed())
			Expect(inParallel(crowd, func(i int) error { return m.host.detach(containers[i], config) })).To(Succeed())
			m.hostClean, m.nsClean = snapshot(m.host), snapshot(m.container("fresh"))
			Expect(m.host.warmUp(config)).To(Succeed())
			m.expectNothingLeft(containers...)
			Expect(m.hostClean).NotTo(MatchRegexp(`conformance[/:]c|CNI-[0-9a-f]{24}|CNI-(DN|SN|FW)-`), "what an attachment owns")
		})
	}
})

// expectNothingTwice looks for rules that are in a chain more than once.
func (m *matrix) expectNothingTwice() {
	GinkgoHelper()
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		seen := map[string]bool{}
		table := ""
		output, err := ns.Call(m.host.NS, exec.Command(program).Output)
		Expect(err).NotTo(HaveOccurred())
		for _, line := range strings.Split(string(output), "\n") {
			if strings.HasPrefix(line, "*") {
				table = line
			}
			if strings.HasPrefix(line, "-A") {
				Expect(seen).NotTo(HaveKey(table+line), "twice in "+program)
				seen[table+line] = true
			}
		}
	}
}

var _ = Describe("A chain that is killed", Ordered, ContinueOnFailure, func() {
	m := new(matrix)
	whole := podman("nftables")
	parts := []Suite{
		chained("bridge and firewall", bridgeWith("iptables"), Object{"type": "firewall", "backend": "iptables"}),
		chained("bridge and portmap with nftables", bridgeWith("nftables"), portmapWith("nftables")),
		chained("bridge and portmap with iptables", bridgeWith("iptables"), portmapWith("iptables")),
	}
	BeforeAll(func() { m.build(append(parts, whole)) })
	inDel := aftermath{"in DEL: DEL leaves nothing", "DEL", []killpoint.Mode{killpoint.KillPlugin}, del}
	m.kills(whole, []aftermath{
		aftermathCalled("in ADD: DEL leaves nothing when the namespace has vanished"),
		aftermathCalled("in ADD: the next ADD and GC leave nothing when the namespace has vanished"),
		aftermathCalled("in ADD, its delegate alone: an error leaves nothing"),
		inDel,
		aftermathCalled("in GC: GC leaves nothing"),
	})
	for _, part := range parts {
		m.kills(part, []aftermath{aftermathCalled("in ADD: DEL leaves nothing when the namespace has vanished"), inDel})
	}
})

// aftermathCalled returns one, for the first of its modes: a chain dies with
// whom runs it.
func aftermathCalled(title string) aftermath {
	all := aftermaths()
	at := slices.IndexFunc(all, func(a aftermath) bool { return a.title == title }) // the specs are not built without it
	all[at].modes = all[at].modes[:1]
	return all[at]
}
