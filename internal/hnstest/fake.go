// SPDX-License-Identifier: Apache-2.0

package hnstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/plugins/pkg/hns"
)

// Fake is a host networking service. See the package's comment for what it
// assumes of the real one.
type Fake struct {
	Has hns.Features // what this version of Windows can do

	mutex      sync.Mutex
	networks   []Network
	endpoints  []*endpoint
	namespaces map[string]bool
	containers map[string]bool // that run
	made       int             // objects, to number them
	calls      int
	failFrom   int
	failTo     int
}

// Network is a network that somebody has made for containers to join.
type Network struct {
	Name         string
	Type         string
	Subnet       string
	Gateway      string
	ManagementIP string
	id           string
}

// endpoint is an endpoint, as the service sees it by either interface.
type endpoint struct {
	id, name, network, mac, ip, gateway string
	remote                              bool
	namespace                           string
	sharers                             []string
	dns                                 map[string]any // as the interface has it
	policies                            []json.RawMessage
	api                                 hns.API // by which it was made
}

// NewFake returns a service with the networks.
func NewFake(networks ...Network) *Fake {
	f := &Fake{Has: hns.Features{V2: true, DSR: true}, namespaces: map[string]bool{}, containers: map[string]bool{}}
	for _, n := range networks {
		f.AddNetwork(n)
	}
	return f
}

// errFake is what a call fails with that is told to.
var errFake = errors.New("the service does not answer")

// FailCall makes the n-th call from now on fail without effect, counted from 1.
func (f *Fake) FailCall(n int) { f.failBetween(n, n) }

// FailCallsFrom makes the n-th call from now on fail, and all after it.
func (f *Fake) FailCallsFrom(n int) { f.failBetween(n, int(^uint(0)>>1)) }

func (f *Fake) failBetween(from, to int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls, f.failFrom, f.failTo = 0, from, to
}

// Heal makes calls work again, and returns how many there were.
func (f *Fake) Heal() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.failFrom, f.failTo = 0, 0
	return f.calls
}

// begin counts a call; every call of the service begins with it. The caller must
// unlock.
func (f *Fake) begin() error {
	f.mutex.Lock()
	f.calls++
	if f.failFrom > 0 && f.calls >= f.failFrom && f.calls <= f.failTo {
		return errFake
	}
	return nil
}

// guid returns a new identifier.
func (f *Fake) guid() string {
	f.made++
	return fmt.Sprintf("aaaabbbb-cccc-4ddd-8eee-%012x", f.made)
}

// AddNetwork makes a network.
func (f *Fake) AddNetwork(n Network) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	n.id = f.guid()
	f.networks = append(f.networks, n)
}

// ChangeNetwork changes a network in place, or removes it with its endpoints if
// change returns false.
func (f *Fake) ChangeNetwork(name string, change func(*Network) bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	i := slices.IndexFunc(f.networks, func(n Network) bool { return n.Name == name })
	if change(&f.networks[i]) {
		return
	}
	id := f.networks[i].id
	f.networks = slices.Delete(f.networks, i, i+1)
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e *endpoint) bool { return e.network == id })
}

// NewNamespace makes a namespace and returns its GUID.
func (f *Fake) NewNamespace() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	id := f.guid()
	f.namespaces[id] = true
	return id
}

// RemoveNamespace removes a namespace; its endpoints stay, in none.
func (f *Fake) RemoveNamespace(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.namespaces, id)
	for _, e := range f.endpoints {
		if e.namespace == id {
			e.namespace = ""
		}
	}
}

// Start makes the compute system of a container.
func (f *Fake) Start(container string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.containers[container] = true
}

// Stop removes the compute system of a container. HNS goes on listing it.
func (f *Fake) Stop(container string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.containers, container)
}

// AddRemote makes an endpoint on another host of an overlay.
func (f *Fake) AddRemote(network, name string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	n, _ := f.networkNamed(network)
	f.endpoints = append(f.endpoints, &endpoint{id: f.guid(), name: name, network: n.id, remote: true, api: hns.V2})
}

// Change changes what an endpoint is like behind its maker's back.
func (f *Fake) Change(name string, fields map[string]string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	e := f.endpoints[slices.IndexFunc(f.endpoints, func(e *endpoint) bool { return e.name == name })]
	for field, value := range fields {
		switch field {
		case "ip":
			e.ip = value
		case "mac":
			e.mac = value
		case "gateway":
			e.gateway = value
		case "attached":
			e.namespace, e.sharers = "", nil
		case "policies":
			e.policies = nil
		case "network":
			e.network = value
		}
	}
}

// Names lists the endpoints by name, sorted.
func (f *Fake) Names() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	names := []string{}
	for _, e := range f.endpoints {
		names = append(names, e.name)
	}
	slices.Sort(names)
	return names
}

