// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// tree is a sysfs, laid out like the kernel's.
type tree string

const (
	bus  = "pci0000:00"
	card = "0000:00:03.0"
)

// pci adds a PCI device and returns the directory that describes it. An empty
// driver is none.
func (t tree) pci(id, driver string) string {
	GinkgoHelper()
	directory := filepath.Join(string(t), "devices", bus, id)
	t.make(directory)
	t.link(directory, "bus/pci/devices", id)
	if driver != "" {
		t.make(filepath.Join(string(t), "bus/pci/drivers", driver))
		Expect(os.Symlink("../../../bus/pci/drivers/"+driver, filepath.Join(directory, "driver"))).To(Succeed())
	}
	return directory
}

// netdev adds interfaces to the device that a directory describes.
func (t tree) netdev(directory string, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		entry := filepath.Join(directory, "net", name)
		t.make(entry)
		Expect(os.Symlink(directory, filepath.Join(entry, "device"))).To(Succeed())
		t.link(entry, "class/net", name)
	}
}

func (t tree) make(directory string) {
	GinkgoHelper()
	Expect(os.MkdirAll(directory, 0o755)).To(Succeed())
}

// link makes a symbolic link to target in a directory of the tree.
func (t tree) link(target, directory, name string) {
	GinkgoHelper()
	t.make(filepath.Join(string(t), directory))
	Expect(os.Symlink(target, filepath.Join(string(t), directory, name))).To(Succeed())
}

