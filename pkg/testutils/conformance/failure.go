// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/undo"
)

// failures declares ADDs that fail half-way.
func (m *matrix) failures(suite Suite) {
	It("takes everything back when it fails at any step", m.failAtEachPush)

	for _, stdout := range []struct {
		title string
		open  func() (*os.File, error)
	}{
		{"nobody reads its answer", brokenPipe},
		{"its answer cannot be written", func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }},
	} {
		It("takes everything back when "+stdout.title, func() {
			c := m.container("c1")
			file, err := stdout.open()
			Expect(err).NotTo(HaveOccurred())
			defer file.Close()
			answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: encode(m.config("1.1.0")), Stdout: file})
			Expect(answer.Status).To(Equal(1), "%s", answer.Stderr)
			Expect(answer.noTrace()).To(Succeed())
			m.expectNothingLeft(c)
		})
	}
	if !suite.Layer2 && !suite.Brief && delegatesAtAll(suite) {
		m.ipamFailures()
		m.ipamCalls()
	}
}

// failAtEachPush interrupts ADD after the first, second ... step that it can
// take back, until one gets through.
func (m *matrix) failAtEachPush() {
	c := m.container("c1")
	config := m.config("1.1.0")
	for at := 1; ; at++ {
		fault := &undo.Fault{At: at}
		err := m.addInProcess(undo.WithFault(context.Background(), fault), c, config)
		if fault.Fired == "" {
			Expect(err).NotTo(HaveOccurred())
			break
		}
		var refusal *types.Error
		Expect(errors.As(err, &refusal)).To(BeTrue())
		Expect(refusal.Error()).To(ContainSubstring(undo.Tripped{What: fault.Fired}.Error()))
		Expect(refusal.Error()).NotTo(ContainSubstring("undo "), "a step of the clean-up failed")
		if left := m.leftovers(c); left != "" {
			Fail(fmt.Sprintf("left after step %d, %s:\n%s", at, fault.Fired, left))
		}
	}
	m.delete(c, config)
	m.expectNothingLeft(c)
}

// addInProcess runs ADD in this process, on the host.
func (m *matrix) addInProcess(ctx context.Context, c *Container, config Object) error {
	GinkgoT().Setenv("CNI_COMMAND", "ADD")
	GinkgoT().Setenv("CNI_PATH", m.host.binDir)
	GinkgoT().Setenv("CNI_CONTAINERID", c.ID)
	GinkgoT().Setenv("CNI_IFNAME", c.IfName)
	GinkgoT().Setenv("CNI_NETNS", c.NS.Path())
	call := Call{Verb: "ADD", Container: c, Config: encode(config)}
	args := &skel.CmdArgs{ContainerID: c.ID, IfName: c.IfName, Netns: c.NS.Path(), Path: m.host.binDir, StdinData: call.input()}
	var stdout bytes.Buffer
	return m.host.onHost(func() error { return m.suite.Plugin.Call(ctx, "ADD", args, &stdout) })
}

// brokenPipe is the end to write of a pipe that nobody reads.
func brokenPipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err == nil {
		r.Close()
	}
	return w, err
}

// ipamFailure is something that an IPAM plugin may do to its caller.
type ipamFailure struct {
	title string
	setUp func(fakeIPAM) error
	code  uint
	texts []string
}

func ipamFailuresTable() []ipamFailure {
	answers := func(text string, status int) func(fakeIPAM) error {
		return func(fake fakeIPAM) error { return fake.answers("ADD", text, status) }
	}
	return []ipamFailure{
		{"fails with a code", answers(fakeTryAgain, 1), types.ErrTryAgainLater, []string{"the address server is busy", "ask again"}},
		{"has no address", answers(fakeNothing, 0), types.ErrInternal, []string{fakeName}},
		{"says nothing", answers("", 0), 0, nil},
		{"answers with nonsense", answers("no JSON", 0), 0, nil},
		{"answers with a null address", answers(`{"cniVersion": "1.1.0", "ips": [null]}`, 0), 0, nil},
		{"answers with an address that is none", answers(`{"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.300/33"}]}`, 0), 0, nil},
		{"answers in a version nobody speaks", answers(`{"cniVersion": "7.0.0", "ips": [{"address": "10.88.3.4/16"}]}`, 0), 0, nil},
		{"fails and says nothing", answers("", 1), 0, []string{fakeName}},
		{"fails with nonsense", answers("Segmentation fault", 139), 0, []string{fakeName}},
		{"is killed after it has answered", func(fake fakeIPAM) error { return fake.dies("ADD", fakeAddresses) }, 0, []string{fakeName}},
	}
}

// delegation is an IPAM plugin that does as it is told, and a configuration with
// it.
type delegation struct {
	fake   fakeIPAM
	config Object
}

// install makes the delegation on the host of the running spec.
func (d *delegation) install(m *matrix) {
	GinkgoHelper()
	var err error
	d.fake, err = m.host.installFake()
	Expect(err).NotTo(HaveOccurred())
	d.config = with(m.config("1.1.0"), Object{"ipam": Object{"type": fakeName}})
}

