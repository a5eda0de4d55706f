// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/invoke"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("gc", func() {
	var rig *testrig.Rig
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace", "nftables-bridge", "nft-tool", "ifb")
		rig = testrig.New(plugins()["bridge"], testrig.BuildIPAM())
		Expect(os.MkdirAll("/run/cni", 0o755)).To(Succeed())
	})

	// chain has the configuration of each plugin, in the order of ADD.
	chain := func(hostPort string) [][2]string {
		return [][2]string{
			{"bridge", `{"type":"bridge","isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","macspoofchk":true,` + rig.HostLocal("", "10.1.2.0/24") + `}`},
			{"portmap", `{"type":"portmap","backend":"nftables","runtimeConfig":{"portMappings":[{"hostPort":` + hostPort + `,"containerPort":80,"protocol":"tcp"}]}}`},
			{"firewall", `{"type":"firewall","backend":"nftables"}`},
			{"bandwidth", `{"type":"bandwidth","ingressRate":8000000,"ingressBurst":800000,"egressRate":8000000,"egressBurst":800000}`},
		}
	}
	as := func(name string) *testrig.Rig {
		rig.Plugin = plugins()[name]
		return rig
	}
	add := func(c *testrig.Container, plugins [][2]string) {
		GinkgoHelper()
		var prev *current.Result
		for _, one := range plugins {
			config := one[1]
			if prev != nil {
				config = testrig.WithPrev(config, prev)
			}
			prev = as(one[0]).Add(c, config)
		}
	}
	del := func(c *testrig.Container, plugins [][2]string) {
		GinkgoHelper()
		for _, one := range plugins {
			as(one[0]).Del(c, one[1])
		}
	}
	collect := func() (said, warned string) {
		GinkgoHelper()
		var stdout, stderr bytes.Buffer
		var status int
		warned = testrig.SaidDuring(func() {
			rig.OnHost(func() { status = gc(context.Background(), rig.DataDir, &stdout, &stderr) })
		})
		Expect(status).To(BeZero(), stderr.String())
		return stdout.String(), warned
	}
	rules := func() []string {
		GinkgoHelper()
		text, err := testrig.Run(rig.Host, "nft", "list", "ruleset")
		Expect(err).NotTo(HaveOccurred())
		return strings.Split(text, "\n")
	}
	links := func() string { return testrig.IP(rig.Host, "-br link") }
	reserved := func() (addresses []string) {
		found, err := filepath.Glob(filepath.Join(rig.DataDir, "test", "10.*"))
		Expect(err).NotTo(HaveOccurred())
		for _, file := range found {
			addresses = append(addresses, filepath.Base(file))
		}
		return addresses
	}

	// vanishes waits until the kernel has taken the link of a dead container away.
	vanishes := func(c *testrig.Container) {
		GinkgoHelper()
		Eventually(links).ShouldNot(ContainSubstring(plugin.Owner{Network: "test", ContainerID: c.ID, IfName: c.IfName}.HostLink()))
	}

	// mortal is a container that dies before the spec ends.
	mortal := func(id string) *testrig.Container {
		GinkgoHelper()
		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		return &testrig.Container{ID: id, IfName: "eth0", Netns: netns, Path: netns.Path()}
	}

	It("takes back the device of a container of which only what it sends is limited", func() {
		sends := [][2]string{chain("8080")[0], {"bandwidth", `{"type":"bandwidth","egressRate":8000000,"egressBurst":800000}`}}
		dies := mortal("dies")
		add(dies, sends)
		Expect(links()).To(ContainSubstring("bwp"))
		Expect(testutils.UnmountNS(dies.Netns)).To(Succeed())
		Expect(dies.Netns.Close()).To(Succeed())
		vanishes(dies)
		said, _ := collect()
		Expect(said).To(ContainSubstring("bandwidth: took back what test/dies/eth0 has left\n"))
		Expect(links()).NotTo(ContainSubstring("bwp"))
	})

	It("takes back what a container has left that is gone without a DEL", func() {
		lives, dies := rig.Container("lives"), mortal("dies")
		add(lives, chain("8080"))
		rulesBefore, linksBefore := rules(), links()
		add(dies, chain("8081"))
		Expect(rules()).NotTo(Equal(rulesBefore))
		Expect(collect()).To(BeEmpty(), "as long as both live")

		Expect(testutils.UnmountNS(dies.Netns)).To(Succeed())
		Expect(collect()).To(BeEmpty(), "as long as we have a descriptor of it")
		socket, err := ns.Call(dies.Netns, func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
		Expect(err).NotTo(HaveOccurred())
		Expect(dies.Netns.Close()).To(Succeed())
		said, warned := collect()
		Expect(said).To(BeEmpty(), "as long as a socket keeps the namespace")
		Expect(warned).To(ContainSubstring("network test: [10.1.2.3] stay reserved for interface eth0 of container dies"))
		Expect(unix.Close(socket)).To(Succeed())
		vanishes(dies)
		said, warned = collect()
		var expected string
		for _, left := range []string{"portmap", "firewall", "bandwidth", "masquerading", "MAC spoof check"} {
			expected += left + ": took back what test/dies/eth0 has left\n"
		}
		Expect(said).To(Equal(expected))
		Expect(warned).To(ContainSubstring("network test: freed 10.1.2.3, which interface eth0 of container dies had"))

		Expect(rules()).To(ConsistOf(rulesBefore))
		Eventually(links).Should(Equal(linksBefore))
		Expect(reserved()).To(Equal([]string{"10.1.2.2"}))
		rig.OnHost(func() {
			for _, plugin := range []string{"portmap", "firewall", "bandwidth", "masquerade", "macspoofchk"} {
				Expect(intent.Of(plugin).List()).To(HaveLen(1), plugin)
			}
		})
		Expect(collect()).To(BeEmpty())
		for _, c := range []*testrig.Container{dies, lives} {
			c.Path = ""
			del(c, chain("8080"))
		}
	})

	It("leaves a container alone that is started again", func() {
		before := mortal("again")
		add(before, chain("8080"))
		after := rig.Container("again")
		Expect(testutils.UnmountNS(before.Netns)).To(Succeed())
		Expect(before.Netns.Close()).To(Succeed())
		add(after, chain("8080"))
		rulesBefore, linksBefore := rules(), links()
		Expect(collect()).To(BeEmpty())
		Expect(rules()).To(Equal(rulesBefore))
		Expect(links()).To(Equal(linksBefore))
		Expect(reserved()).To(Equal([]string{"10.1.2.2"}))
		del(after, chain("8080"))
		Expect(reserved()).To(BeEmpty())
	})

	DescribeTable("takes nothing from a container that is started again while it takes back what that had left",
		func(name string, config func() string) {
			before, after := mortal("again"), rig.Container("again")
			add(before, [][2]string{chain("8080")[0], {name, config()}})
			Expect(errors.Join(testutils.UnmountNS(before.Netns), before.Netns.Close())).To(Succeed())
			vanishes(before)
			var prev *current.Result
			started := make(chan *current.Result)
			rig.OnHost(func() {
				Expect(intent.Of(name).TakeBack(func(i intent.Intent) error {
					prev = as("bridge").Add(after, chain("8080")[0][1])
					go func() {
						defer GinkgoRecover()
						started <- as(name).Add(after, testrig.WithPrev(config(), prev))
					}()
					Consistently(started, "200ms").ShouldNot(Receive())
					return detach(context.Background(), name, i.Owner())
				})).To(HaveLen(1))
			})
			Eventually(started, "10s").Should(Receive(&prev))
			Expect(rig.Check(after, config(), prev)).To(Succeed())
			rig.OnHost(func() { Expect(intent.Of(name).Alive()).To(HaveLen(1)) })
			del(after, [][2]string{chain("8080")[0], {name, config()}})
		},
		Entry("its ports", "portmap", func() string { return chain("8080")[1][1] }),
		Entry("its way through the firewall", "firewall", func() string { return chain("8080")[2][1] }),
		Entry("its limits", "bandwidth", func() string { return chain("8080")[3][1] }),
	)

	It("takes nothing from those who live, whatever goes on meanwhile", func() {
		const workers, turns = 3, 12
		built := testrig.Build("main/bridge", "meta/portmap", "meta/firewall", "ipam/host-local")
		run := func(verb string, c *testrig.Container, hostPort string) {
			GinkgoHelper()
			prev := ""
			for _, one := range chain(hostPort)[:3] { // those that are built
				config := testrig.Config(one[1])
				if prev != "" {
					config = testrig.WithPrev(one[1], testrig.Result(prev))
				}
				out, err := runPlugin(rig.Host, built, one[0], verb, c, config)
				Expect(err).NotTo(HaveOccurred(), "%s %s: %s", one[0], verb, out)
				if verb == "ADD" {
					prev = out
				}
			}
		}
		var working, collecting sync.WaitGroup
		done := make(chan struct{})
		collecting.Go(func() {
			defer GinkgoRecover()
			for {
				select {
				case <-done:
					return
				default:
					collect()
				}
			}
		})
		live := make([]*testrig.Container, workers)
		for worker := range workers {
			working.Go(func() {
				defer GinkgoRecover()
				for turn := range turns {
					hostPort := fmt.Sprint(9000 + worker*turns + turn)
					c := mortal(fmt.Sprintf("c%d-%d", worker, turn))
					run("ADD", c, hostPort)
					live[worker] = c
					if turn == turns-1 {
						return
					}
					if rand.N(2) == 0 {
						run("DEL", c, hostPort)
					}
					Expect(errors.Join(testutils.UnmountNS(c.Netns), c.Netns.Close())).To(Succeed())
				}
			})
		}
		working.Wait()
		close(done)
		collecting.Wait()
		Eventually(func() []string { collect(); return reserved() }).Should(HaveLen(workers), "once the last links have gone")

		var stdout, stderr bytes.Buffer
		rig.OnHost(func() { Expect(heal(context.Background(), &stdout, &stderr)).To(BeZero(), stderr.String()) })
		Expect(stdout.String()).To(BeEmpty(), "nothing was missing")
		rig.OnHost(func() {
			for _, plugin := range []string{"portmap", "firewall", "masquerade", "macspoofchk"} {
				Expect(intent.Of(plugin).List()).To(HaveLen(workers), plugin)
			}
		})
		for worker, c := range live {
			run("DEL", c, fmt.Sprint(9000+worker*turns+turns-1))
			Expect(errors.Join(testutils.UnmountNS(c.Netns), c.Netns.Close())).To(Succeed())
		}
	})
})

// runPlugin runs a plugin as a process on a host and returns what it printed. built is
// what testrig.Build returned.
func runPlugin(host ns.NetNS, built, name, verb string, c *testrig.Container, config string) (string, error) {
	path, err := invoke.FindInPath(name, filepath.SplitList(built))
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+c.ID, "CNI_NETNS="+c.Path, "CNI_IFNAME="+c.IfName, "CNI_PATH="+built)
	cmd.Stdin = strings.NewReader(config)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err = host.Do(func(ns.NetNS) error { return cmd.Run() })
	return stdout.String(), err
}
