// SPDX-License-Identifier: Apache-2.0

package ns_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

// privileged says that the test process may make network namespaces.
func privileged() bool { return os.Geteuid() == 0 }

func inode(path string) uint64 {
	GinkgoHelper()
	var stat unix.Stat_t
	Expect(unix.Stat(path, &stat)).To(Succeed())
	return stat.Ino
}

// currentInode names the namespace of the calling goroutine's thread.
func currentInode() (uint64, error) {
	current, err := ns.GetCurrentNS()
	if err != nil {
		return 0, err
	}
	defer current.Close()
	return inodeOf(current)
}

func inodeOf(netns ns.NetNS) (uint64, error) {
	var stat unix.Stat_t
	err := unix.Fstat(int(netns.Fd()), &stat)
	return stat.Ino, err
}

func tempNS() ns.NetNS {
	GinkgoHelper()
	netns, err := ns.TempNetNS()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { netns.Close() })
	return netns
}

var _ = Describe("opening a namespace", func() {
	const own = "/proc/self/ns/net"

	It("accepts the file of a network namespace", func() {
		Expect(ns.IsNSorErr(own)).To(Succeed())
		netns, err := ns.GetNS(own)
		Expect(err).NotTo(HaveOccurred())
		defer netns.Close()
		Expect(netns.Path()).To(Equal(own))
		Expect(inodeOf(netns)).To(Equal(inode(own)))
	})

	It("is not needed to tell its number", func() {
		Expect(ns.InodeAt(own)).To(Equal(inode(own)))
		for _, path := range []string{"", "/tmp/IDoNotExist", "/etc/hostname"} {
			Expect(ns.InodeAt(path)).To(BeZero())
		}
	})

	DescribeTable("returns a plain NSPathNotExistErr where nothing is",
		func(path string) {
			for _, err := range openErrors(path) {
				Expect(err).To(BeAssignableToTypeOf(ns.NSPathNotExistErr{}))
				Expect(errors.Is(err, fs.ErrNotExist)).To(BeTrue())
			}
		},
		Entry("an empty path", ""),
		Entry("a missing file", "/tmp/IDoNotExist/netns"),
		Entry("a name that is too long", "/tmp/"+strings.Repeat("x", 300)),
		Entry("a dead process", "/proc/999999999/ns/net"),
		Entry("a file where a directory should be", "/proc/self/ns/net/x"),
	)

	It("keeps the text runtimes look for", func() {
		Expect(ns.IsNSorErr("")).To(MatchError(`failed to Statfs "": no such file or directory`))
	})

	It("returns a plain NSPathNotNSErr for an ordinary file", func() {
		path := filepath.Join(GinkgoT().TempDir(), "stale")
		Expect(os.WriteFile(path, nil, 0o600)).To(Succeed())
		for _, err := range openErrors(path) {
			Expect(err).To(BeAssignableToTypeOf(ns.NSPathNotNSErr{}))
			Expect(err).To(MatchError(ContainSubstring("unknown FS magic on")))
		}
	})

	It("does not wait for a writer of a named pipe", func() {
		path := filepath.Join(GinkgoT().TempDir(), "pipe")
		Expect(unix.Mkfifo(path, 0o600)).To(Succeed())
		_, err := ns.GetNS(path)
		Expect(err).To(BeAssignableToTypeOf(ns.NSPathNotNSErr{}))
	})

	DescribeTable("refuses what only looks like one",
		func(path string) {
			_, err := ns.GetNS(path)
			Expect(err).To(BeAssignableToTypeOf(ns.NSPathNotNSErr{}))
			Expect(err).To(MatchError(ContainSubstring("not a network namespace")))
		},
		Entry("a regular file of procfs", "/proc/cpuinfo"),
		Entry("a directory of procfs", "/proc/self"),
		Entry("a user namespace", "/proc/self/ns/user"),
		Entry("a mount namespace", "/proc/self/ns/mnt"),
	)

	It("returns a plain NSPathNotExistErr also when the path goes away meanwhile", func() {
		path := filepath.Join(GinkgoT().TempDir(), "netns")
		var stop atomic.Bool
		stopped := make(chan bool)
		go func() {
			for !stop.Load() {
				_ = os.Symlink(own, path)
				_ = os.Remove(path)
			}
			stopped <- true
		}()
		for range 5000 {
			netns, err := ns.GetNS(path)
			if err == nil {
				err = netns.Close()
			} else if _, notExist := err.(ns.NSPathNotExistErr); notExist {
				err = nil
			}
			Expect(err).NotTo(HaveOccurred())
		}
		stop.Store(true)
		<-stopped
	})

	It("compares a path with the current namespace", func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		Expect(ns.SameAsCurrent(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))).To(BeTrue())
		Expect(ns.SameAsCurrent("/proc/self/ns/mnt")).To(BeFalse())
		Expect(ns.SameAsCurrent("/tmp/IDoNotExist")).To(BeFalse())
		Expect(ns.SameAsCurrent("")).To(BeFalse())
	})
})

