// SPDX-License-Identifier: Apache-2.0

//go:build linux

package flannel

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var pluginPath string

var _ = BeforeSuite(func() {
	pluginPath = testrig.Build("main/bridge", "main/ptp", "ipam/host-local")
	DeferCleanup(gexec.CleanupBuildArtifacts)
})

// node is a host with the plugin, where flanneld has said something.
type node struct {
	*testrig.Rig
	dir string
}

func newNode(env string) node {
	GinkgoHelper()
	n := node{testrig.New(Plugin, pluginPath), GinkgoT().TempDir()}
	if env != "" {
		n.flanneld(env)
	}
	return n
}

func (n node) flanneld(env string) {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(n.dir, "subnet.env"), []byte(env), 0o644)).To(Succeed())
}

func (n node) config(more string) string {
	return fmt.Sprintf(`{"name":"cbr0","type":"flannel","subnetFile":"%[1]s/subnet.env","dataDir":"%[1]s/state","ipam":{"dataDir":"%[1]s/ipam"}%[2]s}`, n.dir, more)
}

// records are the names of the files that the plugin keeps.
func (n node) records() []string {
	entries, _ := os.ReadDir(filepath.Join(n.dir, "state"))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (n node) path(record string) string { return filepath.Join(n.dir, "state", record) }

func (n node) write(record, text string) {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Join(n.dir, "state"), 0o700)).To(Succeed())
	Expect(os.WriteFile(n.path(record), []byte(text), 0o600)).To(Succeed())
}

// fake puts a delegate called "fake" among the plugins. It notes how it was
// called and with what, answers ADD with result, and fails at the commands for
// which it was told to.
func (n node) fake(result string) {
	GinkgoHelper()
	script := fmt.Sprintf(`#!/bin/sh
cd '%s' || exit 3
cat >"input.$CNI_COMMAND"
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS" >>calls
[ ! -e "fail.$CNI_COMMAND" ] || { echo '{"code": 123, "msg": "not today"}'; exit 1; }
[ "$CNI_COMMAND" != ADD ] || echo '%s'
`, n.dir, result)
	Expect(os.WriteFile(filepath.Join(n.dir, "fake"), []byte(script), 0o755)).To(Succeed())
	GinkgoT().Setenv("CNI_PATH", n.dir+":"+os.Getenv("CNI_PATH"))
}

func (n node) failOn(verb string) {
	Expect(os.WriteFile(filepath.Join(n.dir, "fail."+verb), nil, 0o644)).To(Succeed())
}
func (n node) succeedOn(verb string) {
	Expect(os.Remove(filepath.Join(n.dir, "fail."+verb))).To(Succeed())
}

