// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// badInput declares what happens to input that is not what it should be.
func (m *matrix) badInput(suite Suite) {
	It("survives every key with every kind of value", func() {
		failAll(m.eachMutation(m.tryMutatedAdd))
	})

	It("reports all problems at once", func() {
		for _, config := range m.fullConfigs() {
			own := m.ownKeys(config)
			wrong := replaceAll(config, `[{"wrong":[]}]`, func(path string) bool { return slices.Contains(own, path) })
			c := m.container("c1")
			refusal, err := m.host.Run(Call{Verb: "ADD", Container: c, Config: wrong}).Refusal()
			Expect(err).NotTo(HaveOccurred())
			Expect(refusal.Code).To(Equal(types.ErrInvalidNetworkConfig), refusal.Error())
			for _, key := range own {
				Expect(refusal.Error()).To(ContainSubstring(key + ": "))
			}
			m.expectNothingLeft(c)
		}
	})

	m.removalOfBrokenConfig()
	It("survives a broken prevResult in ADD", m.addWithMutatedResult)

	if suite.IPAM == plugin.IsIPAM || suite.IPAM == plugin.NoIPAM && !suite.Chained {
		return
	}
	It("survives a broken prevResult", func() {
		failAll(m.tryMutatedResults())
	})
	It("detaches whatever has become of prevResult", m.removeWithMutatedResult)
}

// removalOfBrokenConfig declares a DEL whose configuration holds nothing that it
// should.
func (m *matrix) removalOfBrokenConfig() {
	It("detaches whatever has become of the configuration", func() {
		for _, r := range replacements() {
			c := m.container("c1")
			m.addIfAble(c, m.config("1.1.0"))
			broken := replaceAll(plain(m.fullConfigs()[0]), r.text, m.notNeededToRemove)
			answer := m.host.Run(Call{Verb: "DEL", Container: c, Config: broken})
			Expect(answer.silentSuccess()).To(Succeed(), r.name)
			m.expectNothingLeft(c)
		}
	})
}

// failAll fails for all failures, of which it shows the first.
func failAll(failures []string) {
	GinkgoHelper()
	const shown = 50
	if len(failures) > 0 {
		Fail(fmt.Sprintf("%d failures:\n%s", len(failures), strings.Join(failures[:min(len(failures), shown)], "\n")))
	}
}

// fullConfigs are the configurations that together have every key.
func (m *matrix) fullConfigs() []Object {
	full := m.suite.Full
	if full == nil {
		full = []func(*Host) Object{m.suite.Config}
	}
	var configs []Object
	for _, own := range full {
		common := Object{
			"dns":          Object{"nameservers": []any{"10.1.2.3"}, "domain": "example.com", "search": []any{"example.com"}, "options": []any{"ndots:2"}},
			"capabilities": Object{"mac": true},
		}
		configs = append(configs, plain(m.host.config(with(common, own(m.host)), "1.1.0")))
	}
	return configs
}

// ownKeys are the keys that the plugin alone reads and whose value is no list.
func (m *matrix) ownKeys(config Object) []string {
	foreign := []string{"cniVersion", "name", "type", "ipam", "ipam.type"}
	depth := 1
	if m.suite.IPAM == plugin.IsIPAM {
		depth = 2
	}
	var keys []string
	for _, at := range locations(config) {
		inIPAM := depth == 1 || at[0] == "ipam"
		if len(at) == depth && inIPAM && kindOf(at.in(config)) != "list" && !slices.Contains(foreign, at.String()) {
			keys = append(keys, at.String())
		}
	}
	return keys
}

// notNeededToRemove picks what DEL can do without. The name says whose things
// to look for; IPAM has to be found, and every plugin its store.
func (m *matrix) notNeededToRemove(path string) bool {
	return !slices.Contains([]string{"cniVersion", "name", "ipam", "ipam.type", "ipam.dataDir", "ipam.daemonSocketPath", "dataDir"}, path)
}

