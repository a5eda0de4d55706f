// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import "github.com/containernetworking/plugins/pkg/testutils/conformance"

// What layer 2 does is part of it.
var _ = conformance.KillMatrix(withAddresses())
