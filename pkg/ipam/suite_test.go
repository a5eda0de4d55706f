// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/pkg/ipam"
)

func TestIPAM(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/ipam")
}

// parentVariable makes the test binary, run again, a plugin that delegates.
const parentVariable = "IPAM_TEST_DELEGATE"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		os.Exit(beParent())
	}
	os.Exit(m.Run())
}

func beParent() int {
	stdin, err := io.ReadAll(os.Stdin)
	if err == nil {
		_, err = ipam.ExecAdd("fakeipam", stdin)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// fakeDir is the directory with the program fakeipam.
var fakeDir string

var _ = SynchronizedBeforeSuite(func() []byte {
	program, err := gexec.Build("github.com/containernetworking/plugins/pkg/ipam/testdata/fakeipam")
	Expect(err).NotTo(HaveOccurred())
	return []byte(filepath.Dir(program))
}, func(dir []byte) { fakeDir = string(dir) })

var _ = SynchronizedAfterSuite(func() {}, gexec.CleanupBuildArtifacts)
