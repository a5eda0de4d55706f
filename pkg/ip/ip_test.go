// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"encoding/json"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ip"
)

var _ = Describe("IP", func() {
	DescribeTable("reads what it writes",
		func(text string, addr net.IP, prefix int) {
			parsed := ip.ParseIP(text)
			Expect(parsed).NotTo(BeNil())
			Expect(parsed.ToIP().Equal(addr)).To(BeTrue())
			if addr.To4() != nil {
				Expect(parsed.ToIP()).To(HaveLen(net.IPv4len))
			}
			ones, _ := parsed.Mask.Size()
			Expect(ones).To(Equal(prefix))
			Expect(parsed.String()).To(Equal(text))
			Expect(json.Marshal(parsed)).To(MatchJSON(`"` + text + `"`))

			var decoded ip.IP
			Expect(json.Unmarshal([]byte(`"`+text+`"`), &decoded)).To(Succeed())
			Expect(&decoded).To(Equal(parsed))
		},
		Entry("IPv4", "192.168.0.1", net.IPv4(192, 168, 0, 1), 0),
		Entry("IPv4 with a prefix length", "192.168.0.1/24", net.IPv4(192, 168, 0, 1), 24),
		Entry("IPv4 with prefix length 0", "192.168.0.1/0", net.IPv4(192, 168, 0, 1), 0),
		Entry("IPv6", "2001:db8::1", net.ParseIP("2001:db8::1"), 0),
		Entry("IPv6 with a prefix length", "2001:db8::1/64", net.ParseIP("2001:db8::1"), 64),
	)

	DescribeTable("refuses what is no address",
		func(text string) {
			Expect(ip.ParseIP(text)).To(BeNil())
			untouched := ip.ParseIP("10.0.0.1")
			err := untouched.UnmarshalText([]byte(text))
			Expect(err).To(MatchError(ContainSubstring(text)))
			Expect(untouched.String()).To(Equal("10.0.0.1"))
		},
		Entry("too large a byte", "192.168.0.1000"),
		Entry("too large a prefix length", "192.168.0.1/33"),
		Entry("a prefix length alone", "/24"),
		Entry("no prefix length", "192.168.0.1/"),
		Entry("a word", "localhost"),
	)

	It("has an empty text for the zero value", func() {
		Expect(ip.ParseIP("")).To(BeNil())
		Expect((&ip.IP{}).String()).To(Equal("<nil>"), "to the reader, as upstream")
		Expect(json.Marshal(&ip.IP{})).To(MatchJSON(`""`))

		decoded := *ip.ParseIP("10.0.0.1/8")
		Expect(json.Unmarshal([]byte(`""`), &decoded)).To(Succeed())
		Expect(decoded).To(Equal(ip.IP{}))
	})

	It("stands in slices", func() {
		const text = `["192.168.0.1/24","2001:db8::1",""]`
		var list []*ip.IP
		Expect(json.Unmarshal([]byte(text), &list)).To(Succeed())
		Expect(list).To(HaveLen(3))
		Expect(json.Marshal(list)).To(MatchJSON(text))
		Expect(json.Unmarshal([]byte(`["10.0.0.1","10.0.0.256"]`), &list)).To(MatchError(ContainSubstring("10.0.0.256")))
	})
})
