// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Heal runs on the host what puts rules back, which must succeed, and returns
// whose they were.
func (r *Rig) Heal(restore func() ([]plugin.Owner, error)) []plugin.Owner {
	ginkgo.GinkgoHelper()
	restored, err := ns.Call(r.Host, restore)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return restored
}

// CurrentUntil returns what says of an attachment that it is current until state is
// another, and whether it has come to that: for one that goes away while its rules
// are being put back.
func CurrentUntil(state func() string) (current func() bool, changed *bool) {
	ginkgo.GinkgoHelper()
	before := state()
	changed = new(bool)
	return func() bool {
		*changed = state() != before
		return !*changed
	}, changed
}
