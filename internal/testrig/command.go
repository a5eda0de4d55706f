// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
)

// Run runs a program in a namespace and returns what it printed.
func Run(netns ns.NetNS, name string, args ...string) (string, error) {
	var out []byte
	err := netns.Do(func(ns.NetNS) (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// IP runs an ip command, which has to succeed, in a namespace.
func IP(netns ns.NetNS, command string, args ...any) string {
	ginkgo.GinkgoHelper()
	out, err := Run(netns, "ip", strings.Fields(fmt.Sprintf(command, args...))...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return out
}

// Lines returns the lines of ip's output, with single spaces, without those that
// a pattern matches and without what rarely matters.
func Lines(text, without string) []string {
	var all []string
	pattern := regexp.MustCompile(without)
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(strings.Join(strings.Fields(line), " "), " pref medium")
		if line != "" && !pattern.MatchString(line) {
			all = append(all, line)
		}
	}
	return all
}
