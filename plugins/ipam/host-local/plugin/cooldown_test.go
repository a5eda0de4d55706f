// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("with a cooldown", func() {
	var dataDir, marks string
	BeforeEach(func() {
		dataDir = GinkgoT().TempDir()
		marks = filepath.Join(dataDir, cooldownName, "net")
	})
	// 10.0.0.2 to 10.0.0.4
	config := func(rest ...string) string {
		return configOf("1.1.0", dataDir, `"subnet":"10.0.0.0/29","rangeEnd":"10.0.0.4","cooldown":"130s"`, rest...)
	}
	add := func(id, conf string) string {
		GinkgoHelper()
		return addressesOf(mustAdd(container(id), conf))[0]
	}
	del := func(id, conf string) {
		GinkgoHelper()
		Expect(call("DEL", container(id), conf)).To(BeEmpty())
	}
	resting := func() []string {
		GinkgoHelper()
		names, err := readNames(marks)
		if !errors.Is(err, os.ErrNotExist) {
			Expect(err).NotTo(HaveOccurred())
		}
		return names
	}
	released := func(address string, ago time.Duration) {
		GinkgoHelper()
		Expect(os.Chtimes(filepath.Join(marks, address), time.Time{}, time.Now().Add(-ago))).To(Succeed())
	}

	It("assigns an address again only after it", func() {
		Expect(add("a", config())).To(Equal("10.0.0.2"))
		Expect(add("b", config())).To(Equal("10.0.0.3"))
		Expect(resting()).To(BeEmpty())
		del("a", config())
		del("b", config())
		Expect(resting()).To(ConsistOf("10.0.0.2", "10.0.0.3"))
		Expect(add("c", config())).To(Equal("10.0.0.4"))
		released("10.0.0.3", 131*time.Second)
		Expect(add("d", config())).To(Equal("10.0.0.3"))
		Expect(resting()).To(ConsistOf("10.0.0.2"))
	})

	It("assigns the next address rather than none, and says so", func() {
		for _, id := range []string{"a", "b", "c"} {
			add(id, config())
		}
		del("b", config())
		del("c", config())
		var assigned string
		Expect(captureStderr(func() { assigned = add("d", config()) })).To(ContainSubstring(
			"network net: 10.0.0.3 is assigned, though its cooldown of 2m10s is not over: no other address of range set 10.0.0.1-10.0.0.4 is free"))
		Expect(assigned).To(Equal("10.0.0.3"))
		Expect(resting()).To(ConsistOf("10.0.0.4"))
		add("e", config())
		_, err := call("ADD", container("f"), config())
		Expect(err).To(MatchError(ContainSubstring("no IP addresses available in range set")))
	})

	It("assigns an address that is asked for at once", func() {
		add("a", config())
		del("a", config())
		Expect(add("b", config(`"runtimeConfig":{"ips":["10.0.0.2"]}`))).To(Equal("10.0.0.2"))
		Expect(resting()).To(BeEmpty())
	})

	It("goes on for the addresses that an ADD that failed had asked for", func() {
		add("a", config())
		del("a", config())
		released("10.0.0.2", time.Minute)
		_, err := call("ADD", container("b"), config(`"runtimeConfig":{"ips":["10.0.0.2","10.9.9.9"]}`))
		Expect(err).To(MatchError(ContainSubstring("10.9.9.9")))
		Expect(resting()).To(ConsistOf("10.0.0.2"))
		released("10.0.0.2", 131*time.Second)
		Expect(add("c", config())).To(Equal("10.0.0.3"))
	})

	It("leaves no marks behind where nobody calls GC", func() {
		wide := configOf("1.1.0", dataDir, `"subnet":"fd00::/64","cooldown":"130s"`)
		swept := filepath.Join(dataDir, cooldownName, ".net")
		for range 3 {
			address := add("a", wide)
			del("a", wide)
			Expect(resting()).To(ContainElement(address))
			released(address, 131*time.Second)
		}
		Expect(resting()).To(HaveLen(3), "the last time is not over")
		Expect(os.Chtimes(swept, time.Time{}, time.Now().Add(-131*time.Second))).To(Succeed())
		address := add("a", wide)
		del("a", wide)
		Expect(resting()).To(ConsistOf(address))

		released(address, 131*time.Second)
		Expect(call("GC", container(""), configOf("1.1.0", dataDir, `"subnet":"fd00::/64","cooldown":"130s"`, `"cni.dev/valid-attachments":[]`))).To(BeEmpty())
		Expect(marks).NotTo(BeADirectory())
		Expect(swept).NotTo(BeAnExistingFile())
	})

	It("has an address that is released twice rest from then on", func() {
		add("a", config())
		del("a", config())
		released("10.0.0.2", time.Hour)
		add("b", config(`"runtimeConfig":{"ips":["10.0.0.2"]}`))
		del("b", config())
		Expect(add("c", config())).To(Equal("10.0.0.3"))
	})

	It("does not count a time that is to come", func() {
		add("a", config())
		add("b", config())
		del("a", config())
		released("10.0.0.2", -time.Hour)
		Expect(add("c", config())).To(Equal("10.0.0.4"))
		Expect(add("d", config())).To(Equal("10.0.0.2"))
	})

	It("lets an address of an ADD that failed be assigned at once", func() {
		s, err := directory{dataDir: dataDir, network: "net", rest: time.Hour, host: thisHost()}.create()
		Expect(err).NotTo(HaveOccurred())
		a := testAllocator(s, "a", setOf("10.0.0.0/30"))
		_, err = a.allocate(nil)
		Expect(err).NotTo(HaveOccurred())
		s.Close()
		Expect(a.undo.Unwind()).To(Succeed())
		Expect(resting()).To(BeEmpty())
	})

	It("begins with GC, too, which forgets those that are over", func() {
		add("a", config())
		add("b", config())
		del("a", config())
		released("10.0.0.2", 131*time.Second)
		gc := func() {
			GinkgoHelper()
			Expect(call("GC", container(""), config(`"cni.dev/valid-attachments":[]`))).To(BeEmpty())
		}
		gc()
		Expect(resting()).To(ConsistOf("10.0.0.3"))
		released("10.0.0.3", 131*time.Second)
		gc()
		Expect(marks).NotTo(BeADirectory())
	})

	It("leaves nothing without the key", func() {
		conf := configOf("1.1.0", dataDir, `"subnet":"10.0.0.0/29"`)
		add("a", config())
		del("a", config())
		add("b", conf)
		del("b", conf)
		Expect(resting()).To(ConsistOf("10.0.0.2"))
		Expect(call("GC", container(""), configOf("1.1.0", dataDir, `"subnet":"10.0.0.0/29"`, `"cni.dev/valid-attachments":[]`))).To(BeEmpty())
		Expect(marks).NotTo(BeADirectory())
	})

	DescribeTable("refuses", func(value string) {
		_, err := call("ADD", container("a"), configOf("1.1.0", dataDir, `"subnet":"10.0.0.0/29","cooldown":"`+value+`"`))
		Expect(err).To(MatchError(ContainSubstring("ipam.cooldown: \"" + value + "\" is not a time, such as 130s")))
	}, Entry("a number", "130"), Entry("a negative time", "-1s"), Entry("a word", "long"))
})
