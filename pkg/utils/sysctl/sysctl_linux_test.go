// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("names", func() {
	DescribeTable("become paths",
		func(name, want string) { Expect(path(name)).To(Equal("/proc/sys/" + want)) },
		Entry("with dots", "net.ipv4.ip_forward", "net/ipv4/ip_forward"),
		Entry("with slashes", "net/ipv4/ip_forward", "net/ipv4/ip_forward"),
		Entry("with dots, and a dot in an interface", "net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
		Entry("with slashes, and a dot in an interface", "net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
		Entry("from the root, which is /proc/sys", "/net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
		Entry("with neither", "kernel", "kernel"),
	)

	DescribeTable("do not lead elsewhere",
		func(name string) {
			_, err := Sysctl(name)
			Expect(err).To(MatchError(ContainSubstring("leads out of /proc/sys")))
			_, err = Sysctl(name, "1")
			Expect(err).To(MatchError(ContainSubstring("leads out of /proc/sys")))
			Expect(Set(name, "1")).To(MatchError(ContainSubstring("leads out of /proc/sys")))
		},
		Entry("upwards", "net/../../../etc/hostname"),
		Entry("upwards, with dots", "net.//.//.//.etc.hostname"),
		Entry("nowhere", ""),
	)

	It("that do not exist are reported as such", func() {
		const name = "net/ipv4/no_such_thing"
		_, err := Sysctl(name)
		Expect(err).To(Satisfy(os.IsNotExist))
		Expect(Set(name, "1")).To(MatchError(fs.ErrNotExist))
		Expect(Set(name, "1")).To(And(Satisfy(os.IsNotExist), MatchError(HavePrefix(`write "1" to /proc/sys/net/ipv4/no_such_thing: `))))
	})

	It("take one value at most", func() {
		_, err := Sysctl("net/ipv4/ip_forward", "0", "1")
		Expect(err).To(MatchError("sysctl net/ipv4/ip_forward: 2 values given, there can be one"))
	})
})

var _ = Describe("values", func() {
	DescribeTable("are read without the newline",
		func(content, want string) {
			file := filepath.Join(GinkgoT().TempDir(), "value")
			Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
			Expect(read(file)).To(Equal(want))
		},
		Entry("of an empty file", "", ""),
		Entry("of one without a newline", "1", "1"),
		Entry("of a number", "10\n", "10"),
		Entry("of a list", "1\t2\t3\n", "1\t2\t3"),
		Entry("of several lines", "a\nb\n", "a\nb"),
	)

	DescribeTable("are compared by their words",
		func(a, b string, same bool) { Expect(SameValue(a, b)).To(Equal(same)) },
		Entry(nil, "1", "1", true),
		Entry(nil, "1", "0", false),
		Entry(nil, "4096\t131072\t6291456", " 4096 131072 6291456\n", true),
		Entry(nil, "12", "1 2", false),
		Entry(nil, "", "", true),
		Entry("hexadecimal", "1 255", "0x1 0xff", true),
		Entry("octal", "8", "010", true),
		Entry("another number", "16", "0x11", false),
		Entry("no number", "on", "off", false),
		Entry("an address", "fe80:0000:0000:0000:0000:0000:0000:0001", "FE80::1", true),
		Entry("an address of IPv4 in the form of IPv6", "0000:0000:0000:0000:0000:ffff:0102:0304", "::ffff:1.2.3.4", true),
		Entry("another address", "fe80:0000:0000:0000:0000:0000:0000:0001", "fe80::2", false),
		Entry("a set in order", "8080,9000-9010", "9000-9010,8080", true),
		Entry("ranges that overlap or adjoin", "5-10,12", "5-7,6-9,10,0xc,", true),
		Entry("a range in a range", "1-9", "1-9,3-4", true),
		Entry("another set", "8080,9000-9010", "8080,9000-9011", false),
		Entry("a part of a set", "8080", "8080,9000-9010", false),
		Entry("a range the wrong way round", "5-10", "10-5", false),
		Entry("negative numbers", "-1", "-2", false),
		Entry("nothing between commas", "1,2", "1,,2", false),
	)
})

var _ = Describe("in a namespace", func() {
	const (
		slashes = "net/ipv4/conf/eth0.1/forwarding"
		dots    = "net.ipv4.conf.eth0/1.forwarding"
	)
	var netns ns.NetNS

	// here runs fn in a namespace with an interface that has a dot in its name.
	here := func(fn func()) { testutils.Inside(netns, fn) }

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth")
		netns = testutils.TempNS(GinkgoT())
		here(func() {
			veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0.1"}, PeerName: "peer"}
			Expect(netlink.LinkAdd(veth)).To(Succeed())
		})
	})

	DescribeTable("parameters are read and written",
		func(name string) {
			here(func() {
				Expect(Sysctl(name)).To(Equal("0"))
				Expect(Sysctl(name, "1")).To(Equal("1"))
				Expect(Sysctl(slashes)).To(Equal("1"))
				Expect(Sysctl("net.ipv4.conf.peer.forwarding")).To(Equal("0"), "of the other interface")
				Expect(Set(name, "0")).To(Succeed())
				Expect(Sysctl(slashes)).To(Equal("0"))
			})
		},
		Entry("with slashes", slashes),
		Entry("with dots", dots),
	)

	It("a value the kernel does not like is an error that says which", func() {
		here(func() {
			Expect(Set(slashes, "many")).To(MatchError(unix.EINVAL))
			Expect(Set(slashes, "many")).To(MatchError(HavePrefix(`write "many" to /proc/sys/net/ipv4/conf/eth0.1/forwarding: `)))
		})
	})

	It("a parameter that can only be written is written", func() {
		here(func() {
			Expect(Set("net/ipv4/route/flush", "1")).To(Succeed())
		})
	})

	It("an empty value empties a list", func() {
		here(func() {
			const ports = "net/ipv4/ip_local_reserved_ports"
			Expect(Write(ports, "8080")).To(Succeed())
			Expect(Write(ports, "")).To(Succeed())
			Expect(Sysctl(ports)).To(BeEmpty())
		})
	})

	DescribeTable("a value is what the kernel makes of it",
		func(name, value, printed string) {
			here(func() {
				Expect(Sysctl(name, value)).To(Equal(printed))
				Expect(SameValue(printed, value)).To(BeTrue())
			})
		},
		Entry("of an address", "net/ipv6/conf/eth0.1/stable_secret", "fe80::1", "fe80:0000:0000:0000:0000:0000:0000:0001"),
		Entry("of a set", "net/ipv4/ip_local_reserved_ports", "9000-9010,8080,8081,0x1f92", "8080-8082,9000-9010"),
	)

	It("Write writes an equal value for what it does", func() {
		here(func() {
			Expect(Write("net/ipv4/conf/all/forwarding", "1")).To(Succeed())
			Expect(Write(slashes, "0")).To(Succeed())
			Expect(Set("net/ipv4/conf/all/forwarding", "1")).To(Succeed())
			Expect(Sysctl(slashes)).To(Equal("0"))
			Expect(Write("net/ipv6/conf/eth0.1/disable_ipv6", "1")).To(Succeed())
			Expect(Write("net/ipv6/conf/all/disable_ipv6", "0")).To(Succeed())
			Expect(Sysctl("net/ipv6/conf/eth0.1/disable_ipv6")).To(Equal("0"))
		})
	})

	It("an equal value is not written, so /proc/sys may be read-only", func() {
		here(func() { Expect(Sysctl("net/ipv4/tcp_rmem", "4096 20000 30000")).To(Equal("4096\t20000\t30000")) })
		// This thread gets a mount namespace of its own and is never unlocked:
		// it ends with the goroutine.
		result := make(chan error)
		go func() {
			runtime.LockOSThread()
			result <- readOnly(netns, func() error {
				return errors.Join(Set(slashes, "0"), Set(slashes, " 0\n"), Write(slashes, "0x0"), Set("net/ipv4/tcp_rmem", "4096 20000 30000"))
			})
		}()
		Expect(<-result).To(Succeed())
		go func() {
			runtime.LockOSThread()
			result <- readOnly(netns, func() error { return Set(slashes, "1") })
		}()
		Expect(<-result).To(MatchError(unix.EROFS))
		go func() {
			runtime.LockOSThread()
			result <- readOnly(netns, func() error { return Write(slashes, "1") })
		}()
		Expect(<-result).To(MatchError(unix.EROFS))
	})
})

// readOnly runs fn on the calling thread, in netns and with a read-only
// /proc/sys.
func readOnly(netns ns.NetNS, fn func() error) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := netns.Set(); err != nil {
		return err
	}
	return fn()
}
