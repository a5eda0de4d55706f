// SPDX-License-Identifier: Apache-2.0

// Package startup makes the executable that imports it start like one that does
// little and is soon over: on one processor, with a stack that need not grow. For
// main packages alone.
//
// It depends on next to nothing and so is initialised before other packages.
package startup

import "runtime"

func init() {
	growStack(false)
	useOneProcessor()
}

// useOneProcessor makes Go use one, whatever GOMAXPROCS says, which is in the
// environment for the runtime's sake. A plugin does one thing at a time: more
// processors mean more threads, memory and time to start, and what waits for the
// kernel does not need one. By the time main runs, half of all processes have come
// to work on the second processor; giving up that one, with the memory it has
// cached, takes 0.3 ms.
func useOneProcessor() { runtime.GOMAXPROCS(1) }

// stackNeeded is more than an ADD takes, in bytes; a command that takes more has its
// stack grow after all. What is not used is never touched.
const stackNeeded = 40 << 10

// growStack gives the main goroutine a stack that is large enough, by having room
// for a variable that it does not use. Go begins with 2 KB and doubles them, and each
// time finds out for every function on the stack what has to be adjusted: 26 of 370
// page faults, and 4 % of an ADD of bridge.
//
//go:noinline
func growStack(use bool) byte {
	if !use {
		return 0
	}
	var room [stackNeeded]byte
	fill(room[:])
	return room[stackNeeded/2]
}

//go:noinline
func fill(room []byte) {
	for i := range room {
		room[i] = byte(i)
	}
}
