// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestTuning(t *testing.T) {
	testrig.RunSpecs(t, "plugins/meta/tuning")
}

// executable is the plugin as it is shipped.
var executable string

var _ = BeforeSuite(func() {
	if built := os.Getenv("PLUGINS_TEST_BIN"); built != "" {
		executable = filepath.Join(built, "tuning")
		return
	}
	var err error
	executable, err = gexec.Build("github.com/containernetworking/plugins/plugins/meta/tuning")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(gexec.CleanupBuildArtifacts)
})
