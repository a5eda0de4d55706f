// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	gocni "github.com/containerd/go-cni"
)

// setups are the two ways go-cni joins several networks.
var setups = map[string]func(gocni.CNI, context.Context, string, string, ...gocni.NamespaceOpts) (*gocni.Result, error){
	"parallel": gocni.CNI.Setup,
	"serial":   gocni.CNI.SetupSerially,
}

// capable is a bridge with dual-stack ranges that takes what a runtime knows.
func capable(bridge string, subnets ...string) object {
	plugin := bridgePlugin(bridge, hostLocal(subnets...))
	plugin["capabilities"] = object{"ipRanges": true, "portMappings": true, "bandwidth": true, "dns": true}
	return plugin
}

// newGoCNI loads the lists from a directory and adds the loopback, as containerd does: the first list is eth0.
func newGoCNI(t testing.TB, lists ...[]byte) gocni.CNI {
	t.Helper()
	return load(t, lists, gocni.WithLoNetwork, gocni.WithAllConf)
}

// newChecker is the same without the loopback: go-cni's is of version 0.3.1, which knows no CHECK, so that a check of
// all networks never succeeds.
func newChecker(t testing.TB, lists ...[]byte) gocni.CNI {
	t.Helper()
	return load(t, lists, gocni.WithAllConf)
}

func load(t testing.TB, lists [][]byte, options ...gocni.Opt) gocni.CNI {
	t.Helper()
	client, err := gocni.New(
		gocni.WithPluginDir([]string{pluginDir(t)}), gocni.WithPluginConfDir(confDir(t, lists...)),
		gocni.WithPluginMaxConfNum(len(lists)), gocni.WithMinNetworkCount(len(lists)))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Load(options...); err != nil {
		t.Fatal(err)
	}
	if err := client.Status(); err != nil {
		t.Fatal(err)
	}
	return client
}

