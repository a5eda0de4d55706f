// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package killpoint kills a program at every moment that makes a difference.
//
// A plugin can be killed between any two of its instructions, but whoever comes
// after it sees only what it did to the world: the messages it sent to the
// kernel, the files it changed, the programs it started, the answer it printed.
// Between two such calls one moment is as good as another. So the package runs
// a program under ptrace, counts these calls - those of its children too - and
// sends SIGKILL when the n-th is about to be made and has not yet had any
// effect. The end of a process counts as a call, so that n = 1, 2, 3 ... until a
// run ends without reaching n covers every state there is.
//
// The order of calls of a program with several threads may differ from run to
// run; Point says what a run was really killed at.
//
// The program runs in the namespaces of the calling thread. System calls are
// known by the names of 64-bit architectures.
package killpoint

import (
	"fmt"
	"time"
)

// Spec is a command to run.
type Spec struct {
	Path    string        // of the executable
	Args    []string      // arguments after the name
	Env     []string      // the whole environment
	Stdin   []byte        // what the command reads
	Dir     string        // directory to start in; empty: the current one
	Timeout time.Duration // after which everything is killed; 0: DefaultTimeout

	everyCall bool // do without a filter, to try that out
}

// DefaultTimeout bounds a run whose Spec names no Timeout.
const DefaultTimeout = 30 * time.Second

// SurvivalLimit is how long a child may outlive the killed command. The signal
// that ends it is sent by the kernel while the command dies, so it has no
// reason to take any time at all.
const SurvivalLimit = 2 * time.Second

// Point is one call that others can see, about to be made.
type Point struct {
	N        int    // which call of the run, counted from 1
	What     string // the call, "netlink RTM_NEWLINK" or "rename /a/b /a/c"
	Process  string // name of the program that makes it
	Delegate bool   // whether that is a child of the command
	Children int    // how many children the command had at this moment
}

func (p Point) String() string {
	return fmt.Sprintf("call %d: %s: %s", p.N, p.Process, p.What)
}

// Mode says who is killed.
type Mode int

const (
	// KillPlugin kills the command alone. A child has to die by itself,
	// through its parent-death signal.
	KillPlugin Mode = iota
	// KillTree kills the command and all its children at once.
	KillTree
	// KillDelegate kills the child in whose call the point is, and lets the
	// command go on. Calls of the command itself are not counted.
	KillDelegate
)

func (m Mode) String() string {
	switch m {
	case KillPlugin:
		return "kill the plugin"
	case KillTree:
		return "kill the plugin and its delegates"
	case KillDelegate:
		return "kill the delegate"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Output is what a run left behind.
type Output struct {
	Stdout, Stderr []byte
	Status         int // exit status of the command; -1 if a signal ended it
}

// Outlived is the error of a run in which a child of the killed command lived
// on: what it goes on to do races with the DEL that follows.
type Outlived struct {
	Killed  Point  // where the command was killed
	Process string // which program lived on
	What    string // the call it was about to make, or how long it lived
}

func (o *Outlived) Error() string {
	return fmt.Sprintf("%s outlived its parent, which was killed at %v: %s", o.Process, o.Killed, o.What)
}

// Count runs cmd to its end and lists the points at which it can be killed.
func Count(cmd Spec) ([]Point, Output, error) {
	run := newRun(cmd)
	output, err := run.do()
	return run.points, output, err
}

// KillAt runs cmd and kills it at point n, counted from 1, as mode says. It
// returns when all processes of the run are gone. A run that ends without
// reaching n returns the zero Point.
func KillAt(cmd Spec, n int, mode Mode) (Point, Output, error) {
	run := newRun(cmd)
	run.target, run.mode = n, mode
	output, err := run.do()
	return run.killed, output, err
}
