// SPDX-License-Identifier: Apache-2.0

package killpoint

// addVfork adds nothing: this architecture has no such call.
func addVfork(map[uint64]describer) {}
