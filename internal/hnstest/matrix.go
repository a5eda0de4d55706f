// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hnstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
)

// Suite is a plugin to be asked what every plugin is asked.
type Suite struct {
	Plugin  func(hns.Service) plugin.Plugin
	Network Network        // that it works with
	Config  map[string]any // the plugin's own keys, with as many policies as there are
}

// Bench is a plugin on a machine with a service, in one of its ways to work.
type Bench struct {
	*Fake
	Plugin  plugin.Plugin
	API     hns.API
	Config  map[string]any
	dataDir string
}

// Container is a container as a runtime knows it.
type Container struct{ ID, Netns string }

// NewBench returns a machine with the network of the suite.
func NewBench(s Suite, api hns.API, ipamPath string) *Bench {
	ginkgo.GinkgoHelper()
	ginkgo.GinkgoT().Setenv("CNI_PATH", ipamPath)
	b := &Bench{Fake: NewFake(s.Network), API: api, dataDir: ginkgo.GinkgoT().TempDir()}
	b.Plugin = s.Plugin(b.Fake)
	b.Config = map[string]any{
		"cniVersion": "1.1.0", "name": s.Network.Name, "type": b.Plugin.Name, "apiVersion": int(api),
		"ipam": object{"type": "host-local", "subnet": s.Network.Subnet, "rangeStart": "10.1.2.10", "dataDir": b.dataDir},
	}
	maps.Copy(b.Config, s.Config)
	return b
}

// Container returns a container that runs, in the way of the interface's runtime.
func (b *Bench) Container(id string) Container {
	if b.API == hns.V2 {
		return Container{id, b.NewNamespace()}
	}
	b.Start(id)
	return Container{id, "none"}
}

// With returns the configuration with other keys; a nil one is left out.
func (b *Bench) With(keys map[string]any) map[string]any {
	config := maps.Clone(b.Config)
	maps.Copy(config, keys)
	maps.DeleteFunc(config, func(_ string, value any) bool { return value == nil })
	return config
}

// CallWith runs a command and returns what it printed.
func (b *Bench) CallWith(ctx context.Context, verb string, c Container, config map[string]any) (string, error) {
	ginkgo.GinkgoHelper()
	var stdout bytes.Buffer
	err := b.callInto(ctx, &stdout, verb, c, config)
	return stdout.String(), err
}

func (b *Bench) callInto(ctx context.Context, stdout io.Writer, verb string, c Container, config map[string]any) error {
	ginkgo.GinkgoHelper()
	stdin, err := json.Marshal(config)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	args := &skel.CmdArgs{ContainerID: c.ID, Netns: c.Netns, IfName: "eth0", StdinData: stdin}
	for name, value := range map[string]string{
		"CNI_COMMAND": verb, "CNI_CONTAINERID": c.ID, "CNI_NETNS": c.Netns, "CNI_IFNAME": args.IfName, "CNI_ARGS": "",
	} {
		gomega.Expect(os.Setenv(name, value)).To(gomega.Succeed())
	}
	return b.Plugin.Call(ctx, verb, args, stdout)
}

// Call runs a command with the configuration.
func (b *Bench) Call(verb string, c Container) error {
	ginkgo.GinkgoHelper()
	_, err := b.CallWith(context.Background(), verb, c, b.Config)
	return err
}

// Add runs ADD, which must succeed, and returns the result.
func (b *Bench) Add(c Container, keys map[string]any) *current.Result {
	ginkgo.GinkgoHelper()
	stdout, err := b.CallWith(context.Background(), "ADD", c, b.With(keys))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return testrig.Result(stdout)
}

// AtOnce runs the lives of n containers at the same time and returns the
// addresses they had. The configuration must do without an IPAM plugin, which
// would read the container's name in an environment that all share.
func (b *Bench) AtOnce(n int, keys map[string]any) map[string]bool {
	ginkgo.GinkgoHelper()
	stdin, err := json.Marshal(b.With(keys))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	answers := make([]string, n)
	each := func(verb string) {
		var wait sync.WaitGroup
		for i := range n {
			args := &skel.CmdArgs{ContainerID: fmt.Sprintf("c%d", i), Netns: b.NewNamespace(), IfName: "eth0", StdinData: stdin}
			wait.Go(func() {
				defer ginkgo.GinkgoRecover()
				var stdout bytes.Buffer
				gomega.Expect(b.Plugin.Call(context.Background(), verb, args, &stdout)).To(gomega.Succeed())
				answers[i] += stdout.String()
			})
		}
		wait.Wait()
	}
	each("ADD")
	each("DEL")
	seen := map[string]bool{}
	for _, answer := range answers {
		seen[testrig.Result(answer).IPs[0].Address.String()] = true
	}
	return seen
}

