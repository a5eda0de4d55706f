// SPDX-License-Identifier: Apache-2.0

//go:build linux

package acd

import (
	"net"
	"testing"
)

func FuzzConflict(f *testing.F) {
	own, other, ip := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}, net.IPv4(192, 0, 2, 8)
	f.Add(request(other, ip))
	f.Add(request(own, ip))
	f.Add([]byte{0, 1, 8, 0, 6, 4, 0, 2})
	f.Fuzz(func(t *testing.T, packet []byte) {
		conflict := conflictIn(packet, own, []net.IP{ip})
		if conflict != nil && (conflict.MAC.String() == own.String() || !conflict.IP.Equal(ip)) {
			t.Errorf("%x: %v", packet, conflict)
		}
	})
	if conflictIn(request(other, ip), own, []net.IP{ip}) == nil {
		f.Error("who asks for an address on behalf of nobody is about to use it")
	}
	if conflictIn(request(own, ip), own, []net.IP{ip}) != nil {
		f.Error("one's own question is no conflict")
	}
}
