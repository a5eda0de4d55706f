// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// RunSpecs runs the specs of a package. dir is where that is.
func RunSpecs(t *testing.T, dir string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, dir)
}

// BuiltIPAM has the IPAM plugins built before the first spec, and returns what
// tells where they are, for New. It is to be called once, for a variable of the
// package.
func BuiltIPAM() (path func() string) {
	var built string
	ginkgo.BeforeSuite(func() {
		built = BuildIPAM()
		ginkgo.DeferCleanup(gexec.CleanupBuildArtifacts)
	})
	return func() string { return built }
}

// Refuses returns the body of a table of configurations that make no sense: each
// entry has the text, and what the error has to say.
func Refuses(p plugin.Plugin) func(text string, wants ...string) {
	return func(text string, wants ...string) {
		ginkgo.GinkgoHelper()
		gomega.Expect(wants).NotTo(gomega.BeEmpty())
		err := p.Lint([]byte(text))
		for _, want := range wants {
			gomega.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(want)))
		}
	}
}

// FuzzLint is a fuzz target for what a plugin makes of configurations.
func FuzzLint(f *testing.F, p plugin.Plugin, seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) { _ = p.Lint([]byte(text)) })
}
