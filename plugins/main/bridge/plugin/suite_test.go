// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestBridge(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/bridge")
}

var ipamPath string

var _ = BeforeSuite(func() {
	ipamPath = testrig.BuildIPAM()
	DeferCleanup(gexec.CleanupBuildArtifacts)
})
