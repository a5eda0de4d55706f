// SPDX-License-Identifier: Apache-2.0

package wholefile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("a nameless file", func() {
	It("can be given a name in either way", func() {
		dir := GinkgoT().TempDir()
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			Skip("no nameless files in " + dir + ": " + err.Error())
		}
		defer unix.Close(fd)
		Expect(unix.Write(fd, []byte("x"))).To(Equal(1))
		Expect(linkThroughProc(fd, dir+"/a")).To(Succeed())
		Expect(os.ReadFile(dir + "/a")).To(BeEquivalentTo("x"))
		Expect(linkThroughProc(fd, dir+"/a")).To(MatchError(os.ErrExist))
		Expect(linkDirectly(fd, dir+"/a")).To(Or(Equal(unix.EEXIST), Equal(unix.ENOENT)))
	})
})

var _ = Describe("a read-only file system", func() {
	It("is no reason not to remove what is not there", func() {
		if os.Getuid() != 0 {
			Skip("mounting one needs root")
		}
		dir := GinkgoT().TempDir()
		there, none := filepath.Join(dir, "there"), filepath.Join(dir, "none")
		done := make(chan []error)
		go func() { // on a thread that ends with it, and its mounts with that
			runtime.LockOSThread()
			err := errors.Join(
				unix.Unshare(unix.CLONE_NEWNS),
				unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""),
				unix.Mount("tmpfs", dir, "tmpfs", 0, ""),
				os.WriteFile(there, nil, 0o600),
				unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			done <- []error{err, Remove(none), SetAside(none), Remove(there), SetAside(there)}
		}()
		Expect(<-done).To(HaveExactElements(BeNil(), BeNil(), BeNil(), MatchError(unix.EROFS), MatchError(unix.EROFS)))
	})
})
