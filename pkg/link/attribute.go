// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// attribute returns the value of an attribute of a link message, see nlattr.
func attribute(message []byte, kinds ...uint16) []byte {
	return nlattr.Attributes(message[unix.SizeofIfInfomsg:]).Get(kinds...)
}

// nameIn returns the name of the link that a message is about.
func nameIn(message []byte) string {
	return unix.ByteSliceToString(attribute(message, unix.IFLA_IFNAME))
}

// headerOf returns what stands before the attributes of a link message.
func headerOf(message []byte) *nl.IfInfomsg { return nl.DeserializeIfInfomsg(message) }
