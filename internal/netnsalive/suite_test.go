// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netnsalive_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestNetnsAlive(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/netnsalive")
}

// What keeps a namespace is tried with host-local: processes, threads, descriptors
// and mounts, here and in other mount namespaces.
var _ = Describe("Gone", func() {
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
	})

	It("returns those whose namespace does not exist, sorted", func() {
		mounted := mountedAt(filepath.Join(GinkgoT().TempDir(), "with space"))
		own := netnsalive.At("/proc/self/ns/net")
		Expect(own.Inode).NotTo(BeZero())
		asked := map[string]netnsalive.ID{"b": {Inode: 1}, "own": own, "mounted": mounted, "a": {Inode: 1}, "c": {Inode: own.Inode + 1<<32}}
		Expect(netnsalive.Gone(asked)).To(Equal([]string{"a", "b", "c"}))
		Expect(asked).To(HaveLen(5), "what was asked is not changed")
	})

	It("returns those whose number another namespace has by now", func() {
		testutils.Need(GinkgoT(), "namespace-ids")
		mounted := mountedAt(filepath.Join(GinkgoT().TempDir(), `with \040 space`))
		for _, there := range []netnsalive.ID{netnsalive.At("/proc/self/ns/net"), mounted} {
			Expect(there.Unique).NotTo(BeZero())
			former, uncertain := netnsalive.ID{Inode: there.Inode, Unique: there.Unique + 1}, netnsalive.ID{Inode: there.Inode}
			Expect(netnsalive.Gone(map[int]netnsalive.ID{1: former, 2: there, 3: uncertain})).To(Equal([]int{1}))
		}
	})

	It("returns one whose number another has that threads enter and leave while it is looked at", func() {
		testutils.Need(GinkgoT(), "namespace-ids")
		netns := testutils.TempNS(GinkgoT())
		former := netnsalive.At(netns.Path())
		former.Unique++
		ctx, stop := context.WithCancel(context.Background())
		var visitors sync.WaitGroup
		DeferCleanup(func() { stop(); visitors.Wait() })
		for range 2 {
			visitors.Go(func() {
				defer GinkgoRecover()
				for ctx.Err() == nil {
					Expect(netns.Do(func(ns.NetNS) error {
						_, err := net.Interfaces() // as long as plugins stay
						return err
					})).To(Succeed())
				}
			})
		}
		for range 500 {
			Expect(netnsalive.Gone(map[int]netnsalive.ID{1: former})).To(Equal([]int{1}))
		}
	})

	// The rest of the mount namespace is hidden from its first process.
	It("does not return one that is mounted where a chrooted process cannot see it", func() {
		dir := GinkgoT().TempDir()
		jail, kept := filepath.Join(dir, "jail"), filepath.Join(dir, "kept")
		Expect(os.Mkdir(jail, 0o700)).To(Succeed())
		Expect(os.WriteFile(kept, nil, 0o600)).To(Succeed())
		chrooted := start("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount --rbind / "+jail+" && exec chroot "+jail+" sleep 100")
		keeper := start("nsenter", "--mount="+filepath.Join(chrooted, "ns/mnt"), "sh", "-c",
			"unshare --net mount --bind /proc/self/ns/net "+kept+" && exec sleep 100")
		id := netnsalive.At(filepath.Join(keeper, "root", kept))
		Expect(id.Inode).NotTo(BeZero())
		Expect(filepath.Join(chrooted, "root", kept)).To(BeARegularFile())
		Expect(netnsalive.At(filepath.Join(chrooted, "root", kept))).To(BeZero())
		Expect(netnsalive.Gone(map[int]netnsalive.ID{1: id})).To(BeEmpty())
	})

	It("returns nobody where nobody is gone", func() {
		Expect(netnsalive.Gone(map[int]netnsalive.ID{7: netnsalive.At("/proc/self/ns/net")})).To(BeEmpty())
		Expect(netnsalive.Gone(map[int]netnsalive.ID{})).To(BeEmpty())
	})
})

// start starts a program, waits until it has come to its sleep and returns its
// directory in /proc.
func start(name string, args ...string) string {
	GinkgoHelper()
	cmd := exec.Command(name, args...)
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	dir := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))
	Eventually(func() (string, error) {
		text, err := os.ReadFile(filepath.Join(dir, "comm"))
		return string(text), err
	}).Should(Equal("sleep\n"))
	return dir
}

// mountedAt makes a network namespace that is mounted at a path alone.
func mountedAt(path string) netnsalive.ID {
	GinkgoHelper()
	netns, err := testutils.NewNS()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(path, nil, 0o600)).To(Succeed())
	Expect(unix.Mount(netns.Path(), path, "", unix.MS_BIND, "")).To(Succeed())
	DeferCleanup(func() { Expect(unix.Unmount(path, 0)).To(Succeed()) })
	Expect(testutils.UnmountNS(netns)).To(Succeed())
	Expect(netns.Close()).To(Succeed())
	return netnsalive.At(path)
}

var _ = Describe("At", func() {
	It("knows nothing of what is no network namespace", func() {
		for _, path := range []string{"", "/none", "/dev/null", GinkgoT().TempDir()} {
			Expect(netnsalive.At(path)).To(BeZero(), path)
		}
	})
})

var _ = DescribeTable("ParseID",
	func(text string, expected netnsalive.ID) {
		Expect(netnsalive.ParseID(text)).To(Equal(expected))
		if expected != (netnsalive.ID{}) {
			Expect(expected.String()).To(Equal(text))
		}
	},
	Entry("of a namespace", "net:[4026532281]", netnsalive.ID{Inode: 4026532281, Unique: 0}),
	Entry("of one that is known better", "net:[4026532281]17", netnsalive.ID{Inode: 4026532281, Unique: 17}),
	Entry("of another kind", "uts:[4026531838]", netnsalive.ID{}),
	Entry("that is not closed", "net:[4026531838", netnsalive.ID{}),
	Entry("that is none", "net:[]", netnsalive.ID{}),
	Entry("that is negative", "net:[-1]", netnsalive.ID{}),
	Entry("that goes on", "net:[4026532281]17a", netnsalive.ID{}),
	Entry("of a directory", "/", netnsalive.ID{}),
	Entry("of nothing", "", netnsalive.ID{}),
)
