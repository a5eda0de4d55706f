// SPDX-License-Identifier: Apache-2.0

// Package buildversion has the version of the plugins, which is set when they
// are built.
package buildversion

import "fmt"

// BuildVersion is the version. The linker sets it:
//
//	-ldflags "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v1"
var BuildVersion = "version unknown"

// BuildString is what a plugin says about itself when it is started by hand.
func BuildString(pluginName string) string {
	return fmt.Sprintf("CNI %s plugin %s", pluginName, BuildVersion)
}
