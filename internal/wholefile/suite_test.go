// SPDX-License-Identifier: Apache-2.0

package wholefile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestWholefile(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/wholefile")
}

var _ = DescribeTable("a file",
	func(create func(path, content string, mode fs.FileMode) error) {
		dir := GinkgoT().TempDir()
		path := filepath.Join(dir, "file")
		Expect(create(path, "one", 0o600)).To(Succeed())
		Expect(create(path, "two", 0o600)).To(MatchError(fs.ErrExist))
		Expect(os.ReadFile(path)).To(BeEquivalentTo("one"))
		info, err := os.Stat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.FileMode(0o600)))
		Expect(os.ReadDir(dir)).To(HaveLen(1), "nothing beside it")
		Expect(create(filepath.Join(dir, "none", "file"), "x", 0o600)).To(MatchError(fs.ErrNotExist))
	},
	Entry("is created", Create),
	Entry("is created where files without a name are not to be had", createExclusively),
)

var _ = Describe("Replace", func() {
	It("creates, and replaces, whatever was left", func() {
		dir := GinkgoT().TempDir()
		path := filepath.Join(dir, "file")
		Expect(Replace(path, "a long one", 0o600)).To(Succeed())
		Expect(os.WriteFile(Aside(path), []byte("left by a kill"), 0o600)).To(Succeed())
		Expect(Replace(path, "short", 0o600)).To(Succeed())
		Expect(os.ReadFile(path)).To(BeEquivalentTo("short"))
		Expect(os.ReadDir(dir)).To(HaveLen(1), "nothing beside it")
		Expect(Replace(filepath.Join(dir, "none", "file"), "x", 0o600)).To(MatchError(fs.ErrNotExist))
	})
})

var _ = Describe("Remove", func() {
	It("removes the file and what is beside it, if they are there", func() {
		dir := GinkgoT().TempDir()
		path := filepath.Join(dir, "file")
		Expect(os.WriteFile(path, nil, 0o600)).To(Succeed())
		Expect(os.WriteFile(Aside(path), nil, 0o600)).To(Succeed())
		for range 2 {
			Expect(Remove(path)).To(Succeed())
			Expect(os.ReadDir(dir)).To(BeEmpty())
		}
		Expect(Remove(filepath.Join(dir, "none", "file"))).To(Succeed())
		Expect(os.MkdirAll(filepath.Join(path, "full"), 0o700)).To(Succeed())
		Expect(Remove(path)).NotTo(Succeed())
	})
})

var _ = Describe("Writable", func() {
	It("looks at the nearest directory that is there", func() {
		dir := GinkgoT().TempDir()
		Expect(Writable(filepath.Join(dir, "a", "b"))).To(Succeed())
		Expect(os.ReadDir(dir)).To(BeEmpty(), "nothing is made")
		Expect(os.WriteFile(filepath.Join(dir, "a"), nil, 0o600)).To(Succeed())
		Expect(Writable(filepath.Join(dir, "a", "b"))).To(MatchError(ContainSubstring("not a directory")))
	})
})