var _ = Describe("a device", func() {
	var (
		sys    tree
		rig    *testrig.Rig
		c      *testrig.Container
		before string
	)
	BeforeEach(func() {
		sys = tree(GinkgoT().TempDir())
		rig = testrig.New(plugin.New(definition(sysfs(sys))), ipamPath())
		c = rig.Container("one")
		rig.OnHost(func() {
			standIn("nic0", nicMAC, 1500, true)
			standIn("nic1", "02:00:00:00:00:02", 1500, true)
		})
		before = testrig.Snapshot(rig.Host)
	})

	// expectLent attaches with a configuration and expects nic0 to be lent, and to
	// come home also when the device itself is gone from the machine by then.
	expectLent := func(config, pciID string) {
		GinkgoHelper()
		result := rig.Add(c, config)
		Expect(result.Interfaces).To(Equal([]*current.Interface{{Name: "eth0", Mac: nicMAC, Mtu: 1500, Sandbox: c.Path, PciID: pciID}}))
		c.Do(func() { Expect(testrig.Find("eth0").Attrs().Alias).To(Equal("nic0")) })
		Expect(rig.Check(c, config, result)).To(Succeed())
		Expect(os.RemoveAll(string(sys))).To(Succeed())
		rig.Del(c, config)
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		rig.Del(c, config)
	}

	It("is found by its name, and its PCI address told", func() {
		sys.netdev(sys.pci(card, "e1000"), "nic0")
		expectLent(`{"type":"host-device","device":"nic0"}`, card)
	})

	It("is found by pciBusID", func() {
		sys.netdev(sys.pci(card, "e1000"), "nic0")
		sys.netdev(sys.pci("0000:00:04.0", "e1000"), "nic1")
		expectLent(`{"type":"host-device","pciBusID":"`+card+`"}`, card)
	})

	It("is found by pciBusID behind virtio", func() {
		sys.netdev(filepath.Join(sys.pci(card, "virtio-pci"), "virtio0"), "nic0")
		expectLent(`{"type":"host-device","pciBusID":"`+card+`"}`, card)
	})

	It("is found by the device id of the runtime, which comes before pciBusID", func() {
		sys.netdev(sys.pci(card, "ixgbevf"), "nic0")
		sys.netdev(sys.pci("0000:00:04.0", "ixgbevf"), "nic1")
		expectLent(`{"type":"host-device","pciBusID":"0000:00:04.0","capabilities":{"deviceID":true},"runtimeConfig":{"deviceID":"`+card+`"}}`, card)
	})

	It("is found by the id of an auxiliary device, whose parent's PCI address is told", func() {
		function := filepath.Join(sys.pci(card, "mlx5_core"), "mlx5_core.sf.4")
		sys.netdev(function, "nic0")
		sys.link(function, "bus/auxiliary/devices", "mlx5_core.sf.4")
		sys.netdev(sys.pci("0000:00:04.0", "e1000"), "nic1")
		expectLent(`{"type":"host-device","pciBusID":"0000:00:04.0","runtimeConfig":{"deviceID":"mlx5_core.sf.4"}}`, card)
	})

	It("is found by kernelpath", func() {
		sys.netdev(sys.pci(card, "e1000"), "nic0")
		expectLent(`{"type":"host-device","kernelpath":"/sys/devices/`+bus+`/`+card+`"}`, card)
	})

	It("is found by its address", func() {
		expectLent(`{"type":"host-device","hwaddr":"02:00:00:00:00:01"}`, "")
	})

	It("is found by its address rather than what is on top of it", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.HardwareAddr = "aaa", testrig.Find("nic0").Attrs().HardwareAddr
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})).To(Succeed())
		})
		before = testrig.Snapshot(rig.Host)
		expectLent(`{"type":"host-device","hwaddr":"02-00-00-00-00-01"}`, "")
	})

	It("is found by its alternative name", func() {
		rig.OnHost(func() { Expect(netlink.LinkAddAltName(testrig.Find("nic0"), "enp0s3")).To(Succeed()) })
		before = testrig.Snapshot(rig.Host)
		expectLent(`{"type":"host-device","device":"enp0s3"}`, "")
	})

	DescribeTable("that is named in several ways is found by the first of them",
		func(config string) {
			sys.netdev(sys.pci("0000:00:04.0", "e1000"), "nic1")
			sys.netdev(sys.pci(card, "e1000"), "nic0")
			rig.Add(c, config)
			c.Do(func() { Expect(testrig.Find("eth0").Attrs().Alias).To(Equal("nic0")) })
			rig.Del(c, config)
		},
		Entry("device", `{"type":"host-device","device":"nic0","hwaddr":"02:00:00:00:00:02","pciBusID":"0000:00:04.0","runtimeConfig":{"deviceID":"0000:00:04.0"}}`),
		Entry("hwaddr", `{"type":"host-device","hwaddr":"02:00:00:00:00:01","kernelpath":"/sys/devices/pci0000:00/0000:00:04.0"}`),
		Entry("kernelpath", `{"type":"host-device","kernelpath":"/sys/devices/pci0000:00/0000:00:03.0","pciBusID":"0000:00:04.0"}`),
	)

	DescribeTable("that cannot be found is missed by ADD and STATUS, and DEL does without",
		func(config, want string) {
			sys.pci("0000:00:05.0", "")
			sys.pci("0000:00:06.0", "e1000")
			sys.netdev(sys.pci("0000:00:07.0", "e1000"), "stale0")
			_, err := rig.Call("ADD", c, config)
			Expect(err).To(MatchError(ContainSubstring(want)))
			_, err = rig.Call("STATUS", c, config)
			Expect(err).To(MatchError(ContainSubstring(want)))
			Expect(testrig.Code(err)).To(Equal(uint(50)))
			rig.Del(c, config)
			Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		},
		Entry("by name", `{"device":"nic9"}`, `device: there is no interface "nic9" on the host`),
		Entry("by address", `{"hwaddr":"02:00:00:00:00:0f"}`, "hwaddr: no interface on the host has the address 02:00:00:00:00:0f"),
		Entry("by kernelpath", `{"kernelpath":"/sys/devices/pci0000:00/0000:00:09.0"}`, "kernelpath: there is no device "),
		Entry("by PCI address", `{"pciBusID":"0000:00:09.0"}`, "pciBusID: there is no device "),
		Entry("without a driver", `{"pciBusID":"0000:00:05.0"}`, "no driver is bound to it"),
		Entry("in a container", `{"pciBusID":"0000:00:06.0"}`, "it may be in a container"),
		Entry("of another namespace", `{"pciBusID":"0000:00:07.0"}`, `link "stale0": not found`),
		Entry("by device id", `{"runtimeConfig":{"deviceID":"mlx5_core.sf.9"}}`, `runtimeConfig.deviceID: there is no device "mlx5_core.sf.9", neither in `),
	)

	It("that the runtime has to name is missed by ADD, not by STATUS", func() {
		config := `{"type":"host-device","capabilities":{"deviceID":true}}`
		_, err := rig.Call("STATUS", c, config)
		Expect(err).NotTo(HaveOccurred())
		_, err = rig.Call("ADD", c, config)
		Expect(err).To(MatchError(ContainSubstring("runtimeConfig.deviceID: missing")))
		Expect(testrig.Code(err)).To(Equal(uint(7)))
		rig.Del(c, config)
	})

	Describe("in userspace", func() {
		const static = `"ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}`
		inUserspace := &current.Interface{Name: "eth0", PciID: card}

		DescribeTable("is left where it is, and its addresses are told",
			func(driver, config string) {
				inUserspace.Sandbox = c.Path
				sys.pci(card, driver)
				expectNothingChanged := rig.Remember(c)
				result := rig.Add(c, config)
				Expect(result.Interfaces).To(Equal([]*current.Interface{inUserspace}))
				Expect(result.IPs).To(HaveLen(1))
				Expect(*result.IPs[0].Interface).To(Equal(0))
				Expect(result.Routes).To(HaveLen(1))
				Expect(result.DNS.Nameservers).To(Equal([]string{"10.0.0.2"}))
				_, err := rig.Call("STATUS", c, config)
				Expect(err).NotTo(HaveOccurred())
				Expect(rig.Check(c, config, result)).To(Succeed())
				expectNothingChanged()
				rig.Del(c, config)
				expectNothingChanged()
			},
			Entry("by VFIO", "vfio-pci", `{"pciBusID":"0000:00:03.0","dns":{"nameservers":["10.0.0.2"]},`+static+`}`),
			Entry("by the generic driver", "uio_pci_generic", `{"pciBusID":"0000:00:03.0","dns":{"nameservers":["10.0.0.2"]},`+static+`}`),
			Entry("by DPDK's driver", "igb_uio", `{"runtimeConfig":{"deviceID":"0000:00:03.0"},"dns":{"nameservers":["10.0.0.2"]},`+static+`}`),
		)

		It("needs no addresses", func() {
			sys.pci(card, "vfio-pci")
			inUserspace.Sandbox = c.Path
			result := rig.Add(c, `{"pciBusID":"0000:00:03.0","dns":{"nameservers":["10.0.0.2"]}}`)
			Expect(result.Interfaces).To(Equal([]*current.Interface{inUserspace}))
			Expect(result.DNS.IsEmpty()).To(BeTrue())
			rig.Del(c, `{"pciBusID":"0000:00:03.0"}`)
		})

		It("can be said to be by dpdkMode, for what is no PCI device", func() {
			expectNothingChanged := rig.Remember(c)
			result := rig.Add(c, `{"device":"nic0","DPDKMode":true}`)
			Expect(result.Interfaces).To(Equal([]*current.Interface{{Name: "eth0", Sandbox: c.Path}}))
			expectNothingChanged()
			rig.Del(c, `{"device":"nic0","DPDKMode":true}`)
			Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		})

		It("is told by its driver if it is a PCI device, whatever dpdkMode says", func() {
			sys.netdev(sys.pci(card, "e1000"), "nic0")
			expectLent(`{"pciBusID":"`+card+`","dpdkMode":true}`, card)
		})

		It("is not looked for when its addresses are released", func() {
			config := `{"pciBusID":"0000:00:03.0",` + rig.HostLocal("", "10.0.0.0/30") + `}`
			sys.pci(card, "vfio-pci")
			for range 3 {
				rig.Add(c, config)
				Expect(os.Remove(filepath.Join(string(sys), "bus/pci/devices", card))).To(Succeed())
				c.Path = ""
				rig.Del(c, config)
				c.Path = c.Netns.Path()
				sys.link(filepath.Join(string(sys), "devices", bus, card), "bus/pci/devices", card)
			}
		})
	})
})
