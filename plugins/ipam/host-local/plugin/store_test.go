// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// testStore is the directory of a network on a machine of its own.
type testStore struct{ directory }

func newTestStore() testStore {
	GinkgoHelper()
	return testStore{directory{dataDir: GinkgoT().TempDir(), network: "net", host: newTestHost()}}
}

// in opens the store for the time fn runs.
func (t testStore) in(fn func(s *store)) {
	GinkgoHelper()
	s, err := t.create()
	Expect(err).NotTo(HaveOccurred())
	defer s.Close()
	fn(s)
}

func (t testStore) reserve(address, owner string) {
	GinkgoHelper()
	t.in(func(s *store) { Expect(s.reserve(ip(address), owner)).To(BeTrue()) })
}

func (t testStore) owned(owner string) (names []string) {
	GinkgoHelper()
	t.in(func(s *store) {
		var err error
		names, err = s.owned(owner)
		Expect(err).NotTo(HaveOccurred())
	})
	return names
}

// newTestHost makes a host that says it has run for an hour.
func newTestHost() host {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	write("boot-1\n", dir, "boot_id")
	write("machine-1\n", dir, "machine-id")
	write("3600.00 7000.00\n", dir, "uptime")
	write("", dir, "run", "utmp")
	h := host{filepath.Join(dir, "boot_id"), filepath.Join(dir, "machine-id"), filepath.Join(dir, "hostname"), filepath.Join(dir, "uptime"), filepath.Join(dir, "run")}
	age(2*time.Hour, h.run, "utmp")
	return h
}

// age makes a file older.
func age(by time.Duration, path ...string) {
	GinkgoHelper()
	then := time.Now().Add(-by)
	Expect(os.Chtimes(filepath.Join(path...), then, then)).To(Succeed())
}

