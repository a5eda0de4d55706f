// SPDX-License-Identifier: Apache-2.0

package hnsendpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/hns"
)

// check compares the endpoint with what ADD reported and the configuration says.
// A container that shares another one's has no say in how the endpoint is made,
// nor an IPAM reservation.
func (a *attachment) check(ctx context.Context) error {
	var report check.Report
	target, err := a.target()
	if err != nil {
		return err
	}
	if !a.sandbox.Shared {
		report.Fail("ipam", a.req.IPAM.Check(ctx))
	}
	network, err := a.network()
	if err != nil {
		report.Fail("network", err)
		return report.Err()
	}
	endpoint, err := a.find(network)
	if err != nil {
		report.Fail("endpoint", err)
		return report.Err()
	}
	a.compareReported(&report, endpoint)
	if !a.sandbox.Shared {
		a.compareAttachment(&report, endpoint, target)
		a.comparePolicies(&report, *network, endpoint)
	}
	return report.Err()
}

// find returns the sandbox's endpoint in the network.
func (a *attachment) find(network *hns.Network) (*hns.Endpoint, error) {
	endpoints, err := a.own()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(endpoints, func(e hns.Endpoint) bool { return hns.SameID(e.NetworkID, network.ID) })
	if i < 0 {
		return nil, fmt.Errorf("%s: %w", a.endpointName(), hns.ErrNotFound)
	}
	return &endpoints[i], nil
}

// compareReported compares the endpoint with the result of ADD.
func (a *attachment) compareReported(report *check.Report, endpoint *hns.Endpoint) {
	prev := a.req.Prev
	i := slices.IndexFunc(prev.Interfaces, func(i *current.Interface) bool { return i.Name == endpoint.Name })
	if i < 0 {
		report.Addf("prevResult: has no interface %s", endpoint.Name)
	} else {
		report.Equal(endpoint.Name, "MAC address", strings.ToUpper(prev.Interfaces[i].Mac), strings.ToUpper(endpoint.MAC))
	}
	if len(prev.IPs) == 0 {
		return
	}
	report.Equal(endpoint.Name, "address", firstAddress(prev).Addr(), endpoint.IP)
	gateway, _ := netip.AddrFromSlice(prev.IPs[0].Gateway)
	report.Equal(endpoint.Name, "gateway", gateway.Unmap(), endpoint.Gateway)
}

func (a *attachment) compareAttachment(report *check.Report, endpoint *hns.Endpoint, target string) {
	if !hns.SameID(endpoint.Namespace, target) && !endpoint.SharedBy(target) {
		report.Addf("%s: is not attached to %s", endpoint.Name, target)
	}
}

func (a *attachment) comparePolicies(report *check.Report, network hns.Network, endpoint *hns.Endpoint) {
	var address netip.Prefix // ADD asked for none unless an IPAM plugin had assigned it
	if a.req.IPAM.Configured() {
		address = firstAddress(a.req.Prev)
	}
	wanted, err := a.wanted(network, address)
	if err != nil {
		report.Fail(endpoint.Name, err)
		return
	}
	for _, missing := range hns.MissingPolicies(a.client.API, wanted.Policies, endpoint.Policies) {
		report.Addf("%s: lacks %s", endpoint.Name, missing)
	}
}

// status tells why no container could be added: HCN is asked for and not there,
// there is no such network, or it lacks what the plugin needs of it.
func (a *attachment) status() error {
	if a.client.API == hns.V2 {
		features, err := a.client.Service.Features()
		if err != nil {
			return err
		}
		if !features.V2 {
			return errors.New("this version of Windows has no HCN, which \"apiVersion\": 2 needs")
		}
	}
	network, err := a.network()
	if err != nil {
		return err
	}
	_, err = a.spec.Plan(a.client, *network, netip.Prefix{})
	return err
}
