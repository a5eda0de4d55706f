// SPDX-License-Identifier: Apache-2.0

package killpoint

// addLegacyCalls adds nothing: all the calls of this architecture are new ones.
func addLegacyCalls(map[uint64]describer) {}
