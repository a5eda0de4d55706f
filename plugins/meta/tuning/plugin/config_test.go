// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("a number as value", `{"name":"n","sysctl":{"net.ipv4.ip_forward":1}}`, "sysctl.net.ipv4.ip_forward: the number 1 where a string is expected"),
	Entry("twice the same key", `{"name":"n","sysctl":{"net.a":"1","net.a":"1"}}`, "sysctl.net.a: duplicated"),
	Entry("twice the same parameter", `{"name":"n","sysctl":{"net.a.b":"1","net/a/b":"2"}}`,
		"sysctl.net/a/b: is the same parameter as sysctl.net.a.b, which has another value"),
	Entry("a parameter of the machine", `{"name":"n","sysctl":{"kernel.hostname":"x"}}`, "sysctl.kernel.hostname: invalid net sysctl key, it is /proc/sys/kernel/hostname"),
	Entry("a way out", `{"name":"n","sysctl":{"net/../kernel/x":"1","net":"1"}}`, "sysctl.net: invalid net sysctl key"),
	Entry("a parameter of all namespaces", `{"name":"n","args":{"cni":{"sysctl":{"net.netfilter.nf_hooks_lwtunnel":"1"}}}}`,
		"args.cni.sysctl.net.netfilter.nf_hooks_lwtunnel: the host has only one"),
	Entry("addresses", `{"name":"n","mac":"x","runtimeConfig":{"mac":"01:00:00:00:00:01"},"args":{"cni":{"mac":"00:00:00:00:00:00"}}}`,
		`mac: "x" is not a MAC address`, "runtimeConfig.mac: ", "args.cni.mac: "),
	Entry("too small an MTU", `{"name":"n","mtu":67,"args":{"cni":{"mtu":5}}}`,
		"tuning: mtu: 67 is smaller than 68, with which Ethernet and IPv4 begin; args.cni.mtu: 5 is smaller than 68"),
	Entry("numbers", `{"name":"n","mtu":-1,"args":{"cni":{"txQLen":-1}}}`, "mtu: -1 is outside 0-2147483647", "args.cni.txQLen: -1 is outside"),
)

func decode(text string) *Config {
	GinkgoHelper()
	var c Config
	var p conf.Problems
	_, err := conf.Decode([]byte(text), &c, &p)
	Expect(err).NotTo(HaveOccurred())
	Expect(p.Err()).NotTo(HaveOccurred())
	return &c
}

var _ = DescribeTable("parameters",
	func(text, ifName string, want ...string) {
		parameters, err := decode(text).parameters(ifName)
		Expect(err).NotTo(HaveOccurred())
		var files []string
		for _, p := range parameters {
			files = append(files, p.file+"="+p.value)
		}
		Expect(files).To(Equal(want))
	},
	Entry("with dots and slashes", `{"sysctl":{"net.ipv4.ip_forward":"1","net/ipv4/tcp_tw_reuse":"2","net/ipv4.x":"3","net..ipv4.y":"4"}}`, "eth0",
		"net/ipv4/ip_forward=1", "net/ipv4/tcp_tw_reuse=2", "net/ipv4/x=3", "net/ipv4/y=4"),
	Entry("of the interface, whose name has a dot", `{"sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1"}}`, "eth0.100",
		"net/ipv4/conf/eth0.100/arp_filter=1"),
	Entry("IFNAME is replaced once", `{"sysctl":{"net.IFNAME.IFNAME":"1"}}`, "e", "net/e/IFNAME=1"),
	Entry("the general before the particular",
		`{"sysctl":{"net.ipv4.conf.IFNAME.x":"1","net.ipv6.conf.all.x":"2","net.ipv4.ip_forward":"3","net.ipv4.conf.default.x":"4","net.ipv4.conf.all.x":"5"}}`, "a0",
		"net/ipv4/ip_forward=3", "net/ipv4/conf/all/x=5", "net/ipv6/conf/all/x=2", "net/ipv4/conf/default/x=4", "net/ipv4/conf/a0/x=1"),
	Entry("args.cni comes before, however it is written", `{"sysctl":{"net.a.b":"1","net.a.c":"1"},"args":{"cni":{"sysctl":{"net/a/b":"2","net.d":"3"}}}}`, "e",
		"net/a/b=2", "net/a/c=1", "net/d=3"),
	Entry("of args.cni alone", `{"args":{"cni":{"sysctl":{"net.a":"1"}}}}`, "e", "net/a=1"),
	Entry("the same in two spellings", `{"sysctl":{"net.a.b":"1","net/a/b":"1"}}`, "e", "net/a/b=1"),
)