// calls are those of the fake since the last time.
func (n node) calls() []string {
	path := filepath.Join(n.dir, "calls")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	Expect(os.Remove(path)).To(Succeed())
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (n node) input(verb string) string {
	text, _ := os.ReadFile(filepath.Join(n.dir, "input."+verb))
	return string(text)
}

const (
	overFake   = `,"delegate":{"type":"fake"}`
	fakeResult = `{"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}]}`
)

// versionOf returns the cniVersion of a configuration or result.
func versionOf(text string) string {
	GinkgoHelper()
	var stated struct {
		CNIVersion string `json:"cniVersion"`
	}
	Expect(json.Unmarshal([]byte(text), &stated)).To(Succeed())
	return stated.CNIVersion
}

var _ = Describe("packets", func() {
	DescribeTable("reach containers of the node and the host",
		func(delegate string) {
			n := newNode(envV4 + envV6 + rest)
			one, two := n.Container("one"), n.Container("two")
			c := n.config(delegate)
			n.Add(one, c)
			result := n.Add(two, c)
			Expect(result.IPs[0].Address.String()).To(Equal("10.244.7.3/24"))
			Expect(result.IPs[1].Address.String()).To(Equal("fd00:244:0:7::3/64"))
			Expect(n.Check(two, c, result)).To(Succeed())
			for i, headers := range []int{28, 48} {
				Expect(testrig.ReachWith(one.Netns, two.Netns, result.IPs[i].Address.IP.String(), 1450-headers)).To(Succeed())
				Expect(testrig.ReachWith(one.Netns, n.Host, result.IPs[i].Gateway.String(), 1450-headers)).To(Succeed())
			}
			n.Del(one, c)
			n.Del(two, c)
			Expect(n.records()).To(BeEmpty())
			Expect(filepath.Glob(filepath.Join(n.dir, "ipam/cbr0/10.*"))).To(BeEmpty())
		},
		Entry("over a bridge", `,"delegate":{"bridge":"flannel0"}`),
		Entry("over ptp", `,"delegate":{"type":"ptp"}`),
	)

	It("go to each of several networks", func() {
		n := newNode("FLANNEL_NETWORK=10.244.0.0/16,192.0.2.0/24\nFLANNEL_SUBNET=10.244.7.1/24\n" + rest)
		outside := n.Outside([]string{"192.0.2.1/24"}, []string{"192.0.2.9/24"})
		one := n.Container("one")
		n.Add(one, n.config(`,"delegate":{"ipMasq":true}`))
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
	})
})

var _ = Describe("flanneld", func() {
	It("is named when it has not said anything yet", func() {
		n := newNode("")
		c := n.Container("one")
		_, err := n.Call("ADD", c, n.config(""))
		Expect(err).To(MatchError(And(ContainSubstring("subnet.env: no such file"), ContainSubstring("flanneld writes it when it has a subnet"))))
		Expect(testrig.Code(err)).To(Equal(uint(11)))
		_, err = n.Call("STATUS", c, n.config(""))
		Expect(err).To(MatchError(ContainSubstring("flanneld writes it when it has a subnet")))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
		Expect(n.records()).To(BeEmpty())

		n.flanneld(envV4 + rest)
		Expect(n.Call("STATUS", c, n.config(""))).To(BeEmpty())
		n.Add(c, n.config(""))
	})

	It("is told what is missing", func() {
		n := newNode(envV4 + "FLANNEL_MTU=x")
		c := n.Container("one")
		for verb, code := range map[string]uint{"ADD": 6, "STATUS": 50} {
			_, err := n.Call(verb, c, n.config(""))
			Expect(err).To(MatchError(And(ContainSubstring("subnet.env is missing FLANNEL_IPMASQ"), ContainSubstring(`"x" in FLANNEL_MTU`))))
			Expect(testrig.Code(err)).To(Equal(code))
		}
	})

	It("cannot be read", func() {
		n := newNode("")
		Expect(os.Mkdir(filepath.Join(n.dir, "subnet.env"), 0o755)).To(Succeed())
		_, err := n.Call("ADD", n.Container("one"), n.config(""))
		Expect(testrig.Code(err)).To(Equal(uint(5)))
	})

	It("may have another subnet, or none, at DEL and GC", func() {
		n := newNode(envV4 + rest)
		one, two := n.Container("one"), n.Container("two")
		n.Add(one, n.config(""))
		n.Add(two, n.config(""))
		n.flanneld("FLANNEL_NETWORK=10.250.0.0/16\nFLANNEL_SUBNET=10.250.7.1/24\n" + rest)
		n.Del(one, n.config(`,"delegate":{"type":"nothing"}`))
		Expect(os.Remove(filepath.Join(n.dir, "subnet.env"))).To(Succeed())
		Expect(n.Call("GC", two, n.config(""))).To(BeEmpty())
		Expect(n.records()).To(BeEmpty())
		Expect(filepath.Glob(filepath.Join(n.dir, "ipam/cbr0/10.*"))).To(BeEmpty())
	})
})

var _ = Describe("the delegate", func() {
	var n node
	var one *testrig.Container

	BeforeEach(func() {
		n = newNode(envV4 + rest)
		n.fake(fakeResult)
		one = n.Container("one")
	})

	called := func(verb string) string { return fmt.Sprintf("%s one eth0 %s", verb, one.Path) }

	It("gets the same configuration at ADD and DEL, and a prevResult at CHECK", func() {
		result := n.Add(one, n.config(overFake))
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
		Expect(n.input("ADD")).To(MatchJSON(`{"cniVersion":"1.1.0","name":"cbr0","type":"fake","ipMasq":false,"mtu":1450,
			"ipam":{"type":"host-local","dataDir":"` + n.dir + `/ipam","ranges":[[{"subnet":"10.244.7.0/24"}]],"routes":[{"dst":"10.244.0.0/16"}]}}`))
		Expect(os.ReadFile(n.path("one"))).To(BeEquivalentTo(n.input("ADD")), "a plugin of old finds it")
		info, err := os.Stat(n.path("one@eth0@cbr0.json"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))

		Expect(n.Check(one, n.config(overFake), result)).To(Succeed())
		Expect(n.input("CHECK")).To(ContainSubstring(`"prevResult":{"cniVersion":"1.1.0"`))
		Expect(n.Call("STATUS", one, n.config(overFake))).To(BeEmpty())
		Expect(n.Call("GC", one, n.config(overFake+`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))).To(BeEmpty())
		Expect(n.input("GC")).To(ContainSubstring(`"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))
		n.Del(one, n.config(""))
		Expect(n.input("DEL")).To(Equal(n.input("ADD")))
		Expect(n.calls()).To(Equal([]string{called("ADD"), called("CHECK"), called("STATUS"), called("GC"), called("DEL")}))
		Expect(n.records()).To(BeEmpty())
		n.Del(one, n.config(""))
		Expect(n.calls()).To(BeEmpty(), "there is nothing to remove")
	})

	DescribeTable("has its result printed in the version that it is told",
		func(more, told, printed string) {
			n.fake(`{"cniVersion": "1.1.0", "ips": [{"address": "10.244.7.2/24"}]}`)
			stdout, err := n.Call("ADD", one, n.config(more))
			Expect(err).NotTo(HaveOccurred())
			Expect(versionOf(n.input("ADD"))).To(Equal(told))
			Expect(versionOf(stdout)).To(Equal(printed))
		},
		Entry("that of the configuration", `,"cniVersion":"0.4.0","delegate":{"type":"fake","cniVersion":"1.0.0"}`, "0.4.0", "0.4.0"),
		Entry("its own", `,"delegate":{"type":"fake","cniVersion":"1.0.0"}`, "1.0.0", "1.0.0"),
		Entry("its own, in whatever case", `,"cniVersion":"","delegate":{"type":"fake","CNIVersion":"0.3.1"}`, "0.3.1", "0.3.1"),
		Entry("none", `,"cniVersion":"","delegate":{"type":"fake"}`, "", "0.1.0"),
	)

	It("is told to remove what it could not make", func() {
		n.failOn("ADD")
		_, err := n.Call("ADD", one, n.config(overFake))
		Expect(err).To(MatchError(ContainSubstring("flannel: delegate: not today")))
		Expect(testrig.Code(err)).To(Equal(uint(123)))
		Expect(n.calls()).To(Equal([]string{called("ADD"), called("DEL")}))
		Expect(n.records()).To(BeEmpty())
	})

	It("may be named in whatever case", func() {
		c := n.config(`,"Delegate":{"Type":"fake"}`)
		result := n.Add(one, c)
		Expect(n.Check(one, c, result)).To(Succeed())
		n.Del(one, c)
		n.Add(one, c)
		Expect(n.Call("GC", one, c)).To(BeEmpty())
		Expect(n.calls()).To(ConsistOf(called("ADD"), called("CHECK"), called("DEL"), called("ADD"), "DEL one eth0 ", called("GC")))
		Expect(n.records()).To(BeEmpty())
	})

	It("does not get flannel for its IPAM plugin, whatever a record says", func() {
		itself := `{"type":"fake","name":"cbr0","ipam":{"type":"flannel"}}`
		c := n.config(overFake + `,"ipam":{"type":"flannel"}`)
		for _, verb := range []string{"ADD", "STATUS"} {
			_, err := n.Call(verb, one, c)
			Expect(testrig.Code(err)).To(Equal(types.ErrInvalidNetworkConfig))
		}
		Expect(n.calls()).To(BeEmpty())
		for _, verb := range []string{"DEL", "GC"} {
			n.write("one@eth0@cbr0.json", itself)
			Expect(n.Call(verb, one, c)).To(BeEmpty())
			Expect(n.input("DEL")).To(MatchJSON(`{"type":"fake","name":"cbr0"}`), verb)
			Expect(n.records()).To(BeEmpty())
		}
		Expect(n.input("GC")).NotTo(ContainSubstring("ipam"))
	})

	It("is asked again until it has removed it", func() {
		n.Add(one, n.config(overFake))
		n.failOn("DEL")
		for range 2 {
			_, err := n.Call("DEL", one, n.config(overFake))
			Expect(testrig.Code(err)).To(Equal(uint(123)))
			Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
		}
		n.succeedOn("DEL")
		n.Del(one, n.config(overFake))
		Expect(n.records()).To(BeEmpty())
	})

	It("keeps its record when neither ADD nor DEL work", func() {
		n.failOn("ADD")
		n.failOn("DEL")
		_, err := n.Call("ADD", one, n.config(overFake))
		Expect(err).To(MatchError(ContainSubstring("undo what was delegated: delegate: not today")))
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
	})

	It("may refuse a second ADD, which costs the first one nothing", func() {
		n.Add(one, n.config(overFake))
		before := n.input("ADD")
		n.failOn("ADD")
		_, err := n.Call("ADD", one, n.config(`,"delegate":{"type":"fake","vlan":5}`))
		Expect(err).To(HaveOccurred())
		Expect(n.calls()).To(Equal([]string{called("ADD"), called("ADD")}), "nobody has detached the first one")
		Expect(os.ReadFile(n.path("one@eth0@cbr0.json"))).To(BeEquivalentTo(before))
		n.succeedOn("ADD")
		n.Add(one, n.config(`,"delegate":{"type":"fake","vlan":6}`))
		Expect(os.ReadFile(n.path("one@eth0@cbr0.json"))).To(ContainSubstring(`"vlan":6`))
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
	})

	It("has to exist before anything is written", func() {
		_, err := n.Call("ADD", one, n.config(`,"delegate":{"type":"nothing"}`))
		Expect(err).To(MatchError(And(ContainSubstring("nothing"), Not(ContainSubstring("undo")))))
		Expect(n.records()).To(BeEmpty())
		_, err = n.Call("STATUS", one, n.config(`,"delegate":{"type":"nothing"}`))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
	})

	DescribeTable("leaves no record where it cannot find its IPAM plugin: DEL would fail as well",
		func(name string) {
			_, err := n.Call("ADD", one, n.config(`,"ipam":{"type":"`+name+`"}`))
			Expect(err).To(MatchError(And(ContainSubstring(name), Not(ContainSubstring("undo")))))
			Expect(n.records()).To(BeEmpty())
			n.Del(one, n.config(""))
		},
		Entry("which is not there", "hostlocal"), Entry("which cannot be there", "a/b"),
	)

	It("can be called for two interfaces of a container, in two networks", func() {
		second := *one
		second.IfName = "eth1"
		other := strings.Replace(n.config(`,"delegate":{"type":"fake","vlan":5}`), "cbr0", "cbr1", 1)
		n.Add(one, n.config(overFake))
		n.Add(&second, other)
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json", "one@eth1@cbr1.json"))
		n.Del(&second, other)
		Expect(n.input("DEL")).To(ContainSubstring(`"vlan":5`))
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
		n.calls()
		n.Del(&second, other)
		Expect(n.calls()).To(BeEmpty(), "the record of old is the other interface's")
		n.Del(one, n.config(overFake))
		Expect(n.input("DEL")).NotTo(ContainSubstring("vlan"))
		Expect(n.records()).To(BeEmpty())
	})
})

var _ = Describe("a record", func() {
	const byOld = `{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"ipam":{"subnet":"10.244.7.0/24","type":"host-local"},"name":"cbr0","type":"fake"}`
	var n node
	var one *testrig.Container

	BeforeEach(func() {
		n = newNode(envV4 + rest)
		n.fake(fakeResult)
		one = n.Container("one")
	})

	It("of flannel's own plugin is honoured", func() {
		n.write("one", byOld)
		n.Del(one, n.config(""))
		Expect(n.input("DEL")).To(Equal(byOld), "to the byte")
		Expect(n.records()).To(BeEmpty())
	})

	It("of flannel's own plugin in another network is not ours", func() {
		n.write("one", byOld)
		n.Del(one, strings.Replace(n.config(""), "cbr0", "cbr1", 1))
		Expect(n.calls()).To(BeEmpty())
		Expect(n.records()).To(ConsistOf("one"))
	})

	Describe("of flannel's own plugin", func() {
		var second *testrig.Container

		BeforeEach(func() {
			second = &testrig.Container{ID: one.ID, IfName: "eth1", Netns: one.Netns, Path: one.Path}
			n.write("one", byOld)
		})

		removedWith := func(c *testrig.Container) {
			GinkgoHelper()
			n.calls()
			n.Del(c, n.config(""))
			Expect(n.calls()).To(Equal([]string{fmt.Sprintf("DEL one %s %s", c.IfName, c.Path)}))
			Expect(n.input("DEL")).To(Equal(byOld))
			Expect(n.records()).To(BeEmpty())
		}

		It("stays until the interface is detached that it may be of", func() {
			Expect(os.Remove(filepath.Join(n.dir, "subnet.env"))).To(Succeed())
			_, err := n.Call("ADD", second, n.config(overFake))
			Expect(testrig.Code(err)).To(Equal(uint(11)))
			n.Del(second, n.config(overFake))
			Expect(n.calls()).To(Equal([]string{"DEL one eth1 " + one.Path}), "should it be of that one")
			Expect(n.records()).To(ConsistOf("one"))
			removedWith(one)
		})

		It("is not that of another interface, attached since", func() {
			n.Add(second, n.config(overFake))
			for range 2 {
				n.Del(second, n.config(overFake))
				Expect(n.records()).To(ConsistOf("one"))
			}
			n.failOn("ADD")
			_, err := n.Call("ADD", second, n.config(overFake))
			Expect(err).To(HaveOccurred())
			Expect(n.calls()).To(HaveLen(5), "what could not be made is removed")
			n.write("one@eth1@cbr0.json~", byOld[:40])
			Expect(n.Call("GC", one, n.config(overFake+`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))).To(BeEmpty())
			Expect(n.records()).To(ConsistOf("one"))
			removedWith(one)
		})

		It("is that of whatever interface is there", func() {
			testutils.Need(GinkgoT(), "veth")
			second.Do(func() {
				Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth1"}, PeerName: "peer"})).To(Succeed())
			})
			removedWith(second)
		})

		It("is used when the namespace has gone, and collected", func() {
			second.Path = "/run/netns/gone"
			second.Netns = nil
			n.Del(second, n.config(""))
			Expect(n.calls()).To(Equal([]string{"DEL one eth1 /run/netns/gone"}))
			Expect(n.records()).To(ConsistOf("one"))
			Expect(n.Call("GC", one, n.config(overFake))).To(BeEmpty())
			Expect(n.records()).To(BeEmpty())
		})
	})

	It("of flannel's own plugin survives an ADD that fails", func() {
		n.write("one", byOld)
		n.failOn("ADD")
		_, err := n.Call("ADD", one, n.config(overFake))
		Expect(err).To(HaveOccurred())
		Expect(n.calls()).To(HaveLen(1), "ADD alone")
		Expect(n.records()).To(ConsistOf("one"))
		Expect(os.ReadFile(n.path("one"))).To(BeEquivalentTo(byOld))
	})

	DescribeTable("that is broken does not stop DEL",
		func(name, text string) {
			n.write(name, text)
			n.Del(one, n.config(overFake))
			Expect(n.calls()).To(BeEmpty())
			Expect(n.records()).To(BeEmpty())
		},
		Entry("empty", "one@eth0@cbr0.json", ""),
		Entry("cut off", "one@eth0@cbr0.json", byOld[:40]),
		Entry("of another kind", "one@eth0@cbr0.json", `[{"type":"fake"}]`),
		Entry("without a delegate", "one@eth0@cbr0.json", `{"name":"cbr0","type":7}`),
		Entry("of old", "one", byOld[:40]),
		Entry("null", "one", "null"),
	)

	It("that was to be replaced when its writer died goes, too", func() {
		n.Add(one, n.config(overFake))
		n.write("one@eth0@cbr0.json~", byOld)
		n.Del(one, n.config(overFake))
		Expect(n.records()).To(BeEmpty())
	})

	It("is collected when its attachment is not valid, and no other", func() {
		spared, elsewhere := n.Container("two"), n.Container("three")
		n.Add(one, n.config(overFake))
		n.Add(spared, n.config(overFake))
		other := strings.Replace(n.config(overFake), "cbr0", "cbr1", 1)
		n.Add(elsewhere, other)
		n.write("four", byOld)
		n.write("two-old", strings.Replace(byOld, "cbr0", "cbr1", 1))
		n.write("notes@home", "mine")
		n.write("five@eth0@cbr0.json~", byOld)
		n.write("six@eth0@cbr0.json", byOld[:40])
		n.write("seven@eth0@cbr1.json", byOld[:40])
		n.write("eight", byOld[:40])
		n.calls()
		valid := `,"cni.dev/valid-attachments":[{"containerID":"two","ifname":"eth0"}]`
		n.failOn("GC")
		_, err := n.Call("GC", one, n.config(overFake+valid))
		Expect(err).To(MatchError(ContainSubstring("not today")))
		Expect(n.calls()).To(ConsistOf("DEL one eth0 ", "DEL four eth0 ", "DEL five eth0 ", HavePrefix("GC ")))
		Expect(n.records()).To(ConsistOf("two", "two@eth0@cbr0.json", "three", "three@eth0@cbr1.json", "two-old", "notes@home",
			"seven@eth0@cbr1.json", "eight"))
		Expect(n.Check(spared, n.config(overFake), n.Add(spared, n.config(overFake)))).To(Succeed())
	})

	It("stays when GC cannot have its attachment removed", func() {
		n.Add(one, n.config(overFake))
		n.failOn("DEL")
		_, err := n.Call("GC", one, n.config(overFake))
		Expect(err).To(MatchError(ContainSubstring("container one: not today")))
		Expect(n.records()).To(ConsistOf("one", "one@eth0@cbr0.json"))
	})

	It("is missed by CHECK", func() {
		result := n.Add(one, n.config(overFake))
		n.write("one@eth0@cbr0.json", "{")
		Expect(n.Check(one, n.config(overFake), result)).To(MatchError(ContainSubstring("one@eth0@cbr0.json is missing or broken")))
		Expect(os.RemoveAll(n.path(""))).To(Succeed())
		Expect(n.Check(one, n.config(overFake), result)).To(MatchError(ContainSubstring("one@eth0@cbr0.json is missing or broken")))
	})

	It("cannot be written: nothing is delegated", func() {
		Expect(os.WriteFile(filepath.Join(n.dir, "state"), nil, 0o600)).To(Succeed())
		_, err := n.Call("ADD", one, n.config(overFake))
		Expect(testrig.Code(err)).To(Equal(uint(5)))
		n.Del(one, n.config(overFake))
		n.failOn("GC")
		_, err = n.Call("GC", one, n.config(overFake))
		Expect(err).To(MatchError(ContainSubstring("not today")), "of the delegate")
		Expect(n.calls()).To(ConsistOf(HavePrefix("GC ")))
	})

	It("cannot have the name of an attachment: nothing is delegated, or was", func() {
		one.ID = strings.Repeat("c", 250) // with the rest, more than a file's name can have
		_, err := n.Call("ADD", one, n.config(overFake))
		Expect(err).To(MatchError(ContainSubstring("file name too long")))
		n.Del(one, n.config(overFake))
		Expect(n.calls()).To(BeEmpty())
		n.write(one.ID, byOld)
		n.Del(one, n.config(overFake))
		Expect(n.calls()).To(ConsistOf(HavePrefix("DEL c")))
		Expect(n.records()).To(BeEmpty())
	})

	It("of a sandbox is that of all its containers, on Windows", func() {
		Expect(sandboxOf("none", "c1")).To(Equal("c1"))
		Expect(sandboxOf("", "c1")).To(Equal("c1"))
		Expect(sandboxOf("container:pod", "c1")).To(Equal("pod"))
		Expect(sandboxOf("b3a3-guid", "c1")).To(Equal("c1"))
	})

	DescribeTable("has a name that can be taken apart",
		func(name, container, ifName string, ok bool) {
			r, got := parseRecordName("d", "cbr0", name)
			Expect([]any{r.ContainerID, r.IfName, got}).To(Equal([]any{container, ifName, ok}))
		},
		Entry("ours", "one@eth0@cbr0.json", "one", "eth0", true),
		Entry("aside", "one@eth0@cbr0.json~", "one", "eth0", true),
		Entry("odd interface", "one@a@b~@cbr0.json", "one", "a@b~", true),
		Entry("of old", "one.json", "one.json", "", true),
		Entry("another network's", "one@eth0@cbr1.json", "one", "eth0@cbr1.json", false),
		Entry("nobody's", "one@eth0", "one", "eth0", false),
	)
})
