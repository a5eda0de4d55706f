// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"encoding/json"
	"math"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// Config is the configuration of the bandwidth plugin.
type Config struct {
	conf.Common
	Limits
	RuntimeConfig struct {
		Bandwidth *Limits `json:"bandwidth,omitempty"`
	} `json:"runtimeConfig"`
}

// Limits are rates in bits per second and bursts in bits, and what traffic they
// are for. Ingress is what the container receives.
type Limits struct {
	IngressRate     *uint64       `json:"ingressRate,omitempty"`
	IngressBurst    *uint64       `json:"ingressBurst,omitempty"`
	EgressRate      *uint64       `json:"egressRate,omitempty"`
	EgressBurst     *uint64       `json:"egressBurst,omitempty"`
	ShapedSubnets   []types.IPNet `json:"shapedSubnets,omitempty"`
	UnshapedSubnets []types.IPNet `json:"unshapedSubnets,omitempty"`
}

// Validate implements conf.Validator. It looks at the limits that count.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	path, l := c.limits()
	validateLimit(p, path+"ingress", l.IngressRate, l.IngressBurst)
	validateLimit(p, path+"egress", l.EgressRate, l.EgressBurst)
	if len(l.ShapedSubnets) > 0 && len(l.UnshapedSubnets) > 0 {
		p.Add(path+"unshapedSubnets", "shapedSubnets is there, too; only one of them can say what is shaped")
	}
}

// validateLimit checks the rate and burst of one direction.
func validateLimit(p *conf.Problems, direction string, ratePointer, burstPointer *uint64) {
	rate, burst := number(ratePointer), number(burstPointer)
	switch {
	case rate > 0 && burst == 0:
		p.Add(direction+"Burst", "if rate is set, burst must also be set; it is the number of bits that may be sent at once")
	case rate == 0 && burst > 0:
		p.Add(direction+"Rate", "if burst is set, rate must also be set; it is a number of bits per second")
	case rate > 0 && rate < 8:
		p.Add(direction+"Rate", "%d is less than the least rate, 8 bits per second", rate)
	}
	switch {
	case burst > 0 && burst < 8:
		p.Add(direction+"Burst", "%d is less than the least burst, 8 bits, that is, one byte", burst)
	case burst/8 >= math.MaxUint32:
		p.Add(direction+"Burst", "burst cannot be more than 4GB, %d bits are %d bytes", burst, burst/8)
	}
}

// limits returns the limits that count, with the path to them. If any of the
// four numbers stands in the configuration itself, even a zero, the runtime's do
// not count. Subnets are more likely to be known to who wrote the configuration.
func (c *Config) limits() (path string, l Limits) {
	runtime := c.RuntimeConfig.Bandwidth
	if runtime == nil || c.Limits.any() {
		return "", c.Limits
	}
	l = *runtime
	if l.ShapedSubnets == nil && l.UnshapedSubnets == nil {
		l.ShapedSubnets, l.UnshapedSubnets = c.ShapedSubnets, c.UnshapedSubnets
	}
	return "runtimeConfig.bandwidth.", l
}

// entry tells the entries of a list apart, by the limits that stand in them: the
// runtime's may be others the next time.
func (c *Config) entry() string {
	text, _ := json.Marshal(c.Limits)
	return rulename.Hash(16, "", string(text))
}

func (l *Limits) any() bool {
	return l.IngressRate != nil || l.IngressBurst != nil || l.EgressRate != nil || l.EgressBurst != nil
}

func number(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}