var _ = Describe("store", func() {
	var t testStore
	a, b := ownerOf("a", "eth0"), ownerOf("b", "eth0")

	BeforeEach(func() { t = newTestStore() })

	Describe("on disk", func() {
		It("has the files that everybody knows", func() {
			t.in(func(s *store) {
				Expect(s.reserve(ip("10.0.0.5"), a)).To(BeTrue())
				Expect(s.reserve(ip("2001:DB8::0005"), b)).To(BeTrue())
				Expect(s.reserve(ip("10.0.0.5"), b)).To(BeFalse())
				Expect(s.setLastReserved(0, ip("10.0.0.55"))).To(Succeed())
				Expect(s.setLastReserved(0, ip("10.0.0.5"))).To(Succeed())
			})
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.5 a\r\neth0", "2001:db8::5 b\r\neth0"}))
			Expect(read(t.path(), "last_reserved_ip.0")).To(Equal("10.0.0.5"))
			Expect(read(t.path(), "lock")).To(BeEmpty())
			for name, mode := range map[string]os.FileMode{"10.0.0.5": 0o600, "last_reserved_ip.0": 0o600, "lock": 0o750, ".": 0o755} {
				info, err := os.Stat(filepath.Join(t.path(), name))
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode().Perm()).To(Equal(mode), name)
			}
		})

		It("has names that Windows can have", func() {
			Expect(escape("windows", "2001:db8::5")).To(Equal("2001_db8__5"))
			Expect(unescape("windows", "2001_db8__5")).To(Equal("2001:db8::5"))
			Expect(escape("linux", "2001:db8::5")).To(Equal("2001:db8::5"))
			Expect(unescape("linux", "a_b")).To(Equal("a_b"))
		})
	})

	It("creates nothing when it only opens", func() {
		_, err := t.open()
		Expect(err).To(MatchError(errAbsent))
		_, err = t.openReadOnly()
		Expect(err).To(MatchError(errAbsent))
		Expect(t.release(ip("10.0.0.1"), a)).To(Succeed())
		Expect(os.ReadDir(t.dataDir)).To(BeEmpty())
	})

	DescribeTable("parseOwner",
		func(content, id, ifName string, ok bool) {
			gotID, gotIfName, gotOK := parseOwner(content)
			Expect([]any{gotID, gotIfName, gotOK}).To(Equal([]any{id, ifName, ok}))
		},
		Entry("pair", "abc\r\neth0", "abc", "eth0", true),
		Entry("before 0.8.0", "abc", "abc", "", true),
		Entry("empty", "", "", "", false),
		Entry("a note", "reserved for the printer", "", "", false),
		Entry("LF", "abc\neth0", "", "", false),
		Entry("three lines", "abc\r\neth0\r\n1", "", "", false),
		Entry("no interface", "abc\r\n", "", "", false),
		Entry("a path", "../abc\r\neth0", "", "", false),
	)

	It("does not take a pointer for a reservation", func() {
		t.in(func(s *store) {
			Expect(s.setLastReserved(0, ip("10.0.0.5"))).To(Succeed())
			Expect(s.releaseAll(legacyOwner("10.0.0.5"))).To(BeFalse())
			Expect(s.lastReserved(0)).To(Equal(ip("10.0.0.5")))
		})
	})

	It("releases only what is the owner's", func() {
		t.reserve("10.0.0.5", a)
		t.in(func(s *store) {
			Expect(s.release("10.0.0.5", b)).To(Succeed())
			Expect(s.release("10.0.0.6", a)).To(Succeed())
		})
		Expect(t.release(ip("10.0.0.5"), b)).To(Succeed())
		Expect(t.owned(a)).To(Equal([]string{"10.0.0.5"}))
		Expect(t.release(ip("10.0.0.5"), a)).To(Succeed())
		Expect(reservationsIn(t.path())).To(BeEmpty())
	})

	It("waits for the lock", func() {
		first, err := t.create()
		Expect(err).NotTo(HaveOccurred())
		opened := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			t.reserve("10.0.0.5", a)
			close(opened)
		}()
		Consistently(opened, "100ms").ShouldNot(BeClosed())
		first.Close()
		Eventually(opened, "5s").Should(BeClosed())
	})

	It("does not trust the lock of a file that was removed", func() {
		first, err := t.create()
		Expect(err).NotTo(HaveOccurred())
		opened := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			t.in(func(s *store) { Expect(isAt(s.file(lockName), s.lock)).To(BeTrue()) })
			close(opened)
		}()
		Consistently(opened, "100ms").ShouldNot(BeClosed())
		Expect(os.Remove(filepath.Join(t.path(), lockName))).To(Succeed())
		first.Close()
		Eventually(opened, "5s").Should(BeClosed())
	})

	DescribeTable("does not mind that the directory goes away while it waits for the lock",
		func(verb string, want []string) {
			first, err := t.create()
			Expect(err).NotTo(HaveOccurred())
			answer := make(chan error)
			go func() {
				_, err := call(verb, container("c"), configOf("1.1.0", t.dataDir, `"subnet":"10.0.0.0/24"`))
				answer <- err
			}()
			Consistently(answer, "100ms").ShouldNot(Receive())
			Expect(os.Rename(t.path(), t.path()+".old")).To(Succeed())
			first.Close()
			Eventually(answer, "5s").Should(Receive(BeNil()))
			if want == nil {
				Expect(t.path()).NotTo(BeADirectory())
			} else {
				Expect(reservationsIn(t.path())).To(Equal(want))
			}
			Expect(reservationsIn(t.path() + ".old")).To(BeEmpty())
		},
		Entry("DEL", "DEL", nil), Entry("GC", "GC", nil), Entry("ADD", "ADD", []string{"10.0.0.2 c\r\neth0"}),
	)

	It("reports what is in the way of the lock", func() {
		Expect(os.MkdirAll(filepath.Join(t.path(), lockName), 0o755)).To(Succeed())
		_, err := t.open()
		Expect(err).To(MatchError(ContainSubstring("is a directory")))
		Expect(code(err)).To(Equal(uint(5)))
	})
})
