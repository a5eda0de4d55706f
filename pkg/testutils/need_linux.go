// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
)

// TB is the part of testing.TB that Need uses. *testing.T has it, and so has
// what GinkgoT returns.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// NoSkipVariable is the environment variable that turns a skip for lack of a
// feature into a failure: a list of features separated by commas, or "all". A
// run on a machine that is meant to have them cannot skip unnoticed with it.
const NoSkipVariable = "CNI_TEST_NO_SKIP"

// Need skips the test when this machine lacks one of the features, saying which
// and what would provide it. Every feature is tried out in a network namespace
// made for that.
func Need(tb TB, features ...string) {
	tb.Helper()
	known := allFeatures()
	for _, name := range features {
		feature, ok := known[name]
		if !ok {
			tb.Fatalf("feature %q is unknown, there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		if err := feature.try(); err != nil {
			giveUp(tb, name, fmt.Sprintf("needs %q (%s): %v", name, feature.provider, err))
			return
		}
	}
}

// Lacks tells whether this machine lacks one of the features, for a test that has
// something to do in either case.
func Lacks(features ...string) bool {
	known := allFeatures()
	return slices.ContainsFunc(features, func(name string) bool { return known[name].try() != nil })
}

func giveUp(tb TB, feature, reason string) {
	tb.Helper()
	if mustNotSkip(feature) {
		tb.Fatalf("%s; %s forbids to skip", reason, NoSkipVariable)
		return
	}
	tb.Skipf("%s", reason)
}

func mustNotSkip(feature string) bool {
	listed := strings.Split(os.Getenv(NoSkipVariable), ",")
	return slices.ContainsFunc(listed, func(entry string) bool {
		entry = strings.TrimSpace(entry)
		return entry == feature || entry == "all"
	})
}

// feature is something a machine may lack.
type feature struct {
	provider string       // what would provide it
	probe    func() error // uses it, inside a namespace that is thrown away
}

// try probes in a new namespace.
func (f feature) try() error {
	netns, err := ns.TempNetNS()
	if err != nil {
		return err
	}
	defer netns.Close()
	return netns.Do(func(ns.NetNS) error { return f.probe() })
}
