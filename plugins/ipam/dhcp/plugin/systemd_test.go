// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
)

// manager is a systemd with the plugin's units, as testdata/manager.sh runs it.
type manager struct {
	host    ns.NetNS
	process process
}

const (
	service   = "cni-dhcp.service"
	socket    = "cni-dhcp.socket"
	installed = "/opt/cni/bin/dhcp" // where the units and the script have it
)

// systemd starts a systemd whose services are in the network of the host. The
// containers have to be there before.
func (n *lan) systemd() *manager {
	GinkgoHelper()
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		Skip("needs /lib/systemd/systemd (package systemd)")
	}
	work := filepath.Join(n.dir, "manager")
	Expect(os.Mkdir(work, 0o755)).To(Succeed())
	script, err := filepath.Abs("testdata/manager.sh")
	Expect(err).NotTo(HaveOccurred())
	units, err := filepath.Abs("../systemd")
	Expect(err).NotTo(HaveOccurred())
	m := &manager{host: n.Host}
	group := newCgroup()
	m.process = start(n.Host, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", script, group, units, work, executable)
	Eventually(func() (string, error) { return m.systemctl("is-active", socket) }).Should(Equal("active"), "%s", m.process.Err.Contents())
	return m
}

// newCgroup makes a control group for a systemd to have below it what it likes.
func newCgroup() string {
	GinkgoHelper()
	root := ""
	mounts, err := os.ReadFile("/proc/self/mounts")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			root = fields[1]
		}
	}
	if root == "" {
		Skip("needs cgroup2, mounted somewhere")
	}
	group := filepath.Join(root, fmt.Sprintf("cnitest-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		Skip("needs a cgroup2 that can be written to: " + err.Error())
	}
	DeferCleanup(func() { Eventually(func() error { return removeCgroup(group) }).Should(Succeed()) })
	return group
}

func removeCgroup(group string) error {
	entries, err := os.ReadDir(group)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(group)
}

// command is one that sees the files that services see, and whom systemd sees: it
// answers nobody else.
func (m *manager) command(name string, args ...string) *exec.Cmd {
	pid := fmt.Sprint(m.process.Command.Process.Pid)
	cmd := exec.Command("nsenter", append([]string{"--mount=/proc/" + pid + "/ns/mnt", "--pid=/proc/" + pid + "/ns/pid_for_children", "--", name}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=/run/user"}
	return cmd
}

func (m *manager) systemctl(args ...string) (string, error) {
	out, err := m.command("systemctl", append([]string{"--user"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *manager) must(args ...string) string {
	GinkgoHelper()
	out, err := m.systemctl(args...)
	Expect(err).NotTo(HaveOccurred(), out)
	return out
}

// call runs the plugin, with the configuration that everybody has.
func (m *manager) call(verb string, c *testrig.Container) (string, error) {
	cmd := m.command(installed)
	cmd.Env = append(cmd.Env, "CNI_COMMAND="+verb, "CNI_CONTAINERID="+c.ID, "CNI_NETNS="+c.Path, "CNI_IFNAME="+c.IfName, "CNI_PATH=/opt/cni/bin")
	cmd.Stdin = strings.NewReader(testrig.Config(`{"type":"caller","ipam":{"type":"dhcp"}}`))
	var out []byte
	err := m.host.Do(func(ns.NetNS) (err error) {
		out, err = cmd.Output()
		return err
	})
	return string(out), err
}

func (m *manager) daemonPID() string { return m.must("show", "--value", "--property=MainPID", service) }

var _ = Describe("under systemd, the daemon", func() {
	It("is started by a plugin, started again after its death, and keeps its leases", func() {
		n := newLAN()
		server := n.kea(10, timing{1, 15, 30})
		c := n.container("c1")
		m := n.systemd()
		out, err := m.command("stat", "-c", "%F %a %U %G", "/run/cni/dhcp.sock").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(strings.TrimSpace(string(out))).To(Equal("socket 660 root root"))
		state, _ := m.systemctl("is-active", service)
		Expect(state).To(Equal("inactive"))

		printed, err := m.call("ADD", c)
		Expect(err).NotTo(HaveOccurred(), printed)
		result := testrig.Result(printed)
		configure(c, result)
		Expect(m.must("is-active", service)).To(Equal("active"))
		Expect(m.must("show", "--value", "--property=StatusText,NotifyAccess,Type", service)).To(ContainSubstring("notify"))
		renewed := "DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"
		goesOn := func(former string) string {
			GinkgoHelper()
			var now string
			Eventually(func() string {
				now = m.daemonPID()
				return now
			}).ShouldNot(Or(Equal(former), Equal("0")))
			Eventually(func() (string, error) { return m.systemctl("is-active", service) }).Should(Equal("active"))
			Expect(server.Out.Clear()).To(Succeed())
			Eventually(server.Out).Should(gbytes.Say(renewed))
			Expect(string(server.Out.Contents())).NotTo(ContainSubstring("ADVERT"), "the lease was not lost")
			return now
		}
		pid := goesOn("")
		m.must("restart", service)
		pid = goesOn(pid)
		m.must("kill", "--signal=KILL", service)
		goesOn(pid)
		printed, err = m.call("STATUS", c)
		Expect(err).NotTo(HaveOccurred(), printed)

		m.must("stop", service)
		state, _ = m.systemctl("is-active", socket)
		Expect(state).To(Equal("inactive"))
		Expect(m.command("test", "-e", "/run/cni/dhcp.sock").Run()).NotTo(Succeed())
		printed, err = m.call("STATUS", c)
		Expect(err).To(HaveOccurred())
		Expect(printed).To(And(ContainSubstring(`"code": 50`), ContainSubstring("systemctl start cni-dhcp.socket")))
		m.must("start", socket)
		Expect(server.Out.Clear()).To(Succeed())
		printed, err = m.call("DEL", c) // starts the daemon, which has the lease
		Expect(err).NotTo(HaveOccurred(), printed)
		Eventually(server.Out).Should(gbytes.Say("DHCP4_RELEASE .*" + addressOf(result) + " was released properly"))
		m.process.end(syscall.SIGKILL)
	})

	It("has units that systemd finds nothing wrong with", func() {
		n := newLAN()
		m := n.systemd()
		verify := m.command("systemd-analyze", "verify", "/run/units/"+service, "/run/units/"+socket)
		verify.Env = append(verify.Env, "SYSTEMD_UNIT_PATH=/run/units")
		out, err := verify.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(string(out)).To(BeEmpty())
	})
})
