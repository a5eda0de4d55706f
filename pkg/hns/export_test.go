// SPDX-License-Identifier: Apache-2.0

package hns

// Request is the document that makes an endpoint.
func Request(api API, e Endpoint) any { return Client{API: api}.encodeEndpoint(e) }
