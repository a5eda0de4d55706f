// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

//go:embed systemd.sh
var systemdScript []byte

// Systemd is a systemd that knows of some units alone, as systemd.sh runs it.
type Systemd struct{ session *gexec.Session }

// StartSystemd starts a systemd with the units of a directory, whose services are in
// the network of host, and have the executable in /opt/cni/bin. It starts a unit, and
// returns when that is active. What is mounted on /run/netns has to be there before.
func StartSystemd(host ns.NetNS, units, executable, unit string) *Systemd {
	ginkgo.GinkgoHelper()
	testutils.Need(ginkgo.GinkgoT(), "systemd")
	dir := ginkgo.GinkgoT().TempDir()
	script, work := filepath.Join(dir, "systemd.sh"), filepath.Join(dir, "work")
	gomega.Expect(os.WriteFile(script, systemdScript, 0o755)).To(gomega.Succeed())
	gomega.Expect(os.Mkdir(work, 0o755)).To(gomega.Succeed())
	units, err := filepath.Abs(units)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", script, newCgroup(), units, work, executable, unit)
	m := &Systemd{}
	gomega.Expect(host.Do(func(ns.NetNS) (err error) {
		m.session, err = gexec.Start(cmd, ginkgo.GinkgoWriter, ginkgo.GinkgoWriter)
		return err
	})).To(gomega.Succeed())
	ginkgo.DeferCleanup(m.End)
	gomega.Eventually(func() (string, error) { return m.Systemctl("is-active", unit) }).WithTimeout(patience).
		Should(gomega.Equal("active"), func() string { return string(m.session.Err.Contents()) })
	return m
}

// newCgroup makes a control group for a systemd to have below it what it likes.
func newCgroup() string {
	ginkgo.GinkgoHelper()
	root := ""
	mounts, err := os.ReadFile("/proc/self/mounts")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			root = fields[1]
		}
	}
	if root == "" {
		ginkgo.Skip("needs cgroup2, mounted somewhere")
	}
	group := filepath.Join(root, fmt.Sprintf("cnitest-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		ginkgo.Skip("needs a cgroup2 that can be written to: " + err.Error())
	}
	ginkgo.DeferCleanup(func() { gomega.Eventually(func() error { return removeCgroup(group) }).Should(gomega.Succeed()) })
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

// End ends systemd and all that it has started.
func (m *Systemd) End() {
	ginkgo.GinkgoHelper()
	if m.session.ExitCode() == -1 {
		gomega.Eventually(m.session.Signal(syscall.SIGKILL).Exited).Should(gomega.BeClosed())
	}
}

// Command is one that sees the files that services see, and whom systemd sees: it
// answers nobody else.
func (m *Systemd) Command(name string, args ...string) *exec.Cmd {
	pid := fmt.Sprint(m.session.Command.Process.Pid)
	cmd := exec.Command("nsenter", append([]string{"--mount=/proc/" + pid + "/ns/mnt", "--pid=/proc/" + pid + "/ns/pid_for_children", "--", name}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=/run/user"}
	return cmd
}

// Systemctl returns what systemctl says.
func (m *Systemd) Systemctl(args ...string) (string, error) {
	out, err := m.Command("systemctl", append([]string{"--user"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Must is Systemctl for what must not fail.
func (m *Systemd) Must(args ...string) string {
	ginkgo.GinkgoHelper()
	out, err := m.Systemctl(args...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), out)
	return out
}

// ExpectGoodUnits has systemd look at units.
func (m *Systemd) ExpectGoodUnits(units ...string) {
	ginkgo.GinkgoHelper()
	args := []string{"verify"}
	for _, unit := range units {
		args = append(args, "/run/units/"+unit)
	}
	verify := m.Command("systemd-analyze", args...)
	verify.Env = append(verify.Env, "SYSTEMD_UNIT_PATH=/run/units")
	out, err := verify.CombinedOutput()
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "%s", out)
	gomega.Expect(string(out)).To(gomega.BeEmpty())
}