// Check runs CHECK with the result of the ADD.
func (b *Bench) Check(c Container, prev *current.Result, keys map[string]any) error {
	ginkgo.GinkgoHelper()
	config := b.With(keys)
	config["prevResult"] = prev
	_, err := b.CallWith(context.Background(), "CHECK", c, config)
	return err
}

// Reservations lists the addresses that host-local has given away.
func (b *Bench) Reservations() []string {
	ginkgo.GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(b.dataDir, b.Config["name"].(string), "10.*"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return files
}

// all describes everything that an attachment can leave.
func (b *Bench) all() string { return b.Snapshot() + "\n" + strings.Join(b.Reservations(), "\n") }

func (b *Bench) endpointOf(c Container) string { return c.ID + "_" + b.Config["name"].(string) }

// code returns the CNI code of an error.
func code(err error) uint {
	var coded *types.Error
	if !errors.As(err, &coded) {
		return 0
	}
	return coded.Code
}

// Run declares the matrix over a plugin, by both interfaces.
func Run(s Suite) bool {
	return ginkgo.Describe(s.Plugin(hns.Host()).Name+" conforms", ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		var ipamPath string
		ginkgo.BeforeAll(func() { ipamPath = testrig.BuildIPAM() })
		for _, api := range []hns.API{hns.V1, hns.V2} {
			ginkgo.Context("by "+api.String(), func() {
				m := &matrix{suite: s}
				ginkgo.BeforeEach(func() {
					m.Bench = NewBench(s, api, ipamPath)
					m.c1 = m.Container("c1")
				})
				m.lives()
				m.identity()
				if api == hns.V1 {
					m.sharing()
				}
				m.failedCalls()
				m.failedSteps()
				m.removals()
				m.checks()
				m.collection()
				m.readiness()
			})
		}
	})
}

// matrix is the bench of the running spec.
type matrix struct {
	*Bench
	suite Suite
	c1    Container
}

func (m *matrix) lives() {
	ginkgo.It("adds, checks and deletes in every version", func() {
		for _, version := range testutils.AllSpecVersions {
			keys := map[string]any{"cniVersion": version}
			result := m.Add(m.c1, keys)
			gomega.Expect(result.IPs).To(gomega.HaveLen(1), version)
			if version >= "0.4.0" {
				gomega.Expect(m.Check(m.c1, result, keys)).To(gomega.Succeed(), version)
			}
			_, err := m.CallWith(context.Background(), "DEL", m.c1, m.With(keys))
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			gomega.Expect(m.Names()).To(gomega.BeEmpty())
			gomega.Expect(m.Reservations()).To(gomega.BeEmpty())
		}
	})

	ginkgo.It("describes the endpoint: its name, the subnet's mask, no interface index, no empty lists", func() {
		result := m.Add(m.c1, nil)
		gomega.Expect(result.Interfaces).To(gomega.HaveLen(1))
		gomega.Expect(result.Interfaces[0].Name).To(gomega.Equal(m.endpointOf(m.c1)))
		gomega.Expect(result.Interfaces[0].Mac).NotTo(gomega.BeEmpty())
		gomega.Expect(result.Interfaces[0].Sandbox).To(gomega.Equal(m.c1.Netns))
		gomega.Expect(result.IPs[0].Address.String()).To(gomega.Equal("10.1.2.10/24"))
		gomega.Expect(result.IPs[0].Interface).To(gomega.BeNil())
		gomega.Expect(result.Routes).To(gomega.BeEmpty())
		gomega.Expect(result.DNS.Nameservers).To(gomega.BeNil())
		gomega.Expect(result.DNS.Search).To(gomega.BeNil())
	})

	ginkgo.It("repeats the answer to a repeated ADD, and reserves nothing more", func() {
		first := m.Add(m.c1, nil)
		before := m.all()
		gomega.Expect(m.Add(m.c1, nil)).To(gomega.Equal(first))
		gomega.Expect(m.all()).To(gomega.Equal(before))
	})

	ginkgo.It("refuses a CNI_NETNS that does not fit the interface, before anything is done", func() {
		wrong := map[hns.API][]string{hns.V1: {m.NewNamespace(), "/run/netns/x", "xyz"}, hns.V2: {"none", "container:c1", "{" + m.NewNamespace() + "}"}}
		for _, netns := range wrong[m.API] {
			err := m.Call("ADD", Container{"c1", netns})
			gomega.Expect(code(err)).To(gomega.Equal(types.ErrInvalidNetNS), netns)
			gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("CNI_NETNS: " + fmt.Sprintf("%q", netns))))
			gomega.Expect(m.all()).To(gomega.Equal("\n"))
		}
	})
}

