// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"errors"
	"net"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
)

// decode reads a configuration the way the chassis does.
func decode(text string, args conf.EnvArgs) (*Config, error) {
	c := &Config{}
	c.Default()
	var p conf.Problems
	if _, err := conf.Decode([]byte(text), c, &p); err != nil {
		return nil, err
	}
	c.Validate(&p, args)
	return c, p.Err()
}

var _ = DescribeTable("a configuration that makes no sense",
	func(text, want string) {
		_, err := decode(text, nil)
		Expect(err).To(MatchError(ContainSubstring(want)))
		var coded *types.Error
		Expect(errors.As(err, &coded)).To(BeTrue())
		Expect(coded.Code).To(Equal(types.ErrInvalidNetworkConfig))
	},
	Entry("empty bridge", `{"bridge":""}`, `bridge: empty`),
	Entry("long bridge", `{"bridge":"a234567890123456"}`, `bridge: "a234567890123456" is longer than the 15 bytes`),
	Entry("slash", `{"bridge":"a/b"}`, `bridge: "a/b" cannot be the name`),
	Entry("pattern", `{"bridge":"cbr%d"}`, `bridge: "cbr%d" cannot be the name`),
	Entry("VLAN gateway name", `{"bridge":"a23456789012","isGateway":true,"vlan":100}`, `bridge: the VLAN gateway device would be called "a23456789012.100"`),
	Entry("vlan below", `{"vlan":-100}`, `vlan: -100 is outside 0-4094`),
	Entry("vlan above", `{"vlan":5000}`, `vlan: 5000 is outside 0-4094`),
	Entry("trunk without max", `{"vlanTrunk":[{"minID":1}]}`, `vlanTrunk[0].maxID: missing`),
	Entry("trunk without min", `{"vlanTrunk":[{"id":1},{"maxID":1}]}`, `vlanTrunk[1].minID: missing`),
	Entry("trunk min", `{"vlanTrunk":[{"minID":-1,"maxID":4}]}`, `vlanTrunk[0].minID: -1 is outside 1-4094`),
	Entry("trunk max", `{"vlanTrunk":[{"id":1},{"id":2},{"minID":10,"maxID":5000}]}`, `vlanTrunk[2].maxID: 5000 is outside 1-4094`),
	Entry("trunk id", `{"vlanTrunk":[{"id":4095}]}`, `vlanTrunk[0].id: 4095 is outside 1-4094`),
	Entry("trunk order", `{"vlanTrunk":[{"minID":20,"maxID":10}]}`, `vlanTrunk[0].minID: 20 is greater than maxID 10`),
	Entry("trunk null", `{"vlanTrunk":[null]}`, `vlanTrunk[0]: null where an object is expected`),
	Entry("mtu", `{"mtu":-1}`, `mtu: -1 is outside 0-65535`),
	Entry("hairpin and promiscuous", `{"hairpinMode":true,"promiscMode":true}`, `hairpinMode: cannot be combined with promiscMode`),
	Entry("down with addresses", `{"disableContainerInterface":true,"ipam":{"type":"static"}}`, `disableContainerInterface: cannot be combined with ipam`),
	Entry("backend", `{"ipam":{"type":"static"},"ipMasq":true,"ipMasqBackend":"ebtables"}`, `ipMasqBackend: "ebtables" is not one of nftables, iptables`),
	Entry("MAC", `{"mac":"zz"}`, `mac: "zz" is not a MAC address`),
	Entry("multicast MAC", `{"args":{"cni":{"mac":"01:00:5e:00:00:01"}}}`, `args.cni.mac: "01:00:5e:00:00:01" is a multicast address`),
	Entry("zero MAC", `{"runtimeConfig":{"mac":"00:00:00:00:00:00"}}`, `runtimeConfig.mac: `),
)

