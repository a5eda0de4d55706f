// SPDX-License-Identifier: Apache-2.0

package hns

import "encoding/json"

func (c Client) decodeNetwork(document json.RawMessage) (Network, error) {
	if c.API == V2 {
		var n networkV2
		err := decode(document, &n)
		return n.network(), err
	}
	var n networkV1
	err := decode(document, &n)
	return n.network(), err
}

func (c Client) decodeEndpoint(document json.RawMessage) (Endpoint, error) {
	if c.API == V2 {
		var e endpointV2
		err := decode(document, &e)
		return e.endpoint(), err
	}
	var e endpointV1
	err := decode(document, &e)
	return e.endpoint(), err
}

func (c Client) encodeEndpoint(e Endpoint) any {
	if c.API == V2 {
		return newEndpointV2(e)
	}
	return newEndpointV1(e)
}
