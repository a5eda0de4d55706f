// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// protocol declares what every CNI program does, whatever it is for.
func (m *matrix) protocol() {
	m.introduction()
	m.environment()
	m.networkNamespaces()
	m.configurations()
}

// introduction declares what a program says of itself.
func (m *matrix) introduction() {
	It("says which versions it speaks", func() {
		answer := m.host.Run(Call{Verb: "VERSION"})
		var said struct {
			CNIVersion        string   `json:"cniVersion"`
			SupportedVersions []string `json:"supportedVersions"`
		}
		Expect(answer.success()).To(Succeed())
		Expect(onlyJSON(answer.Stdout, &said)).To(Succeed())
		Expect(said.CNIVersion).To(Equal("1.1.0"))
		Expect(said.SupportedVersions).To(Equal(m.suite.Plugin.Versions.SupportedVersions()))
	})

	It("introduces itself when it is not asked anything", func() {
		answer := m.host.Run(Call{Verb: ""})
		Expect(answer.silentSuccess()).To(Succeed())
		Expect(string(answer.Stderr)).To(HavePrefix("CNI " + m.suite.Plugin.Name + " plugin "))
		Expect(string(answer.Stderr)).To(ContainSubstring("CNI protocol versions supported: " +
			strings.Join(m.suite.Plugin.Versions.SupportedVersions(), ", ")))
	})
}

// environment declares what it makes of its variables.
func (m *matrix) environment() {
	It("names everything that is missing in its environment", func() {
		config := encode(m.config("1.1.0"))
		answer := m.host.Run(Call{Verb: "ADD", Config: config, Env: []string{"CNI_PATH="}})
		expectRefusal(answer, types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH")
		answer = m.host.Run(Call{Verb: "DEL", Config: config})
		expectRefusal(answer, types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID", "CNI_IFNAME")
		expectRefusal(m.host.Run(Call{Verb: "SING", Config: config}), types.ErrInvalidEnvironmentVariables, "SING")
		m.expectNothingLeft()
	})

	It("refuses names that cannot be", func() {
		config := encode(m.config("1.1.0"))
		variables := []string{
			"CNI_CONTAINERID=../../etc", "CNI_CONTAINERID=a b", "CNI_CONTAINERID=-x",
			"CNI_IFNAME=a/b", "CNI_IFNAME=a:b", "CNI_IFNAME=..", "CNI_IFNAME=averyverylongname", "CNI_IFNAME=a b",
		}
		if !m.suite.IgnoresIfName {
			variables = append(variables, "CNI_IFNAME=eth%d", "CNI_IFNAME=all", "CNI_IFNAME=default")
		}
		for _, variable := range variables {
			answer := m.host.Run(Call{Verb: "ADD", Container: m.container("c1"), Config: config, Env: []string{variable}})
			expectRefusal(answer, types.ErrInvalidEnvironmentVariables)
		}
		m.expectNothingLeft()
	})

	It("refuses nonsense in CNI_ARGS, or does not look at it", func() {
		config := encode(m.config("1.1.0"))
		for _, args := range []string{"MAC", "MAC=zz", "MAC=01:00:5e:00:00:01", "IP=300.1.2.3", "A=b=c", ";;", "=", "UNKNOWN=1", "IgnoreUnknown=maybe", "MAC=\xff", strings.Repeat("A=b;", 10_000)} {
			c := m.container("c1")
			answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: config, Env: []string{"CNI_ARGS=" + args}})
			Expect(answer.proper()).To(Succeed(), args)
			if answer.Status == 0 {
				m.delete(c, m.config("1.1.0"))
			} else {
				expectRefusal(answer, types.ErrInvalidEnvironmentVariables)
			}
			m.expectNothingLeft(c)
		}
	})
}

