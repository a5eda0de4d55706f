// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"net"
	"strings"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// record is what a file on the host says of an interface that is lent: its home
// (see home), where no container can change it.
type record struct {
	Name   string  `json:"name"`
	Up     bool    `json:"up"`
	MTU    int     `json:"mtu"`
	Alias  string  `json:"alias,omitempty"`
	MAC    string  `json:"mac,omitempty"`
	Traits *traits `json:"traits,omitempty"`
}

// traits are what there is no room for in the interface's own mark.
type traits struct {
	AltNames []string `json:"altNames,omitempty"`
	Promisc  bool     `json:"promisc"`
	AllMulti bool     `json:"allmulti"`
	TxQLen   int      `json:"txQLen"`
}

func store() intent.Kept[record] { return intent.KeptBy[record]("host-device") }

// keep writes down the home of an interface that is about to be lent. Without it,
// the interface's own mark has to do.
func keep(req *plugin.Request, h home) {
	store().Remember(req, record{h.name, h.up, h.mtu, h.alias, h.mac.String(), h.traits},
		"what "+h.name+" is like on the host is written on itself alone, where the container can change it")
}

// discard removes what keep has written.
func discard(owner plugin.Owner) error { return store().Delete(owner) }

// kept returns the home of the interface that was lent to an owner, or nil.
func kept(owner plugin.Owner) *home {
	found := store().Get(owner)
	if found == nil {
		return nil
	}
	return parseRecord(found)
}

// keptHere is kept if the request is for the very namespace that the interface was
// lent to.
func keptHere(req *plugin.Request) *home {
	found := store().Get(req.Owner())
	if found == nil || !found.Enters(req) {
		return nil
	}
	return parseRecord(found)
}

func parseRecord(found *intent.Intent) *home {
	r, err := store().Content(*found)
	if err != nil || r.Name == "" {
		return nil
	}
	mac, _ := net.ParseMAC(r.MAC) // an interface may have none
	return &home{r.Name, r.Up, r.MTU, r.Alias, mac, r.Traits}
}

// keptOf is kept, for the first of the owners with these comments that has one.
func keptOf(comments []string) *home {
	for _, comment := range comments {
		parts := strings.SplitN(comment, "/", 3)
		if len(parts) != 3 {
			continue // somebody else has written it
		}
		if h := kept(plugin.Owner{Network: parts[0], ContainerID: parts[1], IfName: parts[2]}); h != nil {
			return h
		}
	}
	return nil
}