// eachMutation has every mutation of the full configurations tried, those of
// one key on a host of their own: a valid value may well change what is shared.
func (m *matrix) eachMutation(try func(mutation) error) []string {
	var failures []string
	for i := range m.fullConfigs() {
		for _, at := range locations(m.fullConfigs()[i]) {
			config := m.renewHost(i)
			for _, mutated := range mutations(config, at) {
				if err := try(mutated); err != nil {
					failures = append(failures, fmt.Sprintf("%v: %v", mutated, err))
					m.renewHost(i)
				}
			}
		}
	}
	return failures
}

// renewHost replaces the host by a new one, on which the i-th of the full
// configurations has been in use. It returns that, for it names the host's
// directories.
func (m *matrix) renewHost(i int) Object {
	GinkgoHelper()
	Expect(m.host.close()).To(Succeed())
	m.host = m.newHost()
	config := m.fullConfigs()[i]
	m.warmUp(config)
	return config
}

// tryMutatedAdd runs ADD, and DEL if it succeeded.
func (m *matrix) tryMutatedAdd(mutated mutation) error {
	c, err := m.host.newContainer("c1")
	if err != nil {
		return err
	}
	defer c.Remove()
	answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: mutated.text})
	if err := answer.proper(); err != nil {
		return err
	}
	if answer.Status == 0 {
		return m.undoMutatedAdd(mutated, c)
	}
	if err := errors.Join(judgeRefusal(mutated, answer), m.judgeInability(answer)); err != nil {
		return err
	}
	return m.unchanged(c)
}

func (m *matrix) unchanged(c *Container) error {
	if left := m.leftovers(c); left != "" {
		return fmt.Errorf("left:\n%s", left)
	}
	return nil
}

// judgeRefusal expects of a value of the wrong kind that the error says where
// it is.
func judgeRefusal(mutated mutation, answer Answer) error {
	refusal, err := answer.Refusal()
	if err != nil || !mutated.wrong || mutated.path == "cniVersion" || mutated.path == "name" {
		return err // those two are the library's
	}
	if refusal.Code != types.ErrInvalidNetworkConfig {
		return fmt.Errorf("has code %d, a wrong type is code %d: %s", refusal.Code, types.ErrInvalidNetworkConfig, short(refusal.Msg))
	}
	if !strings.Contains(refusal.Msg, mutated.path) {
		return fmt.Errorf("the error does not say where: %s", short(refusal.Msg))
	}
	return nil
}

// judgeInability expects of an error that is not about the input that it is about
// what this machine lacks.
func (m *matrix) judgeInability(answer Answer) error {
	refusal, err := answer.Refusal()
	if err != nil || m.unable == "" || refusal.Code != types.ErrInternal || strings.Contains(refusal.Msg, m.unable) {
		return err
	}
	return fmt.Errorf("neither the input nor the kernel is to blame: %s", short(refusal.Msg))
}

func short(text string) string { return text[:min(len(text), 300)] }

// undoMutatedAdd detaches c. If the host looks different then, the value has
// changed something shared; a second attachment must not change more.
func (m *matrix) undoMutatedAdd(mutated mutation, c *Container) error {
	answer := m.host.Run(Call{Verb: "DEL", Container: c, Config: mutated.text})
	if err := answer.silentSuccess(); err != nil {
		return err
	}
	if m.leftovers(c) == "" {
		return nil
	}
	m.hostClean = snapshot(m.host)
	again, err := m.host.newContainer("c2")
	if err != nil {
		return err
	}
	defer again.Remove()
	for _, verb := range []string{"ADD", "DEL"} {
		if err := m.host.Run(Call{Verb: verb, Container: again, Config: mutated.text}).success(); err != nil {
			return fmt.Errorf("the second time: %w", err)
		}
	}
	return m.unchanged(again)
}

