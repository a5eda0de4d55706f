// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package wholefile

// mayWrite has no cheap answer where access is a matter of lists.
func mayWrite(string) error { return nil }
