// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestDHCP(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(15 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "plugins/ipam/dhcp")
}

// executable is the plugin, and the daemon.
var executable string

var _ = BeforeSuite(func() {
	if built := os.Getenv("PLUGINS_TEST_BIN"); built != "" {
		executable = filepath.Join(built, "dhcp")
		return
	}
	var err error
	executable, err = gexec.Build("github.com/containernetworking/plugins/plugins/ipam/dhcp")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(gexec.CleanupBuildArtifacts)
})

// pluginDir is CNI_PATH.
func pluginDir() string { return filepath.Dir(executable) }

// lan is a host with a bridge, on which another machine is the DHCP server.
type lan struct {
	*testrig.Rig
	server ns.NetNS
	dir    string
	count  int
}

const (
	hostAddress   = "10.77.0.254"
	serverAddress = "10.77.0.1"
)

func newLAN() *lan {
	GinkgoHelper()
	n := &lan{Rig: testrig.New(Plugin, pluginDir()), dir: GinkgoT().TempDir()}
	n.OnHost(func() {
		bridge := &netlink.Bridge{LinkAttrs: attrs("br0")}
		Expect(netlink.LinkAdd(bridge)).To(Succeed())
		address("br0", hostAddress+"/24")
	})
	server := n.Container("server")
	n.server = server.Netns
	n.plug(server)
	server.Do(func() {
		address("eth0", serverAddress+"/24")
		address("eth0", "fd77::1/64")
	})
	return n
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func address(name, cidr string) {
	GinkgoHelper()
	l, err := netlink.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	addr, err := netlink.ParseAddr(cidr)
	Expect(err).NotTo(HaveOccurred())
	if addr.IP.To4() == nil {
		addr.Flags = syscall.IFA_F_NODAD
	}
	Expect(netlink.AddrAdd(l, addr)).To(Succeed())
	Expect(netlink.LinkSetUp(l)).To(Succeed())
}

// plug connects a container to the bridge.
func (n *lan) plug(c *testrig.Container) {
	GinkgoHelper()
	n.count++
	n.OnHost(func() {
		bridge, err := netlink.LinkByName("br0")
		Expect(err).NotTo(HaveOccurred())
		port := &netlink.Veth{LinkAttrs: attrs(fmt.Sprintf("port%d", n.count)), PeerName: "eth0", PeerNamespace: netlink.NsFd(c.Netns.Fd())}
		port.MasterIndex = bridge.Attrs().Index
		Expect(netlink.LinkAdd(port)).To(Succeed())
		Expect(netlink.LinkSetUp(port)).To(Succeed())
	})
}

// container returns a container whose eth0 is on the bridge.
func (n *lan) container(id string) *testrig.Container {
	GinkgoHelper()
	c := n.Container(id)
	n.plug(c)
	return c
}

// config is a configuration with more members in "ipam", each with a comma in
// front.
func (n *lan) config(ipam string) string {
	return fmt.Sprintf(`{"type":"caller","ipam":{"type":"dhcp","daemonSocketPath":%q%s}}`, n.socket(), ipam)
}

func (n *lan) socket() string { return filepath.Join(n.dir, "dhcp.sock") }

// configure does what the caller of an IPAM plugin does with the answer.
func configure(c *testrig.Container, result *current.Result) {
	GinkgoHelper()
	c.Do(func() {
		for _, ip := range result.IPs {
			address("eth0", ip.Address.String())
		}
	})
}

// process is a program that runs for as long as the spec, or shorter.
type process struct{ *gexec.Session }

func start(in ns.NetNS, command string, args ...string) process {
	GinkgoHelper()
	return startCommand(in, exec.Command(command, args...))
}

func startCommand(in ns.NetNS, cmd *exec.Cmd) process {
	GinkgoHelper()
	var p process
	Expect(in.Do(func(ns.NetNS) (err error) {
		p.Session, err = gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
		return err
	})).To(Succeed())
	DeferCleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end ends the process and waits for it.
func (p process) end(signal os.Signal) {
	GinkgoHelper()
	if p.ExitCode() == -1 {
		Eventually(p.Signal(signal).Exited).Should(BeClosed())
	}
}

// daemon starts the daemon and waits until it listens.
func (n *lan) daemon(args ...string) process {
	GinkgoHelper()
	return n.daemonOf(executable, args...)
}

func (n *lan) daemonOf(executable string, args ...string) process {
	GinkgoHelper()
	args = append([]string{"daemon", "-socketpath", n.socket(), "-timeout", "1s", "-resendmax", "1s", "-resendtimeout", "20s"}, args...)
	p := start(n.Host, executable, args...)
	Eventually(func() error {
		conn, err := net.Dial("unix", n.socket())
		if err == nil {
			conn.Close()
		}
		return err
	}).Should(Succeed(), "%s", p.Err.Contents())
	return p
}

func (n *lan) leases() []string {
	files, err := filepath.Glob(filepath.Join(n.dir, "dhcp.leases", "*.json"))
	Expect(err).NotTo(HaveOccurred())
	return files
}

// mortal returns a container that removeNamespace has to be called for.
func (n *lan) mortal(id string) *testrig.Container {
	GinkgoHelper()
	netns, err := testutils.NewNS()
	Expect(err).NotTo(HaveOccurred())
	c := &testrig.Container{ID: id, IfName: "eth0", Netns: netns, Path: netns.Path()}
	n.plug(c)
	return c
}

// removeNamespace takes the namespace of a container away, as a runtime does.
func removeNamespace(c *testrig.Container) {
	GinkgoHelper()
	Expect(testutils.UnmountNS(c.Netns)).To(Succeed())
	Expect(c.Netns.Close()).To(Succeed())
}

// addressOf returns the only address of a result.
func addressOf(result *current.Result) string {
	GinkgoHelper()
	Expect(result.IPs).To(HaveLen(1))
	return result.IPs[0].Address.IP.String()
}
