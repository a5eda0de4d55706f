// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"crypto/sha512"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Owner names one attachment: an interface of a container in a network. Every
// object on the host that can outlive the container's network namespace is
// marked with its owner, so that DEL and GC find it with nothing else at hand.
type Owner struct {
	Network     string // name of the network configuration
	ContainerID string
	IfName      string // name of the interface inside the container
}

// Comment returns the owner in plain text, "network/container/interface", for
// the comment of a rule or set element. It has at most 127 bytes (nft allows
// 128 with the terminator): a longer network name or container id is cut and
// ends in "~" and a hash, which no valid name contains.
func (o Owner) Comment() string {
	return o.networkPrefix() + clip(o.ContainerID, 64) + "/" + o.IfName
}

// IsOther tells whether comment, such as the alias of a link, names another
// owner. What somebody else may have written there means nothing.
func (o Owner) IsOther(comment string) bool {
	return strings.Count(comment, "/") == 2 && comment != o.Comment()
}

// networkPrefix returns what the comments of all owners in o's network, and of
// no others, begin with.
func (o Owner) networkPrefix() string {
	return clip(o.Network, 40) + "/"
}

// Name returns prefix followed by a hash of the owner, length bytes long in
// all: lower-case letters and digits, the same for the same owner.
func (o Owner) Name(prefix string, length int) string {
	return prefix + hashOf(o.Network + "/" + o.ContainerID + "/" + o.IfName)[:length-len(prefix)]
}

// HostLink returns the name of the host end of the owner's veth pair: 15
// bytes, "veth", four characters for the network and seven for the rest. Names
// of upstream's host ends have 12, so the two never meet.
func (o Owner) HostLink() string {
	return o.HostLinkPrefix() + hashOf(o.ContainerID + "/" + o.IfName)[:7]
}

// HostLinkPrefix returns what the HostLink names of all owners in o's network
// begin with. Another network may share it (one chance in a million), so it
// selects candidates and proves nothing.
func (o Owner) HostLinkPrefix() string {
	return "veth" + hashOf(o.Network)[:4]
}

// clip shortens s to max bytes, keeping it unique.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	sum := sha512.Sum512([]byte(s))
	return s[:max-17] + "~" + hex.EncodeToString(sum[:8])
}

func hashOf(s string) string {
	sum := sha512.Sum512([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
}

// Attachments are the attachments of one network that a GC has to spare.
type Attachments struct {
	network    string
	valid      map[Owner]bool
	comments   map[string]bool // what Owner.Comment says of the valid ones
	containers map[string]bool
}

// NewAttachments returns the attachments of network that list says are valid.
func NewAttachments(network string, list []types.GCAttachment) Attachments {
	a := Attachments{network, map[Owner]bool{}, map[string]bool{}, map[string]bool{}}
	for _, entry := range list {
		owner := Owner{network, entry.ContainerID, entry.IfName}
		a.valid[owner] = true
		a.comments[owner.Comment()] = true
		a.containers[owner.ContainerID] = true
	}
	return a
}

// Network returns the name of the network that is being collected.
func (a Attachments) Network() string { return a.network }

// Contains tells whether owner is a valid attachment.
func (a Attachments) Contains(owner Owner) bool { return a.valid[owner] }

// HasContainer tells whether any valid attachment belongs to container id; for
// objects whose mark does not name the interface.
func (a Attachments) HasContainer(id string) bool { return a.containers[id] }

// Owners returns the valid attachments, in no order.
func (a Attachments) Owners() []Owner {
	owners := make([]Owner, 0, len(a.valid))
	for owner := range a.valid {
		owners = append(owners, owner)
	}
	return owners
}

// StaleComment tells whether comment marks (see Owner.Comment) an object of
// this network whose attachment is no longer valid.
func (a Attachments) StaleComment(comment string) bool {
	return strings.HasPrefix(comment, Owner{Network: a.network}.networkPrefix()) && !a.comments[comment]
}
