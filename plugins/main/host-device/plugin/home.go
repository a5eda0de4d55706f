// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// An interface bears, as alternative names, whose it is and how it was on the
// host. They go with it wherever it is, and are there when the kernel brings it
// back to the host because the container's namespace is gone. The alias is for
// upstream's plugin, which knows nothing else.
//
//	owner:pods:web-1:net1
//	home:ens5:up:1500:left+port:02:00:00:00:00:01
const (
	ownerPrefix = containerlink.LentPrefix
	homePrefix  = "home:"
)

// home is how an interface was before it was given away. Only the name is known
// of one that upstream's plugin has moved.
type home struct {
	name  string
	up    bool
	mtu   int
	alias string
	mac   net.HardwareAddr

	traits *traits // nil: not known
}

// String writes it as an alternative name. An alias for which there is not
// enough room is left out.
func (h home) String() string {
	const longest = 127 // ALTIFNAMSIZ without the terminator
	state := "down"
	if h.up {
		state = "up"
	}
	text := fmt.Sprintf("%s%s:%s:%d:%s:%s", homePrefix, h.name, state, h.mtu, url.QueryEscape(h.alias), h.mac)
	if len(text) > longest {
		h.alias = ""
		return h.String()
	}
	return text
}

// parseHome reads what String has written.
func parseHome(text string) (home, bool) {
	rest, ok := strings.CutPrefix(text, homePrefix)
	fields := strings.SplitN(rest, ":", 5)
	if !ok || len(fields) != 5 || fields[0] == "" {
		return home{}, false
	}
	mtu, err := strconv.Atoi(fields[2])
	if err != nil {
		return home{}, false
	}
	alias, _ := url.QueryUnescape(fields[3]) // nobody else writes it
	mac, _ := net.ParseMAC(fields[4])        // an interface may have none
	return home{name: fields[0], up: fields[1] == "up", mtu: mtu, alias: alias, mac: mac}, true
}

// nic is an interface to give away, or that was given away.
type nic struct {
	link   netlink.Link
	home   home
	marked bool // home comes from the interface's own mark, or from the record
	pciID  string

	// bare is what the container called an interface that says nothing of itself
	// any more, and is known by the record.
	bare string
}

// known returns l with the home that it says it has, or else as it is.
func known(l netlink.Link) *nic {
	for _, name := range l.Attrs().AltNames {
		if h, ok := parseHome(name); ok {
			return &nic{link: l, home: h, marked: true}
		}
	}
	return asItIs(l)
}

// at returns the interface with the home that is on record, if there is one: what
// it says itself the container may have changed.
func (n *nic) at(recorded *loan) *nic {
	if recorded != nil {
		n.home, n.marked = recorded.home, true
	}
	return n
}

// onHost is known for an interface on the host. One that bears the mark of another
// is not left there: DEL and GC know it by its record.
func onHost(l netlink.Link) *nic {
	recorded := keptOf(ownerComments(l))
	if recorded != nil && recorded.compareHere(l) == another {
		return asItIs(l)
	}
	return leftAt(l, recorded)
}

// leftAt is known for an interface on the host that has a record, or nil. What it
// says of its home, or the record, counts only if it is where the kernel or a
// killed plugin can have left it. Otherwise somebody else has brought it home, such
// as upstream's plugin after a downgrade, and may be using it: it is at home as it
// is.
func leftAt(l netlink.Link, recorded *loan) *nic { return known(l).at(recorded).ifLeft() }

func (n *nic) ifLeft() *nic {
	if n.marked && !n.isLeft() {
		return asItIs(n.link)
	}
	return n
}

// isLeft tells whether nobody seems to have brought an interface home that is on
// the host. The kernel, and a plugin before its last step, leave it down, but
// others on the host may set it up under a name that is not its own. If the
// container has renamed it, there is still the alias, which upstream's plugin
// removes in later versions; of one that is bare no more can be told.
func (n *nic) isLeft() bool {
	attrs := n.link.Attrs()
	return n.hasForeignName() || !isUp(attrs) && (n.bare != "" || attrs.Name == n.home.name || attrs.Alias == n.home.name)
}

// hasForeignName tells whether an interface has a name that the kernel made up,
// or that of the container.
func (n *nic) hasForeignName() bool {
	name := n.link.Attrs().Name
	return name != n.home.name && (isMadeUp(name) || name == n.bare || slices.Contains(containerNames(n.link), name))
}

// asItIs returns l with how it is now as its home.
func asItIs(l netlink.Link) *nic {
	attrs := l.Attrs()
	return &nic{link: l, home: home{attrs.Name, isUp(attrs), attrs.MTU, attrs.Alias, attrs.HardwareAddr, traitsOf(l)}}
}

func traitsOf(l netlink.Link) *traits {
	attrs := l.Attrs()
	has := func(flag uint32) bool { return attrs.RawFlags&flag != 0 }
	return &traits{
		AltNames: without(attrs.AltNames, marks(l)), Promisc: has(unix.IFF_PROMISC), AllMulti: has(unix.IFF_ALLMULTI), TxQLen: attrs.TxQLen,
		More: &more{has(unix.IFF_NOARP), has(unix.IFF_MULTICAST), attrs.Group},
	}
}

// without returns those of names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

func isUp(attrs *netlink.LinkAttrs) bool { return attrs.RawFlags&unix.IFF_UP != 0 }

// markOf is the alternative name that says that an interface is the owner's
// with the given comment. Alternative names must not have slashes, and names of
// owners have no colons.
func markOf(comment string) string { return ownerPrefix + strings.ReplaceAll(comment, "/", ":") }

// ownerComments returns whose an interface says it is, as owners' comments.
// There is more than one if an earlier owner never gave it back.
func ownerComments(l netlink.Link) []string {
	var comments []string
	for _, name := range l.Attrs().AltNames {
		if owner, ok := strings.CutPrefix(name, ownerPrefix); ok {
			comments = append(comments, strings.ReplaceAll(owner, ":", "/"))
		}
	}
	return comments
}

// containerNames returns what an interface is called in the containers of those
// whose it says it is.
func containerNames(l netlink.Link) []string {
	var names []string
	for _, comment := range ownerComments(l) {
		names = append(names, path.Base(comment))
	}
	return names
}

// marks returns the alternative names that this plugin has given an interface.
func marks(l netlink.Link) []string {
	var own []string
	for _, name := range l.Attrs().AltNames {
		if strings.HasPrefix(name, ownerPrefix) || strings.HasPrefix(name, homePrefix) {
			own = append(own, name)
		}
	}
	return own
}

// belongsTo tells whether an interface says that it is owner's.
func belongsTo(owner plugin.Owner, l netlink.Link) bool {
	return slices.Contains(ownerComments(l), owner.Comment())
}
