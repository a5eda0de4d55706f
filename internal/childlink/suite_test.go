// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestChildlink(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/childlink")
}
