// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Testrun runs every test of this repository and ends with one summary: what ran where, what failed, and what was
// skipped for which reason. It is the engine of test_linux.sh, which installs the tools and calls
//
//	testrun run [PACKAGE...]
//
// Natively each test binary runs through "testrun exec", in network and mount namespaces of its own. Specs that were
// skipped because this kernel lacks a feature run again on a full kernel, through scripts/vm.sh and "testrun guest".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// command runs one of the three subcommands and says the exit status; with an error it is at least 1.
func command(ctx context.Context, args []string) (int, error) {
	const usage = "usage: testrun run [PACKAGE...] | exec [-shared] DIR BINARY [ARG...] | guest DIR"
	if len(args) == 0 {
		return 2, fmt.Errorf(usage)
	}
	switch name, args := args[0], args[1:]; {
	case name == "run":
		return runAll(ctx, args)
	case name == "exec" && len(args) >= 2:
		return execTest(args)
	case name == "guest" && len(args) == 1:
		return runGuest(ctx, args[0])
	}
	return 2, fmt.Errorf(usage)
}
