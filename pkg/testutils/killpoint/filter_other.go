// SPDX-License-Identifier: Apache-2.0

//go:build linux && !amd64

package killpoint

func installFilter(int, map[uint64]describer) error { return errNoFilter }