// Snapshot describes all endpoints in full, to be compared.
func (f *Fake) Snapshot() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var lines []string
	for _, e := range f.endpoints {
		lines = append(lines, fmt.Sprintf("%s in %s: %s %s via %s namespace %q sharers %v policies %s",
			e.name, e.network, e.mac, e.ip, e.gateway, e.namespace, e.sharers, e.policies))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Document returns an endpoint as an interface shows it.
func (f *Fake) Document(api hns.API, name string) string {
	documents, err := f.Endpoints(api)
	if err != nil {
		return err.Error()
	}
	for _, document := range documents {
		var head struct{ Name string }
		if json.Unmarshal(document, &head) == nil && head.Name == name {
			return string(document)
		}
	}
	return "none"
}

// Features implements hns.Service.
func (f *Fake) Features() (hns.Features, error) {
	err := f.begin()
	defer f.mutex.Unlock()
	return f.Has, err
}

// Networks implements hns.Service.
func (f *Fake) Networks(api hns.API) ([]json.RawMessage, error) {
	err := f.begin()
	defer f.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	return marshal(f.networks, func(n Network) any { return n.document(api) }), nil
}

// document is the network as an interface shows it, with identifiers in the
// other case than elsewhere.
func (n Network) document(api hns.API) any {
	id := strings.ToUpper(n.id)
	if api == hns.V2 {
		subnet := object{"IpAddressPrefix": n.Subnet, "Routes": []object{{"NextHop": n.Gateway, "DestinationPrefix": "0.0.0.0/0"}}}
		return object{"ID": id, "Name": n.Name, "Type": n.Type, "Ipams": []object{{"Type": "Static", "Subnets": []object{subnet}}}, "Flags": 0}
	}
	subnets := []object{{"AddressPrefix": n.Subnet, "GatewayAddress": n.Gateway}}
	if n.Subnet == "" {
		subnets = nil
	}
	return object{"ID": id, "Name": n.Name, "Type": strings.ToLower(n.Type), "Subnets": subnets, "ManagementIP": n.ManagementIP}
}

// Endpoints implements hns.Service.
func (f *Fake) Endpoints(api hns.API) ([]json.RawMessage, error) {
	err := f.begin()
	defer f.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	return marshal(f.endpoints, func(e *endpoint) any { return e.document(api) }), nil
}

func (e *endpoint) document(api hns.API) any {
	policies := e.policies
	if api != e.api {
		policies = nil
	}
	common := object{"ID": e.id, "Name": e.name, "MacAddress": e.mac, "Policies": policies}
	if api == e.api {
		maps.Copy(common, e.dns)
	}
	if api == hns.V1 {
		maps.Copy(common, object{
			"VirtualNetwork": e.network, "IPAddress": e.ip, "GatewayAddress": e.gateway, "SharedContainers": e.sharers,
			"IsRemoteEndpoint": e.remote, "State": 1,
		})
		return common
	}
	flags := 0
	if e.remote {
		flags = 1
	}
	maps.Copy(common, object{
		"HostComputeNetwork": e.network, "HostComputeNamespace": orZero(e.namespace), "Flags": flags,
		"SchemaVersion": object{"Major": 2, "Minor": 0},
	})
	if e.ip != "" {
		common["IpConfigurations"] = []object{{"IpAddress": e.ip, "PrefixLength": 24}}
	}
	if e.gateway != "" {
		common["Routes"] = []object{{"NextHop": e.gateway, "DestinationPrefix": "0.0.0.0/0"}}
	}
	return common
}

func orZero(namespace string) string {
	if namespace == "" {
		return "00000000-0000-0000-0000-000000000000"
	}
	return namespace
}

// CreateEndpoint implements hns.Service.
func (f *Fake) CreateEndpoint(api hns.API, request json.RawMessage) (json.RawMessage, error) {
	err := f.begin()
	defer f.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	e, err := read(api, request)
	if err != nil {
		return nil, err
	}
	if err := f.complete(e); err != nil {
		return nil, err
	}
	f.endpoints = append(f.endpoints, e)
	return json.Marshal(e.document(api))
}

// complete checks an endpoint against the others and chooses what was left open.
func (f *Fake) complete(e *endpoint) error {
	i := slices.IndexFunc(f.networks, func(n Network) bool { return hns.SameID(n.id, e.network) })
	if i < 0 {
		return fmt.Errorf("%w: the network %s", hns.ErrNotFound, e.network)
	}
	network := f.networks[i]
	subnet := netip.MustParsePrefix(network.Subnet)
	if e.ip == "" {
		e.ip = f.freeAddress(subnet)
	}
	ip, err := netip.ParseAddr(e.ip)
	if err != nil || !subnet.Contains(ip) {
		return fmt.Errorf("HCN_E_INVALID_IP: %q is not in %s", e.ip, subnet)
	}
	if f.taken(network.id, e.ip) {
		return fmt.Errorf("HCN_E_ADDR_INVALID_OR_RESERVED: %s", e.ip)
	}
	for _, other := range f.endpoints {
		if port, clash := clashing(e, other); clash {
			return fmt.Errorf("HCN_E_PORT_ALREADY_EXISTS: %s", port)
		}
	}
	if e.gateway == "" {
		e.gateway = network.Gateway
	}
	e.id, e.network = f.guid(), network.id
	if e.mac == "" {
		e.mac = fmt.Sprintf("00-15-5D-00-00-%02X", f.made)
	}
	return nil
}

func (f *Fake) freeAddress(subnet netip.Prefix) string {
	ip := subnet.Masked().Addr().Next().Next().Next()
	for f.taken("", ip.String()) {
		ip = ip.Next()
	}
	return ip.String()
}

func (f *Fake) taken(network, ip string) bool {
	return slices.ContainsFunc(f.endpoints, func(e *endpoint) bool { return e.ip == ip && (network == "" || e.network == network) })
}

// DeleteEndpoint implements hns.Service.
func (f *Fake) DeleteEndpoint(_ hns.API, id string) error {
	return f.with(id, func(e *endpoint) error {
		f.endpoints = slices.DeleteFunc(f.endpoints, func(other *endpoint) bool { return other == e })
		return nil
	})
}

// Attach implements hns.Service.
func (f *Fake) Attach(api hns.API, sandbox, id string) error {
	return f.with(id, func(e *endpoint) error {
		switch {
		case api == hns.V2 && !f.namespaces[sandbox]:
			return fmt.Errorf("%w: the namespace %s", hns.ErrNotFound, sandbox)
		case api == hns.V2 && e.namespace != "":
			return fmt.Errorf("HCN_E_ENDPOINT_ALREADY_ATTACHED: to %s", e.namespace)
		case api == hns.V2:
			e.namespace = sandbox
		case !f.containers[sandbox]:
			return fmt.Errorf("%w: %s", hns.ErrNoComputeSystem, sandbox)
		case !slices.Contains(e.sharers, sandbox):
			e.sharers = append(e.sharers, sandbox)
		}
		return nil
	})
}

// Detach implements hns.Service.
func (f *Fake) Detach(api hns.API, sandbox, id string) error {
	return f.with(id, func(e *endpoint) error {
		switch {
		case api == hns.V2 && !f.namespaces[sandbox]:
			return fmt.Errorf("%w: the namespace %s", hns.ErrNotFound, sandbox)
		case api == hns.V2 && e.namespace != sandbox:
			return fmt.Errorf("HCN_E_ENDPOINT_NOT_ATTACHED: %s", e.name)
		case api == hns.V2:
			e.namespace = ""
		case !f.containers[sandbox]:
			return fmt.Errorf("%w: %s", hns.ErrNoComputeSystem, sandbox)
		default:
			e.leave(sandbox)
		}
		return nil
	})
}

// Unshare implements hns.Service.
func (f *Fake) Unshare(container, id string) error {
	return f.with(id, func(e *endpoint) error {
		if !slices.Contains(e.sharers, container) {
			return fmt.Errorf("%w: %s does not use %s", hns.ErrNotFound, container, e.name)
		}
		e.leave(container)
		return nil
	})
}

func (e *endpoint) leave(container string) {
	e.sharers = slices.DeleteFunc(e.sharers, func(other string) bool { return other == container })
}

// with calls fn with an endpoint, as one call of the service.
func (f *Fake) with(id string, fn func(*endpoint) error) error {
	err := f.begin()
	defer f.mutex.Unlock()
	if err != nil {
		return err
	}
	for _, e := range f.endpoints {
		if hns.SameID(e.id, id) {
			return fn(e)
		}
	}
	return fmt.Errorf("%w: the endpoint %s", hns.ErrNotFound, id)
}

func (f *Fake) networkNamed(name string) (Network, bool) {
	i := slices.IndexFunc(f.networks, func(n Network) bool { return n.Name == name })
	if i < 0 {
		return Network{}, false
	}
	return f.networks[i], true
}

type object = map[string]any

func marshal[T any](objects []T, document func(T) any) []json.RawMessage {
	all := []json.RawMessage{}
	for _, o := range objects {
		data, err := json.Marshal(document(o))
		if err != nil {
			panic(err)
		}
		all = append(all, data)
	}
	return all
}

// strictly decodes a request that must not have a key which the service lacks.
func strictly(request json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(request))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("HCN_E_INVALID_JSON: %w", err)
	}
	return nil
}
