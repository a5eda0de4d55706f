// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// DefaultDataDir is the dataDir of a configuration that names none.
const DefaultDataDir = ipam.HostLocalDir

// Config is what host-local reads of the configuration of its caller.
type Config struct {
	conf.Common
	IPAM IPAMConfig `json:"ipam"`
	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs      []string        `json:"ips"`
		IPRanges [][]RangeConfig `json:"ipRanges"`
	} `json:"runtimeConfig"`

	sets      []RangeSet   // one address of each is assigned
	requested []netip.Addr // assigned in preference to others
}

// IPAMConfig is the "ipam" object.
type IPAMConfig struct {
	Type        string          `json:"type"`
	Name        any             `json:"name"` // found in old configurations, not used
	RangeConfig                 // a range set of its own, if it has a subnet
	Ranges      [][]RangeConfig `json:"ranges"`
	Routes      []*types.Route  `json:"routes"`
	DataDir     string          `json:"dataDir"`
	ResolvConf  string          `json:"resolvConf"`
	Cooldown    string          `json:"cooldown"`
}

// RangeConfig is a Range as it is written in the configuration, or several: what is
// excluded lies between them.
type RangeConfig struct {
	Subnet     string   `json:"subnet"`
	RangeStart string   `json:"rangeStart"`
	RangeEnd   string   `json:"rangeEnd"`
	Gateway    string   `json:"gateway"`
	Exclude    []string `json:"exclude"` // addresses, or subnets of the subnet
}

// Validate implements conf.Validator. It also parses the ranges and requested
// addresses, for the commands that need them.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	v := validation{Problems: p, decoded: p.Len() == 0}
	if v.decoded && reflect.ValueOf(c.IPAM).IsZero() {
		p.Add("ipam", "IPAM config missing 'ipam' key")
		return
	}
	if len(c.Name) > longestName {
		p.Add("name", "it has %d bytes, at most %d are allowed: the reservations are in a directory of that name", len(c.Name), longestName)
	}
	configs := c.rangeSets()
	if len(configs) == 0 && v.decoded && !c.Capabilities["ipRanges"] {
		p.Add("ipam.ranges", noRanges)
	}
	c.sets = v.rangeSets(configs)
	c.limitFamilies(p)
	c.requested = v.requested(c, args)
	if _, ok := parseCooldown(c.IPAM.Cooldown); !ok {
		p.Add("ipam.cooldown", "%q is not a time, such as 130s", c.IPAM.Cooldown)
	}
}

// longestName is that of a file, whatever the file system.
const longestName = 255

const noRanges = "no IP ranges specified"

// requireRanges is for the commands that get to see the ranges of the runtime:
// a STATUS comes without runtimeConfig.
func (c *Config) requireRanges() error {
	if len(c.sets) == 0 {
		return plugin.Errorf(types.ErrInvalidNetworkConfig, "ipam.ranges: "+noRanges+", and none by the runtime in runtimeConfig.ipRanges")
	}
	return nil
}

// directory returns where the network's reservations are kept. It makes the best
// of a configuration that could not be decoded completely.
func (c *Config) directory() directory {
	dataDir := c.IPAM.DataDir
	if dataDir == "" {
		dataDir = DefaultDataDir
	}
	d := newDirectory(dataDir, c.Name)
	d.rest, _ = parseCooldown(c.IPAM.Cooldown)
	return d
}

// parseCooldown parses a time such as 130s; none is 0.
func parseCooldown(text string) (period time.Duration, ok bool) {
	if text == "" {
		return 0, true
	}
	period, err := time.ParseDuration(text)
	if err != nil || period < 0 {
		return 0, false
	}
	return period, true
}

// setConfig is a range set as it is written in the configuration, and where.
type setConfig struct {
	path   string
	ranges []RangeConfig
	paths  []string
}