// identity is about endpoints of one name.
func (m *matrix) identity() {
	ginkgo.It("replaces an endpoint of an earlier network of that name", func() {
		m.Add(m.c1, nil)
		m.Change(m.endpointOf(m.c1), map[string]string{"network": "11111111-2222-4333-8444-555555555555"})
		m.Add(Container{"c1", m.c1.Netns}, map[string]any{"ipam": m.freshIPAM()})
		gomega.Expect(m.Names()).To(gomega.Equal([]string{m.endpointOf(m.c1)}))
		gomega.Expect(m.Check(m.c1, m.Add(m.c1, nil), map[string]any{"ipam": m.freshIPAM()})).To(gomega.Succeed())
	})

	ginkgo.It("leaves the endpoint of another network alone, whatever it is called", func() {
		other := m.suite.Network
		other.Name = "x_" + other.Name
		m.AddNetwork(other)
		namesake := map[string]any{"name": other.Name, "ipam": m.freshIPAM(), "runtimeConfig": nil}
		m.Add(m.Container("c1"), namesake) // c1_x_NETWORK
		c1x := m.Container("c1_x")         // c1_x_NETWORK, too
		m.Add(c1x, nil)
		gomega.Expect(m.Names()).To(gomega.HaveLen(2))
		gomega.Expect(m.Call("DEL", c1x)).To(gomega.Succeed())
		gomega.Expect(m.Names()).To(gomega.Equal([]string{"c1_" + other.Name}))
		gomega.Expect(m.Snapshot()).To(gomega.ContainSubstring("10.1.2.10"))
	})
}

// sharing is about containers that share the network of another one, which only
// Docker has.
func (m *matrix) sharing() {
	ginkgo.It("takes part in the network of another container", func() {
		pod := m.Add(m.c1, nil)
		reserved := m.Reservations()
		app, late := Container{"app", "container:c1"}, Container{"late", "container:c1"}
		m.Start("app") // late does not run yet: Docker starts it afterwards
		gomega.Expect(m.Add(app, nil).IPs).To(gomega.Equal(pod.IPs))
		shared := m.Add(late, nil)
		gomega.Expect(m.Check(late, shared, nil)).To(gomega.Succeed())
		gomega.Expect(m.Snapshot()).To(gomega.ContainSubstring("sharers [c1 app]"))

		gomega.Expect(m.Call("DEL", app)).To(gomega.Succeed())
		gomega.Expect(m.Call("DEL", late)).To(gomega.Succeed())
		gomega.Expect(m.Snapshot()).To(gomega.ContainSubstring("sharers [c1]"))
		gomega.Expect(m.Reservations()).To(gomega.Equal(reserved))
		gomega.Expect(m.Check(m.c1, pod, nil)).To(gomega.Succeed())
		gomega.Expect(m.Call("DEL", m.c1)).To(gomega.Succeed())
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})

	ginkgo.It("deletes the endpoint with the last container that shares it", func() {
		m.Add(m.c1, nil)
		app := Container{"app", "container:c1"}
		m.Start("app")
		m.Add(app, nil)
		m.Change(m.endpointOf(m.c1), map[string]string{"attached": ""})
		m.Add(app, nil)
		m.Stop("app")
		gomega.Expect(m.Call("DEL", Container{"app", ""})).To(gomega.Succeed())
		gomega.Expect(m.Names()).To(gomega.BeEmpty())
	})

	ginkgo.It("collects an endpoint only when all who share it are gone", func() {
		m.Add(m.c1, nil)
		app := Container{"app", "container:c1"}
		m.Start("app")
		m.Add(app, nil)
		gomega.Expect(m.gc("app")).To(gomega.Succeed())
		gomega.Expect(m.Snapshot()).To(gomega.ContainSubstring("sharers [c1 app]"))
		gomega.Expect(m.gc()).To(gomega.Succeed())
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})

	ginkgo.It("refuses to share what is not there", func() {
		gomega.Expect(m.Call("ADD", Container{"c2", "container:c1"})).To(gomega.MatchError(gomega.ContainSubstring("there is no endpoint c1_")))
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})
}

