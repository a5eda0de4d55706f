// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestConntrack(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/utils/conntrack")
}
