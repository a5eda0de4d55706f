// SPDX-License-Identifier: Apache-2.0

package hnsendpoint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/hns"
)

// Settings are the keys that both plugins have. Embed it by value.
type Settings struct {
	APIVersion     int               `json:"apiVersion"`
	Policies       []Argument        `json:"policies"`
	AdditionalArgs []Argument        `json:"AdditionalArgs"`
	HcnPolicyArgs  []json.RawMessage `json:"HcnPolicyArgs"`
	LoopbackDSR    bool              `json:"loopbackDSR"`
	RuntimeConfig  struct {
		DNS struct {
			Servers  []string `json:"servers"`
			Searches []string `json:"searches"`
		} `json:"dns"`
		PortMappings []hns.PortMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

// Argument is an entry of "policies". Only those called EndpointPolicy are for
// these plugins.
type Argument struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

func (a Argument) isPolicy() bool { return strings.EqualFold(a.Name, "EndpointPolicy") }

// ValidateSettings notes what is wrong with the keys.
func (s *Settings) ValidateSettings(p *conf.Problems) {
	if s.APIVersion < 0 || s.APIVersion > 2 {
		p.Add("apiVersion", "%d is neither 1 (HNS, for Docker) nor 2 (HCN, for containerd)", s.APIVersion)
	}
	validateArguments(p, "policies", s.Policies)
	validateArguments(p, "AdditionalArgs", s.AdditionalArgs)
	for i, policy := range s.HcnPolicyArgs {
		validatePolicy(p, fmt.Sprintf("HcnPolicyArgs[%d]", i), policy)
	}
	for i, mapping := range s.RuntimeConfig.PortMappings {
		mapping.Validate(p, fmt.Sprintf("runtimeConfig.portMappings[%d]", i))
	}
}

func validateArguments(p *conf.Problems, path string, arguments []Argument) {
	for i, argument := range arguments {
		if argument.isPolicy() {
			validatePolicy(p, fmt.Sprintf("%s[%d].value", path, i), argument.Value)
		}
	}
}

func validatePolicy(p *conf.Problems, path string, policy json.RawMessage) {
	var head struct{ Type any }
	if len(policy) == 0 || json.Unmarshal(policy, &head) != nil {
		p.Add(path, "an endpoint policy is expected, which is an object such as {\"Type\": \"ACL\", ...}")
		return
	}
	if name, _ := head.Type.(string); name == "" {
		p.Add(path+".Type", "missing, the name of a kind of endpoint policy is expected")
	}
}

// api returns the interface of the service to use.
func (s *Settings) api() hns.API {
	if s.APIVersion == int(hns.V2) {
		return hns.V2
	}
	return hns.V1
}

// ownPolicies returns the policies that the configuration lists.
func (s *Settings) ownPolicies() []json.RawMessage {
	var own []json.RawMessage
	for _, argument := range slices.Concat(s.Policies, s.AdditionalArgs) {
		if argument.isPolicy() {
			own = append(own, argument.Value)
		}
	}
	if s.api() == hns.V2 {
		own = append(own, s.HcnPolicyArgs...)
	}
	return own
}

// dns returns the DNS settings of an endpoint: the configuration's, in which the
// runtime may replace lists.
func (s *Settings) dns(configured types.DNS) types.DNS {
	if servers := s.RuntimeConfig.DNS.Servers; len(servers) > 0 {
		configured.Nameservers = servers
	}
	if searches := s.RuntimeConfig.DNS.Searches; len(searches) > 0 {
		configured.Search = searches
	}
	return configured
}
