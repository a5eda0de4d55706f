// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testutils

import (
	"errors"
	"fmt"
)

// Ping works on Linux, where there are network namespaces to ping from.
func Ping(saddr, daddr string, _ int) error {
	return fmt.Errorf("ping from %s to %s: %w", saddr, daddr, errors.ErrUnsupported)
}
