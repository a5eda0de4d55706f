// SPDX-License-Identifier: Apache-2.0

package static

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestStatic(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/ipam/static")
}

// call runs a command of the plugin.
func call(verb, envArgs, conf string) (string, error) {
	var stdout bytes.Buffer
	err := Plugin.Call(context.Background(), verb, &skel.CmdArgs{
		ContainerID: "dummy",
		Netns:       "/some/where",
		IfName:      "eth0",
		Args:        envArgs,
		Path:        "/nowhere",
		StdinData:   []byte(conf),
	}, &stdout)
	return stdout.String(), err
}

// mustAdd runs ADD and converts what it printed to the current version.
func mustAdd(envArgs, conf string) *current.Result {
	GinkgoHelper()
	printed, err := call("ADD", envArgs, conf)
	Expect(err).NotTo(HaveOccurred())
	var stated struct{ CNIVersion string }
	Expect(json.Unmarshal([]byte(printed), &stated)).To(Succeed())
	result, err := version.NewResult(stated.CNIVersion, []byte(printed))
	Expect(err).NotTo(HaveOccurred())
	converted, err := current.NewResultFromResult(result)
	Expect(err).NotTo(HaveOccurred())
	return converted
}

// code returns the CNI error code that the runtime sees.
func code(err error) uint {
	GinkgoHelper()
	var e *types.Error
	Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
	return e.Code
}

// addresses returns the addresses of a result, each "address via gateway".
func addresses(result *current.Result) []string {
	list := []string{}
	for _, ip := range result.IPs {
		list = append(list, fmt.Sprintf("%s via %s", ip.Address.String(), ip.Gateway))
	}
	return list
}

func routes(result *current.Result) []string {
	var list []string
	for _, route := range result.Routes {
		list = append(list, fmt.Sprintf("%s via %s", route.Dst.String(), route.GW))
	}
	return list
}

// configOf returns a configuration from the members of its "ipam" object, and
// of the outer one.
func configOf(cniVersion, ipam string, outer ...string) string {
	return `{"cniVersion":"` + cniVersion + `","name":"mynet","type":"ipvlan","master":"foo0",` + strings.Join(append(outer, ""), ",") +
		`"ipam":{"type":"static",` + ipam + `}}`
}

const configured = `"addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"3ffe:ffff:0:01ff::1/64","gateway":"3ffe:ffff:0::1","version":"6"}],
	"routes":[{"dst":"0.0.0.0/0"},{"dst":"192.168.0.0/16","gw":"10.10.5.1"},{"dst":"3ffe:ffff:0:01ff::1/64"}],
	"dns":{"nameservers":["8.8.8.8"],"domain":"example.com","search":["example.com"],"options":["ndots:2"]}`

const ofRuntime = `"RuntimeConfig":{"ips":["10.10.0.1/24","3ffe:ffff:0:01ff::1/64"]}`
const ofArgs = `"args":{"cni":{"ips":["11.11.0.1/24","3ffe:ffff:1:01ff::1/64"]}}`

