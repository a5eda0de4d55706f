// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("parseResolvConf",
	func(text string, want types.DNS) {
		Expect(parseResolvConf(strings.NewReader(text))).To(Equal(want))
	},
	Entry("nothing", "", types.DNS{}),
	Entry("simple", "nameserver 192.0.2.0\nnameserver 192.0.2.1\n", types.DNS{Nameservers: []string{"192.0.2.0", "192.0.2.1"}}),
	Entry("comments", "\n# nameserver 192.0.2.0\n;nameserver 192.0.2.5\n   # x y\nnameserver 192.0.2.1\n", types.DNS{Nameservers: []string{"192.0.2.1"}}),
	Entry("all fields, several times", "domain example.com\nnameserver 192.0.2.2 192.0.2.3\nsearch a b\n\tsearch\tc \noptions o1 o2\noptions o3\ndomain example.net\nsortlist x y\nnameserver\n",
		types.DNS{Nameservers: []string{"192.0.2.2"}, Domain: "example.net", Search: []string{"a", "b", "c"}, Options: []string{"o1", "o2", "o3"}}),
	Entry("no line end", "nameserver ::1", types.DNS{Nameservers: []string{"::1"}}),
	Entry("DOS", "nameserver 10.0.0.1\r\nsearch x\r\n", types.DNS{Nameservers: []string{"10.0.0.1"}, Search: []string{"x"}}),
)

var _ = Describe("readResolvConf", func() {
	It("reads a file", func() {
		dir := GinkgoT().TempDir()
		write("nameserver 192.0.2.3\n", dir, "resolv.conf")
		Expect(readResolvConf(dir + "/resolv.conf")).To(Equal(types.DNS{Nameservers: []string{"192.0.2.3"}}))
		Expect(readResolvConf("")).To(Equal(types.DNS{}))
	})

	It("says which file it cannot read", func() {
		_, err := readResolvConf("/nowhere/resolv.conf")
		Expect(err).To(MatchError("ipam.resolvConf: open /nowhere/resolv.conf: no such file or directory"))
		dir := GinkgoT().TempDir()
		write(strings.Repeat("x", 1<<17), dir, "f")
		_, err = readResolvConf(dir + "/f")
		Expect(err).To(MatchError(ContainSubstring("read " + dir + "/f: ")))
	})
})
