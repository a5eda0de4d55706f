// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// side is one of the two things that are compared: two builds, or one build on two hosts.
type side struct {
	name string // also part of all names on the host, so that the sides never meet
	dir  string
	host string // path of the network namespace to run in; "" is our own

	// checksNoPorts is set for 1.1.1, whose portmap looks for the rules of IPv4 in ip6tables, after it has found them:
	// CHECK fails, in the time that it takes.
	checksNoPorts bool
}

func (s settings) sides() [2]side {
	return [2]side{{name: "ours", dir: s.ours}, {name: "theirs", dir: s.theirs, checksNoPorts: true}}
}

// has tells whether the side has all of the plugins.
func (s side) has(plugins ...object) bool {
	for _, p := range plugins {
		if _, err := os.Stat(s.executable(p)); err != nil {
			return false
		}
	}
	return true
}

func (s side) executable(plugin object) string { return filepath.Join(s.dir, plugin["type"].(string)) }

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
	cmd := exec.Command(s.executable(c.conf))
	cmd.Env = []string{
		"CNI_COMMAND=" + c.command, "CNI_CONTAINERID=" + c.container, "CNI_NETNS=" + c.netns,
		"CNI_IFNAME=eth0", "CNI_PATH=" + s.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	}
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	elapsed, err := s.timed(cmd)
	if err != nil {
		err = fmt.Errorf("%s %s %s: %w\n%s%s", s.name, c.conf["type"], c.command, err, stdout.Bytes(), stderr.Bytes())
	}
	return elapsed, stdout.Bytes(), err
}

// timed runs a command on the side's host and measures from before the fork until its end is known.
func (s side) timed(cmd *exec.Cmd) (elapsed time.Duration, err error) {
	if s.host == "" {
		return timed(cmd)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		var host *os.File
		if host, err = os.Open(s.host); err != nil {
			return
		}
		defer host.Close()
		if err = unix.Setns(int(host.Fd()), unix.CLONE_NEWNET); err == nil {
			elapsed, err = timed(cmd)
		}
	}()
	<-done
	return elapsed, err
}

func timed(cmd *exec.Cmd) (time.Duration, error) {
	start := time.Now()
	err := cmd.Run()
	return time.Since(start), err
}

// chain is the plugins of a network, in the order of ADD.
type chain []object

// times are those of the commands on a chain, for each plugin.
type times struct{ add, check, del []time.Duration }

func sum(durations []time.Duration) (total time.Duration) {
	for _, d := range durations {
		total += d
	}
	return total
}

// attach runs ADD and returns the result.
func (s side) attach(plugins chain, container, netns string) (elapsed []time.Duration, result object, err error) {
	for _, conf := range plugins {
		took, stdout, err := s.run(call{"ADD", container, netns, withPrevResult(conf, result)})
		if err != nil {
			return nil, nil, err
		}
		elapsed = append(elapsed, took)
		result = nil
		if err := json.Unmarshal(stdout, &result); err != nil {
			return nil, nil, fmt.Errorf("result of %s: %w", conf["type"], err)
		}
	}
	return elapsed, result, nil
}

// check runs CHECK.
func (s side) check(plugins chain, container, netns string, result object) (elapsed []time.Duration, err error) {
	for _, conf := range plugins {
		took, _, err := s.run(call{"CHECK", container, netns, withPrevResult(conf, result)})
		if err != nil && !(s.checksNoPorts && conf["type"] == "portmap") {
			return nil, err
		}
		elapsed = append(elapsed, took)
	}
	return elapsed, nil
}

// detach runs DEL.
func (s side) detach(plugins chain, container, netns string, result object) (elapsed []time.Duration, err error) {
	for i := range plugins {
		took, _, err := s.run(call{"DEL", container, netns, withPrevResult(plugins[len(plugins)-1-i], result)})
		if err != nil {
			return nil, err
		}
		elapsed = append(elapsed, took)
	}
	return elapsed, nil
}

// withPrevResult is the configuration that a plugin gets after others.
func withPrevResult(conf, result object) object {
	if result == nil {
		return conf
	}
	conf = maps.Clone(conf)
	conf["prevResult"] = result
	return conf
}
