// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"encoding/json"
	"slices"
	"strings"
)

// Policies is a list of endpoint policies in the form of one interface: flat
// objects for V1, {"Type", "Settings"} for V2.
type Policies struct {
	api  API
	list []json.RawMessage
}

// NewPolicies returns a list that begins with the user's own policies.
func NewPolicies(api API, own []json.RawMessage) *Policies {
	return &Policies{api, slices.Clone(own)}
}

// List returns the policies.
func (p *Policies) List() []json.RawMessage { return p.list }

// AddLoopbackDSR lets a container reach itself by the address of a service that
// is balanced with direct server return.
func (p *Policies) AddLoopbackDSR(ip string) {
	p.addOnce("OutBoundNAT", "Destinations", ip, []string{ip})
}

// AddNATException keeps traffic to a network from being translated.
func (p *Policies) AddNATException(network string) {
	p.addOnce("OutBoundNAT", p.choose("ExceptionList", "Exceptions"), network, []string{network})
}

// AddProviderAddress says which address of the host the overlay's packets have.
func (p *Policies) AddProviderAddress(ip string) {
	p.addOnce(p.choose("PA", "ProviderAddress"), p.choose("PA", "ProviderAddress"), ip, ip)
}

// AddPortMapping makes a port of the endpoint reachable by a port of the host.
// HNS has no place for the address of the host; HCN has.
func (p *Policies) AddPortMapping(m PortMapping) {
	if p.api == V1 {
		p.add("NAT", map[string]any{"InternalPort": m.ContainerPort, "ExternalPort": m.HostPort, "Protocol": m.Protocol})
		return
	}
	number, _ := m.protocol()
	settings := map[string]any{"InternalPort": m.ContainerPort, "ExternalPort": m.HostPort, "Protocol": number}
	if m.HostIP != "" {
		settings["VIP"] = m.HostIP
	}
	p.add("PortMapping", settings)
}

func (p *Policies) choose(v1, v2 string) string {
	if p.api == V2 {
		return v2
	}
	return v1
}

// addOnce adds a policy with one setting, unless it would say nothing or some
// policy says the same already.
func (p *Policies) addOnce(kind, key, value string, setting any) {
	if value == "" || slices.Contains(valuesOf(p.api, p.list, kind, key), value) {
		return
	}
	p.add(kind, map[string]any{key: setting})
}

func (p *Policies) add(kind string, settings map[string]any) {
	policy := settings
	if p.api == V2 {
		policy = map[string]any{"Settings": settings}
	}
	policy["Type"] = kind
	data, _ := json.Marshal(policy) // strings and numbers
	p.list = append(p.list, data)
}

// valuesOf returns what the policies of one type have under a key, which may
// hold a text or a list of texts.
func valuesOf(api API, list []json.RawMessage, kind, key string) []string {
	var values []string
	for _, policy := range list {
		settings, ok := settingsOf(api, policy, kind)
		if !ok {
			continue
		}
		var one string
		var many []string
		if json.Unmarshal(settings[key], &one) == nil {
			values = append(values, one)
		} else if json.Unmarshal(settings[key], &many) == nil {
			values = append(values, many...)
		}
	}
	return values
}

// settingsOf returns the settings of a policy, if it is of the given type.
func settingsOf(api API, policy json.RawMessage, kind string) (map[string]json.RawMessage, bool) {
	var head struct {
		Type     string
		Settings map[string]json.RawMessage
	}
	if json.Unmarshal(policy, &head) != nil || head.Type != kind {
		return nil, false
	}
	if api == V2 {
		return head.Settings, true
	}
	var flat map[string]json.RawMessage
	return flat, json.Unmarshal(policy, &flat) == nil
}

// MissingPolicies says what wanted policies have to say and found ones do not.
// The service adds to policies, reorders them and changes their spelling, so it
// is what they bring about that is compared, for the kinds that this package
// makes.
func MissingPolicies(api API, wanted, found []json.RawMessage) []string {
	effects := effectsOf(api, found)
	return slices.DeleteFunc(effectsOf(api, wanted), func(effect string) bool { return slices.Contains(effects, effect) })
}

// effectsOf describes what policies bring about.
func effectsOf(api API, list []json.RawMessage) []string {
	choose := (&Policies{api: api}).choose
	provider := choose("PA", "ProviderAddress")
	var effects []string
	for _, entry := range []struct{ kind, key, effect string }{
		{"OutBoundNAT", "Destinations", "the loopback of "},
		{"OutBoundNAT", choose("ExceptionList", "Exceptions"), "the exception from outbound NAT for "},
		{provider, provider, "the provider address "},
	} {
		for _, value := range valuesOf(api, list, entry.kind, entry.key) {
			effects = append(effects, entry.effect+value)
		}
	}
	for _, policy := range list {
		if settings, ok := settingsOf(api, policy, choose("NAT", "PortMapping")); ok {
			effects = append(effects, mappingOf(settings).String())
		}
	}
	return effects
}

// mappingOf reads the settings of a NAT or PortMapping policy.
func mappingOf(settings map[string]json.RawMessage) PortMapping {
	var m PortMapping
	_ = json.Unmarshal(settings["InternalPort"], &m.ContainerPort)
	_ = json.Unmarshal(settings["ExternalPort"], &m.HostPort)
	_ = json.Unmarshal(settings["VIP"], &m.HostIP)
	m.Protocol = strings.Trim(string(settings["Protocol"]), `"`)
	return m
}
