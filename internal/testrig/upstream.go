// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"os"

	"github.com/onsi/ginkgo/v2"
)

// NeedUpstream skips the spec where the machine does not have one of upstream's
// plugins, which Debian has in containernetworking-plugins.
func NeedUpstream(path string) {
	ginkgo.GinkgoHelper()
	if _, err := os.Stat(path); err != nil {
		ginkgo.Skip("needs Debian's package containernetworking-plugins: " + err.Error())
	}
}
