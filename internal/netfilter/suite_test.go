// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestNetfilter(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/netfilter")
}

// inNewNS makes the body of a spec that runs in a namespace of its own.
func inNewNS(f func()) func() {
	return func() { testutils.Inside(testutils.TempNS(GinkgoT()), f) }
}

// run runs a command line, or several, with the shell and returns what it prints.
// The shell itself is not looked for in PATH.
func run(script string) string {
	GinkgoHelper()
	output, err := exec.Command("/bin/sh", "-e", "-c", script).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", script, output)
	return string(output)
}

// ruleset returns what nft lists, without what it warns of iptables-nft.
func ruleset() string {
	GinkgoHelper()
	return strings.TrimSpace(regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(run("nft list ruleset"), ""))
}

// addrs parses addresses with their prefix lengths.
func addrs(list ...string) []*net.IPNet {
	GinkgoHelper()
	var parsed []*net.IPNet
	for _, text := range list {
		addr, ipn, err := net.ParseCIDR(text)
		Expect(err).NotTo(HaveOccurred())
		parsed = append(parsed, &net.IPNet{IP: addr, Mask: ipn.Mask})
	}
	return parsed
}

// masquerade has a backend masquerade addresses, which must work.
func masquerade(backend netfilter.Backend, owner plugin.Owner, list ...string) {
	GinkgoHelper()
	Expect(backend.Masquerade(context.Background(), owner, addrs(list...))).To(Succeed())
}

// differences is what a backend finds to be different.
func differences(backend netfilter.Backend, owner plugin.Owner, list ...string) []string {
	GinkgoHelper()
	found, err := backend.CheckMasquerade(context.Background(), owner, addrs(list...))
	Expect(err).NotTo(HaveOccurred())
	return found
}

// lost tells whether a backend finds that something has to be put back.
func lost(backend netfilter.Backend, owner plugin.Owner, list ...string) bool {
	GinkgoHelper()
	found, err := backend.LostMasquerade(context.Background(), owner, addrs(list...))
	Expect(err).NotTo(HaveOccurred())
	return found
}

func owner(network, container, ifname string) plugin.Owner {
	return plugin.Owner{Network: network, ContainerID: container, IfName: ifname}
}