// openErrors returns the errors of the three functions that open path.
func openErrors(path string) []error {
	_, get := ns.GetNS(path)
	with := ns.WithNetNSPath(path, func(ns.NetNS) error { panic("must not run") })
	return []error{ns.IsNSorErr(path), get, with}
}

var _ = Describe("Do", func() {
	BeforeEach(func() {
		if !privileged() {
			Skip("needs root (or unshare -rmn) to make and enter network namespaces")
		}
	})

	It("runs in the namespace and comes back", func() {
		target := tempNS()
		want, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		before, err := currentInode()
		Expect(err).NotTo(HaveOccurred())
		Expect(want).NotTo(Equal(before))

		Expect(ns.Call(target, currentInode)).To(Equal(want))
		Expect(currentInode()).To(Equal(before))
		Expect(ns.WithNetNSPath(target.Path(), func(ns.NetNS) error {
			Expect(currentInode()).To(Equal(want))
			return nil
		})).To(Succeed())
	})

	It("passes the caller's namespace and closes it afterwards", func() {
		before, err := currentInode()
		Expect(err).NotTo(HaveOccurred())
		var kept ns.NetNS
		Expect(tempNS().Do(func(caller ns.NetNS) error {
			kept = caller
			Expect(inodeOf(caller)).To(Equal(before))
			return caller.Do(func(ns.NetNS) error {
				Expect(currentInode()).To(Equal(before))
				return nil
			})
		})).To(Succeed())
		Expect(kept.Close()).To(MatchError(os.ErrClosed))
	})

	It("nests", func() {
		outer, inner := tempNS(), tempNS()
		Expect(outer.Do(func(ns.NetNS) error {
			return inner.Do(func(caller ns.NetNS) error {
				want, err := inodeOf(outer)
				Expect(err).NotTo(HaveOccurred())
				Expect(inodeOf(caller)).To(Equal(want))
				want, err = inodeOf(inner)
				Expect(err).NotTo(HaveOccurred())
				Expect(currentInode()).To(Equal(want))
				return outer.Do(func(ns.NetNS) error { return nil })
			})
		})).To(Succeed())
	})

	It("returns the callback's error as it is and comes back", func() {
		before, err := currentInode()
		Expect(err).NotTo(HaveOccurred())
		cause := errors.New("potato")
		Expect(tempNS().Do(func(ns.NetNS) error { return cause })).To(BeIdenticalTo(cause))
		Expect(currentInode()).To(Equal(before))

		_, err = ns.Call(tempNS(), func() (int, error) { return 0, cause })
		Expect(err).To(BeIdenticalTo(cause))
	})

	It("re-raises a panic of the callback in its caller and comes back", func() {
		before, err := currentInode()
		Expect(err).NotTo(HaveOccurred())
		target := tempNS()
		cause := errors.New("boom")
		Expect(func() {
			_ = target.Do(func(ns.NetNS) error { panic(cause) })
		}).To(PanicWith(BeIdenticalTo(cause)))
		Expect(func() {
			_ = target.Do(func(ns.NetNS) error { return target.Do(func(ns.NetNS) error { panic(cause) }) })
		}).To(PanicWith(BeIdenticalTo(cause)))
		Expect(currentInode()).To(Equal(before))
		Expect(namespacesOfThreads()).To(HaveEach(before))
	})

	It("repeats a Goexit of the callback in its caller", func() {
		target := tempNS()
		returned := make(chan bool)
		go func() {
			after := false
			defer func() { returned <- after }()
			_ = target.Do(func(ns.NetNS) error { runtime.Goexit(); return nil })
			after = true
		}()
		Eventually(returned).Should(Receive(BeFalse()))
	})

	It("serves 200 callers at once", func() {
		target := tempNS()
		want, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		before, err := currentInode()
		Expect(err).NotTo(HaveOccurred())

		var wg sync.WaitGroup
		var inside, callers [200]uint64
		for i := range inside {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_ = target.Do(func(caller ns.NetNS) (err error) {
					callers[i], _ = inodeOf(caller)
					inside[i], err = currentInode()
					return err
				})
			}()
		}
		wg.Wait()
		Expect(inside[:]).To(HaveEach(want))
		Expect(callers[:]).To(HaveEach(before))
		Expect(namespacesOfThreads()).To(HaveEach(before))
	})

	It("gives each namespace an inode of its own", func() {
		seen := map[uint64]bool{}
		for range 5 {
			id, err := inodeOf(tempNS())
			Expect(err).NotTo(HaveOccurred())
			seen[id] = true
		}
		Expect(seen).To(HaveLen(5))
	})

	It("leaves no thread in a closed namespace", func() {
		target := tempNS()
		id, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		for range 20 {
			Expect(target.Do(func(ns.NetNS) error { return nil })).To(Succeed())
		}
		Expect(target.Close()).To(Succeed())
		Expect(namespacesOfThreads()).NotTo(ContainElement(id))
	})

	It("has commands run in the namespace", func() {
		target := tempNS()
		want, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		out, err := ns.Call(target, func() ([]byte, error) {
			return exec.Command("readlink", "/proc/self/ns/net").Output()
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(out)).To(Equal(fmt.Sprintf("net:[%d]\n", want)))
	})
})