// networkNamespaces declares which CNI_NETNS it takes.
func (m *matrix) networkNamespaces() {
	It("refuses a network namespace that is none, unless it only assigns addresses", func() {
		c := m.container("c1")
		file := filepath.Join(m.host.dir, "file")
		Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
		config := m.config("1.1.0")
		for _, path := range []string{"/run/netns/does-not-exist", file, m.host.dir, "/dev/null"} {
			answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: encode(config), Env: []string{"CNI_NETNS=" + path}})
			if m.suite.isAddressesOnly() {
				Expect(answer.Status).To(BeZero(), string(answer.Stdout))
				m.delete(c, config)
				continue
			}
			expectRefusal(answer, types.ErrInvalidNetNS, path)
		}
		m.expectNothingLeft(c)
	})

	It("refuses the namespace it runs in before it does anything", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: encode(config), Env: []string{"CNI_NETNS=" + m.host.NS.Path()}})
		expectRefusal(answer, types.ErrInvalidNetNS, m.host.NS.Path())
		m.expectNothingLeft(c)
	})
}

// configurations declares what it makes of any configuration.
func (m *matrix) configurations() {
	It("refuses a version that nobody speaks", func() {
		c := m.container("c1")
		for _, version := range []string{"9.9.9", "0.0.1", "1.0", "1.2.0"} {
			for _, verb := range []string{"ADD", "CHECK", "DEL"} {
				expectRefusal(m.call(verb, c, m.config(version)), types.ErrIncompatibleCNIVersion)
			}
		}
		m.expectNothingLeft(c)
	})

	It("refuses what is not a JSON object", func() {
		c := m.container("c1")
		whole := string(encode(m.config("1.1.0")))
		for _, text := range []string{
			"", " ", "null", "[]", "7", `"name"`, "{", whole[:len(whole)-1], whole[:len(whole)/2], "\x00", "\xff\xfe" + whole, "<xml/>",
		} {
			for _, verb := range []string{"ADD", "CHECK", "DEL"} {
				answer := m.host.Run(Call{Verb: verb, Container: c, Config: []byte(text)})
				refusal, err := answer.Refusal()
				Expect(err).NotTo(HaveOccurred(), "%s %q", verb, text)
				// The library tells the lack of a name before anything else.
				Expect(refusal.Code).To(Or(Equal(types.ErrDecodingFailure), Equal(types.ErrInvalidNetworkConfig)), "%s %q: %v", verb, text, refusal)
			}
		}
		answer := m.host.Run(Call{Verb: "ADD", Container: c, Config: []byte(whole + "{}")})
		expectRefusal(answer, types.ErrDecodingFailure)
		m.expectNothingLeft(c)
	})

	It("refuses a network without a proper name", func() {
		c := m.container("c1")
		for _, name := range []any{nil, "", "..", "a/b", "a b", "-"} {
			answer := m.call("ADD", c, with(m.config("1.1.0"), Object{"name": name}))
			expectRefusal(answer, types.ErrInvalidNetworkConfig)
		}
		m.expectNothingLeft(c)
	})

	It("hints at the key that was meant", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		typo := m.misspell(config)
		answer := m.call("ADD", c, config)
		Expect(answer.success()).To(Succeed())
		Expect(strings.Count(string(answer.Stderr), "\n")).To(Equal(1), "one line: %s", answer.Stderr)
		Expect(string(answer.Stderr)).To(ContainSubstring(typo[0]))
		Expect(string(answer.Stderr)).To(ContainSubstring(typo[1]))
		m.delete(c, config)
		Expect(m.suite.Plugin.Lint(encode(config))).To(MatchError(ContainSubstring(typo[0])), "whoever writes it may not")
		Expect(m.suite.Plugin.Lint(encode(m.config("1.1.0")))).To(Succeed())
		m.expectNothingLeft(c)
	})

	It("works when nobody reads its hints", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		m.misspell(config)
		for _, verb := range []string{"ADD", "DEL"} {
			stderr, err := brokenPipe()
			Expect(err).NotTo(HaveOccurred())
			answer := m.host.Run(Call{Verb: verb, Container: c, Config: encode(config), Stderr: stderr})
			Expect(stderr.Close()).To(Succeed())
			Expect(answer.success()).To(Succeed())
		}
		m.expectNothingLeft(c)
	})
}

// misspell adds the misspelt key to config.
func (m *matrix) misspell(config Object) [2]string {
	typo, place := m.suite.Typo, config
	if own, ok := config["ipam"].(Object); ok && m.suite.IPAM == plugin.IsIPAM {
		place = with(own, nil)
		config["ipam"] = place
		if typo == [2]string{} {
			typo = [2]string{"rangess", "ranges"}
		}
	}
	if typo == [2]string{} {
		typo = [2]string{"dnss", "dns"}
	}
	place[typo[0]] = Object{}
	return typo
}

