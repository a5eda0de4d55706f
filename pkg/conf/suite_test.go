// SPDX-License-Identifier: Apache-2.0

package conf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
)

func TestConf(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/conf")
}

type trunk struct {
	MinID *int `json:"minID"`
	MaxID *int `json:"maxID"`
}

type config struct {
	conf.Common
	MTU        int            `json:"mtu"`
	Rate       uint64         `json:"rate"`
	IsGateway  bool           `json:"isGateway"`
	Trunk      []*trunk       `json:"vlanTrunk"`
	Names      []string       `json:"names"`
	Gateway    net.IP         `json:"gateway"`
	Subnet     types.IPNet    `json:"subnet"`
	Routes     []*types.Route `json:"routes"`
	Limits     map[string]int `json:"limits"`
	Parameters conf.Distinct  `json:"parameters"`
	Runtime    struct {
		Mac string `json:"mac"`
	} `json:"runtimeConfig"`
}

func decode(text string) (config, []conf.IgnoredKey, error) {
	var c config
	var problems conf.Problems
	unknown, err := conf.Decode([]byte(text), &c, &problems)
	return c, unknown, errors.Join(err, problems.Err())
}

func code(err error) uint {
	var e *types.Error
	Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
	return e.Code
}

var _ = Describe("Decode", func() {
	It("fills own, embedded and nested fields, whatever the case of the keys", func() {
		c, unknown, err := decode(`{"cniVersion":"1.1.0","NAME":"net","mtu":1500,"rate":18446744073709551615,"IsGateway":true,
			"vlanTrunk":[{"minid":1,"MAXID":4}],"names":[],"gateway":"10.0.0.1","subnet":"10.0.0.0/8","routes":[{"dst":"1.0.0.0/8"}],
			"limits":{"a":1},"RuntimeConfig":{"MAC":"x","portMappings":[]},"ipam":{"type":"host-local","anything":[1]},"args":{"cni":{}}}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(unknown).To(BeEmpty())
		Expect(c.Name).To(Equal("net"))
		Expect(c.MTU).To(Equal(1500))
		Expect(c.Rate).To(Equal(^uint64(0)))
		Expect(c.IsGateway).To(BeTrue())
		Expect(*c.Trunk[0].MaxID).To(Equal(4))
		Expect(c.Names).To(BeEmpty())
		Expect(c.Names).NotTo(BeNil())
		Expect(c.Gateway.String()).To(Equal("10.0.0.1"))
		Expect(net.IP(c.Subnet.IP).String()).To(Equal("10.0.0.0"))
		Expect(c.Routes[0].Dst.String()).To(Equal("1.0.0.0/8"))
		Expect(c.Limits).To(HaveKeyWithValue("a", 1))
		Expect(c.Runtime.Mac).To(Equal("x"))
		Expect(c.IPAM.Type).To(Equal("host-local"))
	})

	DescribeTable("takes what encoding/json takes where a key stands there again, in whatever case",
		func(text string) {
			var want config
			Expect(json.Unmarshal([]byte(text), &want)).To(Succeed())
			c, _, err := decode(text)
			Expect(err).NotTo(HaveOccurred())
			c.ValidAttachments, want.ValidAttachments = nil, nil
			Expect(c.MTU).To(Equal(want.MTU))
			Expect(c.Runtime).To(Equal(want.Runtime))
			Expect(c.Trunk).To(Equal(want.Trunk))
			Expect(c.Names).To(Equal(want.Names))
		},
		Entry("as the field first", `{"mtu":1300,"MTU":1400}`),
		Entry("as the field last", `{"MTU":1300,"mtu":1400}`),
		Entry("as the field in between", `{"name":"n","MTU":1,"mtu":2,"Mtu":3}`),
		Entry("never as the field", `{"mTU":1,"MTU":2,"Mtu":3,"MtU":4}`),
		Entry("as it was before", `{"mtu":1,"MTU":2,"mtu":3}`),
		Entry("null", `{"mtu":1,"MTU":null}`),
		Entry("with an object", `{"runtimeConfig":{"mac":"a"},"RuntimeConfig":{"mac":"b"}}`),
		Entry("with an object before", `{"RuntimeConfig":{"mac":"a"},"runtimeConfig":{"mac":"b"}}`),
		Entry("with an object of other keys", `{"runtimeConfig":{"mac":"a"},"RuntimeConfig":{"mtu":7}}`),
		Entry("in an object of a list", `{"vlanTrunk":[{"minID":1,"maxID":2},{"MinID":3,"minID":4,"maxid":5,"maxID":6,"MAXID":7}]}`),
		Entry("with a list", `{"names":["a","b"],"Names":["c"]}`),
	)

	It("reports what is not UTF-8 and a field takes, and uses it like encoding/json", func() {
		c, unknown, err := decode("{\"name\":\"n\",\"names\":[\"\u00e9\ufffd\",\"R\xe9seau\"],\"d\xe9sc\":\"\xe9\",\"runtimeConfig\":{\"MAC\":\"\xff\"},\"args\":{\"x\":\"\xff\"}}")
		Expect(code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		Expect(err).To(MatchError("names[1]: \"R\ufffdseau\" is not UTF-8 in the configuration; runtimeConfig.MAC: \"\ufffd\" is not UTF-8 in the configuration"))
		Expect(c.Names).To(Equal([]string{"\u00e9\ufffd", "R\ufffdseau"}), "for DEL, which uses what can be decoded")
		Expect(unknown).To(HaveLen(1))
		_, _, err = decode("{\"name\":\"\xff\",\"name\":\"n\"}")
		Expect(err).NotTo(HaveOccurred(), "the last one counts")
	})

	It("lets the last value of a key of a map count, and tells", func() {
		c, ignored, err := decode(`{"limits":{"a":1,"b":2,"a":"x","a":3,"c":4},"limits2":{"a":1,"a":1},"vlanTrunk":[{"minID":1},{"minID":1,"minID":2}],"capabilities":{"ips":false,"ips":true}}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Limits).To(Equal(map[string]int{"a": 3, "b": 2, "c": 4}))
		Expect(c.Capabilities).To(Equal(map[string]bool{"ips": true}))
		Expect(ignored).To(ConsistOf(conf.IgnoredKey{Path: "limits.a", Repeated: true}, conf.IgnoredKey{Path: "capabilities.ips", Repeated: true},
			conf.IgnoredKey{Path: "limits2", Nearest: "limits"}))
	})

	It("reports a key that stands twice in a map where that must not be", func() {
		c, ignored, err := decode(`{"parameters":{"a":"1","b":"2","a":"1"}}`)
		Expect(err).To(MatchError("parameters.a: duplicated, only one of the values can count"))
		Expect(ignored).To(BeEmpty())
		Expect(c.Parameters).To(HaveKeyWithValue("b", "2"))
	})

	It("takes null for absent, but not as an element of a list", func() {
		c, _, err := decode(`{"mtu":null,"isGateway":null,"ipam":null,"vlanTrunk":[{"minID":1},null],"names":["a",null],"gateway":""}`)
		Expect(c.MTU).To(BeZero())
		Expect(c.Gateway).To(BeNil())
		Expect(err).To(MatchError("names[1]: null where a string is expected; vlanTrunk[1]: null where an object is expected"))
	})

	It("reports every wrong value with its path and code 7", func() {
		_, _, err := decode(`{"mtu":"1500","rate":-1,"isGateway":1,"vlanTrunk":[{"minID":1.5},{"maxID":99999999999999999999}],"names":"x",
			"gateway":"10.0.0","subnet":"10.0.0.0","limits":[],"runtimeConfig":{"mac":[]},"routes":[{"dst":7,"gw":"x"},{"gw":"10.0.0.1"},{"dst":"10.0.0.0"},5],"ipam":"host-local"}`)
		Expect(code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		for _, part := range []string{
			`mtu: the string "1500" where an integer is expected`,
			`rate: -1 is not a whole number from 0 to 18446744073709551615`,
			`isGateway: the number 1 where true or false is expected`,
			`vlanTrunk[0].minID: 1.5 is not a whole number of 64 bits`,
			`vlanTrunk[1].maxID: 99999999999999999999 is not`,
			`names: the string "x" where a list is expected`,
			`gateway: "10.0.0" is not an IP address`,
			`subnet: "10.0.0.0" is not CIDR notation`,
			`limits: a list where an object is expected`,
			`runtimeConfig.mac: a list where a string is expected`,
			`routes[0].dst: the number 7 where CIDR notation is expected`,
			`routes[0].gw: "x" is not an IP address`,
			`routes[1].dst: missing`,
			`routes[2].dst: "10.0.0.0" is not CIDR notation`,
			`routes[3]: the number 5 where an object is expected`,
			`ipam: the string "host-local" where an object is expected`,
		} {
			Expect(err).To(MatchError(ContainSubstring(part)))
		}
	})

	It("reports the name of an IPAM plugin that is a path, beside the rest", func() {
		c, _, err := decode(`{"mtu":"1500","ipam":{"type":"../x"}}`)
		Expect(code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		Expect(err).To(MatchError(`mtu: the string "1500" where an integer is expected; ipam.type: "../x" is not the name of a plugin: it must not contain a slash`))
		Expect(c.IPAM.Type).To(Equal("../x"), "for DEL, which uses what can be decoded")
		_, _, err = decode(`{"ipam":{"type":"host.local-2"}}`)
		Expect(err).NotTo(HaveOccurred())
	})

	It("reports the numbers that a route cannot have, and a gateway of the other family", func() {
		_, _, err := decode(`{"routes":[{"dst":"10.7.0.0/16","gw":"fd00::1","mtu":-1,"advmss":-3,"priority":-9,"table":-5,"scope":999},
			{"dst":"fd00:7::/64","gw":"10.0.0.1","table":4294967296},{"dst":"::ffff:10.9.0.0/112","gw":"10.0.0.1","table":4294967295,"scope":255}]}`)
		Expect(code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		Expect(err).To(MatchError("routes[0].table: -5 is outside 0-4294967295; routes[0].scope: 999 is outside 0-255; routes[0].priority: -9 is outside 0-4294967295; " +
			"routes[0].mtu: -1 is outside 0-4294967295; routes[0].advmss: -3 is outside 0-4294967295; routes[0].gw: fd00::1 is not of the family of 10.7.0.0/16; " +
			"routes[1].table: 4294967296 is outside 0-4294967295; routes[1].gw: 10.0.0.1 is not of the family of fd00:7::/64"))
	})

	DescribeTable("refuses what is no JSON object with code 6",
		func(text string) {
			_, _, err := decode(text)
			Expect(code(err)).To(Equal(types.ErrDecodingFailure))
		},
		Entry("nothing", ``),
		Entry("a list", `[]`),
		Entry("null", `null`),
		Entry("half", `{"name":`),
		Entry("two", `{} {}`),
		Entry("deep", strings.Repeat(`{"a":`, 20000)+`1`+strings.Repeat(`}`, 20000)),
	)

	It("names unknown keys and the nearest known one", func() {
		_, unknown, err := decode(`{"isGatewayy":true,"vlanTrunk":[{"minIDs":1}],"zzz":1,"_comment":"x","example.org/k":1}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(fmt.Sprint(unknown)).To(Equal(`["isGatewayy" (did you mean "isGateway"?) "vlanTrunk[0].minIDs" (did you mean "minID"?) "zzz"]`))
	})
})

var _ = Describe("Problems", func() {
	It("has code 4 when only the environment is wrong", func() {
		var p conf.Problems
		Expect(p.Err()).To(Succeed())
		conf.LinkName(&p, "CNI_IFNAME", "eth0")
		Expect(p.Err()).To(Succeed())
		conf.LinkName(&p, "CNI_IFNAME", "net%d")
		Expect(code(p.Err())).To(Equal(types.ErrInvalidEnvironmentVariables))
		Expect(p.Err()).To(MatchError(ContainSubstring(`CNI_IFNAME: "net%d" cannot be the name of an interface`)))
		p = conf.Problems{}
		for _, name := range []string{"all", "default", "all0"} {
			conf.LinkName(&p, "CNI_IFNAME", name)
		}
		const kept = "cannot be the name of an interface: the kernel keeps it for the parameters of all interfaces"
		Expect(p.Err()).To(MatchError(`CNI_IFNAME: "all" ` + kept + `; CNI_IFNAME: "default" ` + kept))
		p = conf.Problems{}
		p.Add("CNI_ARGS.MAC", "bad")
		Expect(code(p.Err())).To(Equal(types.ErrInvalidEnvironmentVariables))
		p.Range("vlan", 5000, 0, 4094)
		p.Range("mtu", 5, 0, 10)
		p.OneOf("mode", "x", "l2", "l3")
		p.OneOf("mode", "l2", "l2", "l3")
		Expect(code(p.Err())).To(Equal(types.ErrInvalidNetworkConfig))
		Expect(p.Err()).To(MatchError("CNI_ARGS.MAC: bad; vlan: 5000 is outside 0-4094; mode: \"x\" is not one of l2, l3"))
	})
})

var _ = It("does not say of a value that could not be decoded what follows from its absence", func() {
	var c config
	var p conf.Problems
	_, err := conf.Decode([]byte(`{"MTU":"1500","rate":-1,"vlanTrunk":[{"minID":"x"},{}],"names":"a"}`), &c, &p)
	Expect(err).NotTo(HaveOccurred())
	decoded := p.Len()
	for _, path := range []string{"mtu", "mtuu", "rate", "rate", "vlanTrunk[0].minID", "vlanTrunk[0].minID.x", "vlanTrunk[0].maxID", "vlanTrunk[0]", "vlanTrunk[1].minID", "names[3]", "limits", "limits"} {
		p.Add(path, "missing")
	}
	Expect(p.Len()).To(Equal(decoded + 12))
	Expect(p.Err()).To(MatchError(`MTU: the string "1500" where an integer is expected; names: the string "a" where a list is expected; ` +
		`rate: -1 is not a whole number from 0 to 18446744073709551615; vlanTrunk[0].minID: the string "x" where an integer is expected; ` +
		`mtuu: missing; vlanTrunk[0].maxID: missing; vlanTrunk[0]: missing; vlanTrunk[1].minID: missing; limits: missing; limits: missing`))
})

var _ = DescribeTable("MTU",
	func(mtu int, problem string) {
		var p conf.Problems
		conf.MTU(&p, "mtu", mtu)
		if problem == "" {
			Expect(p.Err()).To(Succeed())
			return
		}
		Expect(p.Err()).To(MatchError(problem))
	},
	Entry("the kernel's own", 0, ""),
	Entry("the smallest", 68, ""),
	Entry("the largest", 65535, ""),
	Entry("too small for any device", 67, "mtu: 67 is smaller than 68, with which Ethernet and IPv4 begin"),
	Entry("negative", -1, "mtu: -1 is outside 0-65535"),
	Entry("too large", 65536, "mtu: 65536 is outside 0-65535"),
)

var _ = DescribeTable("ParseEnvArgs",
	func(text string, want conf.EnvArgs, problem string) {
		var p conf.Problems
		Expect(conf.ParseEnvArgs(text, []string{"MAC", "IP"}, &p)).To(Equal(want))
		if problem == "" {
			Expect(p.Err()).To(Succeed())
		} else {
			Expect(p.Err()).To(MatchError(ContainSubstring(problem)))
		}
	},
	Entry("empty", "", conf.EnvArgs{}, ""),
	Entry("known", "MAC=a;IP=b", conf.EnvArgs{"MAC": "a", "IP": "b"}, ""),
	Entry("as kubelet sends them", "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=a", conf.EnvArgs{"MAC": "a"}, ""),
	Entry("the order does not matter", "K=x;IgnoreUnknown=TRUE", conf.EnvArgs{}, ""),
	Entry("unknown", "mac=a", conf.EnvArgs{}, `ARGS: unknown args ["mac=a"]`),
	Entry("not ignored", "K=x;IgnoreUnknown=0", conf.EnvArgs{}, `ARGS: unknown args ["K=x"]`),
	Entry("trailing", "MAC=a;", conf.EnvArgs{"MAC": "a"}, `ARGS: invalid pair ""`),
	Entry("two equal signs", "MAC=a=b", conf.EnvArgs{}, `ARGS: invalid pair "MAC=a=b"`),
	Entry("bad IgnoreUnknown", "IgnoreUnknown=x", conf.EnvArgs{}, `CNI_ARGS.IgnoreUnknown: "x" is not one of`),
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"mtu":1}`, `{"vlanTrunk":[null]}`, `{"routes":[{"dst":{},"table":null}]}`, `{"routes":[{"dst":"::/0","gw":"::1"}]}`, `{"ipam":{"type":1}}`, `{"mtu":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		var c config
		var p conf.Problems
		_, _ = conf.Decode(data, &c, &p)
		_ = p.Err()
	})
}

func FuzzParseEnvArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;MAC=a")
	f.Fuzz(func(_ *testing.T, text string) {
		var p conf.Problems
		conf.ParseEnvArgs(text, []string{"MAC"}, &p)
		_ = p.Err()
	})
}

var _ = DescribeTable("LimitFamilies",
	func(version string, v4, v6 int, problem string) {
		c, problems := conf.Common{CNIVersion: version}, new(conf.Problems)
		c.LimitFamilies(problems, "ipam.addresses", v4, v6)
		if problem == "" {
			Expect(problems.Err()).NotTo(HaveOccurred())
			return
		}
		Expect(problems.Err()).To(MatchError(ContainSubstring(problem)))
	},
	Entry("one of each", "0.2.0", 1, 1, ""),
	Entry("two of IPv4", "0.2.0", 2, 0, "ipam.addresses: CNI version 0.2.0 does not support more than 1 address per family"),
	Entry("two of IPv6", "0.1.0", 1, 2, "ipam.addresses: CNI version 0.1.0 does not"),
	Entry("without a version", "", 2, 2, "does not support more than 1"),
	Entry("in a newer version", "0.3.0", 9, 9, ""),
)
