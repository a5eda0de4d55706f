// SPDX-License-Identifier: Apache-2.0

package wholefile

import (
	"os"

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
