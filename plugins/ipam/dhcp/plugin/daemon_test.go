// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// upstream is the reference's plugin and daemon, as Debian packages it.
const upstream = "/usr/lib/cni/dhcp"

// run runs an executable as a runtime would.
func (n *lan) run(executable, verb string, c *testrig.Container, config string) (string, error) {
	GinkgoHelper()
	cmd := command(executable, verb, c, config)
	var out []byte
	err := n.Host.Do(func(ns.NetNS) (err error) {
		out, err = cmd.Output()
		return err
	})
	return string(out), err
}

// command is a call as a runtime does it.
func command(executable, verb string, c *testrig.Container, config string) *exec.Cmd {
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+c.ID, "CNI_NETNS="+c.Path, "CNI_IFNAME="+c.IfName, "CNI_PATH="+pluginDir(), "CNI_ARGS="+c.Args)
	cmd.Stdin = strings.NewReader(testrig.Config(config))
	return cmd
}

// anotherBuild builds the executable with another version.
func anotherBuild() string {
	GinkgoHelper()
	path, err := gexec.Build("github.com/containernetworking/plugins/plugins/ipam/dhcp",
		"-ldflags", "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=next")
	Expect(err).NotTo(HaveOccurred())
	return path
}

func versionOf(program string) string {
	GinkgoHelper()
	cmd := exec.Command(program)
	cmd.Env = []string{"CNI_COMMAND="}
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return string(out)
}

func copyFile(from, to string) {
	GinkgoHelper()
	data, err := os.ReadFile(from)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(to, data, 0o755)).To(Succeed())
}

// letIn lets everybody get to the files of the LAN.
func (n *lan) letIn() {
	GinkgoHelper()
	for dir := n.dir; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		Expect(err).NotTo(HaveOccurred())
		if info.Mode().Perm()&1 == 0 {
			Expect(os.Chmod(dir, info.Mode().Perm()|0o055)).To(Succeed())
		}
	}
}

