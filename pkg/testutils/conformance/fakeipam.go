// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const fakeName = "fake-ipam"

// fakeIPAM is an IPAM plugin that does what it is told and remembers its calls.
type fakeIPAM struct{ dir string }

// installFake puts the fake among the plugins of the host.
func (h *Host) installFake() (fakeIPAM, error) {
	fake := fakeIPAM{filepath.Join(h.dir, fakeName)}
	if err := os.MkdirAll(fake.dir, 0o755); err != nil {
		return fake, err
	}
	script := fmt.Sprintf(`#!/bin/sh
cd '%s' || exit 3
cat >"input.$CNI_COMMAND"
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >>calls
[ ! -e "answer.$CNI_COMMAND" ] || cat "answer.$CNI_COMMAND"
[ ! -e "signal.$CNI_COMMAND" ] || kill -9 $$
[ ! -e "status.$CNI_COMMAND" ] || exit "$(cat "status.$CNI_COMMAND")"
`, strings.ReplaceAll(fake.dir, "'", `'\''`))
	return fake, os.WriteFile(filepath.Join(h.binDir, fakeName), []byte(script), 0o755)
}

// answers has the fake print text and end with status on verb.
func (f fakeIPAM) answers(verb, text string, status int) error {
	if err := f.write("answer."+verb, text); err != nil {
		return err
	}
	return f.write("status."+verb, strconv.Itoa(status))
}

// dies has the fake kill itself on verb, after it has printed text.
func (f fakeIPAM) dies(verb, text string) error {
	if err := f.write("answer."+verb, text); err != nil {
		return err
	}
	return f.write("signal."+verb, "")
}

func (f fakeIPAM) write(name, text string) error {
	return os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644)
}

// calls lists the commands since the last time, each with container and
// interface: "ADD c1 eth0".
func (f fakeIPAM) calls() []string {
	path := filepath.Join(f.dir, "calls")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_ = os.Remove(path) // were it to stay, the next question would find out
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// input returns what the fake was given to read with verb.
func (f fakeIPAM) input(verb string) []byte {
	data, _ := os.ReadFile(filepath.Join(f.dir, "input."+verb)) // nothing, if it was not called
	return data
}

const (
	fakeAddresses = `{"cniVersion": "1.1.0", "ips": [{"address": "10.88.3.4/16", "gateway": "10.88.0.1"}]}`
	fakeNothing   = `{"cniVersion": "1.1.0", "ips": []}`
	fakeTryAgain  = `{"cniVersion": "1.1.0", "code": 11, "msg": "the address server is busy", "details": "ask again"}`
)