// roundTrips declares ADD, CHECK and DEL in every version.
func (m *matrix) roundTrips(suite Suite) {
	for _, version := range append([]string{""}, testutils.AllSpecVersions[:]...) {
		title := "attaches and detaches in version " + version
		if version == "" {
			title = "attaches and detaches when no version is named"
		}
		It(title, func() { m.roundTrip(version) })
	}

	It("refuses to attach twice, or does no harm", func() {
		c := m.container("c1")
		config := m.config("1.1.0")
		attachment := m.add(c, config)
		before := snapshot(m.host) + snapshot(c)
		if answer := m.call("ADD", c, config); answer.Status != 0 {
			_, err := answer.Refusal()
			Expect(err).NotTo(HaveOccurred())
			Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty())
		}
		m.expectCheckPasses(attachment, config)
		m.delete(c, config)
		m.expectNothingLeft(c)
	})

	It("tells whether it can serve", func() {
		expectSilentSuccess(m.call("STATUS", nil, m.config("1.1.0")))
		m.expectNothingLeft()
	})
}

func (m *matrix) roundTrip(version string) {
	GinkgoHelper()
	c := m.container("c1")
	config := m.config(version)
	if spoken := m.suite.Plugin.Versions.SupportedVersions(); !slices.Contains(spoken, cmp.Or(version, "0.1.0")) {
		expectRefusal(m.call("ADD", c, config), types.ErrIncompatibleCNIVersion)
		m.expectNothingLeft(c)
		return
	}
	old := version == "" || !testutils.SpecVersionHasMultipleIPs(version)
	if m.suite.Layer2 && old {
		expectRefusal(m.call("ADD", c, config), types.ErrIncompatibleCNIVersion)
		m.expectNothingLeft(c)
		return
	}
	attachment := m.add(c, config)
	Expect(shapeProblems(version, attachment.Result)).To(BeEmpty(), "%v", attachment.Result)
	if m.suite.Verify != nil {
		Expect(m.suite.Verify(attachment)).To(Succeed())
	}
	m.checkInVersion(version, attachment, config)
	m.othersInVersion(version, c, config)
	if version != "" && testutils.SpecVersionHasCHECK(version) {
		config = with(config, Object{"prevResult": attachment.Result})
	}
	m.delete(c, config)
	m.expectNothingLeft(c)
}

// checkInVersion runs CHECK, which came with 0.4.0.
func (m *matrix) checkInVersion(version string, attachment Attachment, config Object) {
	GinkgoHelper()
	if version != "" && testutils.SpecVersionHasCHECK(version) {
		m.expectCheckPasses(attachment, config)
		return
	}
	answer := m.call("CHECK", attachment.Container, with(config, Object{"prevResult": attachment.Result}))
	expectRefusal(answer, types.ErrIncompatibleCNIVersion, "config version does not allow CHECK")
}

// othersInVersion runs STATUS and GC, which came with 1.1.0.
func (m *matrix) othersInVersion(version string, c *Container, config Object) {
	GinkgoHelper()
	if version != "" && testutils.SpecVersionHasSTATUS(version) {
		expectSilentSuccess(m.call("STATUS", nil, config))
		Expect(m.host.collect(config, c)).To(Succeed())
		return
	}
	expectRefusal(m.call("STATUS", nil, config), types.ErrIncompatibleCNIVersion, "config version does not allow STATUS")
	expectRefusal(m.call("GC", nil, config), types.ErrIncompatibleCNIVersion, "config version does not allow GC")
}

func (m *matrix) expectCheckPasses(attachment Attachment, config Object) {
	GinkgoHelper()
	c := attachment.Container
	before := snapshot(m.host) + snapshot(c)
	answer := m.call("CHECK", c, with(config, Object{"prevResult": attachment.Result}))
	Expect(answer.silentSuccess()).To(Succeed())
	Expect(diff(before, snapshot(m.host)+snapshot(c))).To(BeEmpty(), "CHECK changes nothing")
}