// rangeSets lists the range sets in the order in which they are numbered.
func (c *Config) rangeSets() []setConfig {
	sets := setConfigs("runtimeConfig.ipRanges", c.RuntimeConfig.IPRanges)
	if c.IPAM.Subnet != "" {
		sets = append(sets, setConfig{"ipam", []RangeConfig{c.IPAM.RangeConfig}, []string{"ipam"}})
	}
	return append(sets, setConfigs("ipam.ranges", c.IPAM.Ranges)...)
}

func setConfigs(path string, lists [][]RangeConfig) []setConfig {
	sets := make([]setConfig, len(lists))
	for i, ranges := range lists {
		sets[i] = setConfig{path: fmt.Sprintf("%s[%d]", path, i), ranges: ranges}
		for j := range ranges {
			sets[i].paths = append(sets[i].paths, fmt.Sprintf("%s[%d]", sets[i].path, j))
		}
	}
	return sets
}

// validation collects the problems of one configuration.
type validation struct {
	*conf.Problems
	decoded bool // every value has the right type, so one that is not there is missing
}

func (v validation) rangeSets(configs []setConfig) []RangeSet {
	var sets []RangeSet
	for _, config := range configs {
		set := v.rangeSet(config)
		for i, other := range sets {
			if set.Overlaps(other) {
				v.Add(config.path, "range set %d overlaps with %d: %s and %s have addresses in common", len(sets), i, set, other)
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// rangeSet parses a set; ranges with a problem are left out.
func (v validation) rangeSet(config setConfig) RangeSet {
	if len(config.ranges) == 0 && v.decoded {
		v.Add(config.path, "empty range set, a list of ranges is expected")
	}
	var set RangeSet
	for i, rangeConfig := range config.ranges {
		r, ok := v.parseRange(config.paths[i], rangeConfig)
		if !ok {
			continue
		}
		if len(set) > 0 && set[0].Start.Is4() != r.Start.Is4() {
			v.Add(config.paths[i], "mixed address families: a range set gives out one address, of one family")
		}
		parts := v.exclude(config.paths[i]+".exclude", rangeConfig.Exclude, r)
		for _, part := range parts {
			if other, overlaps := set.overlapping(part); overlaps {
				v.Add(config.paths[i], "subnets %s and %s overlap", other, part)
			}
		}
		set = append(set, parts...)
	}
	return set
}

// exclude returns what is left of a range without the addresses in texts.
func (v validation) exclude(path string, texts []string, r Range) RangeSet {
	parts, before := RangeSet{r}, v.Len()
	for i, text := range texts {
		excluded, ok := parseExcluded(text)
		switch {
		case !ok:
			v.Add(fmt.Sprintf("%s[%d]", path, i), "%q is neither an address nor a subnet such as 10.1.2.0/24", text)
		case excluded.Bits() < r.Subnet.Bits() || !r.Subnet.Contains(excluded.Addr()):
			v.Add(fmt.Sprintf("%s[%d]", path, i), "%s is not in %s", text, r.Subnet)
		default:
			parts = parts.without(excluded)
		}
	}
	if len(parts) == 0 && v.Len() == before {
		v.Add(path, "nothing is left of %s", r)
	}
	return parts
}

// parseExcluded parses an address, or a subnet without host bits.
func parseExcluded(text string) (netip.Prefix, bool) {
	if ip, ok := parseAddress(text); ok {
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil && prefix == prefix.Masked() && !prefix.Addr().Is4In6()
}

func (v validation) parseRange(path string, config RangeConfig) (Range, bool) {
	before := v.Len()
	var r Range
	r.Subnet = v.subnet(path+".subnet", config.Subnet)
	r.Start = v.optionalAddress(path+".rangeStart", config.RangeStart)
	r.End = v.optionalAddress(path+".rangeEnd", config.RangeEnd)
	r.Gateway = v.optionalAddress(path+".gateway", config.Gateway)
	if v.Len() > before || !r.Subnet.IsValid() {
		return Range{}, false
	}
	r.setDefaults()
	if !r.Subnet.Contains(r.Start) {
		v.Add(path+".rangeStart", "RangeStart %s not in network %s", r.Start, r.Subnet)
	}
	if !r.Subnet.Contains(r.End) {
		v.Add(path+".rangeEnd", "RangeEnd %s not in network %s", r.End, r.Subnet)
	}
	if v.Len() == before && r.End.Less(r.Start) {
		v.Add(path+".rangeStart", "RangeStart %s not in network %s up to the range's end, %s", r.Start, r.Subnet, r.End)
	}
	return r, v.Len() == before
}

// setDefaults fills in what the configuration left to us: all of the subnet but
// its own address and IPv4's broadcast address, the gateway being the first.
func (r *Range) setDefaults() {
	first := r.Subnet.Addr().Next()
	if !r.Gateway.IsValid() {
		r.Gateway = first
	}
	if !r.Start.IsValid() {
		r.Start = first
	}
	if !r.End.IsValid() {
		r.End = lastAddress(r.Subnet)
		if r.End.Is4() {
			r.End = r.End.Prev()
		}
	}
}

// subnet parses a subnet big enough to assign from. It returns the zero Prefix
// after noting a problem.
func (v validation) subnet(path, text string) netip.Prefix {
	if text == "" {
		if v.decoded {
			v.Add(path, "missing, a subnet such as 10.1.0.0/16 is expected")
		}
		return netip.Prefix{}
	}
	ip, network, err := net.ParseCIDR(text)
	if err != nil {
		v.Add(path, "%q is not CIDR notation, such as 10.1.0.0/16", text)
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	ones, bits := network.Mask.Size()
	prefix := netip.PrefixFrom(addr.Unmap(), ones)
	switch {
	case addr.Unmap().BitLen() != bits:
		v.Add(path, "IPNet IP and Mask version mismatch: write %q as an IPv4 subnet", text)
	case ones > bits-2:
		v.Add(path, "Network %s too small to allocate from, the longest prefix is /%d", text, bits-2)
	case prefix != prefix.Masked():
		v.Add(path, "Network has host bits set. For a subnet mask of length %d the network address is %s", ones, prefix.Masked().Addr())
	default:
		return prefix
	}
	return netip.Prefix{}
}

// optionalAddress parses an address; it returns the zero Addr if there is none.
func (v validation) optionalAddress(path, text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	ip, ok := parseAddress(text)
	if !ok {
		v.Add(path, "%q is not an IP address", text)
	}
	return ip
}

// limitFamilies makes sure that the result, with an address of each set, fits into
// the old formats.
func (c *Config) limitFamilies(p *conf.Problems) {
	count := map[bool]int{}
	for _, set := range c.sets {
		if len(set) > 0 {
			count[set[0].Start.Is4()]++
		}
	}
	c.LimitFamilies(p, "ipam.ranges", count[true], count[false])
}

// requested parses the addresses that the runtime asks for, from wherever it
// may say so. Sources add up.
func (v validation) requested(c *Config, args conf.EnvArgs) []netip.Addr {
	var ips []netip.Addr
	request := func(path, text string) {
		ip, ok := parseRequested(text)
		switch {
		case !ok && (v.decoded || text != ""):
			v.Add(path, "cannot understand ip: %q, an address with or without prefix length is expected", text)
		case ok && !slices.Contains(ips, ip):
			ips = append(ips, ip)
		}
	}
	if text := args["IP"]; text != "" {
		request(args.Path("IP"), text)
	}
	for i, text := range c.Args.CNI.IPs {
		request(fmt.Sprintf("args.cni.ips[%d]", i), text)
	}
	for i, text := range c.RuntimeConfig.IPs {
		request(fmt.Sprintf("runtimeConfig.ips[%d]", i), text)
	}
	return ips
}

// parseRequested parses an address. It may have a prefix length, which does not
// count: the range determines that.
func parseRequested(text string) (netip.Addr, bool) {
	if ip, _, err := net.ParseCIDR(text); err == nil {
		return parseAddress(ip.String())
	}
	return parseAddress(text)
}
