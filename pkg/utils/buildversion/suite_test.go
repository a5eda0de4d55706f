// SPDX-License-Identifier: Apache-2.0

package buildversion_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/utils/buildversion"
)

func TestBuildversion(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/utils/buildversion")
}

var _ = Describe("the version", func() {
	It("is unknown by default", func() {
		Expect(buildversion.BuildString("bridge")).To(Equal("CNI bridge plugin version unknown"))
	})

	It("is what the linker is told", func() {
		program := filepath.Join(GinkgoT().TempDir(), "main.go")
		Expect(os.WriteFile(program, []byte(`package main

import "github.com/containernetworking/plugins/pkg/utils/buildversion"

func main() { print(buildversion.BuildString("bridge")) }
`), 0o600)).To(Succeed())
		out, err := exec.Command("go", "run", "-ldflags",
			"-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v1.2.3", program).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(string(out)).To(Equal("CNI bridge plugin v1.2.3"))
	})
})