var _ = Describe("the interface's name", func() {
	It("leads nowhere else", func() {
		_, err := decode(`{"sysctl":{"net.ipv4.conf.IFNAME.x":"1"}}`).parameters("a/b")
		Expect(err).To(MatchError(ContainSubstring("invalid net sysctl key")))
		_, err = decode(`{"sysctl":{"net.IFNAME.x":"1"}}`).parameters("..")
		Expect(err).To(MatchError(ContainSubstring("invalid net sysctl key, it is /proc/sys/x")))
	})
	It("may make two parameters one", func() {
		_, err := decode(`{"sysctl":{"net.IFNAME.x":"1","net.eth0.x":"2"}}`).parameters("eth0")
		Expect(err).To(MatchError(ContainSubstring("the same parameter")))
	})
})

var _ = DescribeTable("the MAC address",
	func(text, args, want string) {
		c := decode(text)
		env := conf.EnvArgs{}
		if args != "" {
			env["MAC"] = args
		}
		Expect(c.mac(env)).To(Equal(want))
	},
	Entry("none", `{}`, "", ""),
	Entry("of the configuration", `{"mac":"0A-00-00-00-00-01"}`, "", "0a:00:00:00:00:01"),
	Entry("of CNI_ARGS", `{"mac":"0a:00:00:00:00:01"}`, "0a:00:00:00:00:02", "0a:00:00:00:00:02"),
	Entry("of runtimeConfig", `{"mac":"0a:00:00:00:00:01","runtimeConfig":{"mac":"0a:00:00:00:00:03"}}`, "0a:00:00:00:00:02", "0a:00:00:00:00:03"),
	Entry("of args.cni", `{"mac":"0a:00:00:00:00:01","runtimeConfig":{"mac":"0a:00:00:00:00:03"},"args":{"cni":{"mac":"0a:00:00:00:00:04"}}}`,
		"0a:00:00:00:00:02", "0a:00:00:00:00:04"),
	Entry("taken back by args.cni", `{"mac":"0a:00:00:00:00:01","args":{"cni":{"mac":""}}}`, "", ""),
)

var _ = DescribeTable("wanted attributes",
	func(text string, want attributeValues) { Expect(decode(text).wanted(nil)).To(Equal(want)) },
	Entry("none", `{"promisc":false,"mtu":0}`, attributeValues{}),
	Entry("all", `{"promisc":true,"mtu":1400,"allmulti":true,"txQLen":0}`,
		attributeValues{promiscKey: true, mtuKey: 1400, allMultiKey: true, txQLenKey: 0}),
	Entry("off", `{"allmulti":false}`, attributeValues{allMultiKey: false}),
	Entry("of args.cni", `{"promisc":true,"mtu":1400,"allmulti":true,"txQLen":5,"args":{"cni":{"promisc":false,"mtu":0,"allmulti":false,"txQLen":7}}}`,
		attributeValues{allMultiKey: false, txQLenKey: 7}),
)

var _ = DescribeTable("the allow-list",
	func(text, key, complaint string) {
		list, err := parseAllowList(text)
		if err == nil {
			err = list.check([]parameter{{path: "sysctl." + key, key: key}})
		}
		if complaint == "" {
			Expect(err).NotTo(HaveOccurred())
		} else {
			Expect(err).To(MatchError(ContainSubstring(complaint)))
		}
	},
	Entry("allows what an expression finds anywhere", "\n  ipv4\\.conf  \n\n", "net.ipv4.conf.eth0.x", ""),
	Entry("allows what any line allows", "^net.core\n^net.ipv4.conf.IFNAME.[a-z_]*$", "net.ipv4.conf.IFNAME.arp_filter", ""),
	Entry("takes the key as it is written", "^net\\.ipv4", "net/ipv4/x", "sysctl.net/ipv4/x: not allowed by /etc/cni/tuning/allowlist.conf"),
	Entry("allows nothing when it is empty", " \n", "net.ipv4.x", "not allowed"),
	Entry("says what is allowed", "^net.core$\n# no comments", "net.ipv4.x", `which has ["^net.core$" "# no comments"]`),
	Entry("says which line is wrong", "^net\n(", "net.ipv4.x", "line 2: "),
)

