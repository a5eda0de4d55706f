// SPDX-License-Identifier: Apache-2.0

// Package sysctl reads and writes kernel parameters.
//
// A parameter is named with dots or with slashes; the first of them to appear
// says which are the separators. Where dots are, a slash stands for a dot in an
// interface's name, as with sysctl(8): net.ipv4.conf.eth0/100.forwarding and
// net/ipv4/conf/eth0.100/forwarding are the same. Parameters below net are
// those of the calling thread's network namespace.
package sysctl