// freshIPAM is an IPAM configuration that has given nothing away yet.
func (m *matrix) freshIPAM() map[string]any {
	return object{"type": "host-local", "subnet": m.suite.Network.Subnet, "rangeStart": "10.1.2.100", "dataDir": filepath.Join(m.dataDir, "fresh")}
}

// failedCalls is about calls of the service that fail, and the last ones of
// processes that are killed.
func (m *matrix) failedCalls() {
	ginkgo.It("leaves nothing when a call of ADD fails, whichever", func() {
		calls := m.atEveryCall("ADD", m.FailCall, func(n int, err error) {
			gomega.Expect(m.all()).To(gomega.Equal("\n"), "call %d: %v", n, err)
			gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(errFake.Error())))
		})
		gomega.Expect(calls).To(gomega.BeNumerically(">=", 5)) // networks, endpoints, features, create, attach
	})

	ginkgo.It("leaves what DEL can remove when it is killed at a call of ADD, whichever", func() {
		m.atEveryCall("ADD", m.FailCallsFrom, func(n int, _ error) {
			gomega.Expect(m.Call("DEL", m.c1)).To(gomega.Succeed())
			gomega.Expect(m.all()).To(gomega.Equal("\n"), "call %d", n)
		})
		m.atEveryCall("ADD", m.FailCallsFrom, func(n int, _ error) {
			gomega.Expect(m.gc()).To(gomega.Succeed())
			gomega.Expect(m.all()).To(gomega.Equal("\n"), "call %d", n)
		})
	})

	ginkgo.It("keeps the endpoint and the address when a repeated ADD fails, wherever", func() {
		m.Add(m.c1, nil)
		before := m.all()
		m.atEveryCall("ADD", m.FailCall, func(n int, _ error) {
			gomega.Expect(m.all()).To(gomega.Equal(before), "call %d", n)
		})
		m.atEveryStep(func(step string) { gomega.Expect(m.all()).To(gomega.Equal(before), step) })
	})

	ginkgo.It("finishes at the second DEL what failed at the first, at whichever call", func() {
		for n := 1; ; n++ {
			m.Add(m.c1, nil)
			m.FailCall(n)
			err := m.Call("DEL", m.c1)
			if m.Heal() < n {
				gomega.Expect(err).NotTo(gomega.HaveOccurred())
				break
			}
			gomega.Expect(m.Reservations()).To(gomega.BeEmpty(), "call %d: the address is released whatever fails", n)
			gomega.Expect(m.Call("DEL", m.c1)).To(gomega.Succeed())
			gomega.Expect(m.all()).To(gomega.Equal("\n"), "call %d: %v", n, err)
		}
	})
}

// failedSteps is about ADDs that come to nothing for other reasons.
func (m *matrix) failedSteps() {
	ginkgo.It("takes back every step of ADD", func() {
		var steps []string
		m.atEveryStep(func(step string) {
			steps = append(steps, step)
			gomega.Expect(m.all()).To(gomega.Equal("\n"), step)
		})
		gomega.Expect(steps).To(gomega.Equal([]string{"IPAM reservation", "endpoint", "attachment of the endpoint"}))
	})

	ginkgo.It("leaves nothing when the result cannot be printed", func() {
		err := m.callInto(context.Background(), brokenPipe{}, "ADD", m.c1, m.Config)
		gomega.Expect(code(err)).To(gomega.Equal(types.ErrIOFailure))
		gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("print the result")))
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})

	ginkgo.It("leaves nothing when the container is not there", func() {
		gone := Container{"gone", "none"}
		if m.API == hns.V2 {
			gone.Netns = "12345678-1234-4234-8234-123456789abc"
		}
		gomega.Expect(m.Call("ADD", gone)).To(gomega.MatchError(gomega.ContainSubstring("attach the endpoint gone_")))
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})

	ginkgo.It("leaves nothing when the IPAM plugin fails, assigns nothing or is missing", func() {
		dir := ginkgo.GinkgoT().TempDir()
		for name, answer := range map[string]string{
			"failing": `echo '{"code":11,"msg":"the address server is busy"}'; exit 1`,
			"nothing": `echo '{"cniVersion":"1.1.0","ips":[]}'`,
		} {
			script := "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit\n" + answer + "\n"
			gomega.Expect(os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755)).To(gomega.Succeed())
		}
		ginkgo.GinkgoT().Setenv("CNI_PATH", dir)
		for name, want := range map[string]string{"failing": "the address server is busy", "nothing": "no address", "missing": "missing"} {
			_, err := m.CallWith(context.Background(), "ADD", m.c1, m.With(map[string]any{"ipam": object{"type": name}}))
			gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(want)))
			gomega.Expect(m.Names()).To(gomega.BeEmpty())
		}
	})
}

