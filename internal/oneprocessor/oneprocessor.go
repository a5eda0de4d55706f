// SPDX-License-Identifier: Apache-2.0

// Package oneprocessor makes the executable that imports it use one processor,
// whatever GOMAXPROCS says, which is in the environment for the runtime's sake. A
// plugin does one thing at a time: more processors mean more threads, memory and
// time to start, and what waits for the kernel does not need one. For main
// packages alone.
//
// It depends on next to nothing and so is initialised before other packages. By
// the time main runs, half of all processes have come to work on the second
// processor; giving up that one, with the memory it has cached, takes 0.3 ms.
package oneprocessor

import "runtime"

func init() { runtime.GOMAXPROCS(1) }
