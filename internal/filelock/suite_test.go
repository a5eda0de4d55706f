// SPDX-License-Identifier: Apache-2.0

//go:build unix

package filelock

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestFilelock(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/filelock")
}

// opened is a file that is open twice, for the length of a spec.
func opened() (one, other *os.File) {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "file")
	one, err := os.Create(path)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { one.Close() }) // unless the spec has
	other, err = os.Open(path)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(other.Close)
	return one, other
}

var _ = It("is not waited for longer than asked", func() {
	one, other := opened()
	Expect(LockWithin(one.Fd(), time.Minute)).To(Succeed())
	Expect(LockWithin(other.Fd(), time.Millisecond)).To(MatchError(os.ErrDeadlineExceeded))
	done := make(chan error)
	go func() { done <- LockWithin(other.Fd(), time.Minute) }()
	Consistently(done, 50*time.Millisecond).ShouldNot(Receive())
	Expect(Unlock(one.Fd())).To(Succeed())
	Eventually(done).Should(Receive(BeNil()))
})

var _ = DescribeTable("a lock keeps others waiting until it",
	func(release func(*os.File) error) {
		one, other := opened()
		Expect(Lock(one.Fd())).To(Succeed())
		done := make(chan error)
		go func() { done <- Lock(other.Fd()) }()
		Consistently(done, 50*time.Millisecond).ShouldNot(Receive())
		Expect(release(one)).To(Succeed())
		Eventually(done).Should(Receive(BeNil()))
		Expect(Unlock(other.Fd())).To(Succeed())
	},
	Entry("is given up", func(file *os.File) error { return Unlock(file.Fd()) }),
	Entry("goes with the file", (*os.File).Close),
)