// brokenPipe is an output that nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// atEveryCall makes the first, the second ... call of a command fail, until the
// command makes no such call any more, and returns how many it makes.
func (m *matrix) atEveryCall(verb string, fail func(int), then func(n int, err error)) int {
	ginkgo.GinkgoHelper()
	for n := 1; ; n++ {
		fail(n)
		err := m.Call(verb, m.c1)
		if m.Heal() < n {
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			return n - 1
		}
		gomega.Expect(err).To(gomega.HaveOccurred(), "call %d", n)
		then(n, err)
	}
}

// atEveryStep interrupts ADD after each step of its undo stack.
func (m *matrix) atEveryStep(then func(step string)) {
	ginkgo.GinkgoHelper()
	for at := 1; ; at++ {
		fault := &undo.Fault{At: at}
		_, err := m.CallWith(undo.WithFault(context.Background(), fault), "ADD", m.c1, m.Config)
		if fault.Fired == "" {
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			return
		}
		then(fault.Fired)
	}
}

func (m *matrix) removals() {
	for what, change := range map[string]func() (Container, map[string]any){
		"CNI_NETNS is empty":      func() (Container, map[string]any) { return Container{ID: "c1"}, nil },
		"CNI_NETNS is nonsense":   func() (Container, map[string]any) { return Container{"c1", "/nonsense"}, nil },
		"the container is gone":   func() (Container, map[string]any) { m.vanish(); return m.c1, nil },
		"all keys are broken":     func() (Container, map[string]any) { return m.c1, m.broken() },
		"the other API is wanted": func() (Container, map[string]any) { return m.c1, map[string]any{"apiVersion": int(3 - m.API)} },
		"the policies are wrong":  func() (Container, map[string]any) { return m.c1, map[string]any{"policies": []any{nil, 7}} },
	} {
		ginkgo.It("deletes, and twice, although "+what, func() {
			m.Add(m.c1, nil)
			c, keys := change()
			for range 2 {
				_, err := m.CallWith(context.Background(), "DEL", c, m.With(keys))
				gomega.Expect(err).NotTo(gomega.HaveOccurred())
				gomega.Expect(m.all()).To(gomega.Equal("\n"))
			}
		})
	}

	ginkgo.It("deletes although the network is gone", func() {
		m.Add(m.c1, nil)
		m.ChangeNetwork(m.suite.Network.Name, func(*Network) bool { return false })
		gomega.Expect(m.Call("DEL", m.c1)).To(gomega.Succeed())
		gomega.Expect(m.all()).To(gomega.Equal("\n"))
	})
}

// vanish stops the container, or removes its namespace.
func (m *matrix) vanish() {
	m.Stop(m.c1.ID)
	m.RemoveNamespace(m.c1.Netns)
}

func (m *matrix) broken() map[string]any {
	return map[string]any{"apiVersion": "two", "policies": 5, "loopbackDSR": "yes", "runtimeConfig": []any{}, "dns": 1, "prevResult": object{"ips": []any{nil}}}
}

