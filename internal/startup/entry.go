// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package startup

import "runtime"

// An executable that build_linux.sh makes is entered by the kernel in entry_*.s
// (-ldflags=-E=cni_plugins_entry) and goes on into Go's runtime from there. What a
// plugin wants of the runtime is best said before it starts:
//
//   - One processor, as GOMAXPROCS=1 in the environment. To prepare the others, and
//     to give them up later, takes 0.2 ms with two, 0.9 with 64 and 1.8 with 128.
//   - No files: the runtime reads what limits the cgroup sets for processors and how
//     large huge pages are, in 0.1 ms, which it can do without. Until it has started,
//     there are no descriptors for that (RLIMIT_NOFILE).
//   - No memory profile, whose table the very first allocation makes.
//
// It is for plugins, which runtimes call without arguments. A daemon, which is called
// with some, starts like any other program, and so does one that is built without
// the entry.
//
// The package is initialised before syscall, which notes the limit of descriptors
// for the programs it starts.

// files is the limit of descriptors that the process has been given, soft and hard,
// or zero if the entry has not asked; few is the one until the runtime has started.
var files, few [2]uint64

// oneProcessor is what the entry puts into the environment.
var oneProcessor = "GOMAXPROCS=1\x00"

// profileRate is where to switch the memory profile off: assembly cannot refer to a
// variable of the runtime.
var profileRate = &runtime.MemProfileRate

func init() {
	if files != [2]uint64{} {
		limitFiles(&files)
	}
}

// limitFiles sets RLIMIT_NOFILE. To raise a soft limit again always succeeds.
//
//go:noescape
func limitFiles(limit *[2]uint64)
