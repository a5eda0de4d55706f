// SPDX-License-Identifier: Apache-2.0

// Package dhcp is the dhcp IPAM plugin and its daemon.
//
// The plugin (dhcp.go) only talks to the daemon (daemon.go), over a unix socket
// (rpc.go). For every attachment the daemon holds one lease per address family:
// a goroutine with the life of RFC 2131 or RFC 8415 (lease.go), which asks
// servers by a client (client.go for DHCPv4, client6.go for DHCPv6). Between two
// exchanges a lease has no thread, no socket and no open namespace: it does not
// keep a container's namespace from going away, which the daemon is told
// (watch.go). What servers have granted is in a journal (journal.go), so that
// another daemon can go on where one was killed.
//
// The package owns the leases, the socket, the journal and the pid file. It
// sets a container's interface up to get an address, gives it the MTU that was
// requested from the server, replaces its addresses when the server gave others
// instead, and sets it down when the lease has run out.
package dhcp
