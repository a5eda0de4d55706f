// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"path/filepath"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("CHECK", func() {
	It("changes nothing", func() {
		dataDir := GinkgoT().TempDir()
		conf := configOf("1.1.0", dataDir, `"subnet":"10.1.2.0/24"`)
		Expect(call("CHECK", container("a"), conf)).Error().To(HaveOccurred())
		Expect(os.ReadDir(dataDir)).To(BeEmpty())
		mustAdd(container("a"), conf)
		write("b\r\neth0", dataDir, "net", "10.1.2.3")
		write("", dataDir, "net", "10.1.2.4")
		before, err := testutils.SnapshotDirs(dataDir)
		Expect(err).NotTo(HaveOccurred())
		Expect(call("CHECK", container("a"), conf)).To(BeEmpty())
		Expect(testutils.SnapshotDirs(dataDir)).To(Equal(before))
	})
})

var _ = DescribeTable("STATUS says that a file system",
	func(options string, full bool) {
		testutils.Need(GinkgoT(), "root")
		dataDir := GinkgoT().TempDir()
		conf := configOf("1.1.0", dataDir, `"subnet":"10.1.2.0/24"`)
		Expect(unix.Mount("tmpfs", dataDir, "tmpfs", 0, options)).To(Succeed())
		DeferCleanup(func() { Expect(unix.Unmount(dataDir, unix.MNT_DETACH)).To(Succeed()) })
		Expect(call("STATUS", attachment{}, conf)).To(BeEmpty())
		const enough = 100
		for i := range enough {
			if os.WriteFile(filepath.Join(dataDir, strconv.Itoa(i)), make([]byte, 16<<10), 0o600) != nil {
				break
			}
		}
		_, err := call("STATUS", attachment{}, conf)
		if !full {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		Expect(err).To(MatchError("host-local: write to " + dataDir + ": no space left on device"))
		Expect(code(err)).To(Equal(uint(50)))
	},
	Entry("has no inodes left", "nr_inodes=10", true),
	Entry("has no space left", "size=128k", true),
	Entry("without limits is none of that", "size=0,nr_inodes=0", false),
)

var _ = Describe("a file system that is read only", func() {
	It("fails ADD and DEL, but not CHECK, and STATUS says so", func() {
		testutils.Need(GinkgoT(), "root")
		dataDir := GinkgoT().TempDir()
		conf := configOf("1.1.0", dataDir, `"subnet":"10.1.2.0/24"`)
		Expect(unix.Mount("tmpfs", dataDir, "tmpfs", 0, "")).To(Succeed())
		DeferCleanup(func() { Expect(unix.Unmount(dataDir, unix.MNT_DETACH)).To(Succeed()) })
		mustAdd(container("a"), conf)
		Expect(unix.Mount("", dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")).To(Succeed())

		for _, verb := range []string{"ADD", "DEL"} {
			_, err := call(verb, container(map[string]string{"ADD": "b", "DEL": "a"}[verb]), conf)
			Expect(err).To(MatchError(ContainSubstring("read-only file system")), verb)
			Expect(code(err)).To(Equal(uint(5)), verb)
		}
		Expect(call("CHECK", container("a"), conf)).To(BeEmpty())
		_, err := call("STATUS", attachment{}, conf)
		Expect(err).To(MatchError("host-local: write to " + dataDir + "/net: read-only file system"))
		Expect(code(err)).To(Equal(uint(50)))
		Expect(call("DEL", container("unknown"), conf)).To(BeEmpty())
	})
})
