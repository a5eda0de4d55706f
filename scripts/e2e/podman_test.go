// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const containersConf = `[network]
network_backend = "cni"
cni_plugin_dirs = [%q]
network_config_dir = %q
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`

// podman is the program with a configuration and storage of its own.
type podman struct {
	t      testing.TB
	env    []string
	flags  []string
	rootfs string
}

func newPodman(t testing.TB, list []byte) *podman {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, containersConf, pluginDir(t), confDir(t, list)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &podman{t: t, rootfs: pauseRootfs(t, dir)}
	p.env = []string{"CONTAINERS_CONF=" + config}
	p.flags = []string{
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "runroot"), "--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc",
	}
	if backend := strings.TrimSpace(p.do("info", "--format", "{{.Host.NetworkBackend}}")); backend != "cni" {
		t.Skipf("this podman has no CNI backend, only %s", backend)
	}
	return p
}

// pauseRootfs is a root file system with nothing but the pause program.
func pauseRootfs(t testing.TB, dir string) string {
	t.Helper()
	root := filepath.Join(dir, "rootfs")
	for _, sub := range []string{"proc", "sys", "dev", "etc", "run", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(program("pause"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "pause"), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func (p *podman) do(args ...string) string {
	p.t.Helper()
	out, err := attemptWith(p.env, "podman", append(p.flags, args...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// start runs a container on the network and returns the path of its namespace. The limits are named because podman's
// defaults may be higher than this machine allows.
func (p *podman) start(name string, flags ...string) (netns string) {
	p.t.Helper()
	args := append([]string{"run", "--detach", "--name", name, "--network", "podnet",
		"--cgroup-parent", cgroupParent, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}, flags...)
	p.do(append(args, "--rootfs", p.rootfs, "/pause")...)
	return "/proc/" + strings.TrimSpace(p.do("inspect", "--format", "{{.State.Pid}}", name)) + "/ns/net"
}

func TestPodman(t *testing.T) {
	const subnet4, subnet6 = "10.76.0.0/24", "fd76::/64"
	leaveNothing(t, "e2e0")
	t.Cleanup(func() { expectNoCgroups(t) })
	p := newPodman(t, confList(t, "podnet", "0.4.0", chain(t, bridgePlugin("e2e0", hostLocal(subnet4, subnet6)))...))
	nobody := hostState(t)
	var flags []string
	if hasPlugin(t, "portmap") {
		flags = []string{"--publish", "18080:8080"}
	}

	one, two := p.start("one"), p.start("two", flags...)
	for _, subnet := range []string{subnet4, subnet6} {
		addr := within(t, addresses(t, one, "eth0"), subnet)
		if inspected := p.do("inspect", "one"); !strings.Contains(inspected, addr.String()) {
			t.Errorf("podman does not know of %s: %s", addr, inspected)
		}
		expectPing(t, two, addr)
		expectGreeting(t, netip.AddrPortFrom(addr, 8080).String())
	}
	if hasPlugin(t, "portmap") {
		expectGreeting(t, "10.76.0.1:18080")
	}

	p.do("stop", "--time", "5", "one")
	p.do("start", "one") // the same container joins again
	again := "/proc/" + strings.TrimSpace(p.do("inspect", "--format", "{{.State.Pid}}", "one")) + "/ns/net"
	expectPing(t, again, within(t, addresses(t, two, "eth0"), subnet4))

	p.do("rm", "--force", "--time", "5", "one", "two")
	expectState(t, append(nobody, "link e2e0"))
}
