// SPDX-License-Identifier: Apache-2.0

// Package rulename makes names and comments of rules in the form that upstream has
// given them since its first version.
package rulename

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
)

// MaxHash is the length of a hash in hexadecimal digits, and so the greatest length
// that Hash takes.
const MaxHash = sha512.Size * 2

// MaxChain is the length of the longest name that an iptables chain can have.
const MaxChain = 28

const chainPrefix = "CNI-"

// Chain returns the name of an iptables chain: "CNI-", prefix and a hash of network
// and container. It panics if the prefix leaves no room for the hash.
func Chain(network, container, prefix string) string {
	return Hash(MaxChain, chainPrefix+prefix, network+container)
}

// Comment returns the comment of the iptables rules of a container in a network.
func Comment(network, container string) string {
	return fmt.Sprintf("name: %q id: %q", network, container)
}

// Hash returns prefix and as many hexadecimal digits of the SHA-512 hash of text as
// make length bytes in all. It panics if prefix leaves no room for any, or length is
// greater than MaxHash.
func Hash(length int, prefix, text string) string {
	if len(prefix) >= length || length > MaxHash {
		panic("invalid length")
	}
	sum := sha512.Sum512([]byte(text))
	return prefix + hex.EncodeToString(sum[:])[:length-len(prefix)]
}
