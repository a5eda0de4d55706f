// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Variables of the subnet file.
const (
	varNetwork   = "FLANNEL_NETWORK"
	varSubnet    = "FLANNEL_SUBNET"
	varNetworkV6 = "FLANNEL_IPV6_NETWORK"
	varSubnetV6  = "FLANNEL_IPV6_SUBNET"
	varMTU       = "FLANNEL_MTU"
	varIPMasq    = "FLANNEL_IPMASQ"
)

const maxMTU = 65535

// subnetEnv is what flanneld says about this node.
type subnetEnv struct {
	v4, v6 family
	mtu    int
	ipMasq bool // flanneld masquerades what leaves the network
}

// family is one address family; the zero value stands for none.
type family struct {
	networks []netip.Prefix // all of flannel's, over all nodes
	subnet   netip.Prefix   // this node's
}

// families lists those there are, IPv4 first.
func (e *subnetEnv) families() []family {
	return slices.DeleteFunc([]family{e.v4, e.v6}, func(f family) bool { return !f.subnet.IsValid() })
}

// readSubnetEnv reads the file that flanneld writes when it has a subnet.
func readSubnetEnv(path string) (*subnetEnv, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: flanneld writes it when it has a subnet for this node; see what the log of flannel's pod on this node says, "+
			"and whether the node has a podCIDR", err)
	}
	if err != nil {
		return nil, err
	}
	env, err := parseSubnetEnv(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s %w; flanneld writes it, see the log of flannel's pod on this node", path, err)
	}
	return env, nil
}

// parseSubnetEnv parses lines of the form KEY=VALUE. Blank lines, those that
// begin with "#", and keys that flanneld may have more of are skipped; of two
// with the same key the later one counts.
func parseSubnetEnv(text string) (*subnetEnv, error) {
	p := envParser{values: map[string]string{}}
	for i, line := range strings.Split(text, "\n") {
		p.line(i+1, strings.TrimSpace(line))
	}
	p.expectPresent()
	env := &subnetEnv{
		v4:     family{p.networks(varNetwork, netip.Addr.Is4), p.subnet(varSubnet, netip.Addr.Is4)},
		v6:     family{p.networks(varNetworkV6, isIPv6), p.subnet(varSubnetV6, isIPv6)},
		mtu:    p.mtu(),
		ipMasq: p.ipMasq(),
	}
	return env, p.err()
}

// isIPv6 is true for an address that is not an IPv4 one in disguise.
func isIPv6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

// envParser takes the values apart and remembers everything that is wrong.
type envParser struct {
	values   map[string]string
	problems []string
}

func (p *envParser) fail(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *envParser) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(p.problems, "; "))
}

func (p *envParser) line(number int, line string) {
	if line == "" || strings.HasPrefix(line, "#") {
		return
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		p.fail("has %q in line %d where KEY=VALUE is expected", line, number)
		return
	}
	p.values[strings.TrimSpace(key)] = strings.TrimSpace(value)
}

// expectPresent wants a network and a subnet of the same family, or of both,
// and the rest.
func (p *envParser) expectPresent() {
	var missing []string
	for _, either := range [][]string{{varNetwork, varNetworkV6}, {varSubnet, varSubnetV6}, {varMTU}, {varIPMasq}} {
		if !slices.ContainsFunc(either, p.has) {
			missing = append(missing, either...)
		}
	}
	if len(missing) > 0 {
		p.fail("is missing %s", strings.Join(missing, ", "))
		return
	}
	for _, pair := range [][2]string{{varNetwork, varSubnet}, {varNetworkV6, varSubnetV6}} {
		if p.has(pair[0]) != p.has(pair[1]) {
			p.fail("has only one of %s and %s", pair[0], pair[1])
		}
	}
}

func (p *envParser) has(key string) bool { return p.values[key] != "" }

// networks parses a list of networks, without those that are there twice.
func (p *envParser) networks(key string, right func(netip.Addr) bool) []netip.Prefix {
	if !p.has(key) {
		return nil
	}
	var list []netip.Prefix
	for _, text := range strings.Split(p.values[key], ",") {
		if network, ok := p.cidr(key, text, right); ok && !slices.Contains(list, network) {
			list = append(list, network)
		}
	}
	return list
}

// subnet parses a subnet. flanneld writes the address of the gateway with it.
func (p *envParser) subnet(key string, right func(netip.Addr) bool) netip.Prefix {
	if !p.has(key) {
		return netip.Prefix{}
	}
	subnet, _ := p.cidr(key, p.values[key], right)
	return subnet
}

func (p *envParser) cidr(key, text string, right func(netip.Addr) bool) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
	if err != nil {
		p.fail("has %q in %s where a subnet is expected, such as 10.244.1.1/24", text, key)
		return netip.Prefix{}, false
	}
	if !right(prefix.Addr()) {
		p.fail("has %s in %s, which is of the other address family", prefix, key)
		return netip.Prefix{}, false
	}
	return prefix.Masked(), true
}

func (p *envParser) mtu() int {
	mtu, err := strconv.ParseUint(p.values[varMTU], 10, 32)
	if p.has(varMTU) && (err != nil || mtu > maxMTU) {
		p.fail("has %q in %s where a number up to %d is expected", p.values[varMTU], varMTU, maxMTU)
	}
	return int(mtu)
}

func (p *envParser) ipMasq() bool {
	value := p.values[varIPMasq]
	if p.has(varIPMasq) && value != "true" && value != "false" {
		p.fail("has %q in %s where true or false is expected", value, varIPMasq)
	}
	return value == "true"
}
