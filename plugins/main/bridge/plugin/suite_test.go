// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"testing"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestBridge(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/bridge")
}

var ipamPath = testrig.BuiltIPAM()
