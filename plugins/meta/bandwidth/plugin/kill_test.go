// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import "github.com/containernetworking/plugins/pkg/testutils/conformance"

var _ = conformance.KillMatrix(allTraffic(), subnets(), ingressAlone())
