// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
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

// DelHalfway runs the DEL of a plugin's executable, of which no file can be removed:
// what the plugin removes before its files is gone.
func (r *Rig) DelHalfway(executable string, c *Container, config string) {
	ginkgo.GinkgoHelper()
	testutils.Need(ginkgo.GinkgoT(), "strace")
	cmd := exec.Command("strace", "-f", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EROFS", executable)
	cmd.Stdin = strings.NewReader(Config(config))
	cmd.Env = append(os.Environ(), "CNI_COMMAND=DEL", "CNI_CONTAINERID="+c.ID, "CNI_IFNAME="+c.IfName, "CNI_NETNS="+c.Path,
		"CNI_PATH="+filepath.Dir(executable))
	output, err := ns.Call(r.Host, cmd.CombinedOutput)
	gomega.Expect(err).To(gomega.HaveOccurred())
	gomega.Expect(string(output)).To(gomega.ContainSubstring("read-only file system"))
}

// RecordStarts has programs in PATH note when they are started, until the end of
// the spec, and returns what tells which ones were during a call, in order.
func RecordStarts(programs ...string) (during func(call func()) []string) {
	ginkgo.GinkgoHelper()
	dir := ginkgo.GinkgoT().TempDir()
	started := filepath.Join(dir, "started") // a line each
	for _, name := range programs {
		path, err := exec.LookPath(name)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		script := fmt.Sprintf("#!/bin/sh\necho %s >>%s\nexec %s \"$@\"\n", name, started, path)
		gomega.Expect(os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755)).To(gomega.Succeed())
	}
	ginkgo.GinkgoT().Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func(call func()) []string {
		gomega.Expect(os.RemoveAll(started)).To(gomega.Succeed())
		call()
		lines, _ := os.ReadFile(started)
		return strings.Fields(string(lines))
	}
}

// SaidDuring returns what a call in this process writes to standard error.
func SaidDuring(call func()) string {
	ginkgo.GinkgoHelper()
	file, err := os.Create(filepath.Join(ginkgo.GinkgoT().TempDir(), "stderr"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	defer file.Close()
	before := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = before }()
	call()
	said, err := os.ReadFile(file.Name())
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return string(said)
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
