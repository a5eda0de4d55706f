// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// busConfig lets everybody on the bus do everything.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>`

// startBus starts a system bus that only this test knows.
func (r *Rig) startBus() {
	ginkgo.GinkgoHelper()
	testutils.Need(ginkgo.GinkgoT(), "dbus-daemon")
	dir := ginkgo.GinkgoT().TempDir()
	socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "bus.conf")
	gomega.Expect(os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o644)).To(gomega.Succeed())
	ginkgo.GinkgoT().Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+socket)
	r.Start(exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--config-file="+config))
	gomega.Eventually(func() error { _, err := os.Stat(socket); return err }).WithTimeout(patience).Should(gomega.Succeed())
}

const patience = 30 * time.Second

// StartFirewalld starts firewalld as the host's firewall, with a bus of its own
// and a backend, "nftables" or "iptables". What it keeps in /run and /etc is its
// own, too.
func (r *Rig) StartFirewalld(backend string) {
	ginkgo.GinkgoHelper()
	testutils.Need(ginkgo.GinkgoT(), "firewalld")
	r.startBus()
	dir := ginkgo.GinkgoT().TempDir()
	gomega.Expect(os.WriteFile(filepath.Join(dir, "firewalld.conf"), []byte("FirewallBackend="+backend+"\n"), 0o644)).To(gomega.Succeed())
	r.Start(exec.Command("unshare", "--mount", "/bin/sh", "-e", "-c",
		"mount -t tmpfs tmpfs /run; exec firewalld --nofork --nopid --system-config "+dir+" --log-file "+filepath.Join(dir, "log")))
	ginkgo.DeferCleanup(func() {
		if ginkgo.CurrentSpecReport().Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			ginkgo.AddReportEntry("firewalld", string(log))
		}
	})
	gomega.Eventually(func() error { _, err := Run(r.Host, "firewall-cmd", "--state"); return err }).WithTimeout(patience).Should(gomega.Succeed())
}

// Start starts a program on the host that is ended with the spec.
func (r *Rig) Start(cmd *exec.Cmd) {
	ginkgo.GinkgoHelper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	gomega.Expect(r.Host.Do(func(ns.NetNS) error { return cmd.Start() })).To(gomega.Succeed())
	ginkgo.DeferCleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
}
