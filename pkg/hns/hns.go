// SPDX-License-Identifier: Apache-2.0

// Package hns speaks to the host networking service of Windows, which keeps
// networks, and endpoints by which containers are in them.
//
// The service has two interfaces to the same objects. Which one a plugin uses is
// the user's choice ("apiVersion"), for it depends on the runtime:
//
//   - V1, HNS (vmcompute.dll): endpoints are attached to containers, which are
//     named by their compute systems. Docker.
//   - V2, HCN (computenetwork.dll): endpoints are in namespaces, which have a
//     GUID. Containerd.
//
// Everything but the calls themselves is plain Go that runs and is tested on any
// system: Service is the part of github.com/Microsoft/hcsshim that is needed,
// Client gives it types, and internal/hnstest has a Service to test with.
//
// The package owns nothing. Networks belong to whoever made them.
package hns

import (
	"encoding/json"
	"errors"
	"fmt"
)

// API is one of the two interfaces of the service.
type API int

// The interfaces. Their values are those of "apiVersion".
const (
	V1 API = 1
	V2 API = 2
)

func (api API) String() string {
	if api == V2 {
		return "HCN"
	}
	return "HNS"
}

// Service is what a plugin asks of the host networking service. Documents are
// those of the interface in question, as hcsshim's types marshal: HNSNetwork and
// HNSEndpoint, HostComputeNetwork and HostComputeEndpoint.
type Service interface {
	// Features tells what this version of Windows can do.
	Features() (Features, error)
	Networks(API) ([]json.RawMessage, error)
	Endpoints(API) ([]json.RawMessage, error)
	// CreateEndpoint returns the endpoint as the service has made it.
	CreateEndpoint(API, json.RawMessage) (json.RawMessage, error)
	DeleteEndpoint(api API, endpointID string) error
	// Attach attaches an endpoint to a sandbox: to the compute system of a
	// container (V1), to a namespace (V2). It fails with ErrNoComputeSystem or
	// ErrNotFound if there is no such thing.
	Attach(api API, sandbox, endpointID string) error
	// Detach takes back what Attach has done.
	Detach(api API, sandbox, endpointID string) error
	// Unshare makes HNS (V1) forget that a container uses an endpoint, whether
	// its compute system is there or not.
	Unshare(container, endpointID string) error
}

// Features are abilities of the service that not every version has.
type Features struct {
	V2  bool // HCN: 9.2 (Windows Server 2019) and later
	DSR bool // direct server return: 9.3 up to 10, 10.2 and later
}

// ErrNotFound says that there is no such network, endpoint or namespace.
var ErrNotFound = errors.New("not found")

// ErrNoComputeSystem says that the container that an endpoint should be
// attached to does not run.
var ErrNoComputeSystem = errors.New("the container does not run")

// Client is a Service by one of its interfaces.
type Client struct {
	Service Service
	API     API
}

// Networks lists all networks.
func (c Client) Networks() ([]Network, error) {
	documents, err := c.Service.Networks(c.API)
	if err != nil {
		return nil, fmt.Errorf("list the %s networks: %w", c.API, err)
	}
	return decodeAll(documents, c.decodeNetwork)
}

// Endpoints lists all endpoints.
func (c Client) Endpoints() ([]Endpoint, error) {
	documents, err := c.Service.Endpoints(c.API)
	if err != nil {
		return nil, fmt.Errorf("list the %s endpoints: %w", c.API, err)
	}
	return decodeAll(documents, c.decodeEndpoint)
}

// Create creates an endpoint and returns it with what the service has added,
// such as its ID.
func (c Client) Create(e Endpoint) (Endpoint, error) {
	request, err := json.Marshal(c.encodeEndpoint(e))
	if err != nil {
		return Endpoint{}, err
	}
	answer, err := c.Service.CreateEndpoint(c.API, request)
	if err != nil {
		return Endpoint{}, fmt.Errorf("create the endpoint %s: %w", e.Name, err)
	}
	return c.decodeEndpoint(answer)
}

// Delete deletes an endpoint. One that is gone is no error.
func (c Client) Delete(e Endpoint) error {
	if err := c.Service.DeleteEndpoint(c.API, e.ID); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("delete the endpoint %s: %w", e.Name, err)
	}
	return nil
}

// Attach attaches an endpoint to a sandbox: a container (V1), a namespace (V2).
func (c Client) Attach(e Endpoint, sandbox string) error {
	if err := c.Service.Attach(c.API, sandbox, e.ID); err != nil {
		return fmt.Errorf("attach the endpoint %s to %s: %w", e.Name, sandbox, err)
	}
	return nil
}

// Detach takes an endpoint out of a sandbox. If either is gone that is no error.
func (c Client) Detach(e Endpoint, sandbox string) error {
	err := c.Service.Detach(c.API, sandbox, e.ID)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoComputeSystem) {
		return fmt.Errorf("detach the endpoint %s from %s: %w", e.Name, sandbox, err)
	}
	return nil
}

// Unshare makes an endpoint forget a container (V1). If either is gone that is
// no error.
func (c Client) Unshare(e Endpoint, container string) error {
	err := c.Service.Unshare(container, e.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("detach the endpoint %s from %s: %w", e.Name, container, err)
	}
	return nil
}

func decodeAll[T any](documents []json.RawMessage, decode func(json.RawMessage) (T, error)) ([]T, error) {
	all := make([]T, len(documents))
	for i, document := range documents {
		var err error
		if all[i], err = decode(document); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// decode reads an answer of the service.
func decode(document json.RawMessage, into any) error {
	if err := json.Unmarshal(document, into); err != nil {
		return fmt.Errorf("read the answer of the host networking service: %w", err)
	}
	return nil
}
