// SPDX-License-Identifier: Apache-2.0

//go:build linux

package linkroutes

import (
	"encoding/json"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// Saved are routes that can be written as JSON, and read again, with all they
// have. It is for files that do not outlive the process by much: the names are
// the library's.
type Saved []netlink.Route

// savedRoute has, in the place of what JSON cannot tell the type of, its bytes.
type savedRoute struct {
	netlink.Route
	MultiPath []savedHop
	Encap     *saved
	Via       *saved
	NewDst    *saved // of MPLS, which is in no table of IP
}

type savedHop struct {
	netlink.NexthopInfo
	Encap  *saved
	Via    *saved
	NewDst *saved
}

type saved struct {
	Kind  int
	Bytes []byte
}

// MarshalJSON implements json.Marshaler.
func (s Saved) MarshalJSON() ([]byte, error) {
	all := []savedRoute{}
	for _, route := range s {
		one := savedRoute{Route: route}
		var err error
		if one.Encap, one.Via, err = save(route.Encap, route.Via); err != nil {
			return nil, err
		}
		for _, hop := range route.MultiPath {
			same := savedHop{NexthopInfo: *hop}
			if same.Encap, same.Via, err = save(hop.Encap, hop.Via); err != nil {
				return nil, err
			}
			one.MultiPath = append(one.MultiPath, same)
		}
		all = append(all, one)
	}
	return json.Marshal(all)
}

func save(encap netlink.Encap, via netlink.Destination) (savedEncap, savedVia *saved, err error) {
	if encap != nil {
		savedEncap = &saved{Kind: encap.Type()}
		if savedEncap.Bytes, err = encap.Encode(); err != nil {
			return nil, nil, err
		}
	}
	if via != nil {
		savedVia = &saved{Kind: via.Family()}
		savedVia.Bytes, err = via.Encode()
	}
	return savedEncap, savedVia, err
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Saved) UnmarshalJSON(data []byte) error {
	var all []savedRoute
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*s = nil
	for _, one := range all {
		route := one.Route
		var err error
		if route.Encap, route.Via, err = restore(one.Encap, one.Via); err != nil {
			return err
		}
		for _, same := range one.MultiPath {
			hop := same.NexthopInfo
			if hop.Encap, hop.Via, err = restore(same.Encap, same.Via); err != nil {
				return err
			}
			route.MultiPath = append(route.MultiPath, &hop)
		}
		*s = append(*s, route)
	}
	return nil
}

func restore(savedEncap, savedVia *saved) (encap netlink.Encap, via netlink.Destination, err error) {
	if savedEncap != nil {
		if encap = emptyEncap(savedEncap.Kind); encap != nil {
			err = encap.Decode(savedEncap.Bytes)
		}
	}
	if savedVia != nil && err == nil {
		via = &netlink.Via{}
		err = via.Decode(savedVia.Bytes)
	}
	return encap, via, err
}

// emptyEncap returns an encapsulation to be filled, or nil for one that a route
// cannot be given again (a program of BPF).
func emptyEncap(kind int) netlink.Encap {
	switch kind {
	case nl.LWTUNNEL_ENCAP_MPLS:
		return &netlink.MPLSEncap{}
	case nl.LWTUNNEL_ENCAP_IP6:
		return &netlink.IP6tnlEncap{}
	case nl.LWTUNNEL_ENCAP_SEG6:
		return &netlink.SEG6Encap{}
	case nl.LWTUNNEL_ENCAP_SEG6_LOCAL:
		return &netlink.SEG6LocalEncap{}
	}
	return nil
}
