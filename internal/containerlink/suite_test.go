// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerlink_test

import (
	"testing"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestContainerlink(t *testing.T) {
	testrig.RunSpecs(t, "internal/containerlink")
}
