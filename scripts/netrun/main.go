// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Netrun runs a command in a new network namespace that has joined every network of a configuration directory, or a
// built-in one when there are none, and removes everything again. It is the engine of priv-net-run.sh:
//
//	netrun COMMAND [ARG...]
//
// CNI_PATH and NETCONFPATH are the runtime's usual variables; with DEBUG set the results are printed on stderr. The
// exit status is the command's; 128 plus the signal's number when one ended it; 1 when the network could not be made.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: netrun COMMAND [ARG...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "netrun:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// run makes the network, runs the command and removes the network, whatever happened in between.
func run(command []string) (status int, err error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)

	networks, err := load()
	if err != nil {
		return 1, err
	}
	sandbox, err := newSandbox(networks)
	if err != nil {
		return 1, err
	}
	defer func() {
		// A second Ctrl-C, or a closed terminal, must not reach the plugins that clean up: they inherit this.
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
		err = errors.Join(err, sandbox.remove())
	}()

	if status, err := attach(sandbox, signals); err != nil {
		return status, err
	}
	return runInside(sandbox, command, signals)
}

// attach joins the networks, unless a signal comes in between. With an error it also says the exit status.
func attach(sandbox *sandbox, signals <-chan os.Signal) (status int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sandbox.join(ctx) }()
	select {
	case err := <-done:
		return 1, err
	case caught := <-signals:
		cancel()
		return 128 + int(caught.(syscall.Signal)), errors.Join(fmt.Errorf("stopped by signal: %v", caught), <-done)
	}
}

// runInside runs the command and hands on the signals sent to this process alone. A terminal's Ctrl-C reaches the
// command by itself, as it is in the same process group.
func runInside(sandbox *sandbox, command []string, signals <-chan os.Signal) (int, error) {
	// ip netns exec also mounts a /sys that fits the namespace, and then becomes the command.
	cmd := exec.Command("ip", append([]string{"netns", "exec", sandbox.name}, command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("run %q: %w", command[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			return exitStatus(cmd.ProcessState, err)
		case caught := <-signals:
			if caught != syscall.SIGINT && caught != syscall.SIGQUIT {
				_ = cmd.Process.Signal(caught) // it may have ended just now
			}
		}
	}
}

// exitStatus follows the shell's convention.
func exitStatus(state *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, err
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return 128 + int(wait.Signal()), nil
	}
	return state.ExitCode(), nil
}
