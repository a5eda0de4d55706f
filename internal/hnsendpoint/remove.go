// SPDX-License-Identifier: Apache-2.0

package hnsendpoint

import (
	"context"
	"errors"
	"slices"

	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// own returns the endpoints that have the name of the sandbox's one.
func (a *attachment) own() ([]hns.Endpoint, error) {
	return a.endpointsFor(func(endpoint hns.Endpoint, sandboxID string) bool { return sandboxID == a.sandbox.ID })
}

// endpointsFor returns the endpoints in the network of the configuration, by
// name, that are wanted. In "a_b_c", the network is b_c or c; only the network
// that the endpoint is in tells. One that is no more may have had any name.
func (a *attachment) endpointsFor(wanted func(endpoint hns.Endpoint, sandboxID string) bool) ([]hns.Endpoint, error) {
	networks, err := a.networks()
	if err != nil {
		return nil, err
	}
	endpoints, err := a.client.Endpoints()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(endpoints, func(e hns.Endpoint) bool {
		sandboxID, named := hns.SandboxIn(e.Name, a.req.Network)
		elsewhere := slices.ContainsFunc(networks, func(n hns.Network) bool {
			return hns.SameID(n.ID, e.NetworkID) && n.Name != a.req.Network
		})
		return e.Remote || !named || elsewhere || !wanted(e, sandboxID)
	}), nil
}

// del removes what the attachment has: the endpoint, if it is the sandbox's own,
// and otherwise the use of another container's.
func (a *attachment) del(ctx context.Context) error {
	return errors.Join(a.leave(), a.req.IPAM.Del(ctx))
}

func (a *attachment) leave() error {
	id := a.req.ContainerID
	endpoints, err := a.endpointsFor(func(endpoint hns.Endpoint, sandboxID string) bool {
		return sandboxID == id || sandboxID == a.sandbox.ID || endpoint.SharedBy(id)
	})
	errs := []error{err}
	for _, endpoint := range endpoints {
		if sandboxID, _ := hns.SandboxIn(endpoint.Name, a.req.Network); sandboxID == id {
			errs = append(errs, a.remove(endpoint))
		} else {
			errs = append(errs, a.unshare(endpoint))
		}
	}
	return errors.Join(errs...)
}

// remove deletes an endpoint and takes it out of the sandbox first, so that the
// container notices. It is the deletion that counts.
func (a *attachment) remove(endpoint hns.Endpoint) error {
	var detached error
	sandboxes := endpoint.Sharers
	if endpoint.Namespace != "" {
		sandboxes = []string{endpoint.Namespace}
	}
	for _, sandbox := range sandboxes {
		detached = errors.Join(detached, a.client.Detach(endpoint, sandbox))
	}
	if err := a.client.Delete(endpoint); err != nil {
		return errors.Join(detached, err)
	}
	return nil
}

// unshare ends the use of another container's endpoint. If that container has
// gone and nobody else uses the endpoint, nobody would ever delete it.
func (a *attachment) unshare(endpoint hns.Endpoint) error {
	if err := a.client.Unshare(endpoint, a.req.ContainerID); err != nil {
		return err
	}
	used := slices.ContainsFunc(endpoint.Sharers, func(id string) bool { return !hns.SameID(id, a.req.ContainerID) })
	if used || !endpoint.SharedBy(a.req.ContainerID) {
		return nil
	}
	return a.client.Delete(endpoint)
}

// gc removes the endpoints whose sandbox is not valid any more, and that no valid
// container shares.
func (a *attachment) gc(valid plugin.Attachments) error {
	stale, err := a.endpointsFor(func(endpoint hns.Endpoint, sandboxID string) bool {
		return !valid.HasContainer(sandboxID) && !slices.ContainsFunc(endpoint.Sharers, valid.HasContainer)
	})
	errs := []error{err}
	for _, endpoint := range stale {
		errs = append(errs, a.remove(endpoint))
	}
	return errors.Join(errs...)
}
