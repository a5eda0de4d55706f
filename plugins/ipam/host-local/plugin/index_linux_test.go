// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// inOrder tells whether the index is valid.
func (t testStore) inOrder() bool { return newIndex(t.dataDir, t.network).valid() }

var _ = Describe("index", func() {
	var t testStore
	a, b := ownerOf("a", "eth0"), ownerOf("b", "eth0")

	BeforeEach(func() { t = newTestStore() })

	It("stays in order from one command to the next", func() {
		t.reserve("10.0.0.5", a)
		Expect(t.inOrder()).To(BeTrue())
		t.in(func(s *store) {
			Expect(s.scanned).To(BeNil())
			Expect(s.reserve(ip("fd00::1"), a)).To(BeTrue())
			Expect(s.owned(a)).To(Equal([]string{"10.0.0.5", "fd00::1"}))
			Expect(s.owned(b)).To(BeEmpty())
			Expect(s.release("10.0.0.5", a)).To(Succeed())
			Expect(s.scanned).To(BeNil())
		})
		Expect(t.inOrder()).To(BeTrue())
		Expect(t.owned(a)).To(Equal([]string{"fd00::1"}))
		t.in(func(s *store) { Expect(s.releaseAll(a)).To(BeTrue()) })
		Expect(t.inOrder()).To(BeTrue())
		Expect(t.owned(a)).To(BeEmpty())
		Expect(readNames(filepath.Join(t.dataDir, indexName, "net"))).To(Equal([]string{"boot"}))
	})

	It("survives a command that changes nothing", func() {
		t.reserve("10.0.0.5", a)
		t.in(func(*store) {})
		Expect(t.inOrder()).To(BeTrue())
	})

	// Every one of these happens behind the index's back.
	DescribeTable("notices changes by others",
		func(change func(), wantA, wantB []string) {
			t.reserve("10.0.0.5", a)
			change()
			Expect(t.owned(a)).To(ConsistOf(wantA))
			Expect(t.owned(b)).To(ConsistOf(wantB))
			Expect(t.inOrder()).To(BeTrue())
		},
		Entry("none", func() {}, []string{"10.0.0.5"}, nil),
		Entry("a reservation more", func() { write(b, t.path(), "10.0.0.6") }, []string{"10.0.0.5"}, []string{"10.0.0.6"}),
		Entry("a reservation more of the same owner", func() { write(a+"\n", t.path(), "10.0.0.6") }, []string{"10.0.0.5", "10.0.0.6"}, nil),
		Entry("a reservation less", func() { Expect(os.Remove(t.path() + "/10.0.0.5")).To(Succeed()) }, nil, nil),
		Entry("a reservation changed hands", func() {
			Expect(os.Remove(t.path() + "/10.0.0.5")).To(Succeed())
			write(b, t.path(), "10.0.0.5")
		}, nil, []string{"10.0.0.5"}),
		Entry("a reservation written over", func() { write(b, t.path(), "10.0.0.5") }, nil, []string{"10.0.0.5"}),
		Entry("everything removed, the lock too", func() {
			Expect(os.RemoveAll(t.path())).To(Succeed())
			Expect(os.Mkdir(t.path(), 0o755)).To(Succeed())
		}, nil, nil),
		Entry("the directory removed", func() { Expect(os.RemoveAll(t.path())).To(Succeed()) }, nil, nil),
		Entry("the index removed", func() { Expect(os.RemoveAll(filepath.Join(t.dataDir, indexName))).To(Succeed()) }, []string{"10.0.0.5"}, nil),
		Entry("rubbish in the index", func() {
			index := newIndex(t.dataDir, t.network)
			Expect(os.Remove(index.link(a))).To(Succeed())
			Expect(os.MkdirAll(filepath.Join(index.link(a), "deep"), 0o755)).To(Succeed())
			write("x", index.dir, "file")
		}, []string{"10.0.0.5"}, nil),
		Entry("the directory replaced by an older one", func() {
			older := directory{dataDir: t.dataDir, network: "older", host: t.host}
			s, err := older.create()
			Expect(err).NotTo(HaveOccurred())
			Expect(s.reserve(ip("10.0.0.7"), b)).To(BeTrue())
			s.Close()
			Expect(os.RemoveAll(t.path())).To(Succeed())
			Expect(os.Rename(older.path(), t.path())).To(Succeed())
		}, nil, []string{"10.0.0.7"}),
	)

	It("does not believe times that are merely equal", func() {
		t.reserve("10.0.0.5", a)
		write(b, t.path(), "10.0.0.6")
		// What if the clock had shown the same time at both changes?
		index := newIndex(t.dataDir, t.network)
		info, err := os.Stat(t.path())
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Chtimes(index.dir, time.Time{}, info.ModTime())).To(Succeed())
		Expect(t.inOrder()).To(BeFalse())
		Expect(t.owned(b)).To(Equal([]string{"10.0.0.6"}))
	})

	DescribeTable("goes with the directory that it is about",
		func(verb string) {
			config := configOf("1.1.0", t.dataDir, `"subnet":"10.0.0.0/24"`)
			indexes := func() []string {
				names, err := readNames(filepath.Join(t.dataDir, indexName))
				Expect(err).NotTo(HaveOccurred())
				return names
			}
			other := strings.Replace(config, `"net"`, `"other"`, 1)
			mustAdd(container("c"), config)
			mustAdd(container("c"), other)
			Expect(call(verb, container("c"), config)).To(BeEmpty())
			Expect(indexes()).To(ConsistOf("net", "other"))
			Expect(os.RemoveAll(filepath.Join(t.dataDir, "net"))).To(Succeed())
			Expect(call(verb, container("c"), config)).To(BeEmpty())
			Expect(indexes()).To(ConsistOf("other"))
			Expect(call(verb, container("c"), config)).To(BeEmpty())
			Expect(addressesOf(mustAdd(container("c"), config))).To(Equal([]string{"10.0.0.2"}))
			Expect(indexes()).To(ConsistOf("net", "other"))
		},
		Entry("on DEL", "DEL"), Entry("on GC", "GC"),
	)

	DescribeTable("finds an owner who was written into another one's file",
		func(look func()) {
			t.reserve("10.0.0.5", a)
			write(b, t.path(), "10.0.0.5")
			look()
			Expect(t.owned(b)).To(Equal([]string{"10.0.0.5"}))
			Expect(t.owned(a)).To(BeEmpty())
		},
		Entry("once the directory has been touched", func() { age(0, t.path()) }),
		Entry("once the other one has been looked for", func() { Expect(t.owned(a)).To(BeEmpty()) }),
		Entry("once every file has been read, as GC does", func() { t.in(func(s *store) { Expect(s.scan(none)).To(BeZero()) }) }),
	)

	It("does not need to be written", func() {
		write("in the way", t.dataDir, indexName)
		Expect(captureStderr(func() { t.reserve("10.0.0.5", a) })).To(ContainSubstring("lookups have to read every file"))
		captureStderr(func() {
			Expect(t.owned(a)).To(Equal([]string{"10.0.0.5"}))
			t.in(func(s *store) { Expect(s.releaseAll(a)).To(BeTrue()) })
			Expect(t.owned(a)).To(BeEmpty())
		})
	})

	It("copes with an owner of very many addresses", func() {
		t.in(func(s *store) {
			for i := range 300 {
				Expect(s.reserve(ip(fmt.Sprintf("2001:db8::1:%x", i)), a)).To(BeTrue())
			}
		})
		Expect(t.inOrder()).To(BeTrue())
		Expect(t.owned(a)).To(HaveLen(300))
		t.in(func(s *store) { Expect(s.releaseAll(a)).To(BeTrue()) })
		Expect(reservationsIn(t.path())).To(BeEmpty())
		Expect(t.inOrder()).To(BeTrue())
	})

	It("leaves directories, links and pipes alone", func() {
		t.reserve("10.0.0.5", a)
		write(a, t.path(), "nested", "10.0.0.9")
		Expect(os.Symlink("10.0.0.5", t.path()+"/10.0.0.6")).To(Succeed())
		Expect(syscall.Mkfifo(t.path()+"/10.0.0.7", 0o600)).To(Succeed())
		t.in(func(s *store) {
			Expect(s.owned(a)).To(Equal([]string{"10.0.0.5"}))
			for _, blocked := range []string{"10.0.0.6", "10.0.0.7"} {
				Expect(s.reserve(ip(blocked), b)).To(BeFalse())
			}
		})
	})
})