func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// activated is a command that runs the daemon as systemd does: with sockets that
// it has already.
func activated(program string, sockets ...*os.File) *exec.Cmd {
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d exec "$0" daemon`, len(sockets)), program)
	cmd.ExtraFiles = sockets
	return cmd
}

// passable listens on a socket, for a daemon.
func passable(path string) *os.File {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	Expect(err).NotTo(HaveOccurred())
	listener.SetUnlinkOnClose(false)
	file, err := listener.File()
	Expect(err).NotTo(HaveOccurred())
	Expect(listener.Close()).To(Succeed())
	return file
}

// record is the file of the journal for a container.
func (n *lan) record(id string) string {
	j := &journal{dir: filepath.Join(n.dir, "dhcp.leases")}
	return j.path(plugin.Owner{Network: "test", ContainerID: id, IfName: "eth0"})
}

// edit changes the record of a container.
func (n *lan) edit(c *testrig.Container, change func(map[string]any)) {
	GinkgoHelper()
	data, err := os.ReadFile(n.record(c.ID))
	Expect(err).NotTo(HaveOccurred())
	var r map[string]any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // the numbers of namespaces are large
	Expect(decoder.Decode(&r)).To(Succeed())
	change(r)
	data, err = json.Marshal(r)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(n.record(c.ID), data, 0o600)).To(Succeed())
}

var _ = Describe("the daemon", func() {
	var n *lan
	var c *testrig.Container
	var config string

	BeforeEach(func() {
		n = newLAN()
		c = n.container("c1")
		config = n.config("")
	})

	for _, another := range []bool{false, true} {
		title := "goes on with every lease after SIGKILL"
		if another {
			title = "goes on with every lease as another build that took its place"
		}
		It(title, func() {
			server := n.kea(10, timing{2, 15, 30})
			program := filepath.Join(n.dir, "dhcp")
			copyFile(executable, program)
			first := n.daemonOf(program)
			var results []string
			containers := []*testrig.Container{c, n.container("c2"), n.mortal("c3")}
			for _, each := range containers {
				result := n.Add(each, config)
				configure(each, result)
				results = append(results, addressOf(result))
			}
			if another {
				Expect(os.Rename(anotherBuild(), program)).To(Succeed()) // as a package manager does
				Expect(versionOf(program)).NotTo(Equal(versionOf(executable)))
				Eventually(server.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC"), "that the file has gone is nothing to a daemon")
				first.end(syscall.SIGTERM)
			} else {
				first.end(syscall.SIGKILL)
			}
			Expect(n.leases()).To(HaveLen(3))
			removeNamespace(containers[2])
			Expect(server.Out.Clear()).To(Succeed())

			second := n.daemonOf(program)
			Expect(os.Readlink(fmt.Sprintf("/proc/%d/exe", second.Command.Process.Pid))).To(Equal(program))
			Eventually(func() string { return string(second.Err.Contents()) }).Should(And(
				MatchRegexp("[23] leases taken up"), ContainSubstring("c3/eth0: ended: the interface is gone")))
			log := func() string { return string(server.Out.Contents()) }
			Eventually(log).Should(ContainSubstring("DHCP4_RELEASE "))
			Eventually(log).Should(And(
				MatchRegexp("DHCP4_LEASE_ALLOC .*"+results[0]+" has been"), MatchRegexp("DHCP4_LEASE_ALLOC .*"+results[1]+" has been")))
			Expect(log()).NotTo(ContainSubstring("DISCOVER"))
			Expect(n.leases()).To(HaveLen(2))
			Expect(addressOf(n.Add(c, config))).To(Equal(results[0]))
			Expect(server.Out.Clear()).To(Succeed())
			n.Del(c, config)
			Eventually(server.Out).Should(gbytes.Say("DHCP4_RELEASE .*" + results[0]))
		})
	}

	It("takes what it can out of a journal: of other releases, and with damaged records", func() {
		server := n.kea(10, timing{2, 15, 30})
		first := n.daemon()
		result := n.Add(c, config)
		configure(c, result)
		first.end(syscall.SIGKILL)
		n.edit(c, func(r map[string]any) {
			r["version"], r["later"] = 9, []any{"what", "ever"}
			r["place"].(map[string]any)["later"] = true
			r["grants"].(map[string]any)["4"].(map[string]any)["later"] = map[string]any{}
			r["grants"].(map[string]any)["46"] = map[string]any{"message": "AA=="}
			r["args"].(map[string]any)["StdinData"] = []byte(strings.Replace(testrig.Config(config), `"ipam":{`, `"ipam":{"later":{"option":7},`, 1))
		})
		damaged := n.record("c9")
		whole, err := os.ReadFile(n.record(c.ID))
		Expect(err).NotTo(HaveOccurred())
		for path, content := range map[string]string{
			damaged: string(whole[:len(whole)/2]), n.record("c8"): "", n.record("c7"): `{"args":{}}`,
			n.record("c6"): strings.Replace(string(whole), `"message":"`, `"message":"AAAA`, 1),
		} {
			Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
		}
		Expect(server.Out.Clear()).To(Succeed())

		second := n.daemon()
		Eventually(second.Err).Should(gbytes.Say("read the journal: " + damaged))
		Eventually(second.Err).Should(gbytes.Say("1 leases taken up"))
		Eventually(server.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"))
		Expect(n.Check(c, config, result)).To(Succeed())
		n.Del(&testrig.Container{ID: "c9", IfName: "eth0"}, config)
		Expect(damaged).NotTo(BeAnExistingFile())
		n.Del(c, config)
		Expect(n.record(c.ID)).NotTo(BeAnExistingFile())
	})

	It("forgets what another container has taken the place of", func() {
		n.dnsmasq()
		first := n.daemon()
		n.Add(c, config)
		first.end(syscall.SIGKILL)
		again := n.container("c1") // the same name, another namespace
		second := n.daemon()
		Eventually(second.Err).Should(gbytes.Say("1 leases taken up"))
		n.Add(again, config)
		Eventually(second.Err).Should(gbytes.Say("ended: its place is another one now"))
		Expect(n.leases()).To(HaveLen(1))
	})

	Describe("and that of the reference", func() {
		BeforeEach(func() {
			if _, err := os.Stat(upstream); err != nil {
				Skip("needs " + upstream + " (package containernetworking-plugins)")
			}
		})

		It("serves its plugin", func() {
			server := n.dnsmasq()
			n.daemon()
			old := strings.Replace(config, "{", `{"cniVersion":"1.0.0",`, 1)
			printed, err := n.run(upstream, "ADD", c, old)
			Expect(err).NotTo(HaveOccurred(), printed)
			result := testrig.Result(printed)
			Expect(result.IPs).To(HaveLen(1))
			Expect(result.IPs[0].Gateway.String()).To(Equal(serverAddress))
			Expect(result.Routes).To(HaveLen(1))
			printed, err = n.run(upstream, "CHECK", c, testrig.WithPrev(old, result))
			Expect(err).NotTo(HaveOccurred(), printed)
			printed, err = n.run(upstream, "DEL", c, old)
			Expect(err).NotTo(HaveOccurred(), printed)
			Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
			printed, err = n.run(upstream, "DEL", c, old)
			Expect(err).NotTo(HaveOccurred(), printed)
			server.end(syscall.SIGKILL)
		})

		It("tells its plugin when there is no server", func() {
			n.daemon("-resendtimeout", "1500ms")
			printed, err := n.run(upstream, "ADD", c, strings.Replace(config, "{", `{"cniVersion":"1.0.0",`, 1))
			Expect(err).To(HaveOccurred())
			Expect(printed).To(ContainSubstring(`"msg": "error calling DHCP.Allocate: no more tries"`))
		})

		It("is exchangeable for its plugin", func() {
			server := n.dnsmasq()
			start(n.Host, upstream, "daemon", "-socketpath", n.socket(), "-timeout", "2s")
			Eventually(n.socket()).Should(BeAnExistingFile())
			result := n.Add(c, config)
			Expect(result.IPs).To(HaveLen(1))
			Expect(result.Routes).To(HaveLen(1))
			Expect(n.Check(c, config, result)).To(Succeed())
			Expect(n.Call("STATUS", c, config)).To(BeEmpty())
			Expect(n.Call("GC", c, config)).To(BeEmpty())
			n.Del(c, config)
			n.Del(c, config)
			Expect(server.Err).To(gbytes.Say("DHCPACK"))
		})
	})

	Describe("when it does not answer", func() {
		It("is said to be missing by ADD, CHECK and STATUS, and not missed by DEL and GC", func() {
			for _, verb := range []string{"ADD", "CHECK", "STATUS"} {
				_, err := n.Call(verb, c, config)
				Expect(err).To(MatchError(And(ContainSubstring("error dialing DHCP daemon"), ContainSubstring(n.socket()), ContainSubstring(`start it with "dhcp daemon"`))))
			}
			_, err := n.Call("STATUS", c, config)
			Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
			n.Del(c, config)
			Expect(n.Call("GC", c, config)).To(BeEmpty())
		})

		It("is not waited for beyond the deadline", func() {
			listener, err := net.Listen("unix", n.socket())
			Expect(err).NotTo(HaveOccurred())
			defer listener.Close()
			for _, verb := range []string{"ADD", "CHECK", "STATUS", "DEL", "GC"} {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				_, err := n.CallWith(ctx, verb, c, config)
				cancel()
				Expect(err).To(MatchError(ContainSubstring("did not answer in time")), verb)
				want := types.ErrTryAgainLater
				if verb == "STATUS" {
					want = plugin.ErrNotAvailable
				}
				Expect(testrig.Code(err)).To(Equal(want), verb)
			}
		})

		It("does not keep a DEL from its end, and releases the lease when it goes on", func() {
			server := n.dnsmasq()
			d := n.daemon()
			n.Add(c, config)
			d.Signal(syscall.SIGSTOP)
			printed, err := n.run(executable, "DEL", c, config)
			Expect(err).NotTo(HaveOccurred(), printed)
			c.Do(func() { Expect(netlink.LinkDel(testrig.Find("eth0"))).To(Succeed()) }) // as the interface plugin does
			Expect(n.leases()).To(HaveLen(1))
			d.Signal(syscall.SIGCONT)
			Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
			Eventually(n.leases).Should(BeEmpty())
		})
	})

	It("says that it does not try any more in the words of the reference, and why to a plugin that knows", func() {
		n.daemon("-resendtimeout", "1500ms")
		_, err := n.Call("ADD", c, config)
		Expect(err).To(MatchError(ContainSubstring("error calling DHCP.Allocate: no more tries: no DHCP server answered within 1s")))
		client, err := rpc.DialHTTP("unix", n.socket())
		Expect(err).NotTo(HaveOccurred())
		defer client.Close()
		args := &skel.CmdArgs{ContainerID: c.ID, Netns: c.Path, IfName: c.IfName, StdinData: []byte(testrig.Config(config))}
		Expect(client.Call(methodAllocate, args, new(current.Result))).To(MatchError("no more tries"))
	})

	It("gives one answer to two ADDs at once, and one lease", func() {
		server := n.dnsmasq()
		n.daemon()
		var all sync.WaitGroup
		printed := make([]string, 4)
		for i := range printed {
			all.Go(func() {
				defer GinkgoRecover()
				var err error
				printed[i], err = n.run(executable, "ADD", c, config)
				Expect(err).NotTo(HaveOccurred(), printed[i])
			})
		}
		all.Wait()
		Expect(printed).To(HaveEach(Equal(printed[0])))
		Expect(strings.Count(string(server.Err.Contents()), "DHCPACK")).To(Equal(1))
		for range 3 {
			all.Go(func() {
				defer GinkgoRecover()
				_, err := n.run(executable, "DEL", c, config)
				Expect(err).NotTo(HaveOccurred())
			})
		}
		all.Wait()
		Expect(n.leases()).To(BeEmpty())
	})

	It("drops an ADD when DEL comes, or the plugin is killed", func() {
		d := n.daemon() // and no server
		ended := make(chan string, 1)
		go func() {
			defer GinkgoRecover()
			printed, _ := n.run(executable, "ADD", c, config)
			ended <- printed
		}()
		Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
		n.Del(c, config)
		Eventually(ended).Should(Receive(ContainSubstring("released")))

		killed := startCommand(n.Host, command(executable, "ADD", c, config))
		Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
		killed.end(syscall.SIGKILL)
		Eventually(d.Err).Should(gbytes.Say("ended: the caller has gone"))
		Expect(n.leases()).To(BeEmpty())
	})

	Describe("with two callers for one lease", func() {
		var d *daemon
		var args *skel.CmdArgs
		BeforeEach(func() {
			const patience = 10 * time.Second
			d = newDaemon(settings{limits: limits{time.Second, time.Second, patience}, netns: n.Host, log: log.New(GinkgoWriter, "", 0)}, nil)
			lives, end := context.WithCancelCause(context.Background())
			DeferCleanup(func() {
				end(errShutdown)
				d.running.Wait()
			})
			n.OnHost(func() { d.open(lives) })
			args = &skel.CmdArgs{ContainerID: c.ID, Netns: c.Path, IfName: c.IfName, StdinData: []byte(testrig.Config(config))}
		})
		gone := errors.New("gone")

		It("drops an ADD only when both have gone", func() {
			first, killFirst := context.WithCancel(context.Background())
			second, killSecond := context.WithCancel(context.Background())
			defer killSecond()
			ended := make(chan error, 2)
			for i, ctx := range []context.Context{first, second} {
				go func() {
					_, err := d.allocate(ctx, args)
					ended <- err
				}()
				Eventually(func() int {
					a := d.get(ownerOf(decodeAnyway(args.StdinData), args))
					if a == nil {
						return 0
					}
					a.callers.Lock()
					defer a.callers.Unlock()
					return a.waiting
				}).Should(Equal(i + 1))
			}
			killFirst()
			Eventually(ended).Should(Receive(MatchError(context.Canceled)))
			Consistently(ended, "300ms").ShouldNot(Receive())
			Expect(d.count()).To(Equal(1))
			killSecond()
			Eventually(ended).Should(Receive(MatchError(context.Canceled)))
			Eventually(d.count).Should(BeZero())
		})

		DescribeTable("keeps the lease if either has had the answer", func(first, second error, kept int) {
			n.dnsmasq()
			var answers []answer
			for range 2 {
				got, err := d.allocate(context.Background(), args)
				Expect(err).NotTo(HaveOccurred())
				answers = append(answers, got)
			}
			answers[0].done(first)
			answers[1].done(second)
			Eventually(d.count).Should(Equal(kept))
			Consistently(d.count, "300ms").Should(Equal(kept))
		},
			Entry("the first", nil, gone, 1), Entry("the second", gone, nil, 1), Entry("both", nil, nil, 1), Entry("none", gone, gone, 0))
	})

	It("gives a caller the answer for whom another was killed", func() {
		d := n.daemon()
		killed := startCommand(n.Host, command(executable, "ADD", c, config))
		Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
		other := startCommand(n.Host, command(executable, "ADD", c, config))
		Eventually(d.Err).Should(gbytes.Say("no DHCP server answered"))
		Expect(other.ExitCode()).To(Equal(-1))
		killed.end(syscall.SIGKILL)
		n.dnsmasq()
		Eventually(other.Exited).Should(BeClosed())
		Expect(other.ExitCode()).To(BeZero(), "%s", other.Out.Contents())
		Expect(n.leases()).To(HaveLen(1))
		n.Del(c, config)
	})

	It("does not know what it never had", func() {
		n.daemon()
		n.Del(c, config)
		n.Del(&testrig.Container{ID: "c9", IfName: "eth7", Path: ""}, config)
		_, err := n.Call("ADD", &testrig.Container{ID: "c1", IfName: "eth7", Path: c.Path}, config)
		Expect(err).To(MatchError(ContainSubstring(`error looking up "eth7"`)))
		_, err = n.Call("ADD", &testrig.Container{ID: "c1", IfName: "eth0", Path: "/run/netns/none"}, config)
		Expect(err).To(MatchError(ContainSubstring(`network namespace "/run/netns/none"`)))
	})

	It("sends no option without the value that was meant for it", func() {
		n.dnsmasq()
		n.daemon()
		provide := n.config(`,"provide":[{"option":"host-name","fromArg":"K8S_POD_NAME","value":"other"}]`)
		c.Args = "K8S_POD_NAME=" + strings.Repeat("x", maxOption+1)
		_, err := n.Call("ADD", c, provide)
		Expect(err).To(MatchError(ContainSubstring("error calling DHCP.Allocate: CNI_ARGS.K8S_POD_NAME: value too long for option host-name: it has 256 bytes, DHCP has room for 255")))
		n.Del(c, provide)
		c.Args = "K8S_POD_NAME=" + strings.Repeat("x", maxOption)
		n.Add(c, provide)
		n.Del(c, provide)
	})

	It("collects the leases of a network that are no longer valid", func() {
		server := n.dnsmasq()
		n.daemon()
		other := n.container("c2")
		n.Add(c, config)
		valid := addressOf(n.Add(other, config))
		elsewhere := n.container("c3")
		foreign := addressOf(n.Add(elsewhere, strings.Replace(config, "{", `{"name":"other",`, 1)))
		Expect(n.Call("GC", c, strings.Replace(config, "{", `{"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}],`, 1))).To(BeEmpty())
		Expect(n.leases()).To(HaveLen(2))
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
		Expect(string(server.Err.Contents())).NotTo(MatchRegexp("DHCPRELEASE\\(eth0\\) (%s|%s) ", valid, foreign))
	})

	It("listens where it is told to, alone, and cleans up", func() {
		pidFile := filepath.Join(n.dir, "pid")
		prefix := filepath.Join(n.dir, "host")
		Expect(os.MkdirAll(prefix, 0o755)).To(Succeed())
		p := start(n.Host, executable, "daemon", "--pidfile="+pidFile, "-hostprefix", prefix, "-socketpath", "/sub/d.sock", "-broadcast")
		socket := filepath.Join(prefix, "sub/d.sock")
		Eventually(p.Err).Should(gbytes.Say("listening on " + socket))
		Expect(os.ReadFile(pidFile)).To(Equal(fmt.Append(nil, p.Command.Process.Pid)))
		info, err := os.Stat(socket)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))

		for _, journal := range []string{"", filepath.Join(n.dir, "another")} {
			second := start(n.Host, executable, "daemon", "-hostprefix", prefix, "-socketpath", "/sub/d.sock", "-journal", journal)
			Eventually(second.Exited).Should(BeClosed())
			Expect(second.ExitCode()).To(Equal(1))
			Expect(second.Err).To(gbytes.Say("another daemon is running"))
		}

		p.end(syscall.SIGKILL)
		Expect(socket).To(BeAnExistingFile())
		third := start(n.Host, executable, "daemon", "-hostprefix", prefix, "-socketpath", "/sub/d.sock", "-pidfile", pidFile)
		Eventually(third.Err).Should(gbytes.Say("listening"))
		third.end(syscall.SIGTERM)
		Expect(third.ExitCode()).To(Equal(0))
		Expect(socket).NotTo(BeAnExistingFile())
		Expect(pidFile).NotTo(BeAnExistingFile())
	})

	It("refuses arguments that make no sense", func() {
		for args, want := range map[string]struct {
			status int
			text   string
		}{
			"-nonsense":              {2, "flag provided but not defined"},
			"-timeout=0s":            {2, "longer than nothing"},
			"-h":                     {0, "-resendtimeout"},
			"-pidfile=relative":      {1, "path not absolute"},
			"-pidfile=/no/where/pid": {1, "Error writing pidfile"},
		} {
			p := start(n.Host, executable, "daemon", "-socketpath", n.socket(), args)
			Eventually(p.Exited).Should(BeClosed())
			Expect(p.ExitCode()).To(Equal(want.status), args)
			Expect(string(p.Err.Contents())).To(ContainSubstring(want.text))
			Expect(n.socket()).NotTo(BeAnExistingFile())
			Expect(journalPath(n.socket())).NotTo(BeAnExistingFile())
		}
		Expect(os.Mkdir(journalPath(n.socket()), 0o700)).To(Succeed())
		p := start(n.Host, executable, "daemon", "-socketpath", n.socket(), "-pidfile=/no/where/pid")
		Eventually(p.Exited).Should(BeClosed())
		Expect(journalPath(n.socket())).To(BeADirectory(), "it was not made for this daemon")
	})

	It("takes no notice of what follows the flags, nor of a pid file that somebody has removed", func() {
		pidFile := filepath.Join(n.dir, "pid")
		p := start(n.Host, executable, "daemon", "-socketpath", n.socket(), "-pidfile", pidFile, "-broadcast", "true", "-nonsense")
		Eventually(p.Err).Should(gbytes.Say(`"true" is ignored, with all that follows it`))
		Eventually(p.Err).Should(gbytes.Say("listening"))
		Expect(os.Remove(pidFile)).To(Succeed())
		p.end(syscall.SIGTERM)
		Expect(p.ExitCode()).To(Equal(0))
	})

	It("takes the socket that systemd passes, and leaves it there", func() {
		file := passable(n.socket())
		p := startCommand(n.Host, activated(executable, file))
		Eventually(func() error { _, err := n.Call("STATUS", c, config); return err }).Should(Succeed())
		p.end(syscall.SIGTERM)
		Expect(n.socket()).To(BeAnExistingFile())

		two := startCommand(n.Host, activated(executable, file, file))
		Eventually(two.Exited).Should(BeClosed())
		Expect(two.Err).To(gbytes.Say("Too many \\(2\\) FDs passed through socket activation"))
	})

	It("has its journal next to the socket that systemd passes", func() {
		n.dnsmasq()
		var daemons []process
		for _, name := range []string{"cni", "podman"} {
			dir := filepath.Join(n.dir, name)
			p := startCommand(n.Host, activated(executable, passable(filepath.Join(dir, "dhcp.sock"))))
			Eventually(p.Err).Should(gbytes.Say("listening on " + dir))
			n.Add(n.container(name), strings.Replace(config, n.dir, dir, 1))
			Expect(filepath.Glob(filepath.Join(dir, "dhcp.leases", "*.json"))).To(HaveLen(1))
			daemons = append(daemons, p)
		}
		for _, p := range daemons {
			Expect(p.ExitCode()).To(Equal(-1))
		}

		again := startCommand(n.Host, exec.Command(executable, "daemon", "-socketpath", filepath.Join(n.dir, "other.sock"), "-journal", filepath.Join(n.dir, "cni", "dhcp.leases")))
		Eventually(again.Exited).Should(BeClosed())
		Expect(again.Err).To(gbytes.Say("another daemon is running: it has locked the journal"))
	})

	It("does without a journal that it cannot make, unless one was asked for", func() {
		n.letIn()
		program := filepath.Join(n.dir, "dhcp")
		copyFile(executable, program)
		for _, socket := range []string{n.socket(), "@dhcp.sock"} { // in a directory of root's; and no file
			var cmd *exec.Cmd
			n.OnHost(func() { cmd = activated(program, passable(socket)) })
			cmd.SysProcAttr = asNobody()
			p := startCommand(n.Host, cmd)
			Eventually(p.Err).Should(gbytes.Say("the leases will not outlive the daemon: .*-journal says where to note them"))
			Eventually(p.Err).Should(gbytes.Say("listening on " + socket))
			_, err := n.Call("STATUS", c, strings.Replace(config, n.socket(), socket, 1))
			Expect(err).NotTo(HaveOccurred())
			n.Del(c, strings.Replace(config, n.socket(), socket, 1))
			p.end(syscall.SIGTERM)
			Expect(p.ExitCode()).To(Equal(0))
		}

		file := filepath.Join(n.dir, "file")
		Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
		p := start(n.Host, executable, "daemon", "-socketpath", filepath.Join(n.dir, "own.sock"), "-journal", file)
		Eventually(p.Exited).Should(BeClosed())
		Expect(p.ExitCode()).To(Equal(1))
		Expect(p.Err).To(gbytes.Say("make the journal: .*file: not a directory"))
	})

	It("tells systemd when it is ready", func() {
		notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(n.dir, "notify"), Net: "unixgram"})
		Expect(err).NotTo(HaveOccurred())
		defer notify.Close()
		cmd := exec.Command(executable, "daemon", "-socketpath", n.socket())
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
		startCommand(n.Host, cmd)
		Expect(notify.SetReadDeadline(time.Now().Add(10 * time.Second))).To(Succeed())
		buffer := make([]byte, 100)
		count, err := notify.Read(buffer)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(buffer[:count])).To(Equal("READY=1"))
	})

	It("answers nobody but root and itself", func() {
		d := n.daemon()
		Expect(os.Chmod(n.socket(), 0o666)).To(Succeed())
		n.letIn()
		program := filepath.Join(n.dir, "dhcp")
		copyFile(executable, program)
		cmd := exec.Command(program)
		cmd.Env = []string{"CNI_COMMAND=STATUS", "CNI_PATH=/nowhere"}
		cmd.Stdin = strings.NewReader(testrig.Config(config))
		cmd.SysProcAttr = asNobody()
		p := startCommand(n.Host, cmd)
		Eventually(p.Exited).Should(BeClosed())
		Expect(p.ExitCode()).To(Equal(1))
		Eventually(d.Err).Should(gbytes.Say("of user 65534 may not call"))
	})

	It("survives callers who do not speak its language", func() {
		d := n.daemon()
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff", "CONNECT /_goRPC_ HTTP/1.0\n\n\x03garbage", "CONNECT x\n\n", strings.Repeat("x: y\n", 1000)} {
			conn, err := net.Dial("unix", n.socket())
			Expect(err).NotTo(HaveOccurred())
			_, err = conn.Write([]byte(text))
			Expect(err).NotTo(HaveOccurred())
			Expect(conn.Close()).To(Succeed())
		}
		Expect(n.Call("STATUS", c, config)).To(BeEmpty())
		Expect(d.ExitCode()).To(Equal(-1))
	})
})
