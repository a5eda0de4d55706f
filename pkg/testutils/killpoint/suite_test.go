// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestKillpoint(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/testutils/killpoint")
}
