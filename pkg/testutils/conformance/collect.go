// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"
)

// collection declares GC.
func (m *matrix) collection(suite Suite) {
	It("collects what is no longer valid, and nothing else", m.collectStale)

	It("collects everything when nothing is valid", func() {
		config := m.config("1.1.0")
		one, two := m.container("c1"), m.container("c2")
		m.add(one, config)
		m.add(two, config)
		Expect(one.Remove()).To(Succeed())
		m.giveUp(two)
		m.collectAll(config)
		m.expectNothingLeftBy(two)
	})

	It("collects when the configuration makes no sense any more", func() {
		c := m.container("c1")
		m.add(c, m.config("1.1.0"))
		Expect(c.Remove()).To(Succeed())
		Expect(m.host.collect(stripped(m, Attachment{}))).To(Succeed())
		m.expectNothingLeft()
	})

	It("collects nothing when it cannot tell what is valid", m.collectUnknown)

	It("collects when there is nothing to collect", func() {
		m.collectAll(m.config("1.1.0"))
		m.collectAll(m.otherNetwork())
		m.expectNothingLeft()
	})
}

// collectUnknown runs GC with lists of valid attachments that nobody can read.
func (m *matrix) collectUnknown() {
	config, c := m.config("1.1.0"), m.container("c1")
	attachment := m.add(c, config)
	before := snapshot(m.host) + snapshot(c)
	for _, list := range []any{
		"oops",
		[]any{nil},
		[]any{Object{"containerID": c.ID, "ifname": []any{c.IfName}}},
		[]any{Object{"containerID": c.ID}},
	} {
		expectRefusal(m.call("GC", nil, with(config, Object{"cni.dev/valid-attachments": list})),
			types.ErrInvalidNetworkConfig, "cni.dev/valid-attachments")
		Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty())
	}
	m.expectCheckPasses(attachment, config)
	m.delete(c, config)
	m.expectNothingLeft(c)
}

// collectAll runs GC without the key for valid attachments, and with an empty
// one.
func (m *matrix) collectAll(config Object) {
	GinkgoHelper()
	expectSilentSuccess(m.call("GC", nil, config))
	Expect(m.host.collect(config)).To(Succeed())
}

// giveUp removes a container whose NIC GC could otherwise not reach.
func (m *matrix) giveUp(c *Container) {
	GinkgoHelper()
	if m.suite.Lends {
		Expect(c.Remove()).To(Succeed())
	}
}

// expectNothingLeftBy is expectNothingLeft for a container that GC was not
// told about: what a plugin without a trace on the host did inside is not GC's.
func (m *matrix) expectNothingLeftBy(c *Container) {
	GinkgoHelper()
	if m.suite.inside() {
		m.expectNothingLeft()
		return
	}
	m.expectNothingLeft(c)
}

// otherNetwork is the configuration of a second network on the same host.
func (m *matrix) otherNetwork() Object {
	config := with(m.config("1.1.0"), Object{"name": network + "2"})
	if m.host.delegates() {
		config["ipam"] = m.host.hostLocal("2.0", "2.255")
	}
	return config
}

// collectStale attaches three containers to one network and one of them, by
// name, to another. All but one of the first network are stale.
func (m *matrix) collectStale() {
	config, otherConfig := m.config("1.1.0"), m.otherNetwork()
	spared, elsewhere := m.container("c1"), m.container("c2")
	valid, foreign := m.add(spared, config), m.add(elsewhere, otherConfig)
	before := snapshot(m.host) + snapshot(spared) + snapshot(elsewhere)

	vanished, alive := m.container("c2"), m.container("c3")
	m.add(vanished, config)
	m.add(alive, config)
	Expect(vanished.Remove()).To(Succeed())
	m.giveUp(alive)
	for range 2 {
		Expect(m.host.collect(config, spared)).To(Succeed())
		Expect(diff(before, snapshot(m.host)+snapshot(spared)+snapshot(elsewhere))).To(BeEmpty())
	}
	m.expectCheckPasses(valid, config)
	m.expectCheckPasses(foreign, otherConfig)
	if !m.suite.inside() {
		Expect(diff(m.nsClean, snapshot(alive))).To(BeEmpty())
	}
	Expect(m.host.collect(otherConfig)).To(Succeed())
	m.expectCheckPasses(valid, config)
	m.delete(spared, config)
	m.delete(elsewhere, otherConfig)
	m.expectSharedOnly()
}

// expectSharedOnly expects nothing but what a second network shares, too, to
// be left on the host: its empty directories.
func (m *matrix) expectSharedOnly() {
	GinkgoHelper()
	after := snapshot(m.host)
	c, config := m.container("c9"), m.otherNetwork()
	m.add(c, config)
	m.delete(c, config)
	Expect(diff(after, snapshot(m.host))).To(BeEmpty())
	Expect(excess(m.hostClean, after)).To(BeEmpty())
}
