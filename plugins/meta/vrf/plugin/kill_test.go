// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import "github.com/containernetworking/plugins/pkg/testutils/conformance"

var _ = conformance.KillMatrix(suite())
