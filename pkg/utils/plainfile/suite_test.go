// SPDX-License-Identifier: Apache-2.0

package plainfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

func TestPlainFile(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/utils/plainfile")
}

var _ = Describe("a plain file", func() {
	It("is created, written and read", func() {
		path := filepath.Join(GinkgoT().TempDir(), "file")
		file, err := plainfile.Open(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
		Expect(err).NotTo(HaveOccurred())
		Expect(file.WriteString("hello")).To(Equal(5))
		Expect(file.Close()).To(Succeed())
		Expect(plainfile.Read(path)).To(BeEquivalentTo("hello"))
		info, err := os.Stat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(fs.FileMode(0o640)))
	})

	It("has the errors of package os", func() {
		path := filepath.Join(GinkgoT().TempDir(), "none")
		_, err := plainfile.Read(path)
		_, want := os.ReadFile(path)
		Expect(err).To(MatchError(want.Error()))
		Expect(err).To(MatchError(fs.ErrNotExist))
		Expect(os.WriteFile(path, nil, 0o600)).To(Succeed())
		_, err = plainfile.Open(path, os.O_CREATE|os.O_EXCL, 0o600)
		Expect(err).To(MatchError(fs.ErrExist))
	})
})
