// SPDX-License-Identifier: Apache-2.0

// Package hnstest has a host networking service to test with, and a matrix of
// tests for the plugins that use it. With both, the whole life of an attachment
// is tested on any machine; what cannot be is whether Windows does as assumed.
//
// # What the service assumes
//
// About objects and documents. The documents are those of hcsshim's types, which
// service_windows_test.go in pkg/hns compares with ours, and of [HCN schemas]:
//
//   - Both interfaces show the same networks and endpoints. What an endpoint was
//     made with by one is here not translated for the other, but for what names
//     it: its policies and DNS settings are left out.
//   - Identifiers are GUIDs, and their case is not to be relied upon.
//   - Names are not unique and not looked up by the service: hcsshim lists all
//     objects and compares (GetHNSEndpointByName, GetEndpointByName).
//   - HNS spells out what is empty, as "" and 0; HCN has the namespace of zeros
//     for none. Answers have keys that requests lack. A request has no key that
//     hcsshim's type lacks, and HCN wants its SchemaVersion.
//   - A default route without NextHop is refused ([HCN schemas], Route).
//   - Policies are flat objects in HNS and have Settings in HCN. The other form is
//     refused here, where HCN may ignore it.
//   - A network's type is spelt as it was made; HNS has been seen to change case.
//
// About what calls do ([HCN scenarios], and the error codes of [winerror]):
//
//   - An endpoint must be in a network that exists. Its address must be in the
//     network's subnet and not another endpoint's (HCN_E_INVALID_IP,
//     HCN_E_ADDR_INVALID_OR_RESERVED). Without one the service chooses a free
//     address, and a MAC address likewise, and it fills in the network's gateway.
//   - A port of the host belongs to one endpoint (HCN_E_PORT_ALREADY_EXISTS).
//   - An endpoint is in one namespace at most, and to attach it once more is an
//     error, also to the same one (HCN_E_ENDPOINT_ALREADY_ATTACHED). So is
//     detaching what is not attached. A namespace that goes releases its endpoints.
//   - HNS attaches an endpoint to any number of containers (SharedContainers). Each
//     needs a compute system that exists; attaching twice is nothing, because
//     hcsshim looks (HotAttachEndpoint). A container that has stopped stays listed
//     until /endpoints/<id>/detach (ContainerDetach), which needs none.
//   - An endpoint can be deleted while it is attached. With a network, its
//     endpoints go.
//   - A call that fails has done nothing.
//
// [HCN schemas]: https://learn.microsoft.com/windows-server/networking/technologies/hcn/hcn-json-document-schemas
// [HCN scenarios]: https://learn.microsoft.com/windows-server/networking/technologies/hcn/hcn-scenarios
// [winerror]: https://learn.microsoft.com/windows/win32/seccrypto/common-hresult-values
package hnstest
