// SPDX-License-Identifier: Apache-2.0

package conf

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("duplicates",
	func(text string, want map[string][]string) {
		Expect(spellingOf([]byte(text)).duplicates).To(Equal(want))
	},
	Entry("nowhere", `{"a":{"b":1},"b":{"b":[{"b":2},{"b":3}]},"":"a"}`, map[string][]string{}),
	Entry("at the top", `{"a":{"a":1},"b":2,"a":3,"a":4}`, map[string][]string{"": {"a"}}),
	Entry("inside", `{"x":[1,"x",{"y":{"k":"k","l":[],"k":{},"l":null}}],"z":{"k":1}}`, map[string][]string{"x[2].y": {"k", "l"}}),
	Entry("by another escape", `{"m":{"k":1,"\u006b":2}}`, map[string][]string{"m": {"k"}}),
	Entry("in no JSON", `{"a":`, map[string][]string{}),
	Entry("in a text", `"a"`, map[string][]string{}),
)