// ipamFailures declares what a plugin does about an IPAM plugin that does not
// do its work: it takes its interface back, and has the IPAM plugin release
// what it may have assigned all the same.
func (m *matrix) ipamFailures() {
	var d delegation
	for _, failure := range ipamFailuresTable() {
		It("takes everything back when IPAM "+failure.title, func() {
			d.install(m)
			c := m.container("c1")
			Expect(failure.setUp(d.fake)).To(Succeed())
			refusal, err := m.call("ADD", c, d.config).Refusal()
			Expect(err).NotTo(HaveOccurred())
			if failure.code != 0 {
				Expect(refusal.Code).To(Equal(failure.code), refusal.Error())
			}
			for _, text := range failure.texts {
				Expect(refusal.Error()).To(ContainSubstring(text))
			}
			Expect(d.fake.calls()).To(Equal([]string{"ADD c1 eth0", "DEL c1 eth0"}))
			m.expectNothingLeft(c)
		})
	}

	It("does not begin when there is no such IPAM plugin", func() {
		c := m.container("c1")
		m.host = m.newHost() // where nothing shared has been made yet
		m.hostClean = snapshot(m.host)
		config := with(m.config("1.1.0"), Object{"ipam": Object{"type": "no-such-plugin"}})
		refusal, err := m.call("ADD", c, config).Refusal()
		Expect(err).NotTo(HaveOccurred())
		Expect(refusal.Error()).To(ContainSubstring("no-such-plugin"))
		m.expectNothingLeft(c)
	})

	It("does not call itself for addresses", func() {
		c := m.container("c1")
		config := with(m.config("1.1.0"), Object{"ipam": Object{"type": m.suite.Plugin.Name}})
		expectRefusal(m.call("ADD", c, config), types.ErrInvalidNetworkConfig, "ipam.type")
		expectRefusal(m.call("STATUS", nil, config), types.ErrInvalidNetworkConfig, "ipam.type")
		expectSilentSuccess(m.call("GC", nil, with(config, validAttachments())))
		m.delete(c, config)
		m.expectNothingLeft(c)
	})
}

// ipamCalls declares which commands an IPAM plugin gets, and what its answers come to.
func (m *matrix) ipamCalls() {
	var d delegation
	It("hands every command on to IPAM, byte for byte", func() {
		d.install(m)
		Expect(d.fake.answers("ADD", fakeAddresses, 0)).To(Succeed())
		c := m.container("c1")
		attachment := m.add(c, d.config)
		Expect(d.fake.calls()).To(Equal([]string{"ADD c1 eth0"}))
		Expect(d.fake.input("ADD")).To(Equal(attachment.Config))
		checked := with(d.config, Object{"prevResult": attachment.Result})
		expectSilentSuccess(m.call("CHECK", c, checked))
		Expect(d.fake.calls()).To(Equal([]string{"CHECK c1 eth0"}))
		Expect(d.fake.input("CHECK")).To(Equal(encode(checked)))
		expectSilentSuccess(m.call("STATUS", nil, d.config))
		Expect(d.fake.calls()).To(Equal([]string{"STATUS  "}))
		Expect(m.host.collect(d.config, c)).To(Succeed())
		Expect(d.fake.calls()).To(Equal([]string{"GC  "}))
		Expect(d.fake.input("GC")).To(Equal(encode(with(d.config, validAttachments(c)))))
		m.delete(c, d.config)
		Expect(d.fake.calls()).To(Equal([]string{"DEL c1 eth0"}))
		m.expectNothingLeft(c)
	})

	It("has IPAM release when the namespace is gone, or was never named", func() {
		d.install(m)
		Expect(d.fake.answers("ADD", fakeAddresses, 0)).To(Succeed())
		for _, env := range [][]string{nil, {"CNI_NETNS="}} {
			c := m.container("c1")
			m.add(c, d.config)
			d.fake.calls()
			Expect(c.Remove()).To(Succeed())
			expectSilentSuccess(m.host.Run(Call{Verb: "DEL", Container: c, Config: encode(d.config), Env: env}))
			Expect(d.fake.calls()).To(Equal([]string{"DEL c1 eth0"}))
			m.expectNothingLeft()
		}
	})

	It("does not call IPAM for the namespace it runs in", func() {
		d.install(m)
		Expect(d.fake.answers("ADD", fakeAddresses, 0)).To(Succeed())
		answer := m.host.Run(Call{Verb: "ADD", Container: m.container("c1"), Config: encode(d.config), Env: []string{"CNI_NETNS=" + m.host.NS.Path()}})
		expectRefusal(answer, types.ErrInvalidNetNS)
		Expect(d.fake.calls()).To(BeEmpty())
		m.expectNothingLeft()
	})

	It("passes on the verdict of IPAM", func() {
		d.install(m)
		Expect(d.fake.answers("ADD", fakeAddresses, 0)).To(Succeed())
		c := m.container("c1")
		attachment := m.add(c, d.config)
		for _, verb := range []string{"CHECK", "STATUS", "GC", "DEL"} {
			Expect(d.fake.answers(verb, `{"code": 123, "msg": "no lease"}`, 1)).To(Succeed())
		}
		answer := m.call("CHECK", c, with(d.config, Object{"prevResult": attachment.Result}))
		refusal, err := answer.Refusal()
		Expect(err).NotTo(HaveOccurred())
		Expect(refusal.Error()).To(ContainSubstring("no lease"))
		expectRefusal(m.call("STATUS", nil, d.config), 123, "no lease")
		expectRefusal(m.call("GC", nil, with(d.config, validAttachments(c))), 123, "no lease")
		expectRefusal(m.call("DEL", c, d.config), 123, "no lease")
		m.expectNothingLeft(c)
	})
}
