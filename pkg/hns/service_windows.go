// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/hcn"
	"golang.org/x/sys/windows"
)

// Host returns the service of this machine.
func Host() Service { return host{} }

// host is the service by way of hcsshim.
type host struct{}

func (host) Features() (Features, error) {
	if err := libraryOf(V1); err != nil {
		return Features{}, err
	}
	features, err := hcn.GetCachedSupportedFeatures()
	return Features{V2: features.Api.V2, DSR: features.DSR}, err
}

func (host) Networks(api API) ([]json.RawMessage, error) {
	if err := libraryOf(api); err != nil {
		return nil, err
	}
	if api == V2 {
		return marshalAll(hcn.ListNetworks())
	}
	return marshalAll(hcsshim.HNSListNetworkRequest("GET", "", ""))
}

func (host) Endpoints(api API) ([]json.RawMessage, error) {
	if err := libraryOf(api); err != nil {
		return nil, err
	}
	if api == V2 {
		return marshalAll(hcn.ListEndpoints())
	}
	return marshalAll(hcsshim.HNSListEndpointRequest())
}

func (host) CreateEndpoint(api API, request json.RawMessage) (json.RawMessage, error) {
	if err := libraryOf(api); err != nil {
		return nil, err
	}
	if api == V2 {
		return create(request, (*hcn.HostComputeEndpoint).Create)
	}
	return create(request, (*hcsshim.HNSEndpoint).Create)
}

func (host) DeleteEndpoint(api API, endpointID string) error {
	if err := libraryOf(api); err != nil {
		return err
	}
	if api == V2 {
		return known((&hcn.HostComputeEndpoint{Id: endpointID}).Delete())
	}
	_, err := (&hcsshim.HNSEndpoint{Id: endpointID}).Delete()
	return known(err)
}

func (host) Attach(api API, sandbox, endpointID string) error {
	if err := libraryOf(api); err != nil {
		return err
	}
	if api == V2 {
		return known(hcn.AddNamespaceEndpoint(sandbox, endpointID))
	}
	return known(hcsshim.HotAttachEndpoint(sandbox, endpointID))
}

func (host) Detach(api API, sandbox, endpointID string) error {
	if err := libraryOf(api); err != nil {
		return err
	}
	if api == V1 {
		return known(hcsshim.HotDetachEndpoint(sandbox, endpointID))
	}
	// Listing finds out without doubt whether the namespace is still there.
	if _, err := hcn.GetNamespaceByID(sandbox); err != nil {
		return known(err)
	}
	return known(hcn.RemoveNamespaceEndpoint(sandbox, endpointID))
}

func (host) Unshare(container, endpointID string) error {
	if err := libraryOf(V1); err != nil {
		return err
	}
	return known((&hcsshim.HNSEndpoint{Id: endpointID}).ContainerDetach(container))
}

// libraryOf makes sure that the library behind an interface is there. Windows
// without the feature "Containers" lacks it, and hcsshim panics.
func libraryOf(api API) error {
	name := "vmcompute.dll"
	if api == V2 {
		name = "computenetwork.dll"
	}
	if err := windows.NewLazySystemDLL(name).Load(); err != nil {
		return fmt.Errorf("%s is not available, for lack of %s (is the Windows feature \"Containers\" installed?): %w", api, name, err)
	}
	return nil
}

func marshalAll[T any](objects []T, err error) ([]json.RawMessage, error) {
	documents := make([]json.RawMessage, len(objects))
	for i := range objects {
		document, err := json.Marshal(&objects[i])
		if err != nil {
			return nil, err
		}
		documents[i] = document
	}
	return documents, err
}

func create[T any](request json.RawMessage, call func(*T) (*T, error)) (json.RawMessage, error) {
	endpoint := new(T)
	if err := json.Unmarshal(request, endpoint); err != nil {
		return nil, err
	}
	created, err := call(endpoint)
	if err != nil {
		return nil, known(err)
	}
	return json.Marshal(created)
}

// known marks the errors that callers ask for.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hcsshim.ErrComputeSystemDoesNotExist):
		return fmt.Errorf("%w: %w", ErrNoComputeSystem, err)
	case hcsshim.IsNotExist(err), hcn.IsNotFoundError(err), hasCode(err), saysNotFound(err):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// hasCode tells whether HCN has answered that there is no such object.
func hasCode(err error) bool {
	return hcn.IsElementNotFoundError(err) ||
		hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.HCN_E_ENDPOINT_NOT_FOUND)) ||
		hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.HCN_E_NETWORK_NOT_FOUND))
}

// saysNotFound tells whether HNS has answered so, which it does in words.
// hcsshim itself looks for them.
func saysNotFound(err error) bool { return strings.Contains(err.Error(), "Element not found.") }
