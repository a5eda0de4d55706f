// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netnsalive

import "errors"

var errUnsupported = errors.New("there are no network namespaces")

func all() (map[uint64]bool, error)                { return nil, errUnsupported }
func mountedNetns(string) (map[uint64]bool, error) { return nil, errUnsupported }
