// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("every plugin", func() {
	It("is asked", func() {
		root, err := moduleRoot()
		Expect(err).NotTo(HaveOccurred())
		mains, err := filepath.Glob(filepath.Join(root, "plugins", "*", "*", "main.go"))
		Expect(err).NotTo(HaveOccurred())
		Expect(mains).NotTo(BeEmpty())
		for _, main := range mains {
			for file, call := range map[string]string{"conformance_test.go": "conformance.Run(", "kill_test.go": "conformance.KillMatrix("} {
				text, err := os.ReadFile(filepath.Join(filepath.Dir(main), "plugin", file))
				Expect(err).NotTo(HaveOccurred(), "each plugin has the matrix run over it")
				Expect(string(text)).To(ContainSubstring(call))
			}
		}
	})
})

var _ = DescribeTable("diff",
	func(before, after, expected string) {
		Expect(diff(before, after)).To(Equal(expected))
	},
	Entry("equal", "a\nb", "a\nb", ""),
	Entry("one more", "a\nb", "a\nc\nb", "  + c\n"),
	Entry("one less", "a\nc\nb", "a\nb", "  - c\n"),
	Entry("one of two alike", "a\na", "a", "  - a\n"),
	Entry("another", "a\nb", "a\nc", "  - b\n  + c\n"),
	Entry("another order", "a\nb", "b\na", "  the order of lines, in:\nb\na"),
)

var _ = Describe("mutations", func() {
	doc := Object{"name": "n", "list": []any{Object{"id": 7.0}, "x"}, "object": Object{"key": true}}

	paths := func() []string {
		var all []string
		for _, at := range locations(doc) {
			all = append(all, at.String())
		}
		return all
	}

	It("find every value", func() {
		Expect(paths()).To(Equal([]string{"list", "list[0]", "list[0].id", "list[1]", "name", "object", "object.key"}))
	})

	It("replace one value by everything", func() {
		before := encode(doc)
		at := location{"list", 0, "id"}
		Expect(at.in(doc)).To(Equal(7.0))
		all := mutations(doc, at)
		Expect(all).To(HaveLen(len(replacements())))
		for i, mutated := range all {
			r := replacements()[i]
			Expect(mutated.path).To(Equal("list[0].id"))
			Expect(string(mutated.text)).To(Equal(`{"list":[{"id":` + r.text + `},"x"],"name":"n","object":{"key":true}}`))
			Expect(mutated.wrong).To(Equal(r.kind != "" && r.kind != "number"), r.name)
		}
		Expect(encode(doc)).To(Equal(before), "the original stays as it is")
	})

	It("are JSON, also the one that is not UTF-8 and the number nothing can hold", func() {
		all := mutations(doc, location{"object"})
		Expect(all).NotTo(BeEmpty())
		for _, mutated := range all {
			decoder := json.NewDecoder(strings.NewReader(string(mutated.text)))
			decoder.UseNumber()
			var decoded Object
			Expect(decoder.Decode(&decoded)).To(Succeed(), mutated.String())
		}
	})

	It("replace many values at once", func() {
		text := replaceAll(doc, "null", func(path string) bool { return path != "name" && path != "list" })
		Expect(string(text)).To(Equal(`{"list":[null,null],"name":"n","object":null}`))
	})
})

var _ = DescribeTable("the shape of results",
	func(version, result string, expected ...string) {
		var decoded Object
		Expect(json.Unmarshal([]byte(result), &decoded)).To(Succeed())
		Expect(shapeProblems(version, decoded)).To(HaveExactElements(expected))
	},
	Entry("0.1.0 by default", "", `{"cniVersion":"0.1.0","ip4":{"ip":"10.0.0.1/8","gateway":"10.0.0.2","routes":[]},"dns":{}}`),
	Entry("0.2.0", "0.2.0", `{"cniVersion":"0.2.0","ip6":{"ip":"fd00::1/64"}}`),
	Entry("0.2.0 in the form of 1.0.0", "0.2.0", `{"cniVersion":"0.2.0","ips":[]}`, ` has the key "ips"`),
	Entry("0.3.1", "0.3.1", `{"cniVersion":"0.3.1","interfaces":[{"name":"eth0","mac":"02::"}],"ips":[{"version":"4","address":"10.0.0.1/8","interface":0}],"dns":{}}`),
	Entry("0.4.0 without the version of an address", "0.4.0", `{"cniVersion":"0.4.0","ips":[{"address":"10.0.0.1/8"}]}`, "ips[0].version is <nil>"),
	Entry("1.0.0 with it", "1.0.0", `{"cniVersion":"1.0.0","ips":[{"version":"4","address":"10.0.0.1/8"}]}`, `ips[0] has the key "version"`),
	Entry("1.1.0", "1.1.0", `{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02::","mtu":1500}],"routes":[{"dst":"0.0.0.0/0","table":7}]}`),
	Entry("1.1.0 without an MTU", "1.1.0", `{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02::"}]}`, "interfaces[0] has no mtu"),
	Entry("an MTU too early", "0.4.0", `{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","mtu":1500}]}`, `interfaces[0] has the key "mtu"`),
	Entry("another version", "1.0.0", `{"cniVersion":"1.1.0"}`, "cniVersion is 1.1.0, the configuration's is 1.0.0"),
	Entry("an index of no interface", "1.0.0", `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/8","interface":1}]}`, "ips[0].interface is 1 of 0"),
	Entry("an address without a length", "1.0.0", `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1"}]}`, "ips[0].address is 10.0.0.1, an address with prefix length is expected"),
)

var _ = Describe("an answer", func() {
	refusal := `{"code": 7, "msg": "no"}`

	DescribeTable("is a proper refusal",
		func(answer Answer, fault string) {
			_, err := answer.Refusal()
			if fault == "" {
				Expect(err).NotTo(HaveOccurred())
				return
			}
			Expect(err).To(MatchError(ContainSubstring(fault)))
		},
		Entry("", Answer{Status: 1, Stdout: []byte(refusal)}, ""),
		Entry("unless it succeeded", Answer{Stdout: []byte(refusal)}, "succeeded"),
		Entry("unless it has another status", Answer{Status: 2, Stdout: []byte(refusal)}, "status 2"),
		Entry("unless it says nothing", Answer{Status: 1}, "no error object"),
		Entry("unless it says too much", Answer{Status: 1, Stdout: []byte(refusal + refusal)}, "something follows"),
		Entry("unless it has no code", Answer{Status: 1, Stdout: []byte(`{"msg": "no"}`)}, "without code"),
		Entry("unless it is a bug", Answer{Status: 1, Stdout: []byte(`{"code": 999, "msg": "internal error, please report it: nil"}`)}, "bug"),
		Entry("unless there is a trace", Answer{Status: 1, Stdout: []byte(refusal), Stderr: []byte("panic: nil map")}, "stack trace"),
	)

	It("of an ADD after a kill may tell of an address that was freed", func() {
		freed := "host-local: network n: freed 1 addresses that were reserved before this machine was started, or have no owner\n"
		Expect(string(withoutFreed([]byte("a\n" + freed + "b\n")))).To(Equal("a\nb\n"))
	})

	It("of a command other than ADD is silent", func() {
		Expect(Answer{}.silentSuccess()).To(Succeed())
		Expect(Answer{verb: "DEL", Stdout: []byte("{}")}.silentSuccess()).To(MatchError(ContainSubstring("DEL printed")))
		Expect(Answer{verb: "DEL", Status: 1}.silentSuccess()).To(MatchError(ContainSubstring("status 1")))
	})
})