// tryMutatedResults runs CHECK with every mutation of a prevResult.
func (m *matrix) tryMutatedResults() []string {
	c := m.container("c1")
	config := m.config("1.1.0")
	attachment := m.addIfAble(c, config)
	before := snapshot(m.host) + snapshot(c)
	var failures []string
	doc := with(config, Object{"prevResult": attachment.Result})
	for _, at := range locations(plain(doc)) {
		if at[0] != "prevResult" {
			continue
		}
		for _, mutated := range mutations(plain(doc), at) {
			answer := m.host.Run(Call{Verb: "CHECK", Container: c, Config: mutated.text})
			if err := answer.proper(); err != nil {
				failures = append(failures, fmt.Sprintf("%v: %v", mutated, err))
			}
		}
	}
	Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty(), "CHECK changes nothing")
	m.delete(c, config)
	return failures
}

// removeWithMutatedResult runs DEL with broken results.
func (m *matrix) removeWithMutatedResult() {
	for _, breakResult := range resultBreakers() {
		c := m.container("c1")
		config := m.config("1.1.0")
		attachment := m.addIfAble(c, config)
		broken := breakResult(with(config, Object{"prevResult": attachment.Result}))
		answer := m.host.Run(Call{Verb: "DEL", Container: c, Config: broken})
		Expect(answer.silentSuccess()).To(Succeed(), string(broken))
		m.expectNothingLeft(c)
		Expect(c.Remove()).To(Succeed())
	}
}

// addWithMutatedResult runs ADD with broken results. It may take them for
// harmless: many a plugin has no use for what came before it.
func (m *matrix) addWithMutatedResult() {
	for _, breakResult := range resultBreakers() {
		c := m.container("c1")
		config := m.config("1.1.0")
		broken := breakResult(with(config, Object{"prevResult": previousResult(c)}))
		answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: broken})
		Expect(answer.proper()).To(Succeed(), string(broken))
		if answer.Status == 0 {
			m.delete(c, config)
		} else {
			Expect(m.judgeInability(answer)).To(Succeed(), string(broken))
		}
		m.expectNothingLeft(c)
		Expect(c.Remove()).To(Succeed())
	}
}

// previousResult is what the plugins before have answered, or may have.
func previousResult(c *Container) Object {
	GinkgoHelper()
	result := Object{
		"cniVersion": "1.1.0",
		"interfaces": []any{Object{"name": "eth7", "mac": "02:00:00:00:00:07", "mtu": 1500, "sandbox": c.NS.Path()}},
		"ips":        []any{Object{"interface": 0, "address": "10.99.0.2/24", "gateway": "10.99.0.1"}},
	}
	if c.pair != nil {
		var err error
		result, err = c.pair.result("1.1.0")
		Expect(err).NotTo(HaveOccurred())
	}
	return with(result, Object{
		"routes": []any{Object{"dst": "0.0.0.0/0", "gw": "10.99.0.1", "mtu": 1400}},
		"dns":    Object{"nameservers": []any{"10.99.0.1"}},
	})
}

// resultBreakers replace, by each kind of value, prevResult as a whole, its
// members, the entries of its lists, and what these hold.
func resultBreakers() []func(Object) []byte {
	parts := []func(string) bool{
		func(path string) bool { return path == "prevResult" },
		func(path string) bool { return strings.Count(path, ".") == 1 && !strings.HasSuffix(path, "]") },
		func(path string) bool { return strings.Count(path, ".") == 1 && strings.HasSuffix(path, "]") },
		func(path string) bool { return strings.Count(path, ".") > 1 },
	}
	var breakers []func(Object) []byte
	for _, r := range replacements() {
		for _, part := range parts {
			breakers = append(breakers, func(config Object) []byte {
				return replaceAll(plain(config), r.text, func(path string) bool { return strings.HasPrefix(path, "prevResult") && part(path) })
			})
		}
	}
	return breakers
}