var _ = Describe("static", func() {
	for _, ver := range testutils.AllSpecVersions {
		Describe("version "+ver, func() {
			It("assigns the configured addresses", func() {
				result := mustAdd("", configOf(ver, configured))
				Expect(addresses(result)).To(Equal([]string{"10.10.0.1/24 via 10.10.0.254", "3ffe:ffff:0:1ff::1/64 via 3ffe:ffff::1"}))
				Expect(routes(result)).To(ConsistOf("0.0.0.0/0 via <nil>", "192.168.0.0/16 via 10.10.5.1", "3ffe:ffff:0:1ff::1/64 via <nil>"))
				Expect(result.DNS).To(Equal(types.DNS{Nameservers: []string{"8.8.8.8"}, Domain: "example.com", Search: []string{"example.com"}, Options: []string{"ndots:2"}}))
				Expect(call("DEL", "", configOf(ver, configured))).To(BeEmpty())
			})

			It("keeps several gateways of one destination", func() {
				result := mustAdd("", configOf(ver, `"addresses":[{"address":"10.10.0.1/24"}],
					"routes":[{"dst":"10.0.0.0/8","gw":"10.10.0.2"},{"dst":"10.0.0.0/8","gw":"10.10.0.3"}]`))
				Expect(routes(result)).To(Equal([]string{"10.0.0.0/8 via 10.10.0.2", "10.0.0.0/8 via 10.10.0.3"}))
			})

			It("takes an address and its gateway from CNI_ARGS", func() {
				result := mustAdd("IP=10.10.0.1/24;GATEWAY=10.10.0.254", configOf(ver, `"routes":[{"dst":"0.0.0.0/0"}]`))
				Expect(addresses(result)).To(Equal([]string{"10.10.0.1/24 via 10.10.0.254"}))
			})

			It("takes several addresses from CNI_ARGS", func() {
				const envArgs = "IP=10.10.0.1/24, 11.11.0.1/24;GATEWAY= 10.10.0.254"
				conf := configOf(ver, `"routes":[{"dst":"0.0.0.0/0"}]`)
				if !testutils.SpecVersionHasMultipleIPs(ver) {
					_, err := call("ADD", envArgs, conf)
					Expect(err).To(MatchError("static: ipam.addresses: CNI version " + ver + " does not support more than 1 address per family"))
					Expect(code(err)).To(Equal(uint(7)))
					return
				}
				Expect(addresses(mustAdd(envArgs, conf))).To(Equal([]string{"10.10.0.1/24 via 10.10.0.254", "11.11.0.1/24 via <nil>"}))
			})

			It("takes addresses from the runtime", func() {
				result := mustAdd("", configOf(ver, `"routes":[{"dst":"0.0.0.0/0"}]`, ofRuntime))
				Expect(addresses(result)).To(Equal([]string{"10.10.0.1/24 via <nil>", "3ffe:ffff:0:1ff::1/64 via <nil>"}))
			})

			It("takes addresses from args", func() {
				result := mustAdd("", configOf(ver, `"routes":[{"dst":"0.0.0.0/0"}]`, ofArgs))
				Expect(addresses(result)).To(Equal([]string{"11.11.0.1/24 via <nil>", "3ffe:ffff:1:1ff::1/64 via <nil>"}))
			})

			It("prefers the runtime to args to all others", func() {
				ipam := `"addresses":[{"address":"no address"}]`
				result := mustAdd("IP=12.12.0.1/24", configOf(ver, ipam, ofRuntime, ofArgs))
				Expect(addresses(result)).To(Equal([]string{"10.10.0.1/24 via <nil>", "3ffe:ffff:0:1ff::1/64 via <nil>"}))
				result = mustAdd("IP=12.12.0.1/24", configOf(ver, ipam, ofArgs))
				Expect(addresses(result)).To(Equal([]string{"11.11.0.1/24 via <nil>", "3ffe:ffff:1:1ff::1/64 via <nil>"}))
			})

			It("has nothing to do on DEL", func() {
				Expect(call("DEL", "IP=x;;", configOf(ver, `"addresses":[null,7]`))).To(BeEmpty())
				Expect(call("DEL", "", `{"cniVersion":"`+ver+`","name":"n"}`)).To(BeEmpty())
			})

			DescribeTable("says where it is wrong",
				func(envArgs, conf, problem string, wantCode int) {
					_, err := call("ADD", envArgs, strings.Replace(conf, "VERSION", ver, 1))
					Expect(err).To(MatchError("static: " + problem))
					Expect(code(err)).To(Equal(uint(wantCode)))
				},
				Entry("no ipam, CNI_ARGS", "IP=10.10.0.1/24", `{"cniVersion":"VERSION","name":"n"}`, "ipam: IPAM config missing 'ipam' key", 7),
				Entry("no ipam, runtime", "", `{"cniVersion":"VERSION","name":"n",`+ofRuntime+`}`, "ipam: IPAM config missing 'ipam' key", 7),
				Entry("ipam", "", configOf("VERSION", `"addresses":[{"address":"10.10.0.1"}]`),
					"ipam.addresses[0].address: the 'address' field is expected to be in CIDR notation, got: '10.10.0.1'", 7),
				Entry("addresses of no interface", "", configOf("VERSION", `"addresses":[{"address":"0.0.0.0/0"},{"address":"224.1.1.5/24"}]`),
					"ipam.addresses[0].address: 0.0.0.0/0 cannot be the address of an interface; ipam.addresses[1].address: 224.1.1.5/24 cannot be the address of an interface", 7),
				Entry("IPv6 addresses of no interface", "", configOf("VERSION", `"addresses":[{"address":"::/64"},{"address":"ff02::5/64"}]`),
					"ipam.addresses[0].address: ::/64 cannot be the address of an interface; ipam.addresses[1].address: ff02::5/64 cannot be the address of an interface", 7),
				Entry("everybody's address in CNI_ARGS", "IP=255.255.255.255/24", configOf("VERSION", `"routes":[]`), "CNI_ARGS.IP: 255.255.255.255/24 cannot be the address of an interface", 4),
				Entry("nobody's address in args", "", configOf("VERSION", `"routes":[]`, `"args":{"cni":{"ips":["0.0.0.0/8"]}}`), "args.cni.ips[0]: 0.0.0.0/8 cannot be the address of an interface", 7),
				Entry("a mapped group of the runtime", "", configOf("VERSION", `"routes":[]`, `"runtimeConfig":{"ips":["::ffff:224.0.0.1/120"]}`),
					"runtimeConfig.ips[0]: 224.0.0.1/24 cannot be the address of an interface", 7),
				Entry("routes", "", configOf("VERSION", `"routes":[{"dst":"10.7.0.0/16","mtu":-1},{"dst":"fd00:7::/64","gw":"10.0.0.1"}]`),
					"ipam.routes[0].mtu: -1 is outside 0-4294967295; ipam.routes[1].gw: 10.0.0.1 is not of the family of fd00:7::/64", 7),
				Entry("CNI_ARGS", "IP=10.10.0.1", configOf("VERSION", `"routes":[]`),
					"CNI_ARGS.IP: the 'ip' field is expected to be in CIDR notation, got: '10.10.0.1'", 4),
				Entry("args", "", configOf("VERSION", `"routes":[]`, `"args":{"cni":{"ips":["10.10.0.1"]}}`),
					"args.cni.ips[0]: an entry in the 'ips' field is NOT in CIDR notation, got: '10.10.0.1'", 7),
				Entry("runtime", "", configOf("VERSION", `"routes":[]`, `"runtimeConfig":{"ips":["10.10.0.1"]}`),
					"runtimeConfig.ips[0]: an entry in the 'ips' field is NOT in CIDR notation, got: '10.10.0.1'", 7),
			)
		})
	}

	It("adds CNI_ARGS to the configuration", func() {
		result := mustAdd("IP=10.10.0.7/24,fd00::7/64;GATEWAY=10.10.0.253,10.10.0.254,fd00::1;IgnoreUnknown=1;K8S_POD_NAME=x", configOf("1.1.0", `"addresses":[{"address":"10.10.0.1/24"}]`))
		Expect(addresses(result)).To(Equal([]string{"10.10.0.1/24 via <nil>", "10.10.0.7/24 via 10.10.0.254", "fd00::7/64 via fd00::1"}))
	})

	It("takes all addresses from the runtime", func() {
		result := mustAdd("IP=10.10.0.7/24", `{"cniVersion":"1.1.0","name":"n","ipam":{}}`)
		Expect(addresses(result)).To(Equal([]string{"10.10.0.7/24 via <nil>"}))
		Expect(call("ADD", "IP=10.10.0.7/24", `{"cniVersion":"1.1.0","name":"n","ipam":null}`)).Error().To(MatchError("static: ipam: IPAM config missing 'ipam' key"))
	})

	It("assigns nothing if that is what it is told", func() {
		printed, err := call("ADD", "", configOf("0.3.0", `"addresses":[]`))
		Expect(err).NotTo(HaveOccurred())
		Expect(printed).NotTo(ContainSubstring("ips"))
		_, err = call("ADD", "", configOf("0.2.0", `"addresses":[]`))
		Expect(err).To(MatchError("static: cannot convert: no valid IP addresses"))
	})

	DescribeTable("parses addresses",
		func(text, want string) {
			network, ok := parseCIDR(text)
			Expect(ok).To(Equal(want != ""))
			if ok {
				Expect(network.String()).To(Equal(want))
				Expect(len(network.IP)).To(Equal(len(network.Mask)))
			}
		},
		Entry("IPv4", "10.1.2.3/16", "10.1.2.3/16"),
		Entry("IPv6", "2001:DB8::1/64", "2001:db8::1/64"),
		Entry("mapped", "::ffff:10.1.2.3/112", "10.1.2.3/16"),
		Entry("mapped, too short", "::ffff:10.1.2.3/64", ""),
		Entry("nothing", "", ""),
		Entry("no prefix", "10.1.2.3", ""),
		Entry("no address", "x/24", ""),
	)

	It("reports everything that is wrong", func() {
		_, err := call("ADD", "IP=a,b;GATEWAY=c;X=y", configOf("1.1.0", `"addresses":[{"address":"d","gateway":"e"},null]`))
		Expect(err).To(MatchError(And(
			ContainSubstring(`ARGS: unknown args ["X=y"]`),
			ContainSubstring("got: 'a'"), ContainSubstring("got: 'b'"), ContainSubstring("CNI_ARGS.GATEWAY: invalid gateway address: c"),
			ContainSubstring("ipam.addresses[0].address: "), ContainSubstring(`ipam.addresses[0].gateway: "e" is not an IP address`),
			ContainSubstring("ipam.addresses[1]: null where an object is expected"))))
		Expect(code(err)).To(Equal(uint(7)))
	})

	DescribeTable("CHECK compares prevResult with the configuration",
		func(envArgs, prev, problem string) {
			_, err := call("CHECK", envArgs, configOf("1.1.0", `"addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"fd00::1/64"}]`, `"prevResult":`+prev))
			if problem == "" {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(err).To(MatchError("static: " + problem))
			}
		},
		Entry("none", "", "null", "prevResult: missing, CHECK compares the addresses with it"),
		Entry("equal", "", `{"cniVersion":"1.1.0","ips":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"fd00::1/64"}]}`, ""),
		Entry("more than configured", "", `{"cniVersion":"1.1.0","ips":[{"address":"1.2.3.4/8"},{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"fd00::1/64","gateway":"fd00::2"}]}`, ""),
		Entry("another gateway, an address missing", "", `{"cniVersion":"1.1.0","ips":[{"address":"10.10.0.1/24","gateway":"10.10.0.253"}]}`,
			"10.10.0.1 on interface eth0: its gateway in prevResult is 10.10.0.253, expected 10.10.0.254; fd00::1 on interface eth0: prevResult does not have it"),
		Entry("another prefix", "", `{"cniVersion":"1.1.0","ips":[{"address":"10.10.0.1/16","gateway":"10.10.0.254"},{"address":"fd00::1/64"}]}`,
			"10.10.0.1 on interface eth0: prevResult has 10.10.0.1/16, expected 10.10.0.1/24"),
		Entry("CNI_ARGS", "IP=9.9.9.9/24", `{"cniVersion":"1.1.0","ips":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"fd00::1/64"}]}`,
			"9.9.9.9 on interface eth0: prevResult does not have it"),
		Entry("nulls", "", `{"cniVersion":"1.1.0","ips":[null]}`, "prevResult.ips[0]: null where an object is expected"),
	)

	It("answers STATUS and GC", func() {
		Expect(call("STATUS", "", configOf("1.1.0", configured))).To(BeEmpty())
		Expect(call("GC", "", configOf("1.1.0", `"addresses":7`))).To(BeEmpty())
		_, err := call("STATUS", "", configOf("1.1.0", `"addresses":[{}]`))
		Expect(err).To(HaveOccurred())
	})

	It("understands the examples of its README", func() {
		readme, err := os.ReadFile("../README.md")
		Expect(err).NotTo(HaveOccurred())
		blocks := strings.Split(string(readme), "```json\n")[1:]
		Expect(blocks).NotTo(BeEmpty())
		for _, block := range blocks {
			example, _, _ := strings.Cut(block, "```")
			Expect(Plugin.Lint([]byte(example))).To(Succeed(), example)
		}
	})
})

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		configOf("1.1.0", configured),
		configOf("0.2.0", `"addresses":[{"address":"::ffff:10.0.0.1/120"}]`, ofRuntime),
		configOf("1.0.0", `"addresses":[null,{"version":4}]`, ofArgs),
		`{"ipam":null}`, `{"ipam":[]}`,
	} {
		f.Add(seed, "IP=10.0.0.1/24,::1/0;GATEWAY=10.0.0.2,,")
	}
	f.Fuzz(func(t *testing.T, text, envArgs string) {
		var c Config
		var problems conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &problems); err != nil {
			return
		}
		c.Validate(&problems, conf.ParseEnvArgs(envArgs, []string{"IP", "GATEWAY"}, &problems))
		if problems.Len() > 0 {
			return
		}
		for _, a := range c.assigned {
			again, ok := parseCIDR(a.network.String())
			if !ok || again.String() != a.network.String() {
				t.Errorf("%s is not read back", a.network.String())
			}
		}
	})
}
