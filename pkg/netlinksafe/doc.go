// SPDX-License-Identifier: Apache-2.0

// Package netlinksafe lists kernel objects over netlink and never returns half
// a list.
//
// A kernel that changes links, addresses or routes while it lists them marks
// its answer as interrupted; what it sent may lack objects or show them twice.
// The functions here ask again, a few times, and then give up with an
// InterruptedError and no list. They have the names and signatures of the
// functions of package netlink, which nothing outside this package should call
// for lists.
package netlinksafe
