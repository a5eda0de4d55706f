// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"testing"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestBandwidth(t *testing.T) {
	testrig.RunSpecs(t, "plugins/meta/bandwidth")
}
