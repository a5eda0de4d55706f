// SPDX-License-Identifier: Apache-2.0

package hnsendpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// attachment is one call of a plugin, with what it is about.
type attachment struct {
	client  hns.Client
	req     *plugin.Request
	spec    Spec
	sandbox hns.Sandbox
	listed  []hns.Network // once they have been
}

func newAttachment(service hns.Service, req *plugin.Request, spec Spec) *attachment {
	return &attachment{
		client:  hns.Client{Service: service, API: spec.Settings.api()},
		req:     req,
		spec:    spec,
		sandbox: hns.SandboxOf(req.Netns.Path(), req.ContainerID),
	}
}

func (a *attachment) endpointName() string { return hns.EndpointName(a.sandbox.ID, a.req.Network) }

// target returns what the endpoint has to be attached to.
func (a *attachment) target() (string, error) {
	target, err := a.sandbox.Target(a.client.API, a.req.ContainerID)
	return target, plugin.WithCode(types.ErrInvalidNetNS, err)
}

// networks lists all networks. They do not change while a command runs.
func (a *attachment) networks() ([]hns.Network, error) {
	var err error
	if a.listed == nil {
		a.listed, err = a.client.Networks()
	}
	return a.listed, err
}

// network returns the network of the configuration, which must be one that the
// plugin works with.
func (a *attachment) network() (*hns.Network, error) {
	networks, err := a.networks()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(networks, func(n hns.Network) bool { return n.Name == a.req.Network })
	if i < 0 {
		return nil, fmt.Errorf("%s has no network called %q: it has to be there before containers can join it", a.client.API, a.req.Network)
	}
	network := &networks[i]
	if !slices.ContainsFunc(a.spec.NetworkTypes, func(t string) bool { return strings.EqualFold(t, network.Type) }) {
		return nil, fmt.Errorf("network %q is of unexpected type: %s, %s is expected", network.Name, network.Type, strings.Join(a.spec.NetworkTypes, " or "))
	}
	return network, nil
}

// existing returns the sandbox's endpoint, or nil if it has to be made. One that
// was left by an earlier network of the same name is deleted.
func (a *attachment) existing(network *hns.Network) (*hns.Endpoint, error) {
	endpoints, err := a.own()
	if err != nil {
		return nil, err
	}
	for _, endpoint := range endpoints {
		if hns.SameID(endpoint.NetworkID, network.ID) {
			return &endpoint, nil
		}
	}
	if a.sandbox.Shared {
		return nil, fmt.Errorf("there is no endpoint %s, which CNI_NETNS (%q) says the container shares", a.endpointName(), a.req.Netns.Path())
	}
	for _, endpoint := range endpoints {
		if err := a.client.Delete(endpoint); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// create makes the sandbox's endpoint, with an address if there is an IPAM plugin.
func (a *attachment) create(ctx context.Context, network *hns.Network) (*hns.Endpoint, error) {
	answer, err := a.req.IPAM.Add(ctx, a.req.Undo)
	if err != nil {
		return nil, err
	}
	wanted, err := a.wanted(*network, firstAddress(answer))
	if err != nil {
		return nil, err
	}
	endpoint, err := a.client.Create(wanted)
	if err != nil {
		return nil, err
	}
	a.req.Undo.Push("endpoint", func() error { return a.client.Delete(endpoint) })
	return &endpoint, nil
}

// wanted describes the sandbox's endpoint.
func (a *attachment) wanted(network hns.Network, address netip.Prefix) (hns.Endpoint, error) {
	plan, err := a.spec.Plan(a.client, network, address)
	if err != nil {
		return hns.Endpoint{}, err
	}
	policies, err := a.policies(plan, address.Addr())
	return hns.Endpoint{
		Name:      a.endpointName(),
		NetworkID: network.ID,
		MAC:       plan.MAC,
		IP:        address.Addr(),
		Gateway:   plan.Gateway,
		DNS:       a.spec.Settings.dns(a.spec.DNS),
		Policies:  policies.List(),
	}, err
}

func (a *attachment) policies(plan Plan, ip netip.Addr) (*hns.Policies, error) {
	settings := a.spec.Settings
	policies := hns.NewPolicies(a.client.API, settings.ownPolicies())
	if settings.LoopbackDSR && ip.IsValid() {
		features, err := a.client.Service.Features()
		if err != nil {
			return policies, err
		}
		if features.DSR {
			policies.AddLoopbackDSR(ip.String())
		}
	}
	policies.AddProviderAddress(plan.ProviderAddress)
	policies.AddNATException(plan.NATException)
	for _, mapping := range settings.RuntimeConfig.PortMappings {
		policies.AddPortMapping(mapping)
	}
	return policies, nil
}

// attach attaches the endpoint, unless it is. A container that shares an endpoint
// need not run yet: Docker starts it in the sandbox.
func (a *attachment) attach(endpoint hns.Endpoint, target string, isNew bool) error {
	if hns.SameID(endpoint.Namespace, target) || endpoint.SharedBy(target) {
		return nil
	}
	err := a.client.Attach(endpoint, target)
	if errors.Is(err, hns.ErrNoComputeSystem) && !isNew {
		return nil
	}
	if err != nil {
		return err
	}
	a.req.Undo.Push("attachment of the endpoint", func() error { return a.client.Detach(endpoint, target) })
	return nil
}

// result describes the endpoint to the runtime. The address does not say which
// interface it belongs to, on purpose: containerd would then look for the pod's
// address under the endpoint's name, and finds it under eth0 otherwise.
func (a *attachment) result(network hns.Network, endpoint hns.Endpoint) *current.Result {
	result := &current.Result{
		Interfaces: []*current.Interface{{Name: endpoint.Name, Mac: endpoint.MAC, Sandbox: a.req.Netns.Path()}},
		DNS:        endpoint.DNS,
	}
	if endpoint.IP.IsValid() {
		address := &net.IPNet{IP: endpoint.IP.AsSlice(), Mask: maskOf(network, endpoint.IP)}
		result.IPs = []*current.IPConfig{{Address: *address, Gateway: endpoint.Gateway.AsSlice()}}
	}
	return result
}

// maskOf returns the mask of the network's subnet that an address is in.
func maskOf(network hns.Network, ip netip.Addr) net.IPMask {
	bits := ip.BitLen()
	if subnet, ok := network.SubnetOf(ip); ok && subnet.Prefix.IsValid() {
		bits = min(subnet.Prefix.Bits(), bits)
	}
	return net.CIDRMask(bits, ip.BitLen())
}

// firstAddress returns the first address of a result, the only one that an
// endpoint can have; the zero Prefix if it has none.
func firstAddress(result *current.Result) netip.Prefix {
	if result == nil || len(result.IPs) == 0 {
		return netip.Prefix{}
	}
	address, _ := netip.ParsePrefix(result.IPs[0].Address.String())
	return address
}
