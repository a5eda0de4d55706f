// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/libcni"
)

var _ = Describe("lint", func() {
	var dir string
	BeforeEach(func() { dir = GinkgoT().TempDir() })
	const missing = "plugins: missing; a network has a list of plugins, the type of one in a file *.conf, or *.conf files in a directory of its name"

	write := func(name, content string) (path string) {
		GinkgoHelper()
		path = filepath.Join(dir, name)
		Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
		return path
	}
	run := func(files ...string) (status int, said, refused string) {
		var stdout, stderr bytes.Buffer
		status = lint(files, dir, &stdout, &stderr)
		return status, strings.ReplaceAll(stdout.String(), dir+"/", ""), strings.ReplaceAll(stderr.String(), dir+"/", "")
	}

	DescribeTable("says what is wrong with one plugin without a list",
		func(content, want string) {
			for _, name := range []string{"n.conf", "n.json", "other"} {
				status, said, refused := run(write(name, content))
				Expect([]any{status, said, refused}).To(Equal([]any{1, "", name + ": " + want + "\n"}))
			}
		},
		Entry("itself", `{"cniVersion":"1.0.0","name":"pods","type":"vlan","vlanId":5000}`,
			`vlan: master: missing; name the interface that carries the VLAN; vlanId: 5000 is outside 0-4094`),
		Entry("that comes after another one", `{"cniVersion":"1.0.0","name":"pods","type":"firewall"}`,
			`firewall: prevResult: missing, ADD needs the result of the ADD before it`),
		Entry("and its type", `{"cniVersion":"1.0.0","name":"pods","type":5}`, `type: unexpected number`),
	)

	It("takes a file by its name for a list, or for one plugin, as runtimes do", func() {
		const list, one = `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"loopback"}]}`, `{"cniVersion":"1.0.0","name":"pods","type":"loopback"}`
		for _, name := range []string{"n.conf", "n.json"} {
			_, _, refused := run(write(name, list))
			Expect(refused).To(Equal(name + ": type: missing; a file with a list of plugins is called *.conflist\n"))
		}
		_, _, refused := run(write("n.conflist", one))
		Expect(refused).To(Equal("n.conflist: " + missing + "\n"))
		status, said, refused := run(write("n.conflist", list), write("n.conf", one), write("list", list), write("one", one))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}))
	})

	DescribeTable("refuses what libcni cannot load",
		func(name, content string) {
			path := write(name, content)
			load := func() (err error) { _, err = libcni.ConfListFromFile(path); return err }
			if filepath.Ext(name) != ".conflist" {
				load = func() (err error) { _, err = libcni.ConfFromFile(path); return err }
			}
			Expect(load()).NotTo(Succeed())
			status, _, _ := run(path)
			Expect(status).To(Equal(1))
		},
		Entry("a list by another name", "n.conf", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"loopback"}]}`),
		Entry("one plugin by the name of a list", "n.conflist", `{"cniVersion":"1.0.0","name":"pods","type":"loopback"}`),
		Entry("what is neither true nor false", "n.conflist", `{"cniVersion":"1.0.0","name":"pods","disableCheck":"yes","plugins":[{"type":"loopback"}]}`),
		Entry("a number for that", "n.conflist", `{"cniVersion":"1.0.0","name":"pods","loadOnlyInlinedPlugins":1,"plugins":[{"type":"loopback"}]}`),
		Entry("a version that is none", "n.conflist", `{"cniVersions":["x"],"name":"pods","plugins":[{"type":"loopback"}]}`),
		Entry("one beside others", "n.conflist", `{"cniVersion":"x","cniVersions":["1.0.0"],"name":"pods","plugins":[{"type":"loopback"}]}`),
		Entry("a name that is spelled otherwise", "n.conflist", `{"cniVersion":"1.0.0","Name":"pods","plugins":[{"type":"loopback"}]}`),
		Entry("plugins that are", "n.conflist", `{"cniVersion":"1.0.0","name":"pods","Plugins":[{"type":"loopback"}]}`),
		Entry("nothing for a version", "n.conflist", `{"cniVersion":null,"name":"pods","plugins":[{"type":"loopback"}]}`),
	)

	DescribeTable("says what is wrong",
		func(content string, wants ...string) {
			status, said, refused := run(write("n.conflist", content))
			Expect(status).To(Equal(1))
			Expect(said).To(BeEmpty())
			var lines []string
			for _, want := range wants {
				lines = append(lines, "n.conflist: "+want)
			}
			Expect(strings.Split(strings.TrimSpace(refused), "\n")).To(Equal(lines))
		},
		Entry("with plugins", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","isGatewayy":true,"mtu":"x"},{"type":"portmap","capabilities":{"portMappings":true},"snatt":true}]}`,
			`plugins[0]: bridge: mtu: the string "x" where an integer or "auto" is expected; isGatewayy: unknown key (did you mean "isGateway"?)`,
			`plugins[1]: portmap: snatt: unknown key (did you mean "snat"?)`),
		Entry("with an IPAM plugin", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"macvlan","ipam":{"type":"host-local","subnet":"10.0.0.0/35","rangeStrt":"10.0.0.9"}}]}`,
			`plugins[0]: host-local: ipam.subnet: "10.0.0.0/35" is not CIDR notation, such as 10.1.0.0/16; ipam.rangeStrt: unknown key (did you mean "rangeStart"?)`),
		Entry("with what flannel delegates", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flannel","subnetFil":"/x","delegate":{"isDefaultGatway":true,"mtu":"x","vlan":5000}}]}`,
			`plugins[0]: flannel: subnetFil: unknown key (did you mean "subnetFile"?)`,
			`plugins[0]: bridge: delegate.mtu: the string "x" where an integer or "auto" is expected; delegate.vlan: 5000 is outside 0-4094; delegate.isDefaultGatway: unknown key (did you mean "isDefaultGateway"?)`),
		Entry("with what flannel delegates to another plugin", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flannel","runtimeConfig":{"mac":5},"delegate":{"type":"macvlan","moode":"bridge","vlan":5}}]}`,
			`plugins[0]: macvlan: runtimeConfig.mac: the number 5 where a string is expected; delegate.moode: unknown key (did you mean "mode"?); delegate.vlan: unknown key`),
		Entry("with the IPAM plugin of what flannel delegates", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flannel","ipam":{"type":"static","addresses":[{"address":"x"}]}}]}`,
			`plugins[0]: static: ipam.addresses[0].address: the 'address' field is expected to be in CIDR notation, got: 'x'`),
		Entry("with the one that flannel adds to", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flannel","ipam":{"dataDirr":"/x","rangeEnd":"10.1.2.3"}}]}`,
			`plugins[0]: host-local: ipam.dataDirr: unknown key (did you mean "dataDir"?)`),
		Entry("with flannel before it delegates", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flannel","delegate":{"type":"flannel","mtu":"x"}}]}`,
			`plugins[0]: flannel: delegate.type: flannel cannot delegate to itself`),
		Entry("with the version that flannel's delegate cannot answer in", `{"name":"pods","plugins":[{"type":"flannel","delegate":{"type":"macvlan","cniVersion":"9.9"},"ipam":{"type":"static"}}]}`,
			`plugins[0]: macvlan: cniVersion: "9.9" is none of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`,
			`plugins[0]: static: cniVersion: "9.9" is none of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`),
		Entry("with a plugin of no name", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"mtu":1500}]}`,
			`plugins[0]: type: missing; it is the name of the plugin, such as bridge`),
		Entry("with what is no plugin", `{"cniVersion":"1.0.0","name":"pods","plugins":[5,null]}`,
			`plugins[0]: 5 where an object is expected`, `plugins[1]: null where an object is expected`),
		Entry("with the protocol's version", `{"cniVersion":"9.9","name":"pods","plugins":[{"type":"loopback"}]}`,
			`plugins[0]: loopback: cniVersion: "9.9" is none of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`),
		Entry("with a plugin that comes after another one", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"portmap"},{"type":"bridge"},{"type":"tuning"}]}`,
			`plugins[0]: portmap: prevResult: missing, ADD needs the result of the ADD before it`),
		Entry("without the protocol's version, of interfaces without addresses", `{"name":"pods","plugins":[{"type":"loopback"},{"type":"bridge","ipam":{}},{"type":"ptp","ipam":{"type":"dhcp"}}]}`,
			`plugins[1]: bridge: cannot convert: no valid IP addresses: cniVersion "" cannot describe an interface without one, use 0.3.0 or newer or configure ipam`),
		Entry("with its first plugin in a version without interfaces", `{"cniVersion":"0.2.0","name":"pods","plugins":[{"type":"ipvlan","master":"eth0"},{"type":"ipvlan"}]}`,
			`plugins[0]: ipvlan: cannot convert: no valid IP addresses: cniVersion "0.2.0" cannot describe an interface without one, use 0.3.0 or newer or configure ipam`),
		Entry("with the name", `{"cniVersion":"1.0.0","name":"a/b","plugins":[{"type":"loopback"}]}`,
			`name: "a/b": invalid characters found in network name`),
		Entry("without a name or plugins", `{"cniVersion":"1.0.0"}`,
			missing, `name: missing`),
		Entry("with what a list says of itself", `{"cniVersion":"x","cniVersions":["1.0.0","y"],"name":"pods","disableCheck":"yes","disableGC":null,"loadOnlyInlinedPlugins":1,"plugins":[{"type":"loopback"}]}`,
			`disableCheck: "yes" where true or false is expected`, `disableGC: null where true or false is expected`, `loadOnlyInlinedPlugins: 1 where true or false is expected`,
			`cniVersions[1]: "y" is not a version, such as 1.1.0`, `cniVersion: "x" is not a version, such as 1.1.0`),
		Entry("with keys that libcni does not find", `{"cniVersion":"1.0.0","Name":"pods","Plugins":[{"type":"loopback"}],"disablegc":true}`,
			`Name: unknown key (did you mean "name"?)`, `Plugins: unknown key (did you mean "plugins"?)`, `disablegc: unknown key (did you mean "disableGC"?)`,
			missing, `name: missing`),
		Entry("with values of keys", `{"cniVersion":null,"cniVersions":"1.0.0","name":5,"plugins":[{"type":"loopback"}]}`,
			`cniVersion: unexpected null`, `cniVersions: unexpected string`, `name: unexpected number`),
		Entry("with the list", `{"cniVersion":"1.0.0","name":"pods","plugins":{"type":"bridge"}}`, `plugins: unexpected object`),
		Entry("with all of it", `[]`, `network: unexpected array`),
		Entry("with the JSON", `{"name":`, `unexpected end of JSON input`),
	)

	It("has nothing to say of what is right", func() {
		status, said, refused := run(write("pods.conflist", `{"cniVersion":"1.0.0","name":"pods","disableCheck":true,"plugins":[
			{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"capabilities":{"mac":true},"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}]]}},
			{"type":"portmap","capabilities":{"portMappings":true}},
			{"type":"firewall"},
			{"type":"bandwidth","ingressRate":9007199254740993,"ingressBurst":34359738352},
			{"type":"tuning","sysctl":{"net.core.somaxconn":"500"}}]}`))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}))
	})

	It("has nothing to say of what is right in its place", func() {
		for _, content := range []string{
			`{"name":"a","plugins":[{"type":"ptp","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}},{"type":"ipvlan"},{"type":"portmap"}]}`,
			`{"cniVersions":["0.4.0","1.1.0","1.0.0","9.9.0"],"name":"a","plugins":[{"type":"bridge"}]}`,
			`{"cniVersions":["1.0.0"],"cniVersion":"0.2.0","name":"a","plugins":[{"type":"bridge"}]}`,
			`{"cniVersion":"1.0.0","name":"a","disableCheck":"True","disableGC":false,"loadOnlyInlinedPlugins":"false","plugins":[{"Type":"bridge"}]}`,
		} {
			status, said, refused := run(write("n.conflist", content))
			Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}), content)
		}
	})

	It("has nothing to say of what is right alone", func() {
		for _, content := range []string{
			`{"cniVersion":"0.2.0","name":"lo","type":"loopback"}`,
			`{"cniVersion":"1.0.0","name":"a","type":"tuning","prevResult":{"interfaces":[{"name":"eth0","sandbox":"/run/netns/c"}]}}`,
		} {
			status, said, refused := run(write("n.conf", content))
			Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}), content)
		}
	})

	It("passes over plugins of others, and says so", func() {
		status, said, refused := run(write("a.conf", `{"cniVersion":"1.0.0","name":"a","type":"macvlan","master":"eth0","ipam":{"type":"whereabouts"}}`))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "a.conf: whereabouts: not looked at, as it is none of these plugins\n", ""}))
	})

	It("passes over what plugins of others, and flannel, add to before an IPAM plugin reads it", func() {
		status, said, refused := run(write("a.conflist", `{"cniVersion":"1.0.0","name":"a","plugins":[
			{"type":"calico","ipam":{"type":"host-local","subnet":"usePodCidr"}},
			{"type":"flannel","ipam":{"type":"host-local","routes":[{"dst":"10.4.0.0/16"}]}},
			{"type":"loopback","ipam":{"type":"host-local"}}]}`))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "a.conflist: plugins[0]: calico: not looked at, as it is none of these plugins\n", ""}))
	})

	It("has nothing to say of what is right of flannel's", func() {
		for _, content := range []string{
			`{"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}},{"type":"portmap","capabilities":{"portMappings":true}}]}`,
			`{"cniVersion":"0.2.0","name":"cbr0","plugins":[{"type":"flannel"}]}`,
			`{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"flannel","delegate":{"type":"macvlan"},"ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24"}]}}]}`,
			`{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"flannel","ipam":{"ranges":[[{"subnet":"x"}]],"routes":[{"dst":"fd00::/64","gw":"fd00::1"}]}}]}`,
		} {
			status, said, refused := run(write("n.conflist", content))
			Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}), content)
		}
		status, said, refused := run(write("n.conflist", `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"flannel","delegate":{"type":"calico"}}]}`))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "n.conflist: plugins[0]: calico: not looked at, as it is none of these plugins\n", ""}))
	})

	It("looks at plugins in a directory with the name of their list", func() {
		Expect(os.MkdirAll(filepath.Join(dir, "pods", "c.conf"), 0o755)).To(Succeed())
		write("pods/20-portmap.conf", `{"type":"portmap","snatt":true}`)
		write("pods/30-firewall.conf", `{"type":"firewall"`)
		write("pods/40-sbr.conf", `{"table":5}`)
		write("pods/50-tuning.conflist", `x`)
		const ofDirectory = "pods/20-portmap.conf: portmap: snatt: unknown key (did you mean \"snat\"?)\n" +
			"pods/30-firewall.conf: unexpected end of JSON input\n" +
			"pods/40-sbr.conf: type: missing; it is the name of the plugin, such as bridge\n"
		const bridge = `{"type":"bridge","mtuu":1400}`
		const ofList = "n.conflist: plugins[0]: bridge: mtuu: unknown key (did you mean \"mtu\"?)\n"
		for list, want := range map[string]string{
			`{"cniVersion":"1.1.0","name":"pods"}`:                                                            ofDirectory,
			`{"cniVersion":"1.1.0","name":"pods","plugins":[` + bridge + `]}`:                                 ofList + ofDirectory,
			`{"cniVersion":"1.1.0","name":"pods","plugins":[` + bridge + `],"loadOnlyInlinedPlugins":true}`:   ofList,
			`{"cniVersion":"1.1.0","name":"pods","plugins":[` + bridge + `],"loadOnlyInlinedPlugins":"True"}`: ofList,
			`{"cniVersion":"1.1.0","name":"pods","loadOnlyInlinedPlugins":true}`:                              "n.conflist: " + missing + "\n",
			`{"cniVersion":"1.1.0","name":"pods","plugins":[]}`:                                               "n.conflist: " + missing + "\n" + ofDirectory,
			`{"cniVersion":"1.1.0","name":"others"}`:                                                          "n.conflist: " + missing + "\n",
		} {
			status, said, refused := run(write("n.conflist", list))
			Expect([]any{status, said, refused}).To(Equal([]any{1, "", want}), list)
		}
	})

	It("tells the first of all from the first in a directory", func() {
		Expect(os.Mkdir(filepath.Join(dir, "pods"), 0o755)).To(Succeed())
		write("pods/10-portmap.conf", `{"type":"portmap"}`)
		_, _, refused := run(write("n.conflist", `{"cniVersion":"1.1.0","name":"pods"}`))
		Expect(refused).To(Equal("pods/10-portmap.conf: portmap: prevResult: missing, ADD needs the result of the ADD before it\n"))
		_, _, refused = run(write("n.conflist", `{"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"loopback"}]}`))
		Expect(refused).To(BeEmpty())
	})

	It("gives plugins in a directory the name and the version of their list", func() {
		Expect(os.Mkdir(filepath.Join(dir, "pods"), 0o755)).To(Succeed())
		write("pods/10-ptp.conf", `{"type":"ptp","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}`)
		status, said, refused := run(write("n.conflist", `{"cniVersion":"1.1.0","name":"pods"}`))
		Expect([]any{status, said, refused}).To(Equal([]any{0, "", ""}))
		_, _, refused = run(write("n.conflist", `{"cniVersion":"9.9","name":"pods"}`))
		Expect(refused).To(HavePrefix(`pods/10-ptp.conf: ptp: cniVersion: "9.9" is none of `))
	})

	It("says why it cannot read the directory of a list", func() {
		write("pods", "")
		_, _, refused := run(write("n.conflist", `{"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"loopback"}]}`))
		Expect(refused).To(Equal("pods: not a directory\n"))
	})

	It("looks at the files that runtimes look at", func() {
		Expect(os.Mkdir(filepath.Join(dir, "a-directory.conf"), 0o755)).To(Succeed())
		for _, name := range []string{"a.conf", "b.conflist", "c.json", "d.txt", "e.conf~"} {
			write(name, "x")
		}
		_, _, refused := run()
		Expect(refused).To(Equal("a.conf: invalid character 'x' looking for beginning of value\n" +
			"b.conflist: invalid character 'x' looking for beginning of value\n" +
			"c.json: invalid character 'x' looking for beginning of value\n"))
	})

	It("says which files it cannot read", func() {
		status, _, refused := run(filepath.Join(dir, "none.conf"))
		Expect([]any{status, refused}).To(Equal([]any{1, "none.conf: no such file or directory\n"}))
		Expect(os.Remove(dir)).To(Succeed())
		status, _, refused = run()
		Expect([]any{status, refused}).To(Equal([]any{1, dir + ": no such file or directory\n"}))
	})
})
