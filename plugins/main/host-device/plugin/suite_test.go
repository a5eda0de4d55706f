// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestHostDevice(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/host-device")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("no device", `{"name":"n"}`, "device: missing; say which device by device, hwaddr, kernelpath or pciBusID"),
	Entry("a capability that is not deviceID", `{"name":"n","capabilities":{"mac":true}}`, "device: missing"),
	Entry("a path", `{"name":"n","device":"/dev/eth0"}`, `device: "/dev/eth0" cannot be the name`),
	Entry("a long name with a slash", `{"name":"n","device":"enp0s3/enp0s3/enp0s3"}`, "device: "),
	Entry("hwaddr", `{"name":"n","hwaddr":"x"}`, `hwaddr: "x" is not a hardware address`),
	Entry("a relative kernelpath", `{"name":"n","kernelpath":"devices/pci0000:00"}`, "kernelpath: "),
	Entry("a kernelpath elsewhere", `{"name":"n","kernelpath":"/sys/class/net/eth0"}`, "is not the path of a device below /sys/devices/"),
	Entry("a kernelpath that leads elsewhere", `{"name":"n","kernelpath":"/sys/devices/../class"}`, "kernelpath: "),
	Entry("pciBusID", `{"name":"n","pciBusID":"../0000:00:01.0"}`, "pciBusID: "),
	Entry("deviceID", `{"name":"n","device":"x","runtimeConfig":{"deviceID":".."}}`, "runtimeConfig.deviceID: "),
)

var _ = DescribeTable("a configuration that makes sense",
	func(text string) { Expect(Plugin.Lint([]byte(text))).To(Succeed()) },
	Entry("a name", `{"name":"n","device":"eth0"}`),
	Entry("an alternative name", `{"name":"n","device":"enx0123456789abcdef"}`),
	Entry("an address of InfiniBand", `{"name":"n","hwaddr":"80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"}`),
	Entry("a capability", `{"name":"n","capabilities":{"deviceID":true}}`),
	Entry("the key in upstream's spelling", `{"name":"n","device":"eth0","DPDKMode":true}`),
)

var _ = Describe("what an interface says of its home", func() {
	It("is read as it was written", func() {
		for _, h := range []home{
			{"ens5", true, 9000, "", []byte{2, 0, 0, 0, 0, 1}, nil},
			{"ens5", true, 9000, "port 3/1: left (ä)", []byte{2, 0, 0, 0, 0, 1}, nil},
			{"averylongname15", false, 65535, "x", make([]byte, 20), nil},
			{"tun0", true, 1500, "", nil, nil},
		} {
			Expect(len(h.String())).To(BeNumerically("<", 128))
			read, ok := parseHome(h.String())
			Expect(ok).To(BeTrue())
			Expect(read).To(Equal(h))
		}
	})

	It("leaves an alias out that is too long", func() {
		h := home{"ens5", true, 1500, strings.Repeat("long ", 30), make([]byte, 6), nil}
		read, ok := parseHome(h.String())
		Expect(ok).To(BeTrue())
		Expect(read).To(Equal(home{"ens5", true, 1500, "", make([]byte, 6), nil}))
	})

	It("is not taken for what somebody else has written", func() {
		for _, text := range []string{"", "enp0s3", "home:", "home:ens5", "home::up:1500::", "home:ens5:up:x::", "homeens5:up:1500::"} {
			_, ok := parseHome(text)
			Expect(ok).To(BeFalse(), text)
		}
	})
})

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","device":"eth0","ipam":{"type":"host-local"}}`,
		`{"hwaddr":"02:00:00:00:00:01","kernelpath":"/sys/devices/x","pciBusID":"0000:00:01.0","dpdkMode":true,"runtimeConfig":{"deviceID":"y"}}`)
}

func FuzzParseHome(f *testing.F) {
	f.Add("home:ens5:up:1500:left+port:02:00:00:00:00:01")
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := parseHome(text)
		if !ok {
			return
		}
		if again, ok := parseHome(h.String()); !ok || again.String() != h.String() {
			t.Errorf("%q is read as %v", text, h)
		}
	})
}
