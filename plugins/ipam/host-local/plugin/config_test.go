// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/conf"
)

// problemsOf validates a configuration as the chassis does.
func problemsOf(c *Config, args conf.EnvArgs) error {
	var problems conf.Problems
	c.Validate(&problems, args)
	return problems.Err()
}

// decode decodes and validates a configuration as the chassis does.
func decode(text, envArgs string) (*Config, error) {
	var c Config
	var problems conf.Problems
	if _, err := conf.Decode([]byte(text), &c, &problems); err != nil {
		return &c, err
	}
	c.Validate(&problems, conf.ParseEnvArgs(envArgs, []string{"IP"}, &problems))
	return &c, problems.Err()
}

var _ = Describe("Config", func() {
	It("takes the single range of old configurations", func() {
		c, err := decode(`{"cniVersion":"0.3.1","name":"mynet","type":"ipvlan","master":"foo0","ipam":{"type":"host-local",
			"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.20","gateway":"10.1.2.30"}}`, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(c.sets).To(Equal([]RangeSet{setOf("10.1.2.0/24 10.1.2.9-10.1.2.20 10.1.2.30")}))
		Expect(c.directory().path()).To(Equal("/var/lib/cni/networks/mynet"))
	})

	It("takes range sets", func() {
		c, err := decode(`{"cniVersion":"0.3.1","name":"mynet","ipam":{"type":"host-local","dataDir":"/d","ranges":[
			[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.20","gateway":"10.1.2.30"},{"subnet":"10.1.4.0/24"}],
			[{"subnet":"2001:db8:1::/64"}]]}}`, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(c.sets).To(Equal([]RangeSet{setOf("10.1.2.0/24 10.1.2.9-10.1.2.20 10.1.2.30", "10.1.4.0/24"), setOf("2001:db8:1::/64")}))
		Expect(c.directory().path()).To(Equal("/d/mynet"))
	})

	It("orders the runtime's ranges before the single one before the others", func() {
		c, err := decode(`{"cniVersion":"0.3.1","name":"mynet","RuntimeConfig":{"ipRanges":[[{"subnet":"11.1.2.0/24"}],[{"subnet":"12.1.2.0/24"}]]},
			"ipam":{"subnet":"10.1.2.0/24","ranges":[[{"subnet":"10.1.3.0/24"}]]}}`, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(fmt.Sprint(c.sets)).To(Equal("[11.1.2.1-11.1.2.254 12.1.2.1-12.1.2.254 10.1.2.1-10.1.2.254 10.1.3.1-10.1.3.254]"))
	})

	It("passes over the parts of a single range without a subnet", func() {
		c, err := decode(`{"cniVersion":"0.3.1","name":"n","ipam":{"rangeStart":"x","gateway":"10.0.0.1","ranges":[[{"subnet":"10.1.2.0/24"}]]}}`, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(c.sets).To(HaveLen(1))
	})

	DescribeTable("leaves out what is excluded",
		func(exclude string, want string) {
			c, err := decode(configOf("1.0.0", "", `"subnet":"10.1.2.0/24","rangeStart":"10.1.2.8","rangeEnd":"10.1.2.23","exclude":[`+exclude+`]`), "")
			Expect(err).NotTo(HaveOccurred())
			Expect(c.sets).To(HaveLen(1))
			Expect(c.sets[0].String()).To(Equal(want))
		},
		Entry("nothing", ``, "10.1.2.8-10.1.2.23"),
		Entry("an address", `"10.1.2.10"`, "10.1.2.8-10.1.2.9,10.1.2.11-10.1.2.23"),
		Entry("the first", `"10.1.2.8"`, "10.1.2.9-10.1.2.23"),
		Entry("the last", `"10.1.2.23"`, "10.1.2.8-10.1.2.22"),
		Entry("a subnet", `"10.1.2.12/30"`, "10.1.2.8-10.1.2.11,10.1.2.16-10.1.2.23"),
		Entry("a subnet past the beginning", `"10.1.2.0/28"`, "10.1.2.16-10.1.2.23"),
		Entry("a subnet past the end", `"10.1.2.16/28"`, "10.1.2.8-10.1.2.15"),
		Entry("what is not in the range", `"10.1.2.0/29","10.1.2.24/29","10.1.2.255"`, "10.1.2.8-10.1.2.23"),
		Entry("several, in any order, which overlap", `"10.1.2.20","10.1.2.12/30","10.1.2.13","10.1.2.12","::ffff:10.1.2.9"`,
			"10.1.2.8-10.1.2.8,10.1.2.10-10.1.2.11,10.1.2.16-10.1.2.19,10.1.2.21-10.1.2.23"),
		Entry("all but one", `"10.1.2.8/30","10.1.2.12/30","10.1.2.16/30","10.1.2.20/31","10.1.2.22"`, "10.1.2.23-10.1.2.23"),
	)

	It("leaves out what a range of a set excludes, and no other", func() {
		c, err := decode(`{"cniVersion":"1.0.0","name":"n","ipam":{"ranges":[
			[{"subnet":"10.1.2.0/24","exclude":["10.1.2.128/25"]},{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.200","rangeEnd":"10.1.2.201"}],
			[{"subnet":"2001:db8::/64","exclude":["2001:db8::/65"]}]]}}`, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(fmt.Sprint(c.sets)).To(Equal("[10.1.2.1-10.1.2.127,10.1.2.200-10.1.2.201 2001:db8:0:0:8000::-2001:db8::ffff:ffff:ffff:ffff]"))
	})

	DescribeTable("adds up the requested addresses of all sources",
		func(envArgs, outer string, want string) {
			c, err := decode(configOf("0.3.1", "", `"subnet":"10.1.2.0/24"`, outer), envArgs)
			Expect(err).NotTo(HaveOccurred())
			Expect(fmt.Sprint(c.requested)).To(Equal(want))
		},
		Entry("none", "", `"x":1`, "[]"),
		Entry("CNI_ARGS", "IP=10.1.2.10", `"x":1`, "[10.1.2.10]"),
		Entry("CNI_ARGS with prefix", "IP=10.1.2.11/24;IgnoreUnknown=1;K8S_POD=x", `"x":1`, "[10.1.2.11]"),
		Entry("CNI_ARGS that are empty", "IP=", `"x":1`, "[]"),
		Entry("args", "", `"args":{"cni":{"ips":["10.1.2.11","11.11.11.11/8"]}}`, "[10.1.2.11 11.11.11.11]"),
		Entry("capability", "", `"runtimeConfig":{"ips":["10.1.2.11","2001:DB8::0:1/64"]}`, "[10.1.2.11 2001:db8::1]"),
		Entry("all of them, each once", "IP=10.1.2.10",
			`"args":{"cni":{"ips":["10.1.2.11","::ffff:10.1.2.10"]}},"runtimeConfig":{"ips":["10.1.2.12","10.1.2.11/16"]}`,
			"[10.1.2.10 10.1.2.11 10.1.2.12]"),
	)

	DescribeTable("allows one address per family in old versions",
		func(cniVersion, ranges, problem string) {
			_, err := decode(configOf(cniVersion, "", `"ranges":`+ranges), "")
			if problem == "" {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(err).To(MatchError(problem))
			}
		},
		Entry("one of each", "0.2.0", `[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`, ""),
		Entry("two of IPv4", "0.2.0", `[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.3.0/24"}]]`,
			"ipam.ranges: CNI version 0.2.0 does not support more than 1 address per family"),
		Entry("two of IPv6", "0.1.0", `[[{"subnet":"2001:db8:2::/64"}],[{"subnet":"2001:db8:1::/64"}]]`,
			"ipam.ranges: CNI version 0.1.0 does not support more than 1 address per family"),
		Entry("two of IPv4 later", "0.3.0", `[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.3.0/24"}]]`, ""),
	)

	DescribeTable("says where it is wrong",
		func(text, problem string) {
			_, err := decode(text, "")
			Expect(err).To(MatchError(problem))
			Expect(code(err)).To(Equal(uint(7)))
		},
		Entry("an exclusion that is none", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","exclude":["10.1.2.9-10.1.2.12"]`), `ipam.exclude[0]: "10.1.2.9-10.1.2.12" is neither an address nor a subnet such as 10.1.2.0/24`),
		Entry("an exclusion with host bits", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","exclude":["10.1.2.9/30"]`), `ipam.exclude[0]: "10.1.2.9/30" is neither an address nor a subnet such as 10.1.2.0/24`),
		Entry("an exclusion of elsewhere", configOf("1.0.0", "", `"ranges":[[{"subnet":"10.1.2.0/24","exclude":["10.1.2.9","10.1.3.1"]}]]`), `ipam.ranges[0][0].exclude[1]: 10.1.3.1 is not in 10.1.2.0/24`),
		Entry("an exclusion of the other family", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","exclude":["2001:db8::1"]`), `ipam.exclude[0]: 2001:db8::1 is not in 10.1.2.0/24`),
		Entry("an exclusion that is larger", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","exclude":["10.1.0.0/16"]`), `ipam.exclude[0]: 10.1.0.0/16 is not in 10.1.2.0/24`),
		Entry("an exclusion of everything", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","exclude":["10.1.2.0/24"]`), `ipam.exclude: nothing is left of 10.1.2.1-10.1.2.254`),
		Entry("a name that no directory has", `{"name":"`+strings.Repeat("n", 256)+`","ipam":{"subnet":"10.0.0.0/24"}}`,
			"name: it has 256 bytes, at most 255 are allowed: the reservations are in a directory of that name"),
		Entry("no ipam", `{"name":"n"}`, "ipam: IPAM config missing 'ipam' key"),
		Entry("null ipam", `{"name":"n","ipam":null,"runtimeConfig":{"ipRanges":[[{"subnet":"10.0.0.0/24"}]]}}`, "ipam: IPAM config missing 'ipam' key"),
		Entry("no ranges", configOf("1.0.0", "", `"ranges":[]`), "ipam.ranges: no IP ranges specified"),
		Entry("empty range set", configOf("1.0.0", "", `"ranges":[[]]`), "ipam.ranges[0]: empty range set, a list of ranges is expected"),
		Entry("flat ranges", configOf("1.0.0", "", `"ranges":[{"subnet":"10.0.0.0/24"}]`), "ipam.ranges[0]: an object where a list is expected"),
		Entry("null range set", configOf("1.0.0", "", `"ranges":[null]`), "ipam.ranges[0]: null where a list is expected"),
		Entry("null range", configOf("1.0.0", "", `"ranges":[[null]]`), "ipam.ranges[0][0]: null where an object is expected"),
		Entry("nulls of the runtime", configOf("1.0.0", "", `"subnet":"10.0.0.0/24"`, `"runtimeConfig":{"ips":[null],"ipRanges":[null]},"args":{"cni":{"ips":[null]}}`),
			"args.cni.ips[0]: null where a string is expected; runtimeConfig.ipRanges[0]: null where a list is expected; runtimeConfig.ips[0]: null where a string is expected"),
		Entry("an empty request", configOf("1.0.0", "", `"subnet":"10.0.0.0/24"`, `"runtimeConfig":{"ips":[""]}`),
			`runtimeConfig.ips[0]: cannot understand ip: "", an address with or without prefix length is expected`),
		Entry("no subnet", configOf("1.0.0", "", `"ranges":[[{"rangeStart":"10.0.0.4"}]]`), "ipam.ranges[0][0].subnet: missing, a subnet such as 10.1.0.0/16 is expected"),
		Entry("subnet of a wrong type", configOf("1.0.0", "", `"ranges":[[{"subnet":5}]]`), "ipam.ranges[0][0].subnet: the number 5 where a string is expected"),
		Entry("subnet without prefix", configOf("1.0.0", "", `"subnet":"10.0.0.0"`), `ipam.subnet: "10.0.0.0" is not CIDR notation, such as 10.1.0.0/16`),
		Entry("subnet for somebody else", configOf("1.0.0", "", `"subnet":"usePodCidr"`), `ipam.subnet: "usePodCidr" is not CIDR notation, such as 10.1.0.0/16`),
		Entry("host bits /24", configOf("1.0.0", "", `"subnet":"192.0.2.12/24"`), "ipam.subnet: Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0"),
		Entry("host bits /30", configOf("1.0.0", "", `"subnet":"192.0.2.18/28"`), "ipam.subnet: Network has host bits set. For a subnet mask of length 28 the network address is 192.0.2.16"),
		Entry("host bits IPv6", configOf("1.0.0", "", `"subnet":"2001:db8:1::1/64"`), "ipam.subnet: Network has host bits set. For a subnet mask of length 64 the network address is 2001:db8:1::"),
		Entry("too small", configOf("1.0.0", "", `"subnet":"192.0.2.0/31"`), "ipam.subnet: Network 192.0.2.0/31 too small to allocate from, the longest prefix is /30"),
		Entry("too small IPv6", configOf("1.0.0", "", `"subnet":"2001:db8::/127"`), "ipam.subnet: Network 2001:db8::/127 too small to allocate from, the longest prefix is /126"),
		Entry("mapped", configOf("1.0.0", "", `"subnet":"::ffff:10.0.0.0/120"`), `ipam.subnet: IPNet IP and Mask version mismatch: write "::ffff:10.0.0.0/120" as an IPv4 subnet`),
		Entry("start", configOf("1.0.0", "", `"subnet":"192.0.2.0/24","rangeStart":"192.0.3.0"`), "ipam.rangeStart: RangeStart 192.0.3.0 not in network 192.0.2.0/24"),
		Entry("end", configOf("1.0.0", "", `"subnet":"192.0.2.0/24","rangeEnd":"192.0.4.0"`), "ipam.rangeEnd: RangeEnd 192.0.4.0 not in network 192.0.2.0/24"),
		Entry("start behind end", configOf("1.0.0", "", `"subnet":"192.0.2.0/24","rangeStart":"192.0.2.50","rangeEnd":"192.0.2.40"`),
			"ipam.rangeStart: RangeStart 192.0.2.50 not in network 192.0.2.0/24 up to the range's end, 192.0.2.40"),
		Entry("start behind the end that was meant", configOf("1.0.0", "", `"subnet":"192.0.2.0/24","rangeStart":"192.0.2.255"`),
			"ipam.rangeStart: RangeStart 192.0.2.255 not in network 192.0.2.0/24 up to the range's end, 192.0.2.254"),
		Entry("start of the other family", configOf("1.0.0", "", `"subnet":"192.0.2.0/24","rangeStart":"::1"`), "ipam.rangeStart: RangeStart ::1 not in network 192.0.2.0/24"),
		Entry("a zone", configOf("1.0.0", "", `"subnet":"fe80::/64","rangeStart":"fe80::5%eth0"`), `ipam.rangeStart: "fe80::5%eth0" is not an IP address`),
		Entry("all at once", configOf("1.0.0", "", `"ranges":[[{"subnet":"10.0.0.0/24","rangeStart":"a","rangeEnd":"b","gateway":"c"},{"subnet":"d"}],[]]`),
			`ipam.ranges[0][0].rangeStart: "a" is not an IP address; ipam.ranges[0][0].rangeEnd: "b" is not an IP address; ipam.ranges[0][0].gateway: "c" is not an IP address; ipam.ranges[0][1].subnet: "d" is not CIDR notation, such as 10.1.0.0/16; ipam.ranges[1]: empty range set, a list of ranges is expected`),
		Entry("routes", configOf("1.0.0", "", `"subnet":"10.0.0.0/24","cooldown":"x","routes":[{"dst":"10.7.0.0/16","table":-5,"scope":999},{"dst":"0.0.0.0/0","gw":"fd00::1"}]`),
			`ipam.routes[0].table: -5 is outside 0-4294967295; ipam.routes[0].scope: 999 is outside 0-255; ipam.routes[1].gw: fd00::1 is not of the family of 0.0.0.0/0; ipam.cooldown: "x" is not a time, such as 130s`),
		Entry("overlap in a set", configOf("1.0.0", "", `"ranges":[[{"subnet":"10.1.0.0/22"},{"subnet":"10.1.2.0/24"}]]`),
			"ipam.ranges[0][1]: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"),
		Entry("overlap of sets", configOf("1.0.0", "", `"subnet":"10.1.2.0/24","ranges":[[{"subnet":"10.1.0.0/22"}]]`),
			"ipam.ranges[0]: range set 1 overlaps with 0: 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 have addresses in common"),
		Entry("mixed families", configOf("1.0.0", "", `"ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"2001:db8:1::/64"}]]`),
			"ipam.ranges[0][1]: mixed address families: a range set gives out one address, of one family"),
		Entry("requested", configOf("1.0.0", "", `"subnet":"10.1.2.0/24"`, `"args":{"cni":{"ips":["10.1.2","10.1.2.3/33"]}}`),
			`args.cni.ips[0]: cannot understand ip: "10.1.2", an address with or without prefix length is expected; args.cni.ips[1]: cannot understand ip: "10.1.2.3/33", an address with or without prefix length is expected`),
	)

	It("has code 4 for a bad CNI_ARGS alone", func() {
		_, err := decode(configOf("1.0.0", "", `"subnet":"10.1.2.0/24"`), "IP=afile.fs")
		Expect(err).To(MatchError(`CNI_ARGS.IP: cannot understand ip: "afile.fs", an address with or without prefix length is expected`))
		Expect(code(err)).To(Equal(uint(4)))
	})
})