var _ = Describe("the configuration", func() {
	It("has upstream's defaults", func() {
		c, err := decode(`{}`, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Bridge).To(Equal("cni0"))
		Expect(c.filtersVLANs()).To(BeFalse())
		Expect(c.ContainerMAC(nil)).To(BeNil())
		Expect(c.IsGateway).To(BeFalse())
	})

	It("makes a default gateway a gateway", func() {
		c, err := decode(`{"isDefaultGateway":true}`, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.IsGateway).To(BeTrue())
	})

	It("lets the more specific source of the MAC address win", func() {
		text := `{"mac":"02:00:00:00:00:01","args":{"cni":{"mac":"02:00:00:00:00:03"}},"runtimeConfig":{"mac":"02:00:00:00:00:04"}}`
		c, err := decode(text, conf.EnvArgs{"MAC": "02:00:00:00:00:02"})
		Expect(err).NotTo(HaveOccurred())
		for i, clear := range []func(){
			func() { c.RuntimeConfig.MAC = "" },
			func() { c.Args.CNI.MAC = "" },
		} {
			Expect(c.ContainerMAC(conf.EnvArgs{"MAC": "02:00:00:00:00:02"})[5]).To(Equal(byte(4 - i)))
			clear()
		}
		Expect(c.ContainerMAC(conf.EnvArgs{"MAC": "02:00:00:00:00:02"})[5]).To(Equal(byte(2)))
		Expect(c.ContainerMAC(nil)[5]).To(Equal(byte(1)))
	})

	It("gives a bad CNI_ARGS MAC the code of the environment", func() {
		_, err := decode(`{}`, conf.EnvArgs{"MAC": "x"})
		var coded *types.Error
		Expect(errors.As(err, &coded)).To(BeTrue())
		Expect(coded.Code).To(Equal(types.ErrInvalidEnvironmentVariables))
	})
})

var _ = DescribeTable("planVLANs",
	func(text string, pvid int, tagged []int, ranged int) {
		c, err := decode(text, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.filtersVLANs()).To(BeTrue())
		plan, any := planVLANs(c)
		Expect(any).To(Equal(pvid != 0))
		Expect(plan.pvid).To(Equal(pvid))
		Expect(plan.tagged).To(Equal(tagged))
		Expect(ranges(plan.tagged)).To(HaveLen(ranged))
	},
	Entry("access VLAN", `{"vlan":100}`, 100, nil, 0),
	Entry("empty trunk", `{"vlanTrunk":[]}`, 0, nil, 0),
	Entry("trunk gets the native VLAN", `{"vlanTrunk":[{"id":101},{"minID":200,"maxID":203}]}`, 1, []int{101, 200, 201, 202, 203}, 2),
	Entry("range and id in one, repeated", `{"vlanTrunk":[{"id":202,"minID":200,"maxID":203},{"id":201}]}`, 1, []int{200, 201, 202, 203}, 1),
	Entry("trunk with access VLAN", `{"vlan":5,"vlanTrunk":[{"id":7}]}`, 5, []int{7}, 1),
	Entry("empty item", `{"vlanTrunk":[{}]}`, 0, nil, 0),
)

func answer(addresses ...string) *current.Result {
	result := &current.Result{}
	for _, text := range addresses {
		result.IPs = append(result.IPs, &current.IPConfig{Address: *cidr(text)})
	}
	return result
}

func cidr(text string) *net.IPNet {
	ip, network, err := net.ParseCIDR(text)
	Expect(err).NotTo(HaveOccurred())
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	return &net.IPNet{IP: ip, Mask: network.Mask}
}

