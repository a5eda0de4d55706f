// SPDX-License-Identifier: Apache-2.0

package utils_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/utils"
)

var _ = Describe("names", func() {
	DescribeTable("of chains are those on running hosts",
		func(name, id, prefix, want string) {
			Expect(utils.MustFormatChainNameWithPrefix(name, id, prefix)).To(Equal(want))
			Expect(want).To(HaveLen(28))
			if prefix == "" {
				Expect(utils.FormatChainName(name, id)).To(Equal(want))
			}
		},
		Entry("short", "test", "1234", "", "CNI-2bbe0c48b91a7d1b8a6753a8"),
		Entry("long", "testalongnamethatdoesnotmakesense", "1234", "", "CNI-374f33fe84ab0ed84dcdebe3"),
		Entry("with a prefix", "test", "1234", "PREFIX-", "CNI-PREFIX-2bbe0c48b91a7d1b8"),
		Entry("of a port mapping", "test", "icee6giejonei6so", "DN-", "CNI-DN-022110f36292712c8bb50"),
		Entry("of a port mapping", "mynet", "c1", "DN-", "CNI-DN-f0bca4ac77cde1bf2f3da"),
		Entry("of a port mapping's source", "mynet", "c1", "SN-", "CNI-SN-f0bca4ac77cde1bf2f3da"),
	)

	DescribeTable("of other things are those on running hosts",
		func(length int, prefix, hashed, want string) {
			Expect(utils.MustFormatHashWithPrefix(length, prefix, hashed)).To(Equal(want))
		},
		Entry("an ifb link", 15, "bwp", "mynet"+"c1", "bwpf0bca4ac77cd"),
		Entry("an ifb link", 15, "bwp", "cni-plugin-bandwidth-test"+"dummy", "bwpa8eda89404b7"),
		Entry("a network in an nft comment", 16, "", "unit-test", "6fd94d501e58f0aa"),
		Entry("an attachment in an nft comment", 16, "", "eth0:one", "287fc69eff0574a2"),
	)

	It("change when one character does", func() {
		Expect(utils.FormatChainName("test", "1234")).NotTo(Equal(utils.FormatChainName("test", "1235")))
	})

	It("do not collide in 1000", func() {
		seen := map[string]bool{}
		for i := range 1000 {
			seen[utils.MustFormatHashWithPrefix(8, "", fmt.Sprint(i))] = true
		}
		Expect(seen).To(HaveLen(1000))
	})

	DescribeTable("of an impossible length are a mistake in a program",
		func(length int, prefix string) {
			Expect(func() { utils.MustFormatHashWithPrefix(length, prefix, "x") }).To(PanicWith("invalid length"))
		},
		Entry("no room for a hash", 3, "bwp"),
		Entry("a prefix that is too long", 3, "long"),
		Entry("none", 0, ""),
		Entry("less than none", -1, ""),
		Entry("more than a hash has", 129, ""),
	)

	It("may be as long as a hash", func() {
		Expect(utils.MustFormatHashWithPrefix(utils.MaxHashLen, "", "x")).To(HaveLen(128))
		Expect(func() { utils.MustFormatChainNameWithPrefix("a", "b", strings.Repeat("p", 24)) }).To(Panic())
		Expect(utils.MustFormatChainNameWithPrefix("a", "b", strings.Repeat("p", 23))).To(HaveLen(28))
	})

	It("are quoted in comments", func() {
		Expect(utils.FormatComment("my net", `c"1`)).To(Equal(`name: "my net" id: "c\"1"`))
	})
})
