// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"net"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// record is what a file on the host says of an interface that is lent: its home
// (see home) and what it is known by, where no container can change it.
type record struct {
	Name     string   `json:"name"`
	Up       bool     `json:"up"`
	MTU      int      `json:"mtu"`
	Alias    string   `json:"alias,omitempty"`
	MAC      string   `json:"mac,omitempty"`
	Traits   *traits  `json:"traits,omitempty"`
	Identity identity `json:"identity"`
	Since    int64    `json:"since,omitempty"` // nanoseconds since the machine was started
}

// traits are what there is no room for in the interface's own mark.
type traits struct {
	AltNames []string `json:"altNames,omitempty"`
	Promisc  bool     `json:"promisc"`
	AllMulti bool     `json:"allmulti"`
	TxQLen   int      `json:"txQLen"`
	More     *more    `json:"more,omitempty"` // nil: the record of an earlier version
}

type more struct {
	NoARP     bool   `json:"noARP"`
	Multicast bool   `json:"multicast"`
	Group     uint32 `json:"group"`
}

func store() intent.Kept[record] { return intent.KeptBy[record]("host-device") }

// loan is what is on record of an interface that is lent.
type loan struct {
	home   home
	id     identity // the zero value: not known
	since  int64
	intent *intent.Intent
}

// keep writes down the home of an interface that is about to be lent. Without it,
// the interface's own mark has to do.
func keep(req *plugin.Request, n *nic) {
	h := n.home
	store().Remember(req, record{h.name, h.up, h.mtu, h.alias, h.mac.String(), h.traits, identify(n.link), uptime()},
		"what "+h.name+" is like on the host is written on itself alone, where the container can change it")
}

// uptime tells which of two loans of one interface is the later.
func uptime() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return now.Nano()
}

// discard removes what keep has written.
func discard(owner plugin.Owner) error { return store().Delete(owner) }

// kept returns what is on record of the interface that was lent to an owner, or nil.
func kept(owner plugin.Owner) *loan { return keptIn(store().Store, owner) }

func keptIn(s intent.Store, owner plugin.Owner) *loan {
	found := s.Get(owner)
	if found == nil {
		return nil
	}
	return parseRecord(found)
}

// keptHere is kept if the request is for the very namespace that the interface was
// lent to.
func keptHere(req *plugin.Request) *loan {
	found := kept(req.Owner())
	if found == nil || !found.intent.Enters(req) {
		return nil
	}
	return found
}

// enter returns the request as one for the namespace that the interface was lent to,
// or nil if that is not where it was, or the request is for it already.
func (l *loan) enter(req *plugin.Request) *plugin.Request {
	if l == nil || l.intent.Gone() || l.intent.Enters(req) {
		return nil
	}
	netns, err := ns.GetNS(l.intent.Netns)
	if err != nil {
		return nil
	}
	inside := *req
	inside.Netns = ns.RefTo(netns, l.intent.Netns)
	if !l.intent.Enters(&inside) { // another has got the path
		inside.Netns.Close()
		return nil
	}
	return &inside
}

// parseRecord returns no identity from before the machine was started anew: another
// interface may have it by now.
func parseRecord(found *intent.Intent) *loan {
	r, err := store().Content(*found)
	if err != nil || r.Name == "" {
		return nil
	}
	mac, _ := net.ParseMAC(r.MAC) // an interface may have none
	l := &loan{home: home{r.Name, r.Up, r.MTU, r.Alias, mac, r.Traits}, intent: found}
	if found.Boot == boot() {
		l.id, l.since = r.Identity, r.Since
	}
	return l
}

func boot() string {
	id, _ := plainfile.Read("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// keptOf is kept, for the first of the owners with these comments that has one.
func keptOf(comments []string) *loan {
	for _, comment := range comments {
		if l := keptBy(store().Store, comment); l != nil {
			return l
		}
	}
	return nil
}

// keptBy is keptIn for the owner with a comment.
func keptBy(s intent.Store, comment string) *loan {
	parts := strings.SplitN(comment, "/", 3)
	if len(parts) != 3 {
		return nil // somebody else has written it
	}
	return keptIn(s, plugin.Owner{Network: parts[0], ContainerID: parts[1], IfName: parts[2]})
}

// isSuperseded tells whether the interface was lent to somebody else since, who
// found it on the host.
func (l *loan) isSuperseded() bool {
	return slices.ContainsFunc(store().List(), func(i intent.Intent) bool {
		later := parseRecord(&i)
		return later != nil && i.Owner() != l.intent.Owner() && later.id.isOf(l.id) && later.since > l.since
	})
}

// isOver tells whether the interface of a loan that is neither in the container nor
// on the host will never come home: it has gone with the container's namespace. The
// kernel brings hardware back, but takes its time.
func (l *loan) isOver() bool {
	return l.isSuperseded() || l.intent.Gone() && !(l.id.isHardware() && exists(filepath.Join("/sys/bus", l.id.Device)))
}
