// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package firewall is the firewall plugin. It lets the traffic of containers
// pass the host's firewall - rules of iptables, a zone of firewalld, or a table
// of nftables - and keeps bridges with an ingress policy apart.
//
// An attachment owns the rules for its addresses. Chains, tables, the jumps to
// them and the ingress policy of a bridge are shared: every ADD puts them right,
// and DEL leaves them.
package firewall
