// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// restart gives the host another boot id.
func (h host) restart() { write("boot-2\n", h.bootID) }

var _ = Describe("reservations of earlier boots", func() {
	var t testStore
	a, b := ownerOf("a", "eth0"), ownerOf("b", "eth0")

	BeforeEach(func() { t = newTestStore() })

	Describe("after a restart", func() {
		// reserved makes two reservations in the first boot.
		reserved := func() {
			GinkgoHelper()
			t.reserve("10.0.0.5", a)
			t.reserve("10.0.0.6", b)
		}

		It("frees what was reserved before, whatever the clock says", func() {
			reserved()
			write("0.01 0.01\n", t.host.uptime)
			t.host.restart()
			Expect(captureStderr(func() { t.reserve("10.0.0.7", a) })).To(Equal(
				"host-local: network net: freed 2 addresses that were reserved before this machine was started, or have no owner\n"))
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.7 " + a}))
			Expect(captureStderr(func() { t.reserve("10.0.0.8", b) })).To(BeEmpty())
			Expect(reservationsIn(t.path())).To(HaveLen(2))
		})

		It("keeps what it cannot attribute to a container", func() {
			write("reserved for the printer", t.path(), "10.0.0.9")
			write("before0.8.0", t.path(), "10.0.0.10")
			reserved()
			t.host.restart()
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.10 before0.8.0", "10.0.0.9 reserved for the printer"}))
		})

		It("keeps what another program has reserved since", func() {
			reserved()
			t.host.restart()
			write(ownerOf("c", "eth0"), t.path(), "10.0.0.7")
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.7 c\r\neth0"}))
			Expect(captureStderr(func() { t.in(func(*store) {}) })).To(BeEmpty())
			Expect(t.inOrder()).To(BeTrue())
		})

		It("keeps what another program has reserved again since", func() {
			reserved()
			t.host.restart()
			Expect(os.Remove(t.path() + "/10.0.0.5")).To(Succeed())
			write(a, t.path(), "10.0.0.5")
			age(-5*time.Second, t.path(), "10.0.0.5") // the machine was off for a while
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.5 " + a}))
		})

		It("keeps what another machine has reserved", func() {
			reserved()
			age(3*time.Hour, t.path(), "10.0.0.5")
			t.host.restart()
			write("machine-2\n", t.host.machineID)
			Expect(captureStderr(func() { t.in(func(*store) {}) })).To(BeEmpty())
			Expect(reservationsIn(t.path())).To(HaveLen(2))
			Expect(newIndex(t.dataDir, "net").boot()).To(Equal(boot{"boot-2", "machine-2"}))
		})

		DescribeTable("knows a machine without an id by its name",
			func(now string, kept int) {
				Expect(os.Remove(t.host.machineID)).To(Succeed())
				write("node-1\n", t.host.hostname)
				reserved()
				t.host.restart()
				write(now, t.host.hostname)
				captureStderr(func() { t.in(func(*store) {}) })
				Expect(reservationsIn(t.path())).To(HaveLen(kept))
			},
			Entry("the same", "node-1\n", 0), Entry("another", "node-2\n", 2),
		)

		DescribeTable("keeps what another machine may have reserved, where machines have no id",
			func(id string) {
				write(id, t.host.machineID)
				write("localhost.localdomain\n", t.host.hostname)
				reserved()
				age(3*time.Hour, t.path(), "10.0.0.5")
				t.host.restart()
				Expect(captureStderr(func() { t.in(func(*store) {}) })).To(BeEmpty())
				Expect(reservationsIn(t.path())).To(HaveLen(2))
				Expect(newIndex(t.dataDir, "net").boot()).To(Equal(boot{id: "boot-2"}))
			},
			Entry("but an empty file", ""),
			Entry("but a line without any", "\n"),
			Entry("but that of an image which has not been started yet", "uninitialized\n"),
		)

		It("frees nothing where boots cannot be told apart", func() {
			reserved()
			Expect(os.Remove(t.host.bootID)).To(Succeed())
			t.reserve("10.0.0.7", a)
			t.host.restart()
			Expect(captureStderr(func() { t.in(func(*store) {}) })).To(BeEmpty())
			Expect(reservationsIn(t.path())).To(HaveLen(3))
		})

		It("leaves a store that is only read alone", func() {
			reserved()
			t.host.restart()
			s, err := t.openReadOnly()
			Expect(err).NotTo(HaveOccurred())
			defer s.Close()
			Expect(s.owned(a)).To(Equal([]string{"10.0.0.5"}))
			Expect(reservationsIn(t.path())).To(HaveLen(2))
		})

		It("finishes what a killed command has begun", func() {
			reserved()
			t.host.restart()
			Expect(os.Remove(t.path() + "/10.0.0.5")).To(Succeed())
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(BeEmpty())
		})
	})

	Describe("the first time, in a directory of another release", func() {
		It("frees what is older than the machine's start by every clock", func() {
			write(a, t.path(), "10.0.0.5")
			write(b, t.path(), "10.0.0.6")
			age(3*time.Hour, t.path(), "10.0.0.5")
			age(90*time.Minute, t.path(), "10.0.0.6") // before now minus the uptime, but /run is older
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(Equal([]string{"10.0.0.6 " + b}))
		})

		It("keeps what is younger than the uptime, however young /run is", func() {
			write(a, t.path(), "10.0.0.5")
			age(30*time.Minute, t.path(), "10.0.0.5")
			age(0, t.host.run, "utmp")
			captureStderr(func() { t.in(func(*store) {}) })
			Expect(reservationsIn(t.path())).To(HaveLen(1))
		})

		DescribeTable("frees nothing without evidence",
			func(spoil func()) {
				write(a, t.path(), "10.0.0.5")
				age(30*24*time.Hour, t.path(), "10.0.0.5")
				spoil()
				captureStderr(func() { t.in(func(*store) {}) })
				Expect(reservationsIn(t.path())).To(HaveLen(1))
			},
			Entry("no boot id", func() { Expect(os.Remove(t.host.bootID)).To(Succeed()) }),
			Entry("no machine id", func() { Expect(os.Remove(t.host.machineID)).To(Succeed()) }),
			Entry("no uptime", func() { Expect(os.Remove(t.host.uptime)).To(Succeed()) }),
			Entry("strange uptime", func() { write("soon", t.host.uptime) }),
			Entry("no /run", func() { Expect(os.RemoveAll(t.host.run)).To(Succeed()) }),
			Entry("empty /run", func() { Expect(os.Remove(t.host.run + "/utmp")).To(Succeed()) }),
		)

		It("frees what a crash has left empty", func() {
			write("", t.path(), "10.0.0.5")
			Expect(captureStderr(func() { t.in(func(*store) {}) })).To(ContainSubstring("freed 1 addresses"))
			Expect(reservationsIn(t.path())).To(BeEmpty())
		})

		It("leaves files that reserve no address empty", func() {
			write("", t.path(), ".keep")
			write("", t.path(), "10.0.0.5")
			write("", t.path(), "README")
			Expect(captureStderr(func() { t.in(func(*store) {}) })).To(ContainSubstring("freed 1 addresses"))
			Expect(reservationsIn(t.path())).To(Equal([]string{".keep ", "README "}))
			Expect(t.inOrder()).To(BeTrue())
			Expect(captureStderr(func() { t.in(func(s *store) { Expect(s.scan(none)).To(BeZero()) }) })).To(BeEmpty())
		})
	})

	It("knows this machine", func() {
		now := thisHost().boot()
		if !now.certain() {
			Skip("this system has no boot id or no machine id")
		}
		Expect(thisHost().runningID()).To(Equal(now.id))
		Expect(now.restartOf(boot{"x", now.machine})).To(BeTrue())
		started, ok := thisHost().started(time.Now())
		Expect(ok).To(BeTrue())
		Expect(started).To(BeTemporally("<=", time.Now()))
		Expect(parseBoot(now.String())).To(Equal(now))
	})
})
