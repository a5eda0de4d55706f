// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/google/nftables"
)

// lockWait is how long, in seconds, the iptables programs wait for each other.
const lockWait = "5"

// xtablesLock returns the file they lock.
func xtablesLock() string { return cmp.Or(os.Getenv("XTABLES_LOCKFILE"), "/run/xtables.lock") }

// program returns the name of one of the family's programs: "", "-save" or
// "-restore" of the variant "", "-legacy" or "-nft".
func (f family) program(which string) string {
	name := "iptables"
	if f.table == nftables.TableFamilyIPv6 {
		name = "ip6tables"
	}
	return name + f.variant + which
}

// legacy returns the family with the programs that know the legacy tables.
// Where they have no name of their own, iptables is still the legacy one.
func (f family) legacy() family { return f.explicit("-legacy") }

// explicit returns the family with the programs of a variant, if they are there
// under its name.
func (f family) explicit(variant string) family {
	explicit := f
	explicit.variant = variant
	if explicit.installed("-save") == nil {
		return explicit
	}
	return f
}

// hasProgramsOf tells whether the programs of two families are of one variant:
// those of each are one file.
func (f family) hasProgramsOf(other family) bool {
	if f == other {
		return true
	}
	mine, err := fileOf(f.program("-save"))
	theirs, err2 := fileOf(other.program("-save"))
	return err == nil && err2 == nil && os.SameFile(mine, theirs)
}

func fileOf(program string) (os.FileInfo, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// absent tells whether err says that a program is not installed.
func absent(err error) bool { return errors.Is(err, exec.ErrNotFound) }

// installed says what to do about a program that is not there.
func (f family) installed(which string) error {
	if _, err := exec.LookPath(f.program(which)); err != nil {
		return fmt.Errorf("%s is not in PATH (%s): install the package iptables, or choose the backend %s: %w",
			f.program(which), os.Getenv("PATH"), NFTables, err)
	}
	return nil
}

// save returns the masquerade chains that the family's iptables-save prints.
func (f family) save(ctx context.Context) (map[string]savedChain, error) {
	output, err := f.run(ctx, "-save", "", "-t", "nat")
	return parseSave(output), err
}

// restore changes the tables as input says, all at once. To plan anew does not help
// where the program is missing, or has not got the lock in its time.
func (f family) restore(ctx context.Context, input string) error {
	_, err := f.run(ctx, "-restore", input, "--noflush", "-w", lockWait)
	if err == nil || absent(err) || isLockedOut(err) || ctx.Err() != nil {
		return err
	}
	return refused{err}
}

// run runs one of the family's programs. It gets SIGKILL when this process
// dies: a program that lived on would change the tables after the DEL that the
// runtime sends next. The kernel ties that signal to the thread that forked.
func (f family) run(ctx context.Context, which, input string, args ...string) (string, error) {
	if err := f.installed(which); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, f.program(which), args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return "", f.failure(cmd, stderr.String(), err)
	}
	return string(output), nil
}

// exitLocked is the exit status of the programs that have not got the lock, or
// another resource.
const exitLocked = 4

// lockedOut is the error of a program that has not got the lock.
type lockedOut struct{ error }

func (l lockedOut) Unwrap() error { return l.error }

func isLockedOut(err error) bool { return errors.As(err, new(lockedOut)) }

// forEachFamily goes on after an error, unless it is about the lock: that is the same
// for all, and the next would wait for it as long.
func forEachFamily(remove func(family) error) error {
	var errs []error
	for _, f := range families() {
		err := remove(f)
		errs = append(errs, err)
		if isLockedOut(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// failure says what a program said, and who holds the lock if it did not get it.
func (f family) failure(cmd *exec.Cmd, stderr string, err error) error {
	said := strings.Join(strings.Fields(stderr), " ")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitLocked && strings.Contains(said, "lock") {
		return lockedOut{fmt.Errorf("%s: %s is held by %s, for more than %s s: %w", strings.Join(cmd.Args, " "), xtablesLock(), lockHolder(xtablesLock()), lockWait, err)}
	}
	return fmt.Errorf("%s: %s: %w", strings.Join(cmd.Args, " "), said, err)
}

// lockHolder names the process that has locked a file, as far as /proc tells.
func lockHolder(path string) string {
	unknown := fmt.Sprintf("another process (fuser %s finds it)", path)
	var stat unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Stat(path, &stat) != nil {
		return unknown
	}
	// 1: FLOCK  ADVISORY  WRITE 4711 00:19:1234 0 EOF
	inode := fmt.Sprintf(":%d", stat.Ino)
	for _, line := range strings.Split(string(locks), "\n") {
		if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], inode) {
			name, _ := os.ReadFile("/proc/" + fields[4] + "/comm")
			return fmt.Sprintf("process %s (%s)", fields[4], strings.TrimSpace(string(name)))
		}
	}
	return unknown
}
