// SPDX-License-Identifier: Apache-2.0

package plugin

import "os"

// roomyStack has the stack of the calling goroutine grow once, while there is
// hardly anything on it, to what talking to the kernel needs: a message from it
// alone takes 64 KiB. It would double its way there, and each time look for all
// that points into it: 4 % of an ADD. What counts is the size of the frame;
// nothing of it is ever used.
//
//go:noinline
func roomyStack(use bool) {
	if use {
		var room [64 << 10]byte
		_, _ = os.Stderr.Read(room[:])
	}
}
