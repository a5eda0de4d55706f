// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"encoding/json"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// checks declares what CHECK notices.
func (m *matrix) checks(suite Suite) {
	for _, breakage := range suite.Breakages {
		It("notices that "+breakage.What, func() { m.expectNoticed(breakage) })
	}
	if len(suite.Breakages) > 1 {
		It("notices everything at once", func() { m.expectNoticed(together(suite.Breakages)...) })
	}
	It("cannot check what has vanished", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		attachment := m.add(c, config)
		Expect(c.Remove()).To(Succeed())
		answer := m.call("CHECK", c, with(config, Object{"prevResult": attachment.Result}))
		if suite.isAddressesOnly() { // an IPAM plugin has nothing to look for in there
			expectSilentSuccess(answer)
		} else {
			expectRefusal(answer, types.ErrInvalidNetNS)
		}
		m.delete(c, config)
		m.expectNothingLeft()
	})
	if suite.Chained && suite.IPAM != plugin.IsIPAM {
		It("needs a prevResult to attach and to check", m.needPreviousResult)
	}
	if delegatesAtAll(suite) {
		It("needs a prevResult to check", func() {
			c := m.container("c1")
			config := m.config("1.1.0")
			m.add(c, config)
			expectRefusal(m.call("CHECK", c, config), types.ErrInvalidNetworkConfig, "prevResult")
			m.delete(c, config)
			m.expectNothingLeft(c)
		})
	}
}

// needPreviousResult runs ADD and CHECK without one.
func (m *matrix) needPreviousResult() {
	c := m.container("c1")
	config := m.config("1.1.0")
	for _, previous := range []any{nil, json.RawMessage("null")} {
		call := Call{Container: c, Config: encode(with(config, Object{"prevResult": previous}))}
		for _, verb := range []string{"ADD", "CHECK"} {
			call.Verb = verb
			call.Container = m.stranger(c)
			expectRefusal(m.host.Run(call), types.ErrInvalidNetworkConfig, "prevResult")
		}
	}
	m.expectNothingLeft(c)
}

// stranger is c to a runtime that knows nothing of what came before.
func (m *matrix) stranger(c *Container) *Container {
	other := *c
	other.pair = nil
	return &other
}

func delegatesAtAll(suite Suite) bool {
	return suite.IPAM == plugin.OptionalIPAM || suite.IPAM == plugin.RequiredIPAM
}

// together leaves out what would hide the others.
func together(breakages []Breakage) []Breakage {
	var all []Breakage
	for _, breakage := range breakages {
		if !breakage.Alone {
			all = append(all, breakage)
		}
	}
	return all
}

// expectNoticed makes the differences and expects CHECK to name each.
func (m *matrix) expectNoticed(breakages ...Breakage) {
	GinkgoHelper()
	c := m.container("c1")
	config := m.config("1.1.0")
	attachment := m.add(c, config)
	m.expectCheckPasses(attachment, config)
	var wanted []string
	for _, breakage := range breakages {
		Expect(breakage.Do(attachment)).To(Succeed(), breakage.What)
		wanted = append(wanted, breakage.Want)
	}
	before := snapshot(m.host) + snapshot(c)
	refusal, err := m.call("CHECK", c, with(config, Object{"prevResult": attachment.Result})).Refusal()
	Expect(err).NotTo(HaveOccurred())
	for _, want := range wanted {
		Expect(refusal.Error()).To(ContainSubstring(want))
	}
	Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty(), "CHECK changes nothing")
	m.delete(c, config)
	m.expectNoTraceOf(attachment)
}

// expectNoTraceOf expects that nothing on the host is the attachment's. What
// was broken may have been shared, and stay so.
func (m *matrix) expectNoTraceOf(a Attachment) {
	GinkgoHelper()
	for _, line := range strings.Split(snapshot(m.host), "\n") {
		for _, sign := range m.signsOf(a) {
			Expect(line).NotTo(ContainSubstring(sign))
		}
	}
}

// signsOf are the texts by which a snapshot shows an attachment.
func (m *matrix) signsOf(a Attachment) []string {
	signs := []string{network + "/" + a.Container.ID + "/"}
	for _, address := range addressesOf(a.Result) {
		ip, _, _ := strings.Cut(address, "/")
		signs = append(signs, ip)
	}
	if link := a.HostLink(); link != "" && !m.suite.Chained {
		signs = append(signs, link)
	}
	return slices.DeleteFunc(signs, func(sign string) bool { return strings.Contains(m.hostClean, sign) })
}