var _ = Describe("planGateways", func() {
	It("plans nothing for a bridge that is no gateway", func() {
		result := answer("10.1.2.3/24")
		Expect(planGateways(&Config{}, result)).To(BeZero())
		Expect(result.IPs[0].Gateway).To(BeNil())
	})

	It("takes the first address of the subnet, once", func() {
		result := answer("10.1.2.3/24", "10.1.2.4/24", "2001:db8::5/64")
		plan, err := planGateways(&Config{IsGateway: true}, result)
		Expect(err).NotTo(HaveOccurred())
		Expect(texts(plan.addresses)).To(Equal([]string{"10.1.2.1/24", "2001:db8::1/64"}))
		Expect(plan.subnets).To(BeEmpty())
		Expect(result.Routes).To(BeEmpty())
	})

	It("adds one default route a family", func() {
		result := answer("10.1.2.3/24", "10.9.0.3/16", "2001:db8::5/64")
		result.IPs[0].Gateway = net.ParseIP("10.1.2.254")
		_, err := planGateways(&Config{IsGateway: true, IsDefaultGateway: true}, result)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Routes).To(HaveLen(2))
		Expect(result.Routes[0].Dst.String()).To(Equal("0.0.0.0/0"))
		Expect(result.Routes[0].GW.String()).To(Equal("10.1.2.254"))
		Expect(result.Routes[1].Dst.String()).To(Equal("::/0"))
	})

	It("adds no default route beside one of IPAM's, with or without a gateway", func() {
		result := answer("10.1.2.3/24")
		result.Routes = []*types.Route{{Dst: *cidr("0.0.0.0/0")}}
		_, err := planGateways(&Config{IsGateway: true, IsDefaultGateway: true}, result)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Routes).To(HaveLen(1))
	})

	It("has a route to the subnet where the gateway is a link-local address", func() {
		result := answer("10.1.2.3/24", "2001:db8::5/64", "fe80::5/64")
		result.IPs[1].Gateway, result.IPs[2].Gateway = net.ParseIP("fe80::1"), net.ParseIP("fe80::1")
		plan, err := planGateways(&Config{IsGateway: true}, result)
		Expect(err).NotTo(HaveOccurred())
		Expect(texts(plan.addresses)).To(Equal([]string{"10.1.2.1/24", "fe80::1/64"}))
		Expect(texts(plan.subnets)).To(Equal([]string{"2001:db8::/64"}))
	})

	It("refuses the container's own address as its gateway", func() {
		_, err := planGateways(&Config{IsGateway: true}, answer("10.1.2.1/24"))
		Expect(err).To(MatchError(ContainSubstring("ips[0].gateway: 10.1.2.1 is the container's own address")))
	})

	It("refuses a gateway of the other family", func() {
		result := answer("10.1.2.3/24", "10.9.0.3/16")
		result.IPs[1].Gateway = net.ParseIP("2001:db8::1")
		_, err := planGateways(&Config{IsGateway: true}, result)
		Expect(err).To(MatchError(ContainSubstring("ips[1].gateway: 2001:db8::1 is not of the family of 10.9.0.3/16")))
	})
})

func texts(networks []*net.IPNet) []string {
	var list []string
	for _, n := range networks {
		list = append(list, n.String())
	}
	return list
}

var _ = DescribeTable("conflicts",
	func(have, want string, expected bool) { Expect(conflicts(cidr(have), cidr(want))).To(Equal(expected)) },
	Entry("the same", "10.0.0.1/8", "10.0.0.1/8", false),
	Entry("any other IPv4 address", "10.0.0.1/8", "192.168.0.1/24", true),
	Entry("another family", "10.0.0.1/8", "fd00::1/64", false),
	Entry("overlapping IPv6", "fd00::2/64", "fd00::1/64", true),
	Entry("IPv6 beside it", "fd00:1::1/64", "fd00::1/64", false),
	Entry("IPv6 within", "fd00:1::1/64", "fd00::1/16", true),
)

var _ = It("an address that somebody else had when it was added is missing", func() {
	const failed = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	wanted := []*net.IPNet{cidr("fd00:1::1/64"), cidr("fd00:2::1/64"), cidr("fd00:3::1/64"), cidr("fd00:4::1/64"), cidr("10.0.0.1/8")}
	there := sortAddresses([]netlink.Addr{
		{IPNet: cidr("fd00:1::1/64")},
		{IPNet: cidr("fd00:2::1/64"), Flags: unix.IFA_F_TENTATIVE},
		{IPNet: cidr("fd00:3::1/64"), Flags: failed},
		{IPNet: cidr("fd00:9::1/64"), Flags: failed}, // which is not ours
	}, wanted)
	Expect(texts(there.have)).To(Equal([]string{"fd00:1::1/64", "fd00:2::1/64", "fd00:9::1/64"}))
	Expect(texts(there.failed)).To(Equal([]string{"fd00:3::1/64"}))
	Expect(texts(there.missing)).To(Equal([]string{"fd00:3::1/64", "fd00:4::1/64", "10.0.0.1/8"}))
	Expect(texts(there.unsettled)).To(Equal([]string{"fd00:2::1/64", "fd00:3::1/64", "fd00:4::1/64"}))
})

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"bridge":"br0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local"}}`,
		`{"vlanTrunk":[{"minID":1,"maxID":4094},{"id":7},null]}`, `{"vlan":-1,"mtu":1e99}`, `{"mac":[],"args":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		c := &Config{}
		c.Default()
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), c, &p); err != nil {
			return
		}
		c.Validate(&p, nil)
		if p.Err() == nil {
			planVLANs(c)
			_, _ = planGateways(c, &current.Result{})
			c.ContainerMAC(nil)
		}
	})
}
