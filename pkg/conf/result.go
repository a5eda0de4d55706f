// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"reflect"

	"github.com/containernetworking/cni/pkg/types"
)

// RejectNulls notes every null entry in the lists of a CNI result. The
// library's conversions between versions panic on them.
func RejectNulls(p *Problems, path string, result []byte) {
	if !bytes.Contains(result, []byte("null")) { // as a rule; to decode a result takes 0.1 ms
		return
	}
	var lists struct {
		Interfaces []json.RawMessage `json:"interfaces"`
		IPs        []json.RawMessage `json:"ips"`
		Routes     []json.RawMessage `json:"routes"`
		IP4, IP6   struct {
			Routes []json.RawMessage `json:"routes"`
		}
	}
	if err := json.Unmarshal(result, &lists); err != nil {
		p.AddResult(path, result, err)
		return
	}
	for _, list := range []struct {
		name    string
		entries []json.RawMessage
	}{
		{"interfaces", lists.Interfaces}, {"ips", lists.IPs}, {"routes", lists.Routes},
		{"ip4.routes", lists.IP4.Routes}, {"ip6.routes", lists.IP6.Routes},
	} {
		for i, entry := range list.entries {
			if string(entry) == "null" {
				p.Add(fmt.Sprintf("%s.%s[%d]", path, list.name, i), "null where an object is expected")
			}
		}
	}
}

// anyResult has the keys of CNI results of all versions.
type anyResult struct {
	CNIVersion string `json:"cniVersion"`
	Interfaces []struct {
		Name       string `json:"name"`
		MAC        string `json:"mac"`
		MTU        int    `json:"mtu"`
		Sandbox    string `json:"sandbox"`
		SocketPath string `json:"socketPath"`
		PciID      string `json:"pciID"`
	} `json:"interfaces"`
	IPs []struct {
		Version   string      `json:"version"`
		Interface int         `json:"interface"`
		Address   types.IPNet `json:"address"`
		Gateway   net.IP      `json:"gateway"`
	} `json:"ips"`
	Routes []types.Route `json:"routes"`
	DNS    types.DNS     `json:"dns"`
	IP4    addressResult `json:"ip4"`
	IP6    addressResult `json:"ip6"`
}

type addressResult struct {
	IP      types.IPNet   `json:"ip"`
	Gateway net.IP        `json:"gateway"`
	Routes  []types.Route `json:"routes"`
}

// AddResult notes why the CNI library could not decode a result: every value that
// does not fit, or else its own reason, which says neither where nor all.
func (p *Problems) AddResult(path string, result []byte, reason error) {
	dec := json.NewDecoder(bytes.NewReader(result))
	dec.UseNumber()
	var node any
	before := p.Len()
	if dec.Decode(&node) == nil {
		d := decoder{data: result, problems: p}
		d.value(path, node, reflect.ValueOf(new(anyResult)).Elem())
	}
	if p.Len() == before {
		p.Add(path, "%v", reason)
	}
}
