// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerdConfig is filled with the test's directory, the plugins' and the configurations'. Some of it is for machines
// where root itself is confined: scores cannot be lowered, nor AppArmor profiles loaded.
const containerdConfig = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
[grpc]
  address = "%[1]s/socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  disable_apparmor = true
  enable_unprivileged_ports = false
  enable_unprivileged_icmp = false
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[2]s"
    conf_dir = "%[3]s"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`

// kubelet is what this test is to containerd.
type kubelet struct {
	t        testing.TB
	runtime  cri.RuntimeServiceClient
	hasPorts bool
}

// startContainerd runs containerd for the time of the test, with the pause image in it.
func startContainerd(t testing.TB, list []byte) *kubelet {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-containerd") // a socket's path is short, t.TempDir's is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, containerdConfig, dir, pluginDir(t), confDir(t, list)), 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, filepath.Join(dir, "log"), "containerd", "--config", config)
	socket := filepath.Join(dir, "socket")
	eventually(t, "containerd answers", func() bool {
		_, err := attempt("ctr", "--address", socket, "version")
		return err == nil
	})
	run(t, "ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", "--snapshotter", "native", pauseArchive(t))

	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	k := &kubelet{t: t, runtime: cri.NewRuntimeServiceClient(conn), hasPorts: hasPlugin(t, "portmap")}
	eventually(t, "the network is ready", k.isReady)
	return k
}

// startDaemon ends it, too, and shows its log when the test has failed.
func startDaemon(t testing.TB, logFile, name string, args ...string) {
	t.Helper()
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(name, args...)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = daemon.Wait() // the status is the signal's
		log.Close()
		if text, err := os.ReadFile(logFile); t.Failed() && err == nil {
			t.Logf("%s:\n%s", name, text)
		}
	})
}

// timeout is generous: the machine may be busy.
func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

func (k *kubelet) isReady() bool {
	ctx, cancel := timeout()
	defer cancel()
	status, err := k.runtime.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return false
	}
	for _, condition := range status.Status.Conditions {
		if condition.Type == "NetworkReady" {
			return condition.Status
		}
	}
	return false
}

// pod is a running sandbox.
type pod struct {
	id        string
	netns     string
	addresses []netip.Addr
}

func (k *kubelet) runPod(name string, ports ...*cri.PortMapping) *pod {
	k.t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name, Attempt: 1},
		Hostname:     name,
		LogDirectory: k.t.TempDir(),
		PortMappings: ports,
		Linux:        &cri.LinuxPodSandboxConfig{CgroupParent: cgroupParent},
	}
	answer, err := k.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		k.t.Fatalf("run pod sandbox: %v", err)
	}
	return k.status(answer.PodSandboxId)
}

func (k *kubelet) status(id string) *pod {
	k.t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	answer, err := k.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		k.t.Fatalf("pod sandbox status: %v", err)
	}
	if answer.Status.State != cri.PodSandboxState_SANDBOX_READY {
		k.t.Fatalf("pod sandbox is %v", answer.Status.State)
	}
	p := &pod{id: id, netns: netnsOf(k.t, answer.Info["info"])}
	network := answer.Status.Network
	for _, ip := range append([]*cri.PodIP{{Ip: network.Ip}}, network.AdditionalIps...) {
		addr, err := netip.ParseAddr(ip.Ip)
		if err != nil {
			k.t.Fatalf("pod sandbox address: %v", err)
		}
		p.addresses = append(p.addresses, addr)
	}
	return p
}

// netnsOf finds the namespace in containerd's verbose status.
func netnsOf(t testing.TB, info string) string {
	t.Helper()
	var verbose struct{ PID int }
	if err := json.Unmarshal([]byte(info), &verbose); err != nil || verbose.PID == 0 {
		t.Fatalf("verbose status without a pid: %v\n%s", err, info)
	}
	return fmt.Sprintf("/proc/%d/ns/net", verbose.PID)
}

// stop is asked for twice, as the kubelet may.
func (k *kubelet) stop(id string) {
	k.t.Helper()
	for range 2 {
		ctx, cancel := timeout()
		_, err := k.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
		cancel()
		if err != nil {
			k.t.Fatalf("stop pod sandbox: %v", err)
		}
	}
}

func (k *kubelet) remove(id string) {
	k.t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	if _, err := k.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		k.t.Fatalf("remove pod sandbox: %v", err)
	}
	list, err := k.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		k.t.Fatalf("list pod sandboxes: %v", err)
	}
	for _, item := range list.Items {
		if item.Id == id {
			k.t.Errorf("pod sandbox %s is listed after its removal", id)
		}
	}
}

func TestContainerd(t *testing.T) {
	for name, subnets := range map[string][]string{
		"IPv4":       {"10.75.0.0/24"},
		"IPv6":       {"fd75::/64"},
		"dual stack": {"10.75.0.0/24", "fd75::/64"},
	} {
		t.Run(name, func(t *testing.T) { podsMeet(t, subnets) })
	}
}

// podsMeet runs two pods that reach each other, then stops and removes them.
func podsMeet(t *testing.T, subnets []string) {
	leaveNothing(t, "e2e0")
	t.Cleanup(func() { expectNoCgroups(t) })
	k := startContainerd(t, confList(t, "pods", "1.0.0", chain(t, bridgePlugin("e2e0", hostLocal(subnets...)))...))
	nobody := hostState(t)

	one := k.runPod("one")
	two := k.runPod("two", k.ports()...)
	for _, p := range []*pod{one, two} {
		if len(p.addresses) != len(subnets) {
			t.Fatalf("pod has addresses %v, want one in each of %v", p.addresses, subnets)
		}
		inside := addresses(t, p.netns, "eth0")
		for i, subnet := range subnets {
			if want := within(t, inside, subnet); p.addresses[i] != want {
				t.Errorf("status says %s, the pod has %s", p.addresses[i], want)
			}
		}
	}
	for i := range subnets {
		expectPing(t, one.netns, two.addresses[i])
		expectPing(t, two.netns, one.addresses[i])
		expectGreeting(t, netip.AddrPortFrom(one.addresses[i], 8080).String())
	}
	if k.hasPorts && one.addresses[0].Is4() {
		expectGreeting(t, "10.75.0.1:18080")
	}

	k.stop(one.id)
	k.remove(one.id)
	expectPing(t, two.netns, netip.MustParsePrefix(subnets[0]).Addr().Next())
	k.stop(two.id)
	k.remove(two.id)
	expectState(t, append(nobody, "link e2e0"))
}

// ports maps one when there is a plugin for it.
func (k *kubelet) ports() []*cri.PortMapping {
	if !k.hasPorts {
		return nil
	}
	return []*cri.PortMapping{{Protocol: cri.Protocol_TCP, HostPort: 18080, ContainerPort: 8080}}
}
