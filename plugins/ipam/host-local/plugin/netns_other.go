// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hostlocal

// No network namespace is ever noted here.

func mountedNetns(string) (map[uint64]bool, error) { return nil, nil }
func liveNetns() (map[uint64]bool, error)          { return nil, nil }
