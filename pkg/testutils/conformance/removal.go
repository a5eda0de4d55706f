// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// removal is a DEL under some difficulty. It has to succeed and leave nothing.
type removal struct {
	title  string
	env    func(m *matrix) []string                   // more variables
	config func(m *matrix, a Attachment) Object       // what DEL gets
	before func(m *matrix, a Attachment, file string) // what happens between ADD and DEL
}

func removalsTable() []removal {
	gone := func(_ *matrix, a Attachment, _ string) { Expect(a.Container.Remove()).To(Succeed()) }
	noNetns := func(*matrix) []string { return []string{"CNI_NETNS="} }
	return []removal{
		{title: "without a prevResult"},
		{title: "with a prevResult", config: withPrevious},
		{title: "without CNI_NETNS", env: noNetns},
		{title: "without CNI_NETNS, with a prevResult", env: noNetns, config: withPrevious},
		{title: "when the namespace has vanished", before: gone},
		{title: "when the namespace has vanished and CNI_NETNS is empty", before: gone, env: noNetns},
		{title: "when the path of the namespace is an ordinary file", before: func(m *matrix, a Attachment, file string) {
			gone(m, a, file)
			Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
		}, env: func(m *matrix) []string { return []string{"CNI_NETNS=" + m.staleFile()} }},
		{title: "when the path of the namespace leads to our own", before: gone,
			env: func(m *matrix) []string { return []string{"CNI_NETNS=" + m.host.NS.Path()} }},
		{title: "when the configuration has changed", config: changed},
		{title: "when the configuration has changed and the namespace has vanished", config: changed, before: gone},
		{title: "when nothing is left of the configuration", config: stripped},
		{title: "when nothing is left of the configuration and the namespace has vanished", config: stripped, before: gone},
		{title: "with nonsense in CNI_ARGS", env: func(*matrix) []string { return []string{"CNI_ARGS=;;a=b=c;X=Y;MAC=zz;IP=300.1.2.3"} }},
	}
}

// removals declares DEL under difficulties.
func (m *matrix) removals(suite Suite) {
	for _, r := range removalsTable() {
		It("detaches "+r.title, func() { m.remove(r) })
	}
	if suite.Vanish != nil {
		It("detaches when what it was attached to has vanished", m.removeAfterVanish)
	}
	It("detaches twice", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		m.add(c, config)
		m.delete(c, config)
		m.expectNothingLeft(c)
		m.delete(c, config)
		m.expectNothingLeft(c)
	})
	It("detaches what was never attached", func() {
		c := m.container("never")
		m.delete(c, m.config("1.1.0"))
		Expect(c.Remove()).To(Succeed())
		m.delete(c, m.config("1.1.0"))
		m.expectNothingLeft()
	})
	It("detaches one of two", func() {
		one, other := m.container("c1"), m.container("c2")
		config := m.config("1.1.0")
		m.add(one, config)
		attachment := m.add(other, config)
		m.delete(one, config)
		m.expectCheckPasses(attachment, config)
		m.delete(other, config)
		m.expectNothingLeft(one, other)
	})
	It("detaches one of two interfaces of a container", func() {
		if suite.IPAM == plugin.NoIPAM && (suite.Chained || suite.IgnoresIfName) {
			Skip("it has only one interface")
		}
		m.removeOneInterface()
	})
}

// removeOneInterface attaches a container twice. What happens to the second
// interface must not matter to the first.
func (m *matrix) removeOneInterface() {
	GinkgoHelper()
	one := m.container("c1")
	second := *one
	second.IfName = "eth1"
	config := m.config("1.1.0")
	attachment := m.add(one, config)
	if m.suite.OneInterface == "" {
		m.add(&second, config)
	} else {
		m.refuseSecond(&second, config)
	}
	m.delete(&second, config)
	m.expectCheckPasses(attachment, config)
	m.delete(one, config)
	m.expectNothingLeft(one)
}

// refuseSecond expects of an ADD that it fails for the suite's reason and leaves
// everything as it was.
func (m *matrix) refuseSecond(c *Container, config Object) {
	GinkgoHelper()
	before := snapshot(m.host) + snapshot(c)
	refusal, err := m.call("ADD", c, config).Refusal()
	Expect(err).NotTo(HaveOccurred())
	Expect(refusal.Error()).To(ContainSubstring(m.suite.OneInterface))
	Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty())
}

func (m *matrix) remove(r removal) {
	GinkgoHelper()
	c := m.container("c1")
	config := m.config("1.1.0")
	attachment := m.add(c, config)
	if r.config != nil {
		config = r.config(m, attachment)
	}
	if r.before != nil {
		r.before(m, attachment, m.staleFile())
	}
	call := Call{Verb: "DEL", Container: c, Config: encode(config)}
	if r.env != nil {
		call.Env = r.env(m)
	}
	for range 2 {
		expectSilentSuccess(m.host.Run(call))
		m.expectNothingLeftBut(c, call)
	}
}

// expectNothingLeftBut makes an exception for a container that exists but was
// not named to DEL: what is inside goes with it.
func (m *matrix) expectNothingLeftBut(c *Container, call Call) {
	GinkgoHelper()
	unnamed := len(call.Env) > 0 && strings.HasPrefix(call.Env[0], "CNI_NETNS=")
	if unnamed && m.suite.Lends { // what is inside comes back to the host with the namespace's end
		Expect(c.Remove()).To(Succeed())
		expectSilentSuccess(m.host.Run(call))
	}
	if unnamed && m.suite.inside() {
		m.expectNothingLeft()
		return
	}
	m.expectNothingLeft(c)
}

func (m *matrix) removeAfterVanish() {
	GinkgoHelper()
	vanish := func() { Expect(m.host.Do(func() error { return m.suite.Vanish(m.host) })).To(Succeed()) }
	c := m.container("c1")
	config := m.config("1.1.0")
	m.add(c, config)
	vanish()
	m.delete(c, config)
	m.hostClean = snapshot(m.host)
	Expect(m.host.Do(func() error {
		if m.suite.Prepare == nil {
			return nil
		}
		return m.suite.Prepare(m.host)
	})).To(Succeed())
	other := m.container("c2")
	m.add(other, config)
	vanish()
	Expect(other.Remove()).To(Succeed())
	m.delete(other, config)
	m.expectNothingLeft(c)
}

// staleFile is what an unmounted namespace leaves: an ordinary file.
func (m *matrix) staleFile() string { return filepath.Join(m.host.dir, "stale") }

func withPrevious(m *matrix, a Attachment) Object {
	return with(m.config("1.1.0"), Object{"prevResult": a.Result})
}

// changed is the configuration after somebody has edited it.
func changed(m *matrix, a Attachment) Object {
	if m.suite.Changed == nil {
		return stripped(m, a)
	}
	return m.host.config(m.suite.Changed(m.host), "1.1.0")
}

// stripped has nothing but the name and what leads to the IPAM plugin's store.
func stripped(m *matrix, _ Attachment) Object {
	config := m.config("1.1.0")
	bare := Object{"cniVersion": "1.1.0", "name": config["name"], "type": config["type"]}
	if ipam, ok := config["ipam"].(Object); ok {
		bare["ipam"] = Object{"type": ipam["type"], "dataDir": ipam["dataDir"]}
	}
	return bare
}
