// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// portsLeadTo tells whether portmap still has ports of the host for an attachment.
// Whoever got its address would get what is sent to them.
func portsLeadTo(owner plugin.Owner) bool { return intent.Of("portmap").Left(owner) != nil }