// namespacesOfThreads lists the namespace of each thread of the test process.
func namespacesOfThreads() []uint64 {
	GinkgoHelper()
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	Expect(err).NotTo(HaveOccurred())
	var found []uint64
	for _, task := range tasks {
		var stat unix.Stat_t
		if unix.Stat(task, &stat) == nil { // a thread may end meanwhile
			found = append(found, stat.Ino)
		}
	}
	Expect(found).NotTo(BeEmpty())
	return found
}

var _ = Describe("Close", func() {
	It("makes the handle useless, and refuses to be called twice", func() {
		netns, err := ns.GetNS("/proc/self/ns/net")
		Expect(err).NotTo(HaveOccurred())
		Expect(netns.Close()).To(Succeed())
		for _, err := range []error{
			netns.Do(func(ns.NetNS) error { panic("must not run") }),
			netns.Set(),
			netns.Close(),
		} {
			Expect(err).To(MatchError(os.ErrClosed))
			Expect(err).To(MatchError(ContainSubstring("has already been closed")))
		}
	})

	It("may race Do", func() {
		if !privileged() {
			Skip("needs root (or unshare -rmn) to make and enter network namespaces")
		}
		for range 50 {
			target := tempNS()
			want, err := inodeOf(target)
			Expect(err).NotTo(HaveOccurred())

			var wg sync.WaitGroup
			var wrong atomic.Int32
			entered := make(chan bool, 8)
			for range 8 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					var got uint64
					err := target.Do(func(ns.NetNS) (err error) {
						entered <- true
						got, err = currentInode()
						return err
					})
					if err == nil && got != want || err != nil && !errors.Is(err, os.ErrClosed) {
						wrong.Add(1)
					}
				}()
			}
			<-entered
			Expect(target.Close()).To(Succeed())
			wg.Wait()
			Expect(wrong.Load()).To(BeZero())
		}
	})

	It("may be called inside Do", func() {
		if !privileged() {
			Skip("needs root (or unshare -rmn) to make and enter network namespaces")
		}
		target := tempNS()
		Expect(target.Do(func(ns.NetNS) error { return target.Close() })).To(Succeed())
	})
})

