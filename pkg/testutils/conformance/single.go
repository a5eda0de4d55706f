// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/testutils"
)

const singleDir = "cmd/cni-plugins"

// buildSingle is build for the executable of all plugins, under the names of
// those in dirs. PLUGINS_TEST_SINGLE may name one that exists: linking it takes
// seconds.
func buildSingle(into string, dirs []string) (binaries, error) {
	executable := os.Getenv("PLUGINS_TEST_SINGLE")
	if executable == "" {
		executable = filepath.Join(into, filepath.Base(singleDir))
		if _, err := build(into, singleDir); err != nil {
			return binaries{}, err
		}
	}
	names := filepath.Join(into, "names")
	if err := os.Mkdir(names, 0o755); err != nil {
		return binaries{}, err
	}
	for _, dir := range dirs {
		if err := os.Symlink(executable, filepath.Join(names, filepath.Base(dir))); err != nil {
			return binaries{}, err
		}
	}
	return binaries{names}, nil
}

// answersTheSame has both builds of the plugin asked the same, each on a host
// of its own, and compares all that they print.
func (m *matrix) answersTheSame() {
	separate := m.dialogue()
	own := m.binaries
	defer func() { m.binaries = own }()
	m.binaries = m.single
	single := m.dialogue()
	Expect(len(single)).To(Equal(len(separate)))
	for i := range separate {
		Expect(single[i]).To(Equal(separate[i]))
	}
}

// dialogue asks for every command in every version, with good configurations
// and bad ones, on a new host, and returns the answers without what is different
// each time.
func (m *matrix) dialogue() []string {
	GinkgoHelper()
	m.host = m.newHost()
	var answers []string
	ask := func(verb string, c *Container, config []byte) Answer {
		answer := m.host.Run(Call{Verb: verb, Container: c, Config: config})
		Expect(answer.proper()).To(Succeed())
		answers = append(answers, fmt.Sprintf("%s %s\n%d\n%s\n%s", verb, m.anonymous(c, config), answer.Status,
			m.anonymous(c, answer.Stdout), m.anonymous(c, answer.Stderr)))
		return answer
	}
	for i, version := range testutils.AllSpecVersions {
		c := m.container(containerID("c%d", i))
		config := m.config(version)
		result, _ := ask("ADD", c, encode(config)).Result() // none, if the version is not spoken
		ask("CHECK", c, encode(with(config, Object{"prevResult": result})))
		ask("STATUS", nil, encode(config))
		ask("DEL", c, encode(config))
		ask("GC", nil, encode(with(config, validAttachments(c))))
	}
	c := m.container("c1")
	for _, config := range m.fullConfigs() {
		own := m.ownKeys(config)
		wrong := replaceAll(config, `[{"wrong":[]}]`, func(path string) bool { return slices.Contains(own, path) })
		for _, verb := range []string{"ADD", "CHECK", "STATUS", "DEL", "GC"} {
			ask(verb, c, wrong)
		}
	}
	if m.host.delegates() {
		empty := with(m.config("1.1.0"), Object{"ipam": m.host.hostLocal("9.1", "8.1")})
		ask("ADD", c, encode(empty))
		ask("DEL", c, encode(empty))
	}
	return answers
}

var someMAC = regexp.MustCompile(`\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b`)

// anonymous puts words for what is different on every host.
func (m *matrix) anonymous(c *Container, text []byte) string {
	text = someMAC.ReplaceAll(text, []byte("MAC"))
	text = bytes.ReplaceAll(text, []byte(m.host.dir), []byte("HOST"))
	if c != nil {
		text = bytes.ReplaceAll(text, []byte(c.NS.Path()), []byte("NETNS"))
	}
	return strings.TrimSpace(string(text))
}
