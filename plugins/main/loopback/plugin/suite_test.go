// SPDX-License-Identifier: Apache-2.0

//go:build linux

package loopback

import (
	"testing"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestLoopback(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/loopback")
}
