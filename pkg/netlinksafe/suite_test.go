// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestNetlinksafe(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/netlinksafe")
}