var _ = Describe("a parameter that the host shares", func() {
	It("is told by its file", func() {
		testutils.Need(GinkgoT(), "root")
		host := openOnHost([]parameter{{file: "net/ipv4/ip_forward"}, {file: "kernel/pid_max"}, {file: "net/no/such"}})
		DeferCleanup(host.close)
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			Expect(host.shares("net/ipv4/ip_forward")).To(BeFalse())
			Expect(host.shares("kernel/pid_max")).To(BeTrue())
			Expect(host.shares("net/no/such")).To(BeFalse())
		})
	})
})

var _ = Describe("the file of originals", func() {
	It("has upstream's keys, and what upstream does not mind", func() {
		o := originals{owner: "n/c/eth0", link: "4026/2", values: attributeValues{macKey: "02:00:00:00:00:01", mtuKey: 1500, promiscKey: false}}
		Expect(string(o.encode())).To(Equal("{\n \"interface\": \"4026/2\",\n \"mac\": \"02:00:00:00:00:01\",\n \"mtu\": 1500,\n \"owner\": \"n/c/eth0\",\n \"promisc\": false\n}"))
		Expect(parseOriginals(o.encode())).To(Equal(o))
	})

	It("may be upstream's", func() {
		Expect(parseOriginals([]byte(`{ "mac": "02:00:00:00:00:01", "promisc": true, "mtu": 1400, "allmulti": false, "txQLen": 1000 }`))).To(Equal(
			originals{values: attributeValues{macKey: "02:00:00:00:00:01", promiscKey: true, mtuKey: 1400, allMultiKey: false, txQLenKey: 1000}}))
	})

	It("has the network in its name only where the usual one is taken", func() {
		dir := GinkgoT().TempDir()
		request := func(network string) *plugin.Request {
			return &plugin.Request{Network: network, ContainerID: "c", IfName: "eth0"}
		}
		usual, second := backup(dir+"/c_eth0.json"), backup(dir+"/c_eth0@two.json")
		Expect(backupFile(dir, request("one"))).To(Equal(usual))
		Expect(usual.write(originals{owner: "one/c/eth0"}.encode())).To(Succeed())
		Expect(backupFile(dir, request("one"))).To(Equal(usual))
		Expect(backupFile(dir, request("two"))).To(Equal(second))
		Expect(second.write(originals{owner: "two/c/eth0"}.encode())).To(Succeed())
		Expect(usual.remove()).To(Succeed())
		Expect(backupFile(dir, request("two"))).To(Equal(second))
		Expect(backupFile(dir, request("one"))).To(Equal(usual))
		Expect(os.WriteFile(string(usual), []byte(`{"mtu":1500}`), 0o600)).To(Succeed())
		Expect(backupFile(dir, request("three"))).To(Equal(usual), "upstream's is anybody's")
	})
})

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","sysctl":{"net.ipv4.ip_forward":"1"},"mac":"02:00:00:00:00:01","mtu":1400,"args":{"cni":{"txQLen":1}}}`)
	f.Add(`{"sysctl":{"":"","a/../b":"1","a":"2","a":"3"},"runtimeConfig":null,"args":[]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
			c.wanted(nil)
		}
		_ = p.Err()
	})
}

func FuzzOriginals(f *testing.F) {
	f.Add([]byte(`{"owner":"n/c/eth0","interface":"1/2","mac":"02:00:00:00:00:01","mtu":1400,"promisc":true}`))
	f.Add([]byte(`{"mtu":null,"mac":[],"owner":7}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseOriginals(data)
		if err != nil {
			return
		}
		if _, err := parseOriginals(o.encode()); err != nil {
			t.Errorf("%q was read, %q cannot be: %v", data, o.encode(), err)
		}
	})
}