func (m *matrix) checks() {
	for what, breakage := range map[string]struct {
		fields map[string]string
		want   string
	}{
		"the address":    {map[string]string{"ip": "10.1.2.99"}, "address is 10.1.2.99, expected 10.1.2.10"},
		"the MAC":        {map[string]string{"mac": "00-00-00-00-00-01"}, "MAC address is 00-00-00-00-00-01, expected"},
		"the gateway":    {map[string]string{"gateway": "10.1.2.77"}, "gateway is 10.1.2.77, expected"},
		"the attachment": {map[string]string{"attached": ""}, "is not attached to"},
		"the policies":   {map[string]string{"policies": ""}, "lacks the exception from outbound NAT for"},
		"the ports":      {map[string]string{"policies": ""}, "lacks the mapping of port 8080 to 80 of protocol 6"},
		"the loopback":   {map[string]string{"policies": ""}, "lacks the loopback of 10.1.2.10"},
	} {
		ginkgo.It("notices a change of "+what, func() {
			result := m.Add(m.c1, nil)
			gomega.Expect(m.Check(m.c1, result, nil)).To(gomega.Succeed())
			m.Change(m.endpointOf(m.c1), breakage.fields)
			gomega.Expect(m.Check(m.c1, result, nil)).To(gomega.MatchError(gomega.ContainSubstring(breakage.want)))
		})
	}

	ginkgo.It("notices that the endpoint, its reservation or the network is gone, in one answer where it can", func() {
		result := m.Add(m.c1, nil)
		gomega.Expect(m.Call("DEL", m.c1)).To(gomega.Succeed())
		err := m.Check(m.c1, result, nil)
		gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("ipam: ")))
		gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("endpoint: c1_" + m.suite.Network.Name + ": not found")))
		m.ChangeNetwork(m.suite.Network.Name, func(*Network) bool { return false })
		gomega.Expect(m.Check(m.c1, result, nil)).To(gomega.MatchError(gomega.ContainSubstring("has no network called")))
	})
}

// gc runs GC with the given containers being valid.
func (m *matrix) gc(valid ...string) error {
	attachments := []object{}
	for _, id := range valid {
		attachments = append(attachments, object{"containerID": id, "ifname": "eth0"})
	}
	_, err := m.CallWith(context.Background(), "GC", Container{}, m.With(map[string]any{"cni.dev/valid-attachments": attachments}))
	return err
}

func (m *matrix) collection() {
	ginkgo.It("collects exactly what is not valid any more", func() {
		other := m.suite.Network
		other.Name = "other"
		m.AddNetwork(other)
		quiet := map[string]any{"runtimeConfig": nil}
		m.Add(m.c1, quiet)
		m.Add(m.Container("c2"), quiet)
		m.Add(m.Container("c3"), map[string]any{"runtimeConfig": nil, "name": "other"})
		m.AddRemote(m.suite.Network.Name, "far_"+m.suite.Network.Name)
		before := m.Names()

		gomega.Expect(m.gc("c1", "c2")).To(gomega.Succeed())
		gomega.Expect(m.Names()).To(gomega.Equal(before))
		gomega.Expect(m.gc("c2")).To(gomega.Succeed())
		gomega.Expect(m.Names()).To(gomega.Equal(slices.DeleteFunc(before, func(name string) bool { return name == m.endpointOf(m.c1) })))
		gomega.Expect(m.Reservations()).To(gomega.HaveLen(1))
	})

	ginkgo.It("finishes at the second GC what failed at the first, at whichever call", func() {
		for n := 1; ; n++ {
			m.Add(m.c1, nil)
			m.FailCall(n)
			err := m.gc()
			if m.Heal() < n {
				gomega.Expect(err).NotTo(gomega.HaveOccurred())
				break
			}
			gomega.Expect(m.gc()).To(gomega.Succeed())
			gomega.Expect(m.all()).To(gomega.Equal("\n"), "call %d", n)
		}
	})

	ginkgo.It("has nothing to collect where the network is gone", func() {
		m.ChangeNetwork(m.suite.Network.Name, func(*Network) bool { return false })
		gomega.Expect(m.gc()).To(gomega.Succeed())
	})
}

func (m *matrix) readiness() {
	ginkgo.It("tells why an ADD would fail", func() {
		gomega.Expect(m.Call("STATUS", Container{})).To(gomega.Succeed())
		for want, spoil := range map[string]func(){
			"does not answer":       func() { m.FailCall(1) },
			"is of unexpected type": func() { m.ChangeNetwork(m.suite.Network.Name, func(n *Network) bool { n.Type = "NAT"; return true }) },
			"has no network called": func() { m.ChangeNetwork(m.suite.Network.Name, func(*Network) bool { return false }) },
			"has no HCN":            func() { m.Has.V2 = false },
		} {
			if want == "has no HCN" && m.API == hns.V1 {
				continue
			}
			m.Bench = NewBench(m.suite, m.API, os.Getenv("CNI_PATH"))
			spoil()
			err := m.Call("STATUS", Container{})
			gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(want)))
			gomega.Expect(code(err)).To(gomega.Equal(plugin.ErrNotAvailable))
		}
	})
}
