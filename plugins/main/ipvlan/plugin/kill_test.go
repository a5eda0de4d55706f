// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import "github.com/containernetworking/plugins/pkg/testutils/conformance"

var _ = conformance.KillMatrix(onHost())