var _ = Describe("Ref", func() {
	DescribeTable("is absent",
		func(path string) {
			ref, err := ns.OpenRef(path)
			Expect(err).NotTo(HaveOccurred())
			Expect(ref.Present()).To(BeFalse())
			Expect(ref.Path()).To(Equal(path))
			Expect(ref.NS()).To(BeNil())
			Expect(ref.Do(func() error { panic("must not run") })).To(BeIdenticalTo(ns.ErrAbsent))
			Expect(ref.Close()).To(Succeed())
		},
		Entry("without a path", ""),
		Entry("where nothing is", "/tmp/IDoNotExist/netns"),
		Entry("where a file was left", "/etc/hostname"),
		Entry("where the path leads to a namespace of another kind", "/proc/self/ns/user"),
	)

	It("reports other errors", func() {
		_, err := ns.OpenRef("/tmp/" + string(make([]byte, 5)))
		Expect(err).To(MatchError(unix.EINVAL))
	})

	It("refers to a namespace that is there", func() {
		ref, err := ns.OpenRef("/proc/self/ns/net")
		Expect(err).NotTo(HaveOccurred())
		Expect(ref.Present()).To(BeTrue())
		Expect(ref.Path()).To(Equal("/proc/self/ns/net"))
		Expect(ref.NS()).NotTo(BeNil())
		Expect(ref.Close()).To(Succeed())
	})

	It("runs inside", func() {
		if !privileged() {
			Skip("needs root (or unshare -rmn) to make and enter network namespaces")
		}
		target := tempNS()
		want, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		ref := ns.RefTo(target, "somewhere")
		Expect(ref.Path()).To(Equal("somewhere"))
		Expect(ref.NS()).To(BeIdenticalTo(target))
		Expect(ref.Do(func() error {
			Expect(currentInode()).To(Equal(want))
			return nil
		})).To(Succeed())
	})

	Describe("that knows home", func() {
		var ref ns.Ref
		var home, there ns.NetNS
		BeforeEach(func() {
			if !privileged() {
				Skip("needs root (or unshare -rmn) to make and enter network namespaces")
			}
			var err error
			home, err = ns.GetCurrentNS()
			Expect(err).NotTo(HaveOccurred())
			target := tempNS()
			there, err = ns.GetNS(target.Path())
			Expect(err).NotTo(HaveOccurred())
			Expect(ns.Same(there, target)).To(BeTrue())
			Expect(ns.Same(there, home)).To(BeFalse())
			ref = ns.RefFrom(home, there, "somewhere")
			DeferCleanup(func() { _ = ref.Close() })
		})
		expectIn := func(netns ns.NetNS) {
			GinkgoHelper()
			want, err := inodeOf(netns)
			Expect(err).NotTo(HaveOccurred())
			Expect(currentInode()).To(Equal(want))
		}

		It("runs inside on the caller's thread, and comes back, time and again", func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range 3 {
				thread := unix.Gettid()
				failure := errors.New("failure")
				Expect(ref.Do(func() error {
					expectIn(there)
					Expect(unix.Gettid()).To(Equal(thread))
					return failure
				})).To(BeIdenticalTo(failure))
				expectIn(home)
			}
		})

		It("comes back when it is nested", func() {
			Expect(ref.Do(func() error {
				Expect(ref.Do(func() error { expectIn(there); return nil })).To(Succeed())
				expectIn(there)
				return nil
			})).To(Succeed())
			expectIn(home)
		})

		It("serves many at once", func() {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					defer GinkgoRecover()
					for range 50 {
						Expect(ref.Do(func() error { expectIn(there); return nil })).To(Succeed())
						expectIn(home)
					}
				})
			}
			all.Wait()
		})

		It("comes back from a panic and from Goexit", func() {
			Expect(func() { _ = ref.Do(func() error { panic("inside") }) }).To(PanicWith("inside"))
			expectIn(home)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = ref.Do(func() error { runtime.Goexit(); return nil })
			}()
			<-ended
			Expect(ref.Do(func() error { expectIn(there); return nil })).To(Succeed())
			expectIn(home)
		})

		It("says that it is closed, and stays", func() {
			Expect(there.Close()).To(Succeed())
			Expect(ref.Do(func() error { panic("must not run") })).To(MatchError(os.ErrClosed))
			expectIn(home)
		})

		It("closes both", func() {
			Expect(ref.Close()).To(Succeed())
			Expect(home.Set()).To(MatchError(os.ErrClosed))
			Expect(there.Set()).To(MatchError(os.ErrClosed))
		})

		It("does not go on where it should not be", func() {
			Expect(home.Close()).To(Succeed())
			ended := make(chan any)
			go func() { // whose thread ends with it, in the wrong namespace
				defer func() { ended <- recover() }()
				_ = ref.Do(func() error { return nil })
				ended <- "came back"
			}()
			Expect(<-ended).To(MatchError(ContainSubstring("the thread is in the wrong network namespace: come back from")))
		})
	})
})

