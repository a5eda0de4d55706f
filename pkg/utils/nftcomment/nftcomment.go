// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package nftcomment writes and reads the comments of nftables rules and
// elements as nft does.
package nftcomment

import (
	"bytes"

	"github.com/google/nftables/userdata"
)

// UserData returns the user data of an object with a comment.
func UserData(comment string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, comment)
}

// Of returns the comment in the user data of a rule or an element, which use the
// same type number for it, "" if there is none. User data are types, lengths and
// values, with a byte each for the first two; but everybody can write what they
// want, over which the nftables library panics.
func Of(data []byte) string {
	for len(data) >= 2 && len(data)-2 >= int(data[1]) {
		value, rest := data[2:2+int(data[1])], data[2+int(data[1]):]
		if userdata.Type(data[0]) == userdata.TypeComment {
			return string(bytes.TrimSuffix(value, []byte{0}))
		}
		data = rest
	}
	return ""
}
