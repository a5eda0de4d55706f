// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("a printed result", func() {
	// printed has a plugin print the result in a version.
	printed := func(result *current.Result, cniVersion string) (string, error) {
		var stdout bytes.Buffer
		t := newToy()
		t.ForeignNetns = true // there is none
		t.Add = func(context.Context, *plugin.Request, *toyConfig) (*current.Result, error) { return result, nil }
		args := &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", StdinData: fmt.Appendf(nil, `{"cniVersion":%q,"name":"n"}`, cniVersion)}
		err := plugin.New(t.Definition).Call(context.Background(), "ADD", args, &stdout)
		return stdout.String(), err
	}
	// libraryPrinted has the library do so.
	libraryPrinted := func(result *current.Result, cniVersion string) string {
		GinkgoHelper()
		var stdout bytes.Buffer
		converted, err := result.GetAsVersion(cniVersion)
		Expect(err).NotTo(HaveOccurred())
		Expect(converted.PrintTo(&stdout)).To(Succeed())
		return stdout.String()
	}

	It("is what the library prints, whatever there is", func() {
		random := rand.New(rand.NewPCG(1, uint64(GinkgoRandomSeed())))
		for range 2000 {
			result := randomResult(random)
			for _, cniVersion := range []string{"1.0.0", "1.1.0"} {
				Expect(printed(result, cniVersion)).To(Equal(libraryPrinted(result, cniVersion)))
			}
		}
	})

	It("is the library's in older versions", func() {
		result := &current.Result{CNIVersion: "1.1.0", IPs: []*current.IPConfig{{Address: net.IPNet{IP: net.IP{10, 0, 0, 2}, Mask: net.CIDRMask(24, 32)}}}}
		for _, cniVersion := range []string{"0.2.0", "0.3.1", "0.4.0"} {
			Expect(printed(result, cniVersion)).To(Equal(libraryPrinted(result, cniVersion)))
		}
	})

	It("cannot have an address that is none", func() {
		result := &current.Result{IPs: []*current.IPConfig{{Gateway: net.IP{1, 2, 3}}}}
		Expect(printed(result, "1.1.0")).Error().To(MatchError(And(ContainSubstring("print the result"), ContainSubstring("invalid IP address"))))
	})
})

// randomResult has, of all that a result may have, about the half.
func randomResult(random *rand.Rand) *current.Result {
	some := func() bool { return random.IntN(2) == 0 }
	text := func() string {
		return []string{"", "eth0", "/run/netns/a b", `"quoted\"`, "<&>", "\x00\u2028", "日本"}[random.IntN(7)]
	}
	texts := func() (list []string) {
		for range random.IntN(3) {
			list = append(list, text())
		}
		return list
	}
	number := func() *int {
		if some() {
			return nil
		}
		return current.Int(int(random.Uint32()) - 5)
	}
	some32 := func() int { return random.IntN(3) * int(random.Uint32()) }
	address := func() net.IP {
		return []net.IP{nil, {10, 0, 0, 1}, net.ParseIP("10.0.0.1"), net.ParseIP("fd00::1")}[random.IntN(4)]
	}
	result := &current.Result{CNIVersion: "1.1.0"}
	for range random.IntN(3) {
		result.Interfaces = append(result.Interfaces, &current.Interface{Name: text(), Mac: text(), Mtu: some32(), Sandbox: text(), SocketPath: text(), PciID: text()}, nil)
		result.IPs = append(result.IPs, &current.IPConfig{Interface: number(), Address: net.IPNet{IP: address(), Mask: net.CIDRMask(24, 32)}, Gateway: address()})
		result.Routes = append(result.Routes, &types.Route{Dst: net.IPNet{IP: address(), Mask: net.CIDRMask(8, 128)}, GW: address(),
			MTU: some32(), AdvMSS: some32(), Priority: some32(), Table: number(), Scope: number()})
	}
	if some() {
		result.DNS = types.DNS{Nameservers: texts(), Domain: text(), Search: texts(), Options: texts()}
	}
	return result
}
