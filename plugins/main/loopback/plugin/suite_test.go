// SPDX-License-Identifier: Apache-2.0

//go:build linux

package loopback

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestLoopback(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/loopback")
}
