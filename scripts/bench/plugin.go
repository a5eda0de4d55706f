// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// side is one of the two builds that are compared.
type side struct {
	name string // also part of all names on the host, so that the sides never meet
	dir  string
}

func (s settings) sides() [2]side { return [2]side{{"ours", s.ours}, {"theirs", s.theirs}} }

// object is a piece of JSON.
type object = map[string]any

// call is one invocation of a plugin.
type call struct {
	command, container, netns string
	conf                      object
}

// run executes the plugin as a runtime does and returns the time the process took, its delegate included, and what it
// printed.
func (s side) run(c call) (time.Duration, []byte, error) {
	input, err := json.Marshal(c.conf)
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.Command(filepath.Join(s.dir, c.conf["type"].(string)))
	cmd.Env = []string{
		"CNI_COMMAND=" + c.command, "CNI_CONTAINERID=" + c.container, "CNI_NETNS=" + c.netns,
		"CNI_IFNAME=eth0", "CNI_PATH=" + s.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	}
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	elapsed, err := timed(cmd)
	if err != nil {
		err = fmt.Errorf("%s %s %s: %w\n%s%s", s.name, c.conf["type"], c.command, err, stdout.Bytes(), stderr.Bytes())
	}
	return elapsed, stdout.Bytes(), err
}

// timed runs a command and measures from before the fork until its end is known.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	start := time.Now()
	err := cmd.Run()
	return time.Since(start), err
}

// withPrevResult is the configuration that CHECK and DEL get.
func withPrevResult(conf object, result []byte) (object, error) {
	var prev object
	if err := json.Unmarshal(result, &prev); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	copied := object{"prevResult": prev}
	for key, value := range conf {
		copied[key] = value
	}
	return copied, nil
}
