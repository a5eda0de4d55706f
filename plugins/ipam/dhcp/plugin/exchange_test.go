// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/d2g/dhcp4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("an exchange", func() {
	var n *lan

	BeforeEach(func() { n = newLAN() })

	It("tells the server what is configured, and takes what it says", func() {
		server := n.dnsmasq("--dhcp-option=6,10.77.0.53", "--dhcp-option=15,example.com", "--dhcp-option=119,eng.example.com,example.com",
			"--dhcp-option=26,1400", "--dhcp-option=121,10.9.0.0/16,10.77.0.9,0.0.0.0/0,10.77.0.1", "--dhcp-option=33,10.8.0.1,10.77.0.8")
		n.daemon("-broadcast")
		c := n.container("c1")
		c.Args = "IgnoreUnknown=1;K8S_POD_NAME=web-0"
		result := n.Add(c, n.config(`,"priority":7,
			"provide":[{"option":"host-name","fromArg":"K8S_POD_NAME"},{"option":"vendor-class-identifier","value":"container"}],
			"request":[{"option":"6"},{"option":"15"},{"option":"119"},{"option":"interface-mtu"},{"option":"121"},{"option":"33"}]`))
		log := string(server.Err.Contents())
		Expect(log).To(ContainSubstring("client provides name: web-0"))
		Expect(log).To(ContainSubstring("vendor class: container"))
		Expect(log).To(ContainSubstring("requested options: 6:dns-server, 15:domain-name, 119:domain-search,"))
		Expect(os.ReadFile(n.dir+"/dnsmasq.leases")).To(ContainSubstring("00:63:31:2f:74:65:73:74:2f:65:74:68:30"), "c1/test/eth0 after a zero byte")
		Expect(result.DNS).To(And(HaveField("Nameservers", []string{"10.77.0.53"}), HaveField("Domain", "example.com"),
			HaveField("Search", []string{"eng.example.com", "example.com"})))
		Expect(result.Routes).To(HaveLen(2))
		Expect(result.Routes[0].Dst.String()).To(Equal("10.9.0.0/16"))
		Expect(result.Routes).To(HaveEach(HaveField("Priority", 7)))
		c.Do(func() {
			l, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Attrs().MTU).To(Equal(1400))
		})
	})

	It("asks for what the reference does if the configuration wants nothing, and keeps it to itself", func() {
		n.dnsmasq("--dhcp-option=6,10.77.0.53", "--dhcp-option=15,example.com")
		seen := n.listen()
		n.daemon()
		c := n.container("c1")
		result := n.Add(c, n.config(`,"request":[{"skipDefault":true}]`))
		Expect(result.DNS).To(BeZero())
		for _, kind := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Request} {
			Eventually(func() []sent { return seen.of(c, kind) }).ShouldNot(BeEmpty())
			Expect(seen.of(c, kind)[0].options).To(HaveKeyWithValue(dhcp4.OptionParameterRequestList, []byte{1, 3, 15, 6}))
		}
		n.Del(c, n.config(""))
	})

	It("declines an address that somebody has, if asked to probe", func() {
		server := n.dnsmasq("--dhcp-range=10.77.0.10,10.77.0.11,255.255.255.0,120")
		n.daemon()
		for i, taken := range []string{"10.77.0.10", "10.77.0.11"} {
			squatter := n.container(fmt.Sprint("squatter", i))
			squatter.Do(func() { address("eth0", taken+"/24") })
			if i == 0 {
				c := n.container("c1")
				Expect(addressOf(n.Add(c, n.config(`,"probe":true`)))).To(Equal("10.77.0.11"))
				n.Del(c, n.config(""))
			}
		}
		Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE"))
		n.daemonTries(1500 * time.Millisecond)
		_, err := n.Call("ADD", n.container("c2"), n.config(`,"probe":true`))
		Expect(err).To(HaveOccurred())
		Expect(string(server.Err.Contents())).To(ContainSubstring("DHCPDECLINE(eth0) 10.77.0.11"))
	})

	for _, kind := range []string{"macvlan", "ipvlan"} {
		It("goes through "+kind+", and the lease is renewed", func() {
			testutils.Need(GinkgoT(), kind)
			server := n.dnsmasq("--dhcp-option-force=58,1", "--dhcp-option-force=59,6")
			n.daemon()
			n.parent()
			for _, id := range []string{"c1", "c2"} {
				c := n.Container(id)
				n.child(c, kind)
				result := n.Add(c, n.config(""))
				configure(c, result)
				granted := "DHCPACK\\(eth0\\) " + addressOf(result)
				Eventually(server.Err).Should(gbytes.Say(granted))
				if id == "c1" {
					Eventually(server.Err).Should(gbytes.Say(granted))
				}
				Expect(testrig.Reach(c.Netns, n.server, serverAddress)).To(Equal(addressOf(result)))
				n.Del(c, n.config(""))
				Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE\\(eth0\\) " + addressOf(result)))
				c.Do(func() {
					l, err := netlink.LinkByName("eth0")
					Expect(err).NotTo(HaveOccurred())
					Expect(netlink.LinkDel(l)).To(Succeed())
				})
			}
		})
	}

	It("gets through ipvlan with a server that broadcasts to a single MAC address", func() {
		testutils.Need(GinkgoT(), "ipvlan")
		server := n.kea(10, timing{2, 15, 30})
		d := n.daemon()
		n.parent()
		for _, id := range []string{"c1", "c2"} { // of one MAC address
			c := n.Container(id)
			n.child(c, "ipvlan")
			result := n.Add(c, n.config(""))
			configure(c, result)
			Eventually(server.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"))
			Expect(testrig.Reach(c.Netns, n.server, serverAddress)).To(Equal(addressOf(result)))
			Eventually(server.Out).Should(gbytes.Say("DHCP4_LEASE_ALLOC .*" + addressOf(result) + " has been"))
		}
		Expect(string(d.Err.Contents())).NotTo(ContainSubstring("no DHCP server answered"))
		Expect(n.leases()).To(HaveLen(2))
	})

	// DHCP_TEST_LEASES=500 gives the figures of the documentation.
	It("of hundreds takes no thread and no descriptor each", func() {
		count, _ := strconv.Atoi(os.Getenv("DHCP_TEST_LEASES"))
		count = max(count, 100)
		n.dnsmasq("--dhcp-range=10.77.0.10,10.77.3.250,255.255.252.0,120", "--dhcp-lease-max=2000")
		d := n.daemon("-timeout", "5s")
		idle := usage(d)
		containers := make([]*testrig.Container, count)
		for i := range containers {
			containers[i] = n.container(fmt.Sprint("c", i))
		}
		var all sync.WaitGroup
		began := time.Now()
		for worker := range 8 {
			all.Go(func() {
				defer GinkgoRecover()
				for i := worker; i < count; i += 8 {
					printed, err := n.run(executable, "ADD", containers[i], n.config(""))
					Expect(err).NotTo(HaveOccurred(), printed)
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		Expect(n.leases()).To(HaveLen(count))
		Eventually(func() int { return usage(d).files }).Should(BeNumerically("<=", idle.files+1))
		with := usage(d)
		AddReportEntry(fmt.Sprintf("%d leases in %v: %+v, before %+v", count, took.Round(time.Millisecond), with, idle))
		Expect(with.threads).To(BeNumerically("<", 40))
		Expect(with.kilobytes - idle.kilobytes).To(BeNumerically("<", 20_000+40*count))
	})
})

// daemonTries replaces the daemon by one that gives up sooner.
func (n *lan) daemonTries(long time.Duration) {
	GinkgoHelper()
	Expect(os.Remove(n.socket())).To(Succeed())
	n.daemon("-resendtimeout", long.String(), "-journal", n.dir+"/other")
}

// parent makes a link of the host's on which others can sit, "uplink", and
// connects it to the bridge.
func (n *lan) parent() {
	GinkgoHelper()
	n.OnHost(func() {
		bridge, err := netlink.LinkByName("br0")
		Expect(err).NotTo(HaveOccurred())
		pair := &netlink.Veth{LinkAttrs: attrs("uplink"), PeerName: "uplinkport"}
		Expect(netlink.LinkAdd(pair)).To(Succeed())
		port, err := netlink.LinkByName("uplinkport")
		Expect(err).NotTo(HaveOccurred())
		Expect(netlink.LinkSetMaster(port, bridge)).To(Succeed())
		Expect(netlink.LinkSetUp(port)).To(Succeed())
		Expect(netlink.LinkSetUp(pair)).To(Succeed())
	})
}

// child gives a container an eth0 on top of the parent.
func (n *lan) child(c *testrig.Container, kind string) {
	GinkgoHelper()
	n.OnHost(func() {
		parent, err := netlink.LinkByName("uplink")
		Expect(err).NotTo(HaveOccurred())
		a := attrs("eth0")
		a.ParentIndex, a.Namespace = parent.Attrs().Index, netlink.NsFd(c.Netns.Fd())
		var child netlink.Link = &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}
		if kind == "ipvlan" {
			child = &netlink.IPVlan{LinkAttrs: a, Mode: netlink.IPVLAN_MODE_L2}
		}
		Expect(netlink.LinkAdd(child)).To(Succeed())
	})
}

// resources are what a process uses.
type resources struct{ threads, files, kilobytes int }

func usage(p process) resources {
	GinkgoHelper()
	dir := fmt.Sprintf("/proc/%d/", p.Command.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	Expect(err).NotTo(HaveOccurred())
	number := func(key string) int {
		_, rest, _ := strings.Cut(string(status), key+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		Expect(err).NotTo(HaveOccurred())
		return n
	}
	files, err := os.ReadDir(dir + "fd")
	Expect(err).NotTo(HaveOccurred())
	return resources{number("Threads"), len(files), number("VmRSS")}
}

var _ = Describe("interface plugins", func() {
	// The lease is released after the address was taken off the interface.
	for _, name := range []string{"bridge", "macvlan"} {
		It("get addresses: "+name, func() {
			if name != "bridge" {
				testutils.Need(GinkgoT(), name)
			}
			n := newLAN()
			server := n.dnsmasq()
			n.daemon()
			n.parent()
			own := map[string]string{"bridge": `"bridge":"br0"`, "macvlan": `"master":"uplink"`}[name]
			config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":%q,%s,"ipam":{"type":"dhcp","daemonSocketPath":%q}}`, name, own, n.socket())
			plugin := interfacePlugin(name)
			c := n.Container("c1")
			printed, err := n.run(plugin, "ADD", c, config)
			Expect(err).NotTo(HaveOccurred(), printed)
			result := testrig.Result(printed)
			Expect(testrig.Reach(c.Netns, n.server, serverAddress)).To(Equal(addressOf(result)))
			printed, err = n.run(plugin, "CHECK", c, testrig.WithPrev(config, result))
			Expect(err).NotTo(HaveOccurred(), printed)
			printed, err = n.run(plugin, "DEL", c, config)
			Expect(err).NotTo(HaveOccurred(), printed)
			Eventually(server.Err).Should(gbytes.Say("DHCPRELEASE\\(eth0\\) " + addressOf(result)))
			Expect(n.leases()).To(BeEmpty())
		})
	}
})

var _ = DescribeTable("the MTU of a server is in the result of an interface plugin, and CHECK does not mind another one later",
	func(name, own string) {
		if name != "bridge" {
			testutils.Need(GinkgoT(), name)
		}
		n := newLAN()
		serve := func(mtu string) process {
			return n.dnsmasq("--dhcp-option=26,"+mtu, "--dhcp-option-force=58,1", "--dhcp-option-force=59,3")
		}
		server := serve("1400")
		n.daemon()
		n.parent()
		c := n.Container("c1")
		config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":%q,%s,"ipam":{"type":"dhcp","daemonSocketPath":%q,
			"request":[{"option":"interface-mtu"}]}}`, name, own, n.socket())
		run := func(verb, config string) string {
			GinkgoHelper()
			printed, err := n.run(interfacePlugin(name), verb, c, config)
			Expect(err).NotTo(HaveOccurred(), printed)
			return printed
		}
		mtu := func() (mtu int) {
			c.Do(func() { mtu = testrig.Find("eth0").Attrs().MTU })
			return mtu
		}

		result := testrig.Result(run("ADD", config))
		Expect(result.Interfaces[len(result.Interfaces)-1].Mtu).To(Equal(1400))
		Expect(mtu()).To(Equal(1400))
		run("CHECK", testrig.WithPrev(config, result))
		server.end(syscall.SIGKILL)
		serve("1300")
		Eventually(mtu).Should(Equal(1300))
		run("CHECK", testrig.WithPrev(config, result))
	},
	Entry("bridge", "bridge", `"bridge":"br0"`),
	Entry("macvlan that is to have another", "macvlan", `"master":"uplink","mtu":1500`),
)

// interfacePlugin builds an interface plugin, unless that has been done.
func interfacePlugin(name string) string {
	GinkgoHelper()
	if built := os.Getenv("PLUGINS_TEST_BIN"); built != "" {
		return filepath.Join(built, name)
	}
	path, err := gexec.Build("github.com/containernetworking/plugins/plugins/main/" + name)
	Expect(err).NotTo(HaveOccurred())
	return path
}