// innerRun marks the run of this suite in a user namespace.
const innerRun = "NS_TEST_IN_USER_NAMESPACE"

var _ = Describe("an ordinary user", func() {
	It("passes all of this in a user namespace", func() {
		if os.Getenv(innerRun) != "" {
			Skip("this is that run")
		}
		inner := exec.Command("unshare", "-rmn", copyOfTestBinary(), "-test.run", "^TestNS$")
		inner.Env = append(os.Environ(), innerRun+"=1")
		inner.Dir = "/"
		if os.Geteuid() == 0 {
			inner.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		if probe := exec.Command("unshare", "-rmn", "true"); run(probe, inner.SysProcAttr) != nil {
			Skip("needs unshare(1) and user namespaces for ordinary users (sysctl kernel.unprivileged_userns_clone)")
		}
		out, err := inner.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(string(out)).To(ContainSubstring("1 Skipped"), "only this spec itself may be skipped there")
	})
})

func run(cmd *exec.Cmd, as *syscall.SysProcAttr) error {
	cmd.SysProcAttr = as
	return cmd.Run()
}

// copyOfTestBinary puts the test binary where everybody may execute it: go
// test builds it in a directory only its user may enter.
func copyOfTestBinary() string {
	GinkgoHelper()
	dir, err := os.MkdirTemp("", "ns-test-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	Expect(os.Chmod(dir, 0o755)).To(Succeed())
	binary, err := os.ReadFile("/proc/self/exe")
	Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(dir, "ns.test")
	Expect(os.WriteFile(path, binary, 0o755)).To(Succeed())
	return path
}

var _ = Describe("TempNetNS", func() {
	It("lasts while it is open", func() {
		if !privileged() {
			Skip("needs root (or unshare -rmn) to make and enter network namespaces")
		}
		target := tempNS()
		path := target.Path()
		Expect(ns.IsNSorErr(path)).To(Succeed())
		id, err := inodeOf(target)
		Expect(err).NotTo(HaveOccurred())
		Expect(target.Close()).To(Succeed())
		Eventually(func() uint64 {
			var stat unix.Stat_t
			_ = unix.Stat(path, &stat)
			return stat.Ino
		}).WithTimeout(time.Second).ShouldNot(Equal(id))
	})
})
