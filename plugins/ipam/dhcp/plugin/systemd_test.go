// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
)

// manager is a systemd with the plugin's units.
type manager struct {
	*testrig.Systemd
	host ns.NetNS
}

const (
	service   = "cni-dhcp.service"
	socket    = "cni-dhcp.socket"
	installed = "/opt/cni/bin/dhcp"
)

// systemd starts a systemd whose services are in the network of the host. The
// containers have to be there before.
func (n *lan) systemd() *manager {
	GinkgoHelper()
	return &manager{testrig.StartSystemd(n.Host, "../systemd", executable, socket), n.Host}
}

// call runs the plugin, with the configuration that everybody has.
func (m *manager) call(verb string, c *testrig.Container) (string, error) {
	cmd := m.Command(installed)
	cmd.Env = append(cmd.Env, "CNI_COMMAND="+verb, "CNI_CONTAINERID="+c.ID, "CNI_NETNS="+c.Path, "CNI_IFNAME="+c.IfName, "CNI_PATH=/opt/cni/bin")
	cmd.Stdin = strings.NewReader(testrig.Config(`{"type":"caller","ipam":{"type":"dhcp"}}`))
	var out []byte
	err := m.host.Do(func(ns.NetNS) (err error) {
		out, err = cmd.Output()
		return err
	})
	return string(out), err
}

func (m *manager) daemonPID() string { return m.Must("show", "--value", "--property=MainPID", service) }

var _ = Describe("under systemd, the daemon", func() {
	It("is started by a plugin, started again after its death, and keeps its leases", func() {
		n := newLAN()
		server := n.kea(10, timing{1, 15, 30})
		c := n.container("c1")
		m := n.systemd()
		out, err := m.Command("stat", "-c", "%F %a %U %G", "/run/cni/dhcp.sock").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(strings.TrimSpace(string(out))).To(Equal("socket 660 root root"))
		state, _ := m.Systemctl("is-active", service)
		Expect(state).To(Equal("inactive"))

		printed, err := m.call("ADD", c)
		Expect(err).NotTo(HaveOccurred(), printed)
		result := testrig.Result(printed)
		configure(c, result)
		Expect(m.Must("is-active", service)).To(Equal("active"))
		Expect(m.Must("show", "--value", "--property=StatusText,NotifyAccess,Type", service)).To(ContainSubstring("notify"))
		renewed := "DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"
		goesOn := func(former string) string {
			GinkgoHelper()
			var now string
			Eventually(func() string {
				now = m.daemonPID()
				return now
			}).ShouldNot(Or(Equal(former), Equal("0")))
			Eventually(func() (string, error) { return m.Systemctl("is-active", service) }).Should(Equal("active"))
			Expect(server.Out.Clear()).To(Succeed())
			Eventually(server.Out).Should(gbytes.Say(renewed))
			Expect(string(server.Out.Contents())).NotTo(ContainSubstring("ADVERT"), "the lease was not lost")
			return now
		}
		pid := goesOn("")
		m.Must("restart", service)
		pid = goesOn(pid)
		m.Must("kill", "--signal=KILL", service)
		goesOn(pid)
		printed, err = m.call("STATUS", c)
		Expect(err).NotTo(HaveOccurred(), printed)

		m.Must("stop", service)
		state, _ = m.Systemctl("is-active", socket)
		Expect(state).To(Equal("inactive"))
		Expect(m.Command("test", "-e", "/run/cni/dhcp.sock").Run()).NotTo(Succeed())
		printed, err = m.call("STATUS", c)
		Expect(err).To(HaveOccurred())
		Expect(printed).To(And(ContainSubstring(`"code": 50`), ContainSubstring("systemctl start cni-dhcp.socket")))
		m.Must("start", socket)
		Expect(server.Out.Clear()).To(Succeed())
		printed, err = m.call("DEL", c) // starts the daemon, which has the lease
		Expect(err).NotTo(HaveOccurred(), printed)
		Eventually(server.Out).Should(gbytes.Say("DHCP4_RELEASE .*" + addressOf(result) + " was released properly"))
		m.End()
	})

	It("has units that systemd finds nothing wrong with", func() {
		newLAN().systemd().ExpectGoodUnits(service, socket)
	})
})
