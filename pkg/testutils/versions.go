// SPDX-License-Identifier: Apache-2.0

package testutils

import "github.com/containernetworking/cni/pkg/version"

// AllSpecVersions lists the versions of the CNI specification, oldest first.
var AllSpecVersions = [...]string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// SpecVersionHasIPVersion tells whether addresses in results of version ver say
// which version of IP they are of.
func SpecVersionHasIPVersion(ver string) bool {
	return atLeast(ver, "0.3.0") && !atLeast(ver, "1.0.0")
}

// SpecVersionHasCHECK tells whether ver has the CHECK command.
func SpecVersionHasCHECK(ver string) bool { return atLeast(ver, "0.4.0") }

// SpecVersionHasSTATUS tells whether ver has the STATUS command.
func SpecVersionHasSTATUS(ver string) bool { return atLeast(ver, "1.1.0") }

// SpecVersionHasChaining tells whether ver has chains of plugins.
func SpecVersionHasChaining(ver string) bool { return atLeast(ver, "0.3.0") }

// SpecVersionHasMultipleIPs tells whether results of version ver may have more
// than one address per version of IP.
func SpecVersionHasMultipleIPs(ver string) bool { return atLeast(ver, "0.3.0") }

// atLeast compares versions; one that cannot be parsed has nothing.
func atLeast(ver, least string) bool {
	newEnough, err := version.GreaterThanOrEqualTo(ver, least)
	return err == nil && newEnough
}
