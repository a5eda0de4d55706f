// SPDX-License-Identifier: Apache-2.0

// Package utils holds names and helpers that other programs import from here:
// names of what upstream keeps on a host, idempotent iptables operations, and
// probes. Nothing new goes in; see the sub-packages and internal/netfilter.
package utils

import "github.com/containernetworking/plugins/pkg/utils/rulename"

// MaxHashLen is the length of a hash in hexadecimal digits, and so the greatest
// length that MustFormatHashWithPrefix takes.
const MaxHashLen = rulename.MaxHash

// FormatChainName returns the name of the iptables chain of container id in the
// network called name.
func FormatChainName(name, id string) string { return rulename.Chain(name, id, "") }

// MustFormatChainNameWithPrefix is FormatChainName with prefix after "CNI-". It
// panics if that leaves no room for a hash.
func MustFormatChainNameWithPrefix(name, id, prefix string) string {
	return rulename.Chain(name, id, prefix)
}

// FormatComment returns the comment of the iptables rules of container id in
// the network called name.
func FormatComment(name, id string) string { return rulename.Comment(name, id) }

// MustFormatHashWithPrefix returns prefix and as many hexadecimal digits of the
// SHA-512 hash of toHash as make length bytes in all. It panics if prefix leaves
// no room for any, or length is greater than MaxHashLen.
func MustFormatHashWithPrefix(length int, prefix, toHash string) string {
	return rulename.Hash(length, prefix, toHash)
}