// arguments are what containerd hands over; the keys of these structures are capitalised in JSON.
func arguments() []gocni.NamespaceOpts {
	return []gocni.NamespaceOpts{
		gocni.WithCapabilityPortMap([]gocni.PortMapping{{HostPort: 18080, ContainerPort: 8080, Protocol: "tcp"}}),
		gocni.WithCapabilityBandWidth(gocni.BandWidth{IngressRate: 1e9, IngressBurst: 1<<32 - 1, EgressRate: 1e9, EgressBurst: 1<<32 - 1}),
		gocni.WithCapabilityDNS(gocni.DNS{Servers: []string{"10.72.0.1"}, Searches: []string{"example.org"}}),
		gocni.WithLabels(map[string]string{"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "e2e", "K8S_POD_UID": "1", "IgnoreUnknown": "1"}),
	}
}

// TestGoCNI joins two networks and the loopback, again and again in the same namespace.
func TestGoCNI(t *testing.T) {
	for way, setup := range setups {
		for _, version := range []string{"1.0.0", ""} {
			t.Run(way+" "+version, func(t *testing.T) {
				leaveNothing(t, "e2e0", "e2e1")
				first := []object{capable("e2e0", twoNetworks["eth0"]...)}
				if version != "" { // 0.1.0 knows no chains
					first = chain(t, first[0])
				}
				lists := [][]byte{
					confList(t, "first", version, first...),
					confList(t, "second", version, capable("e2e1", twoNetworks["eth1"]...)),
				}
				client, netns := newGoCNI(t, lists...), newNetns(t, "e2e-gocni")
				for range 3 {
					result, err := setup(client, context.Background(), "e2e-container", netns, arguments()...)
					if err != nil {
						t.Fatalf("setup: %v", err)
					}
					expectJoined(t, netns, result)
					if version != "" { // without a version it is 0.1.0, which knows no CHECK
						check(t, newChecker(t, lists...), netns)
					}
					removeTwice(t, client, netns)
				}
			})
		}
	}
}

// twoNetworks are the subnets behind each interface.
var twoNetworks = map[string][]string{"eth0": {"10.72.0.0/24", "fd72::/64"}, "eth1": {"10.73.0.0/24", "fd73::/64"}}

// expectJoined looks at the addresses in the kernel and in go-cni's result. Results older than 0.3.0 name no
// interfaces; go-cni takes all their addresses for eth0's.
func expectJoined(t *testing.T, netns string, result *gocni.Result) {
	t.Helper()
	reported := map[string]bool{}
	for _, config := range result.Interfaces {
		for _, ip := range config.IPConfigs {
			reported[ip.IP.String()] = true
		}
	}
	for ifName, subnets := range twoNetworks {
		found := addresses(t, netns, ifName)
		for _, subnet := range subnets {
			if addr := within(t, found, subnet); !reported[addr.String()] {
				t.Errorf("the result does not name %s: %v", addr, reported)
			}
			expectPing(t, netns, netip.MustParsePrefix(subnet).Addr().Next())
		}
	}
	expectPing(t, netns, netip.MustParseAddr("127.0.0.1"))
}

func check(t *testing.T, client gocni.CNI, netns string) {
	t.Helper()
	if err := client.Check(context.Background(), "e2e-container", netns, arguments()...); err != nil {
		t.Errorf("check: %v", err)
	}
	run(t, "nsenter", "--net="+netns, "ip", "addr", "flush", "dev", "eth1", "scope", "global")
	if err := client.Check(context.Background(), "e2e-container", netns, arguments()...); err == nil {
		t.Error("check does not notice that eth1 has lost its addresses")
	}
}

// removeTwice also must not mind that nothing is left the second time.
func removeTwice(t *testing.T, client gocni.CNI, netns string) {
	t.Helper()
	for range 2 {
		if err := client.Remove(context.Background(), "e2e-container", netns, arguments()...); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	for ifName := range twoNetworks {
		if hasInterface(netns, ifName) {
			t.Errorf("%s is still there after remove", ifName)
		}
	}
}

// TestGoCNIRanges hands the ranges over at run time.
func TestGoCNIRanges(t *testing.T) {
	leaveNothing(t, "e2e0")
	plugin := object{
		"type": "bridge", "bridge": "e2e0", "isGateway": true,
		"capabilities": object{"ipRanges": true}, "ipam": object{"type": "host-local"},
	}
	client := newGoCNI(t, confList(t, "ranges", "1.0.0", plugin))
	netns := newNetns(t, "e2e-ranges")
	ranges := gocni.WithCapability("ipRanges", [][]gocni.IPRanges{{{
		Subnet: "10.74.0.0/24", RangeStart: "10.74.0.50", RangeEnd: "10.74.0.60", Gateway: "10.74.0.254",
	}}})
	if _, err := client.Setup(context.Background(), "e2e-container", netns, ranges); err != nil {
		t.Fatalf("setup: %v", err)
	}
	if addr := within(t, addresses(t, netns, "eth0"), "10.74.0.0/24"); addr.Less(netip.MustParseAddr("10.74.0.50")) || netip.MustParseAddr("10.74.0.60").Less(addr) {
		t.Errorf("address %s, want one of 10.74.0.50 to 10.74.0.60", addr)
	}
	expectPing(t, netns, netip.MustParseAddr("10.74.0.254"))
	if err := client.Remove(context.Background(), "e2e-container", netns, ranges); err != nil {
		t.Fatalf("remove: %v", err)
	}
}

// TestGoCNIManyAtOnce has containers come, meet and go together.
func TestGoCNIManyAtOnce(t *testing.T) {
	const containers = 12
	leaveNothing(t, "e2e0", "e2e1")
	client := newGoCNI(t,
		confList(t, "first", "1.0.0", bridgePlugin("e2e0", hostLocal("10.72.0.0/24", "fd72::/64"))),
		confList(t, "second", "1.0.0", bridgePlugin("e2e1", hostLocal("10.73.0.0/24", "fd73::/64"))))
	var netns [containers]string
	for i := range netns {
		netns[i] = newNetns(t, fmt.Sprintf("e2e-many-%d", i))
	}
	atOnce(t, containers, func(i int) error {
		_, err := client.Setup(context.Background(), fmt.Sprintf("e2e-%d", i), netns[i])
		return err
	})
	seen := map[netip.Addr]bool{}
	for i := range netns {
		addr := within(t, addresses(t, netns[i], "eth0"), "10.72.0.0/24")
		if seen[addr] {
			t.Errorf("%s was given twice", addr)
		}
		seen[addr] = true
		expectPing(t, netns[(i+1)%containers], addr)
	}
	atOnce(t, containers, func(i int) error {
		return client.Remove(context.Background(), fmt.Sprintf("e2e-%d", i), netns[i])
	})
}

func atOnce(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			if err := do(i); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wait.Wait()
}
