// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
)

var _ = Describe("host-local", func() {
	var dataDir, dir string
	BeforeEach(func() {
		dataDir = GinkgoT().TempDir()
		dir = filepath.Join(dataDir, "net")
	})
	a, b := container("a"), container("b")

	for _, ver := range testutils.AllSpecVersions {
		Describe("version "+ver, func() {
			config := func(ipam string, outer ...string) string {
				return configOf(ver, dataDir, ipam, outer...)
			}
			check := func(a attachment, conf string) error {
				_, err := call("CHECK", a, conf)
				return err
			}

			It("allocates and releases an address of each set", func() {
				write("nameserver 192.0.2.3\n", dataDir, "resolv.conf")
				conf := config(`"resolvConf":"` + dataDir + `/resolv.conf","ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"10.2.2.0/24"}],[{"subnet":"2001:db8:1::0/64"}]],
					"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"},{"dst":"192.168.0.0/16","gw":"1.1.1.1"},{"dst":"2001:db8:2::0/64","gw":"2001:db8:3::1"}]`)
				result := mustAdd(a, conf)
				Expect(addressesOf(result)).To(Equal([]string{"10.1.2.2", "2001:db8:1::2"}))
				Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.2/24"))
				Expect(result.IPs[1].Address.String()).To(Equal("2001:db8:1::2/64"))
				Expect(result.IPs[0].Gateway.String()).To(Equal("10.1.2.1"))
				Expect(result.IPs[1].Gateway.String()).To(Equal("2001:db8:1::1"))
				Expect(result.IPs[0].Interface).To(BeNil())
				var routes []string
				for _, route := range result.Routes {
					routes = append(routes, fmt.Sprintf("%s via %s", route.Dst.String(), route.GW))
				}
				Expect(routes).To(ConsistOf("0.0.0.0/0 via <nil>", "::/0 via <nil>", "192.168.0.0/16 via 1.1.1.1", "2001:db8:2::/64 via 2001:db8:3::1"))
				Expect(result.DNS).To(Equal(types.DNS{Nameservers: []string{"192.0.2.3"}}))

				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.2 a\r\neth0", "2001:db8:1::2 a\r\neth0"}))
				Expect(read(dir, "last_reserved_ip.0")).To(Equal("10.1.2.2"))
				Expect(read(dir, "last_reserved_ip.1")).To(Equal("2001:db8:1::2"))
				if testutils.SpecVersionHasCHECK(ver) {
					Expect(check(a, conf)).To(Succeed())
				}
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(BeEmpty())
				Expect(call("DEL", a, conf)).To(BeEmpty())
				if testutils.SpecVersionHasCHECK(ver) {
					Expect(check(a, conf)).To(MatchError("host-local: Failed to find address added by container a"))
				}
			})

			It("prints what the version asks for", func() {
				printed, err := call("ADD", a, config(`"subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0"}]`))
				Expect(err).NotTo(HaveOccurred())
				Expect(printed).To(HavePrefix("{\n    \"cniVersion\": \"" + ver + "\""))
				switch {
				case !testutils.SpecVersionHasMultipleIPs(ver):
					Expect(printed).To(ContainSubstring(`"ip4": {`))
				default:
					Expect(strings.Contains(printed, `"version": "4"`)).To(Equal(testutils.SpecVersionHasIPVersion(ver)))
				}
			})

			It("keeps the interfaces of a container apart", func() {
				conf := config(`"subnet":"10.1.2.0/24"`)
				second := attachment{id: "a", ifName: "eth1"}
				Expect(addressesOf(mustAdd(a, conf))).To(Equal([]string{"10.1.2.2"}))
				Expect(addressesOf(mustAdd(second, conf))).To(Equal([]string{"10.1.2.3"}))
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.3 a\r\neth1"}))
				Expect(call("DEL", second, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(BeEmpty())
			})

			It("keeps networks apart", func() {
				conf := config(`"subnet":"10.1.2.0/24"`)
				other := strings.Replace(conf, `"name":"net"`, `"name":"other"`, 1)
				Expect(addressesOf(mustAdd(a, conf))).To(Equal([]string{"10.1.2.2"}))
				Expect(addressesOf(mustAdd(a, other))).To(Equal([]string{"10.1.2.2"}))
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(BeEmpty())
				Expect(reservationsIn(filepath.Join(dataDir, "other"))).To(HaveLen(1))
			})

			It("assigns nothing that is excluded", func() {
				conf := config(`"subnet":"10.1.2.0/29","exclude":["10.1.2.2","10.1.2.4/31"]`)
				Expect(addressesOf(mustAdd(a, conf))).To(Equal([]string{"10.1.2.3"}))
				Expect(addressesOf(mustAdd(b, conf))).To(Equal([]string{"10.1.2.6"}))
				_, err := addTo(attachment{id: "c", ifName: "eth0"}, conf)
				Expect(err).To(MatchError(ContainSubstring("no IP addresses available in range set: 10.1.2.1-10.1.2.1,10.1.2.3-10.1.2.3,10.1.2.6-10.1.2.6")))
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(addTo(attachment{id: "a", ifName: "eth0", args: "IP=10.1.2.5"}, conf)).Error().
					To(MatchError(ContainSubstring("failed to allocate all requested IPs: 10.1.2.5")))
				Expect(addressesOf(mustAdd(a, conf))).To(Equal([]string{"10.1.2.3"}))
			})

			It("refuses a second ADD and leaves the first alone", func() {
				conf := config(`"subnet":"10.1.2.0/24"`)
				mustAdd(a, conf)
				duplicate := "host-local: failed to allocate for range 0: 10.1.2.2 has been allocated to a, duplicate allocation is not allowed"
				_, err := addTo(a, conf)
				Expect(err).To(MatchError(duplicate))
				Expect(code(err)).To(Equal(ipam.ErrHasAddress))
				Expect(addressesOf(mustAdd(b, conf))).To(Equal([]string{"10.1.2.3"}))
				Expect(addTo(a, conf)).Error().To(MatchError(duplicate))
				Expect(reservationsIn(dir)).To(HaveLen(2))
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.3 b\r\neth0"}))
			})

			It("releases reservations of releases before 0.8.0", func() {
				write("a", dir, "10.1.2.2")
				write("b\n", dir, "10.1.2.3")
				conf := config(`"subnet":"10.1.2.0/24"`)
				if testutils.SpecVersionHasCHECK(ver) {
					Expect(check(a, conf)).To(Succeed())
				}
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.3 b\n"}))
			})

			It("releases a pair's before a container's", func() {
				write("a", dir, "10.1.2.2")
				write("a\r\neth0\n", dir, "10.1.2.3")
				conf := config(`"subnet":"10.1.2.0/24"`)
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.2 a"}))
				Expect(call("DEL", a, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(BeEmpty())
			})

			It("has nothing to do on DEL of a container that it does not know", func() {
				Expect(call("DEL", a, config(`"subnet":"10.1.2.0/24"`))).To(BeEmpty())
				Expect(os.ReadDir(dataDir)).To(BeEmpty())
			})

			It("trims white space off the container's id", func() {
				conf := config(`"subnet":"10.1.2.0/24"`)
				mustAdd(attachment{id: "  a\n ", ifName: "eth0"}, conf)
				Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.2 a\r\neth0"}))
				Expect(call("DEL", attachment{id: " a", ifName: "eth0"}, conf)).To(BeEmpty())
				Expect(reservationsIn(dir)).To(BeEmpty())
			})

			It("says nothing about the pointer in a fresh network", func() {
				Expect(captureStderr(func() { mustAdd(a, config(`"subnet":"10.1.2.0/24"`)) })).To(BeEmpty())
			})

			It("assigns a requested address", func() {
				result := mustAdd(a, config(`"subnet":"10.1.2.0/24"`, `"args":{"cni":{"ips":["10.1.2.88"]}}`))
				Expect(addressesOf(result)).To(Equal([]string{"10.1.2.88"}))
				Expect(read(dir, "last_reserved_ip.0")).To(Equal("10.1.2.88"))
			})

			It("assigns requested addresses of several sets", func() {
				result, err := addTo(a, config(`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.3.0/24"}]]`, `"args":{"cni":{"ips":["10.1.2.88","10.1.3.77"]}}`))
				if !testutils.SpecVersionHasMultipleIPs(ver) {
					Expect(err).To(MatchError("host-local: ipam.ranges: CNI version " + ver + " does not support more than 1 address per family"))
					Expect(code(err)).To(Equal(uint(7)))
					return
				}
				Expect(err).NotTo(HaveOccurred())
				Expect(addressesOf(result)).To(Equal([]string{"10.1.2.88", "10.1.3.77"}))
			})

			It("assigns requested addresses of a pool and an IPv6 set", func() {
				result := mustAdd(a, config(`"ranges":[[{"subnet":"172.16.1.0/24"},{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`,
					`"args":{"cni":{"ips":["10.1.2.88","2001:db8:1::999"]}}`))
				Expect(addressesOf(result)).To(Equal([]string{"10.1.2.88", "2001:db8:1::999"}))
			})

			It("takes requests of all kinds", func() {
				conf := config(`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`, `"runtimeConfig":{"ips":["2001:db8:1::5/64"]}`)
				result := mustAdd(attachment{id: "a", ifName: "eth0", args: "IgnoreUnknown=1;IP=10.1.2.9/16;K8S_POD_NAME=x"}, conf)
				Expect(addressesOf(result)).To(Equal([]string{"10.1.2.9", "2001:db8:1::5"}))
				Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.9/24"))
			})

			It("releases what it has assigned when a request is left over", func() {
				conf := config(`"subnet":"10.1.2.0/24"`, `"args":{"cni":{"ips":["10.1.2.88","10.1.2.77"]}}`)
				Expect(addTo(a, conf)).Error().To(MatchError(HavePrefix("host-local: failed to allocate all requested IPs: 10.1.2.77")))
				Expect(reservationsIn(dir)).To(BeEmpty())
			})

			It("takes ranges of the runtime first", func() {
				result := mustAdd(a, config(`"ranges":[[{"subnet":"2001:db8:1::/64"}]]`, `"RuntimeConfig":{"ipRanges":[[{"subnet":"10.9.0.0/16","rangeStart":"10.9.5.5"}]]}`))
				Expect(result.IPs[0].Address.String()).To(Or(Equal("10.9.5.5/16"), Equal("2001:db8:1::2/64")))
				Expect(read(dir, "last_reserved_ip.0")).To(Equal("10.9.5.5"))
			})
		})
	}

	config := func(ipam string, outer ...string) string { return configOf("1.1.0", dataDir, ipam, outer...) }
	single := func() string { return config(`"subnet":"10.1.2.0/24"`) }

	It("writes only where it is told to", func() {
		mustAdd(a, single())
		names, err := readNames(dataDir)
		Expect(err).NotTo(HaveOccurred())
		Expect(sorted(names)).To(Equal([]string{".cni-index", "net"}))
	})

	It("does not mind a capability that is named twice", func() {
		mustAdd(a, config(`"subnet":"10.1.2.0/24"`, `"capabilities":{"ips":true,"ips":true}`))
	})

	It("fails an ADD whose resolvConf cannot be read, and leaves nothing", func() {
		_, err := addTo(a, config(`"subnet":"10.1.2.0/24","resolvConf":"/nowhere"`))
		Expect(err).To(MatchError("host-local: ipam.resolvConf: open /nowhere: no such file or directory"))
		Expect(code(err)).To(Equal(uint(5)))
		Expect(os.ReadDir(dataDir)).To(BeEmpty())
	})

	It("takes back what it reserved when it is interrupted after any reservation", func() {
		conf := config(`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.3.0/24"}]]`)
		write("other\r\neth0", dir, "10.1.2.2")
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			err := callWithFault(undo.WithFault(context.Background(), fault), a, conf)
			if fault.Fired == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(at).To(Equal(3))
				return
			}
			Expect(err).To(HaveOccurred())
			Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.2 other\r\neth0"}))
		}
	})

	Describe("CHECK", func() {
		withPrev := func(ips ...string) string {
			var list []string
			for _, ip := range ips {
				list = append(list, `{"address":"`+ip+`"}`)
			}
			return config(`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`,
				`"prevResult":{"cniVersion":"1.1.0","ips":[`+strings.Join(list, ",")+`]}`)
		}
		check := func(ips ...string) error {
			_, err := call("CHECK", a, withPrev(ips...))
			return err
		}

		It("compares prevResult with the reservations", func() {
			mustAdd(a, config(`"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]]`))
			Expect(check("10.1.2.2/24", "2001:db8:1::2/64")).To(Succeed())
			Expect(check("10.1.2.2/24", "192.168.0.1/24")).To(Succeed(), "an address of another plugin")
			Expect(check("10.1.2.3/24", "2001:db8:1::3/64")).To(MatchError(
				"host-local: the address 10.1.2.3 is not reserved for container a, interface eth0; the address 2001:db8:1::3 is not reserved for container a, interface eth0"))
			Expect(os.Remove(dir + "/10.1.2.2")).To(Succeed())
			Expect(check("10.1.2.2/24", "2001:db8:1::2/64")).To(MatchError(
				"host-local: the address 10.1.2.2 is not reserved for container a, interface eth0"))
		})

		It("is content with what a release before 0.8.0 wrote", func() {
			write("a", dir, "10.1.2.2")
			Expect(check("10.1.2.2/24")).To(Succeed())
		})
	})

	DescribeTable("DEL needs no configuration that makes sense",
		func(change func(string) string) {
			conf := single()
			mustAdd(a, conf)
			Expect(call("DEL", attachment{id: "a", ifName: "eth0", args: "IP=x;=;y"}, change(conf))).To(BeEmpty())
			Expect(reservationsIn(dir)).To(BeEmpty())
		},
		Entry("other ranges", func(conf string) string { return strings.ReplaceAll(conf, "10.1.2.0/24", "10.9.0.0/16") }),
		Entry("broken ranges", func(conf string) string { return strings.ReplaceAll(conf, "10.1.2.0/24", "10.1.2.5/99") }),
		Entry("ranges of a wrong type", func(conf string) string { return strings.ReplaceAll(conf, `"10.1.2.0/24"`, `[7,null]`) }),
		Entry("no ranges", func(conf string) string { return strings.ReplaceAll(conf, `"subnet"`, `"sub"`) }),
		Entry("text that is not UTF-8", func(conf string) string { return strings.Replace(conf, "{", "{\"description\":\"R\xe9seau\",", 1) }),
		Entry("a resolvConf that is not there", func(conf string) string {
			return strings.ReplaceAll(conf, `"subnet"`, `"resolvConf":"/nowhere","subnet"`)
		}),
		Entry("requests that make no sense", func(conf string) string {
			return strings.ReplaceAll(conf, `"ipam":`, `"args":{"cni":{"ips":[null,7]}},"prevResult":{"ips":[null]},"ipam":`)
		}),
	)

	DescribeTable("DEL in a directory that cannot be there succeeds",
		func(subdirectory string) {
			write("x", dataDir, "file")
			Expect(call("DEL", a, configOf("1.1.0", dataDir+subdirectory, `"subnet":"10.1.2.0/24"`))).To(BeEmpty())
		},
		Entry("absent", "/not/at/all"),
		Entry("in a file", "/file/x"),
		Entry("with a name too long", "/"+strings.Repeat("x", 300)),
		Entry("with a zero byte", `/\u0000`),
	)

	Describe("GC", func() {
		gc := func(valid string) error {
			_, err := call("GC", attachment{}, config(`"subnet":"10.1.2.0/24"`, valid))
			return err
		}
		old := strings.Repeat("0123456789abcdef", 4)
		twoValid := `"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"` + old + `","ifname":"eth5"}]`

		BeforeEach(func() {
			mustAdd(a, single())
			mustAdd(attachment{id: "a", ifName: "eth1"}, single())
			mustAdd(b, single())
			write(old, dir, "10.1.2.20")
			write("8c1f"+old[4:], dir, "10.1.2.21")
			write("", dir, "10.1.2.22")
			write("reserved for the printer", dir, "10.1.2.23")
			write("other\r\neth0", dataDir, "elsewhere", "10.1.2.2")
		})
		const printer = "10.1.2.23 reserved for the printer"

		It("removes exactly what is stale", func() {
			captureStderr(func() { Expect(gc(twoValid)).To(Succeed()) })
			Expect(reservationsIn(dir)).To(Equal([]string{"10.1.2.2 a\r\neth0", "10.1.2.20 " + old, printer}))
			Expect(read(dataDir, "elsewhere", "10.1.2.2")).To(Equal("other\r\neth0"))
			Expect(newIndex(dataDir, "net").valid()).To(Equal(hasIndex()))
			Expect(gc(twoValid)).To(Succeed())
			Expect(reservationsIn(dir)).To(HaveLen(3))
		})

		It("takes a list that is absent for an empty one", func() {
			captureStderr(func() { Expect(gc(`"x":1`)).To(Succeed()) })
			Expect(reservationsIn(dir)).To(Equal([]string{printer}))
		})

		It("does not mind broken ranges", func() {
			captureStderr(func() {
				_, err := call("GC", attachment{}, config(`"subnet":[]`, twoValid))
				Expect(err).NotTo(HaveOccurred())
			})
			Expect(reservationsIn(dir)).To(HaveLen(3))
		})

		DescribeTable("takes a single word for a container's if it looks like an id",
			func(word string, stays bool) {
				write(word, dir, "10.1.2.24")
				captureStderr(func() { Expect(gc(twoValid)).To(Succeed()) })
				if stays {
					Expect(reservationsIn(dir)).To(ContainElement("10.1.2.24 " + word))
				} else {
					Expect(reservationsIn(dir)).NotTo(ContainElement(HavePrefix("10.1.2.24 ")))
				}
			},
			Entry("of containerd", "8c1f"+old[4:], false),
			Entry("a UUID", "1b4e28ba-2fa1-11d2-883f-b9a761bde3fb", false),
			Entry("a note", "printer", true),
			Entry("a note with a line feed", "printer\n", true),
			Entry("a number", "20261130", true),
			Entry("a MAC address", "02-00-5e-10-00-01", true),
			Entry("a MAC address without anything in between", "02005e100001", true),
			Entry("a name", "reserved-for-the-printer-on-the-first-floor", true),
		)

		It("creates nothing", func() {
			Expect(os.RemoveAll(dataDir)).To(Succeed())
			Expect(gc(twoValid)).To(Succeed())
			Expect(dataDir).NotTo(BeADirectory())
		})
	})

	Describe("STATUS", func() {
		status := func(ipam string) error {
			_, err := call("STATUS", attachment{}, config(ipam))
			return err
		}
		const tiny = `"ranges":[[{"subnet":"10.1.2.0/30"}],[{"subnet":"2001:db8::/64"}]]`

		It("succeeds in a network that is not there yet, and creates nothing", func() {
			Expect(status(tiny)).To(Succeed())
			Expect(os.ReadDir(dataDir)).To(BeEmpty())
		})

		It("names the set that is full", func() {
			mustAdd(a, config(tiny))
			err := status(tiny)
			Expect(err).To(MatchError("host-local: no IP addresses available in range set: 10.1.2.1-10.1.2.2: every one is a gateway or has a file in " + dir))
			Expect(code(err)).To(Equal(uint(50)))
			Expect(call("DEL", a, config(tiny))).To(BeEmpty())
			Expect(status(tiny)).To(Succeed())
		})

		It("takes the gateway of another subnet's range for an address", func() {
			const one = `"ranges":[[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.4","rangeEnd":"10.1.2.4"}],[{"subnet":"10.1.3.0/24","gateway":"10.1.2.4"}]]`
			write("x", dir, "10.1.3.1")
			Expect(status(one)).To(Succeed())
			Expect(addressesOf(mustAdd(a, config(one)))).To(Equal([]string{"10.1.2.4", "10.1.3.2"}))
			Expect(status(one)).To(MatchError(ContainSubstring("range set: 10.1.2.4-10.1.2.4: every one is a gateway or has a file")))
		})

		It("frees what the next ADD would free", func() {
			write("", dir, "10.1.2.2")
			captureStderr(func() { Expect(status(tiny)).To(Succeed()) })
			Expect(reservationsIn(dir)).To(BeEmpty())
		})

		It("is not confused by other files", func() {
			for i := range 10 {
				write("x", dir, fmt.Sprintf("10.9.9.%d", i))
			}
			Expect(status(tiny)).To(Succeed())
		})

		It("leaves the ranges of the runtime to the commands that get them", func() {
			const none = `"routes":[]`
			able := configOf("1.1.0", dataDir, none, `"capabilities":{"ipRanges":true}`)
			Expect(call("STATUS", attachment{}, able)).To(BeEmpty())
			Expect(call("STATUS", attachment{}, configOf("1.1.0", dataDir, none, `"capabilities":{"ipRanges":false}`))).Error().
				To(MatchError("host-local: ipam.ranges: no IP ranges specified"))
			for _, verb := range []string{"ADD", "CHECK"} {
				_, err := call(verb, a, able)
				Expect(err).To(MatchError("host-local: ipam.ranges: no IP ranges specified, and none by the runtime in runtimeConfig.ipRanges"))
				Expect(code(err)).To(Equal(uint(7)))
			}
			Expect(os.ReadDir(dataDir)).To(BeEmpty())

			given := configOf("1.1.0", dataDir, none, `"capabilities":{"ipRanges":true},"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.2.0/24"}]]}`)
			mustAdd(a, given)
			Expect(call("CHECK", a, given)).To(BeEmpty())
			Expect(call("STATUS", attachment{}, able)).To(BeEmpty())
			write("x", dataDir, "file")
			Expect(call("STATUS", attachment{}, strings.Replace(able, dataDir, dataDir+"/file", 1))).Error().To(MatchError(ContainSubstring("not a directory")))
			Expect(call("GC", attachment{}, able)).To(BeEmpty())
			Expect(reservationsIn(dir)).To(BeEmpty())
		})

		It("reports everything that is wrong", func() {
			err := status(`"subnet":"10.1.2.5/24","rangeStart":"x"`)
			Expect(err).To(MatchError(And(ContainSubstring("ipam.subnet: "), ContainSubstring("ipam.rangeStart: "))))
			Expect(code(err)).To(Equal(uint(7)))
			err = status(tiny + `,"resolvConf":"/nowhere"`)
			Expect(err).To(MatchError("host-local: ipam.resolvConf: open /nowhere: no such file or directory"))
			Expect(code(err)).To(Equal(uint(50)))
			write("x", dataDir, "file")
			_, err = call("STATUS", attachment{}, configOf("1.1.0", dataDir+"/file", tiny))
			Expect(err).To(MatchError("host-local: use " + dataDir + "/file: not a directory"))
		})
	})

	It("understands the examples of its README", func() {
		blocks := strings.Split(read("../README.md"), "```json\n")[1:]
		Expect(blocks).NotTo(BeEmpty())
		for _, block := range blocks {
			example, _, _ := strings.Cut(block, "```")
			Expect(Plugin.Lint([]byte(example))).To(Succeed(), example)
		}
	})
})
