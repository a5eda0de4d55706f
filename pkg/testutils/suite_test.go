// SPDX-License-Identifier: Apache-2.0

package testutils_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestTestutils(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/testutils")
}

// needRoot is what testutils.Need is to others; here it is itself under test.
func needRoot() {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root to make network namespaces")
	}
}
