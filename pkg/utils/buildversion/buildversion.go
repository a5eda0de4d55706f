// SPDX-License-Identifier: Apache-2.0

// Package buildversion holds the version that a build was given.
package buildversion

import "fmt"

// BuildVersion is the version of the build. The linker sets it:
//
//	-ldflags "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v1.0.0"
var BuildVersion = "version unknown"

// BuildString returns the line that a plugin says about itself.
func BuildString(pluginName string) string {
	return fmt.Sprintf("CNI %s plugin %s", pluginName, BuildVersion)
}
