// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

const before = "02:00:00:00:00:01" // the MAC address of the interface

var _ = Describe("tuning", func() {
	var (
		rig *testrig.Rig
		c   *testrig.Container
		dir string // dataDir
	)

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "veth")
		rig = testrig.New(Plugin, "")
		c = rig.Container("one")
		dir = filepath.Join(GinkgoT().TempDir(), "tuning")
		c.Do(func() {
			mac, _ := net.ParseMAC(before)
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.HardwareAddr, attrs.MTU, attrs.TxQLen = c.IfName, mac, 1500, 1000
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})).To(Succeed())
		})
	})

	prev := func() *current.Result {
		return &current.Result{CNIVersion: "1.1.0", Interfaces: []*current.Interface{
			{Name: c.IfName, Mac: "02:00:00:00:00:77", Mtu: 9000}, // of the host, by chance
			{Name: c.IfName, Mac: before, Mtu: 1500, Sandbox: c.Path},
		}}
	}
	config := func(members string) string {
		return testrig.WithPrev(fmt.Sprintf(`{"type":"tuning","dataDir":%q,%s}`, dir, members), prev())
	}
	attrs := func() *netlink.LinkAttrs {
		GinkgoHelper()
		l, err := ns.Call(c.Netns, func() (netlink.Link, error) { return netlink.LinkByName(c.IfName) })
		Expect(err).NotTo(HaveOccurred())
		return l.Attrs()
	}
	parameter := func(file string) string {
		GinkgoHelper()
		value, err := ns.Call(c.Netns, func() (string, error) { return sysctl.Sysctl(file) })
		Expect(err).NotTo(HaveOccurred())
		return value
	}
	saved := func() string {
		data, err := os.ReadFile(filepath.Join(dir, "one_eth0.json"))
		if err != nil {
			return ""
		}
		return string(data)
	}

	DescribeTable("sets an attribute, checks it, and gives it back",
		func(member, key string, value any) {
			original := attributeOf(attrs(), key)
			Expect(original).NotTo(Equal(value))
			for _, text := range []string{member, `"args":{"cni":{` + member + `}}`} {
				result := rig.Add(c, config(text))
				Expect(attributeOf(attrs(), key)).To(Equal(value))
				Expect(saved()).To(ContainSubstring(fmt.Sprintf("%q", key)))
				Expect(rig.Check(c, config(text), result)).To(Succeed())
				rig.Del(c, config(text))
				Expect(attributeOf(attrs(), key)).To(Equal(original))
				Expect(saved()).To(BeEmpty())
				Expect(rig.Check(c, config(text), result)).To(MatchError(ContainSubstring(key + " is ")))
			}
		},
		Entry("the MAC address", `"mac":"02-00-00-00-00-AB"`, macKey, "02:00:00:00:00:ab"),
		Entry("promisc", `"promisc":true`, promiscKey, true),
		Entry("the MTU", `"mtu":1454`, mtuKey, 1454),
		Entry("allmulti", `"allmulti":true`, allMultiKey, true),
		Entry("the length of the queue", `"txQLen":20000`, txQLenKey, 20000),
		Entry("no queue", `"txQLen":0`, txQLenKey, 0),
	)

	DescribeTable("gives the attributes back to an interface that the container has renamed",
		func(commands ...string) {
			rig.Add(c, config(`"promisc":true,"txQLen":77`))
			testrig.IP(c.Netns, "link set eth0 down name renamed")
			for _, command := range commands {
				testrig.IP(c.Netns, "%s", command)
			}
			rig.Del(c, config(`"promisc":true`))
			Expect(saved()).To(BeEmpty())
			c.IfName = "renamed"
			Expect(attrs().TxQLen).To(Equal(1000))
			Expect(attributeOf(attrs(), promiscKey)).To(Equal(false))
		},
		Entry("and there is none of that name"),
		Entry("and another has its name", "link add eth0 type bridge"),
	)

	It("reports what has changed about the container's interface, and nothing else", func() {
		result := rig.Add(c, config(`"mac":"02:00:00:00:00:ab","mtu":1400,"sysctl":{"net.ipv4.ip_forward":"1"}`))
		want := prev()
		want.Interfaces[1].Mac, want.Interfaces[1].Mtu = "02:00:00:00:00:ab", 1400
		Expect(result).To(Equal(want))
	})

	DescribeTable("reports it whatever the plugin before says about the sandbox",
		func(sandboxes ...string) {
			given, want := prev(), prev()
			given.Interfaces, want.Interfaces = nil, nil
			for _, sandbox := range sandboxes {
				given.Interfaces = append(given.Interfaces, &current.Interface{Name: c.IfName, Mac: before, Mtu: 1500, Sandbox: sandbox})
				want.Interfaces = append(want.Interfaces, &current.Interface{Name: c.IfName, Mac: "02:00:00:00:00:ab", Mtu: 1400, Sandbox: sandbox})
			}
			Expect(rig.Add(c, testrig.WithPrev(fmt.Sprintf(`{"dataDir":%q,"mac":"02:00:00:00:00:ab","mtu":1400}`, dir), given))).To(Equal(want))
		},
		Entry("nothing", ""),
		Entry("another path, and how a virtual machine is called", "/var/run/netns/one", "vm-one"),
	)

	It("takes the MAC address of CNI_ARGS", func() {
		c.Args = "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=02:00:00:00:00:ac"
		rig.Add(c, config(`"mac":"02:00:00:00:00:ab"`))
		Expect(attrs().HardwareAddr.String()).To(Equal("02:00:00:00:00:ac"))
		c.Args = "MAC=02:00:00:00:00:ac;OTHER=1"
		_, err := rig.Call("ADD", c, config(`"mtu":1400`))
		Expect(testrig.Code(err)).To(Equal(uint(types.ErrInvalidEnvironmentVariables)))
	})

	It("sets parameters of the container alone, and no file for them", func() {
		text := config(`"sysctl":{"net.ipv4.conf.IFNAME.log_martians":"1","net/core/somaxconn":"0x1f5","net.ipv4.route.flush":"1",
			"net.ipv6.conf.IFNAME.stable_secret":"fe80::1","net.ipv4.ip_local_reserved_ports":"9000-9010,8080"}`)
		onHost := func() string {
			value, err := ns.Call(rig.Host, func() (string, error) { return sysctl.Sysctl("net/core/somaxconn") })
			Expect(err).NotTo(HaveOccurred())
			return value
		}
		was := onHost()
		Expect(was).NotTo(Equal("501"))
		result := rig.Add(c, text)
		Expect(parameter("net/ipv4/conf/eth0/log_martians")).To(Equal("1"))
		Expect(parameter("net/core/somaxconn")).To(Equal("501"))
		Expect(onHost()).To(Equal(was))
		Expect(rig.Check(c, text, result)).To(Succeed())
		Expect(dir).NotTo(BeADirectory())
		rig.Del(c, text)
		Expect(parameter("net/core/somaxconn")).To(Equal("501"), "they go with the namespace")
	})

	It("writes a value that is there already, for its effect on others", func() {
		c.Do(func() { Expect(sysctl.Write("net/ipv6/conf/eth0/disable_ipv6", "1")).To(Succeed()) })
		rig.Add(c, config(`"sysctl":{"net.ipv6.conf.all.disable_ipv6":"0"}`))
		Expect(parameter("net/ipv6/conf/eth0/disable_ipv6")).To(Equal("0"))
	})

	It("takes back what it did when the kernel refuses something", func() {
		for _, bad := range []string{`"mtu":70000`, `"sysctl":{"net.ipv4.ip_forward":"1","net.ipv4.tcp_rmem":"many"}`, `"sysctl":{"net.ipv4.ip_forward":"1","net.no.such":"1"}`} {
			_, err := rig.Call("ADD", c, config(`"mac":"02:00:00:00:00:ab","promisc":true,`+bad))
			Expect(err).To(HaveOccurred())
			Expect(attrs().HardwareAddr.String()).To(Equal(before))
			Expect(attributeOf(attrs(), promiscKey)).To(BeFalse())
			Expect(parameter("net/ipv4/ip_forward")).To(Equal("0"))
			Expect(saved()).To(BeEmpty())
		}
	})

	It("sets none of several parameters if there is none of one", func() {
		for _, absent := range []string{"net.ipv4.conf.lo.no_such", "net.ipv4.conf.lo", "net.ipv4.conf.lo.forwarding.no_such"} {
			c.Do(func() {
				Expect(sysctl.Write("net/ipv4/conf/all/forwarding", "0")).To(Succeed())
				Expect(sysctl.Write("net/ipv4/conf/lo/forwarding", "1")).To(Succeed())
			})
			_, err := rig.Call("ADD", c, config(`"sysctl":{"net.ipv4.conf.all.forwarding":"1","`+absent+`":"1"}`))
			Expect(err).To(MatchError(HavePrefix("tuning: sysctl." + absent + ": ")))
			Expect(parameter("net/ipv4/conf/all/forwarding")).To(Equal("0"))
			Expect(parameter("net/ipv4/conf/lo/forwarding")).To(Equal("1"))
		}
	})

	It("says which parameter there is none of", func() {
		_, err := rig.Call("ADD", c, config(`"args":{"cni":{"sysctl":{"net.no.such":"1"}}}`))
		Expect(err).To(MatchError(And(HavePrefix("tuning: args.cni.sysctl.net.no.such: "), ContainSubstring("no such file"))))
	})

	It("keeps the first originals, whoever tunes again", func() {
		first, second := config(`"mac":"02:00:00:00:00:ab","mtu":1400`), config(`"mac":"02:00:00:00:00:ac","txQLen":7`)
		rig.Add(c, first)
		rig.Add(c, second)
		rig.Add(c, first)
		rig.Add(c, second)
		Expect(attrs().HardwareAddr.String()).To(Equal("02:00:00:00:00:ac"))
		rig.Del(c, second)
		rig.Del(c, first)
		Expect(attrs().HardwareAddr.String()).To(Equal(before))
		Expect([]int{attrs().MTU, attrs().TxQLen}).To(Equal([]int{1500, 1000}))
		Expect(saved()).To(BeEmpty())
	})

	It("goes back to what another entry of the list has tuned when it fails", func() {
		rig.Add(c, config(`"mac":"02:00:00:00:00:ab"`))
		noted := saved()
		_, err := rig.Call("ADD", c, config(`"mac":"02:00:00:00:00:ac","txQLen":7,"mtu":5`))
		Expect(err).To(HaveOccurred())
		Expect(saved()).To(Equal(noted))
		Expect(attrs().HardwareAddr.String()).To(Equal("02:00:00:00:00:ab"))
	})

	It("restores what upstream has noted", func() {
		Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "one_eth0.json"), []byte("{\n \"mac\": \"02:00:00:00:00:02\",\n \"promisc\": true,\n \"mtu\": 1490,\n \"txQLen\": 33\n}"), 0o600)).To(Succeed())
		rig.Del(c, config(`"mtu":1400`))
		Expect(attrs().HardwareAddr.String()).To(Equal("02:00:00:00:00:02"))
		Expect([]int{attrs().MTU, attrs().TxQLen}).To(Equal([]int{1490, 33}))
		Expect(attributeOf(attrs(), promiscKey)).To(BeTrue())
		Expect(saved()).To(BeEmpty())
	})

	It("does not mind originals that are broken, or that the interface does not take", func() {
		Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
		for _, text := range []string{``, `{"mac": "02:0`, `{"mac":7}`, `[]`, `{"mtu":5,"txQLen":33}`} {
			Expect(os.WriteFile(filepath.Join(dir, "one_eth0.json"), []byte(text), 0o600)).To(Succeed())
			rig.Del(c, config(`"mtu":1400`))
			Expect(filepath.Join(dir, "one_eth0.json")).NotTo(BeAnExistingFile())
		}
		Expect([]int{attrs().MTU, attrs().TxQLen}).To(Equal([]int{1500, 33}), "one failure does not stop the others")
	})

	It("does not give an interface what another one had", func() {
		rig.Add(c, config(`"mac":"02:00:00:00:00:ab"`))
		again := rig.Container("one")
		again.Do(func() {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", Index: 77}, PeerName: "peer"})).To(Succeed())
		})
		c = again
		own := attrs().HardwareAddr.String()
		rig.Add(c, config(`"mac":"02:00:00:00:00:ac"`))
		rig.Del(c, config(`"mac":"02:00:00:00:00:ac"`))
		Expect(attrs().HardwareAddr.String()).To(Equal(own))
	})

	It("forgets the originals when the interface or the namespace is gone", func() {
		rig.Add(c, config(`"mtu":1400`))
		c.Do(func() { Expect(netlink.LinkDel(&netlink.Dummy{LinkAttrs: *attrs()})).To(Succeed()) })
		rig.Del(c, config(`"mtu":1400`))
		Expect(saved()).To(BeEmpty())
	})

	It("says beforehand that originals cannot be kept", func() {
		Expect(os.WriteFile(dir, nil, 0o600)).To(Succeed())
		_, err := rig.Call("STATUS", c, config(`"mtu":1400`))
		Expect(testrig.Code(err)).To(Equal(uint(50)))
		Expect(err).To(MatchError(ContainSubstring("not a directory")))
		_, err = rig.Call("STATUS", c, config(`"sysctl":{"net.ipv4.ip_forward":"1"}`))
		Expect(err).NotTo(HaveOccurred(), "nothing to keep")
		_, err = rig.Call("ADD", c, config(`"mtu":1400`))
		Expect(testrig.Code(err)).To(Equal(uint(types.ErrIOFailure)))
	})

	It("does not mind who else wants the interface promiscuous", func() {
		c.Do(func() {
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})).To(Succeed())
			bridge, err := netlink.LinkByName("br0")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetMaster(&netlink.Dummy{LinkAttrs: *attrs()}, bridge)).To(Succeed())
		})
		Expect(attrs().Promisc).To(Equal(1))
		result := rig.Add(c, config(`"mtu":1400`))
		Expect(rig.Check(c, config(`"mtu":1400`), result)).To(Succeed())
		Expect(rig.Check(c, config(`"promisc":true`), result)).To(MatchError(ContainSubstring("promisc is false")))
		rig.Add(c, config(`"promisc":true`))
		rig.Del(c, config(`"promisc":true`))
		Expect(attributeOf(attrs(), promiscKey)).To(BeFalse())
	})

	It("succeeds with a read-only /proc/sys whose values are right, and fails otherwise", func() {
		tuned := `{"net.ipv4.conf.IFNAME.log_martians":"1","net.ipv4.tcp_rmem":"4096 20000 30000"}`
		rig.Add(c, config(`"sysctl":`+tuned))
		Expect(runShipped(rig, c, config(`"sysctl":`+tuned), "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")).To(ContainSubstring(`"cniVersion"`))
		Expect(runShipped(rig, c, config(`"sysctl":{"net.ipv4.tcp_rmem":"4096 20000 30001"}`),
			"mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")).To(ContainSubstring("read-only file system"))
	})

	It("obeys the administrator's list", func() {
		list := func(text string) string {
			return "mount -t tmpfs none /etc; mkdir -p /etc/cni/tuning; printf '" + text + `\n' >/etc/cni/tuning/allowlist.conf`
		}
		text := config(`"sysctl":{"net.ipv4.conf.IFNAME.log_martians":"1","net.ipv4.ip_forward":"1"}`)
		Expect(runShipped(rig, c, text, list(`^net.ipv4.conf`))).To(And(ContainSubstring(`"code": 7`),
			ContainSubstring("sysctl.net.ipv4.ip_forward: not allowed by /etc/cni/tuning/allowlist.conf"), Not(ContainSubstring("log_martians: not"))))
		Expect(parameter("net/ipv4/conf/eth0/log_martians")).To(Equal("0"))
		const status = "; export CNI_COMMAND=STATUS"
		Expect(runShipped(rig, c, text, list(`^net.ipv4.conf`)+status)).To(And(ContainSubstring(`"code": 50`), ContainSubstring("sysctl.net.ipv4.ip_forward: not allowed by")))
		Expect(runShipped(rig, c, text, list(`net.ipv4.(`)+status)).To(And(ContainSubstring(`"code": 50`), ContainSubstring("allowlist.conf: line 1: error parsing regexp")))
		Expect(runShipped(rig, c, text, list(`ip_forward\n\n^net.ipv4.conf.IFNAME`)+status)).To(BeEmpty())
		Expect(runShipped(rig, c, text, list(`ip_forward\n\n^net.ipv4.conf.IFNAME`))).To(ContainSubstring(`"cniVersion"`))
		Expect(parameter("net/ipv4/conf/eth0/log_martians")).To(Equal("1"))
	})
})

func attributeOf(attrs *netlink.LinkAttrs, key string) any {
	switch key {
	case macKey:
		return attrs.HardwareAddr.String()
	case promiscKey:
		return attrs.RawFlags&unix.IFF_PROMISC != 0
	case mtuKey:
		return attrs.MTU
	case allMultiKey:
		return attrs.RawFlags&unix.IFF_ALLMULTI != 0
	}
	return attrs.TxQLen
}

// runShipped runs ADD of the executable, after a shell command in a mount
// namespace of its own, and returns what it printed.
func runShipped(rig *testrig.Rig, c *testrig.Container, config, first string) string {
	GinkgoHelper()
	cmd := exec.Command("unshare", "-m", "sh", "-ec", first+`; exec "$0"`, executable)
	cmd.Env = append(os.Environ(), "CNI_COMMAND=ADD", "CNI_CONTAINERID="+c.ID, "CNI_NETNS="+c.Path, "CNI_IFNAME="+c.IfName, "CNI_PATH=/none")
	cmd.Stdin = strings.NewReader(config)
	var output []byte
	Expect(rig.Host.Do(func(ns.NetNS) error {
		output, _ = cmd.CombinedOutput() // the status is 1 with any error
		return nil
	})).To(Succeed())
	return string(output)
}
