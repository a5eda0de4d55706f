// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
)

func bridge(name string) {
	GinkgoHelper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 0xb} // rather than that of its ports
	Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})).To(Succeed())
	Expect(netlink.LinkSetUp(testrig.Find(name))).To(Succeed())
}

// open opens the tap interface, as the program does that it is for.
func open(name string, flags uint16) (*os.File, error) {
	file, err := openDevice()
	if err != nil {
		return nil, err
	}
	if err := take(file, name, flags); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func take(file *os.File, name string, flags uint16) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
	return unix.IoctlIfreq(int(file.Fd()), unix.TUNSETIFF, request)
}

var _ = Describe("a tap interface", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
	)
	begin := func() { expectNothingChanged = rig.Remember(c) }
	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		testutils.Need(GinkgoT(), "tun")
		c = rig.Container("one")
		begin()
	})

	DescribeTable("is made as it was asked for",
		func(config string, expect func(*netlink.Tuntap)) {
			c.Do(func() { bridge("br1") })
			begin()
			result := rig.Add(c, config)
			c.Do(func() {
				have := testrig.Find("eth0").(*netlink.Tuntap)
				Expect(have.Mode.String()).To(Equal("tap"))
				Expect(have.NonPersist).To(BeFalse())
				Expect(have.Alias).To(Equal("test/one/eth0"))
				Expect(have.RawFlags & unix.IFF_UP).NotTo(BeZero())
				Expect(result.Interfaces).To(HaveLen(1))
				Expect(result.Interfaces[0].Mac).To(Equal(have.HardwareAddr.String()))
				Expect(result.Interfaces[0].Mtu).To(Equal(have.MTU))
				Expect(result.Interfaces[0].Sandbox).To(Equal(c.Path))
				expect(have)
			})
			Expect(rig.Check(c, config, result)).To(Succeed())
			rig.Del(c, config)
			expectNothingChanged()
			rig.Del(c, config)
		},
		Entry("with nothing else", `{"type":"tap"}`, func(have *netlink.Tuntap) {
			Expect(have.Flags & netlink.TUNTAP_MULTI_QUEUE).To(BeZero())
			Expect(have.MTU).To(Equal(1500))
		}),
		Entry("with MAC and MTU", `{"type":"tap","mac":"02:00:00:00:00:05","mtu":1400}`, expectMACAndMTU),
		Entry("with MAC, MTU, owner and group", `{"type":"tap","mac":"02:00:00:00:00:05","mtu":1400,"owner":0,"group":0}`, expectMACAndMTU),
		Entry("with MAC, MTU and owner", `{"type":"tap","mac":"02:00:00:00:00:05","mtu":1400,"owner":107}`, func(have *netlink.Tuntap) {
			expectMACAndMTU(have)
			Expect(have.Owner).To(BeEquivalentTo(107))
		}),
		Entry("with the runtime's MAC before that of the configuration",
			`{"type":"tap","mac":"02:00:00:00:00:06","runtimeConfig":{"mac":"02:00:00:00:00:05"},"mtu":1400}`, expectMACAndMTU),
		Entry("with owner and group", `{"type":"tap","owner":107,"group":4000000000}`, func(have *netlink.Tuntap) {
			Expect(have.Owner).To(BeEquivalentTo(107))
			Expect(have.Group).To(Equal(uint32(4000000000)))
		}),
		Entry("with several queues", `{"type":"tap","multiQueue":true,"mtu":9000}`, func(have *netlink.Tuntap) {
			Expect(have.Flags & netlink.TUNTAP_MULTI_QUEUE).NotTo(BeZero())
			Expect(have.MTU).To(Equal(9000))
		}),
		Entry("as a port of a bridge", `{"type":"tap","bridge":"br1","mac":"02:00:00:00:00:05","mtu":1400}`, func(have *netlink.Tuntap) {
			expectMACAndMTU(have)
			Expect(have.MasterIndex).To(Equal(testrig.Find("br1").Attrs().Index))
		}),
		Entry("with addresses", `{"type":"tap","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"},{"address":"fd00::5/64"}]}}`,
			func(have *netlink.Tuntap) {
				addresses, err := netlink.AddrList(have, netlink.FAMILY_V4)
				Expect(err).NotTo(HaveOccurred())
				Expect(addresses).To(HaveLen(1))
			}),
	)

	It("gets the MAC address of CNI_ARGS before that of the configuration", func() {
		c.Args = "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=02:00:00:00:00:05"
		result := rig.Add(c, `{"type":"tap","mac":"02:00:00:00:00:06"}`)
		Expect(result.Interfaces[0].Mac).To(Equal("02:00:00:00:00:05"))
		c.Do(func() { Expect(testrig.Find("eth0").Attrs().HardwareAddr.String()).To(Equal("02:00:00:00:00:05")) })
	})

	It("passes frames to who opens it, and from there", func() {
		config := `{"type":"tap","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
		rig.Add(c, config)
		c.Do(func() {
			file, err := open("eth0", 0)
			Expect(err).NotTo(HaveOccurred())
			defer file.Close()
			expectPing(file)
		})
		rig.Del(c, config)
		expectNothingChanged()
	})

	It("passes frames between the bridge and who opens it", func() {
		c.Do(func() {
			bridge("br1")
			address, _ := netlink.ParseAddr("10.0.0.5/24")
			Expect(netlink.AddrAdd(testrig.Find("br1"), address)).To(Succeed())
		})
		rig.Add(c, `{"type":"tap","bridge":"br1","multiQueue":true}`)
		c.Do(func() {
			_, err := open("eth0", 0)
			Expect(err).To(MatchError(unix.EINVAL), "it has several queues")
			file, err := open("eth0", unix.IFF_MULTI_QUEUE)
			Expect(err).NotTo(HaveOccurred())
			defer file.Close()
			expectPing(file)
		})
	})

	It("can be opened by its owner and its group, and nobody else", func() {
		rig.Add(c, `{"type":"tap","owner":1234,"group":5678}`)
		Expect(openAs(c.Netns, 1234, 5678)).To(Succeed())
		Expect(openAs(c.Netns, 1, 1)).To(MatchError(unix.EPERM))
		Expect(openAs(c.Netns, 1, 5678)).To(MatchError(unix.EPERM), "the owner, too, counts")
	})

	It("does not make ADD wait for an IPv6 gateway that nobody would answer for", func() {
		config := `{"type":"tap","ipam":{"type":"static","addresses":[{"address":"fd00::5/64","gateway":"fd00::1"}],"routes":[{"dst":"::/0"}]}}`
		start := time.Now()
		result := rig.Add(c, config)
		Expect(time.Since(start)).To(BeNumerically("<", 2*time.Second))
		Expect(rig.Check(c, config, result)).To(Succeed())
		rig.Del(c, config)
		expectNothingChanged()
	})

	DescribeTable("whose name is taken is not made",
		func(foreign func()) {
			c.Do(foreign)
			begin()
			for _, config := range []string{`{"type":"tap"}`, `{"type":"tap","mac":"02:00:00:00:00:05","mtu":1400,"ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`} {
				_, err := rig.Call("ADD", c, config)
				Expect(err).To(MatchError(ContainSubstring(`interface "eth0" already exists in the container; use another CNI_IFNAME`)))
				expectNothingChanged()
				rig.Del(c, config)
				expectNothingChanged()
			}
		},
		Entry("by a tap interface", func() { persistent("eth0", netlink.TUNTAP_MODE_TAP) }),
		Entry("by a tun interface", func() { persistent("eth0", netlink.TUNTAP_MODE_TUN) }),
		Entry("by a bridge", func() { bridge("eth0") }),
		Entry("by an alternative name", func() {
			persistent("other", netlink.TUNTAP_MODE_TAP)
			Expect(netlink.LinkAddAltName(testrig.Find("other"), "eth0")).To(Succeed())
		}),
	)

	DescribeTable("that cannot be made leaves nothing",
		func(config, want string) {
			c.Do(func() { persistent("other", netlink.TUNTAP_MODE_TAP) })
			begin()
			_, err := rig.Call("ADD", c, config)
			Expect(err).To(MatchError(ContainSubstring(want)))
			expectNothingChanged()
		},
		Entry("without the bridge", `{"bridge":"br9"}`, `bridge: there is no interface "br9" in the container`),
		Entry("with something else for a bridge", `{"bridge":"other"}`, `bridge: other, in the container, is a tuntap, not a bridge`),
		Entry("with an MTU that is too great for Ethernet", `{"mtu":65535}`, "mtu: 65535 is outside 0-65521"),
		Entry("with an MTU that is too small for anything", `{"mtu":10}`, "mtu: 10 is smaller than 68"),
	)

	It("is taken back after every step that can fail", func() {
		config := `{"type":"tap","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
		var steps []string
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			_, err := rig.CallWith(undo.WithFault(context.Background(), fault), "ADD", c, config)
			if fault.Fired == "" {
				Expect(err).NotTo(HaveOccurred())
				break
			}
			steps = append(steps, fault.Fired)
			expectNothingChanged()
		}
		Expect(steps).To(Equal([]string{"tap interface", "IPAM reservation"}))
	})

	Describe("without an alias, as upstream's plugin makes them", func() {
		var result *current.Result
		BeforeEach(func() {
			result = rig.Add(c, `{"type":"tap"}`)
			c.Do(func() { Expect(netlink.LinkSetAlias(testrig.Find("eth0"), "")).To(Succeed()) })
		})
		del := func(config string) {
			GinkgoHelper()
			_, err := rig.Call("DEL", c, config)
			Expect(err).NotTo(HaveOccurred())
		}

		It("is known by prevResult", func() {
			del(testrig.WithPrev(`{}`, result))
			expectNothingChanged()
		})

		It("is known by prevResult also if tuning had set the address in there", func() {
			result.Interfaces[0].Mac = "02:00:00:00:00:99" // tuning's DEL has put the one before back
			del(testrig.WithPrev(`{}`, result))
			expectNothingChanged()
		})

		DescribeTable("is known where DEL gets no prevResult",
			func(version string) {
				del(`{"cniVersion":"` + version + `"}`)
				expectNothingChanged()
			},
			Entry(nil, ""), Entry(nil, "0.1.0"), Entry(nil, "0.2.0"), Entry(nil, "0.3.0"), Entry(nil, "0.3.1"),
		)

		It("stays if ADD has failed", func() {
			begin()
			del(`{"cniVersion":"0.4.0"}`)
			result.Interfaces = nil
			del(testrig.WithPrev(`{}`, result))
			expectNothingChanged()
		})

		It("stays if somebody else has given it an alias", func() {
			c.Do(func() { Expect(netlink.LinkSetAlias(testrig.Find("eth0"), "vm")).To(Succeed()) })
			begin()
			result.Interfaces[0].Mac = "02:00:00:00:00:99"
			del(testrig.WithPrev(`{}`, result))
			del(`{"cniVersion":"0.3.1"}`)
			expectNothingChanged()
		})
	})

	It("that upstream's plugin cannot have made stays", func() {
		c.Do(func() {
			persistent("eth0", netlink.TUNTAP_MODE_TUN)
			file, err := openDevice()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(file.Close)
			Expect(attach(file, "eth1", unix.IFF_TAP)).To(Succeed()) // for as long as the file is open
		})
		begin()
		rig.Del(c, `{"cniVersion":"0.3.1"}`)
		c.IfName = "eth1"
		rig.Del(c, `{"cniVersion":"0.3.1"}`)
		expectNothingChanged()
	})

	Describe("with a SELinux context", func() {
		It("is made by a process of its own", func() {
			file := filepath.Join(GinkgoT().TempDir(), "exec")
			Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
			rig.Plugin = plugin.New(definition(labeller(file)))
			config := `{"type":"tap","selinuxContext":"system_u:system_r:container_t:s0","mac":"02:00:00:00:00:05","mtu":1400,"owner":7,"multiQueue":true}`
			result := rig.Add(c, config)
			Expect(os.ReadFile(file)).To(BeEquivalentTo("system_u:system_r:container_t:s0\n"), "set, and taken back")
			c.Do(func() {
				have := testrig.Find("eth0").(*netlink.Tuntap)
				expectMACAndMTU(have)
				Expect(have.Owner).To(BeEquivalentTo(7))
				Expect(have.NonPersist).To(BeFalse())
			})
			Expect(rig.Check(c, config, result)).To(Succeed())
			rig.Del(c, config)
			expectNothingChanged()

			c.Do(func() { persistent("eth0", netlink.TUNTAP_MODE_TAP) })
			begin()
			_, err := rig.Call("ADD", c, config)
			Expect(err).To(MatchError(ContainSubstring(`interface "eth0" already exists in the container`)))
			expectNothingChanged()
		})

		It("is not made where there is no SELinux", func() {
			if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
				Skip("there is SELinux")
			}
			config := `{"type":"tap","selinuxContext":"system_u:system_r:container_t:s0"}`
			_, err := rig.Call("ADD", c, config)
			Expect(err).To(MatchError(ContainSubstring(`selinuxContext: set "system_u:system_r:container_t:s0": `)))
			expectNothingChanged()
			_, err = rig.Call("STATUS", c, config)
			Expect(testrig.Code(err)).To(Equal(uint(50)))
			_, err = rig.Call("STATUS", c, `{"type":"tap"}`)
			Expect(err).NotTo(HaveOccurred())
		})
	})
})

func expectMACAndMTU(have *netlink.Tuntap) {
	GinkgoHelper()
	Expect(have.HardwareAddr.String()).To(Equal("02:00:00:00:00:05"))
	Expect(have.MTU).To(Equal(1400))
}

func persistent(name string, mode netlink.TuntapMode) {
	GinkgoHelper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	Expect(netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: mode})).To(Succeed())
}
