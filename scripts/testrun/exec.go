// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// execTest runs a test binary as "go test -exec" asks: with a Ginkgo report in the directory, in namespaces of its
// own (unless -shared comes first), and with a look at what it left behind.
func execTest(args []string) (int, error) {
	isolated := args[0] != "-shared"
	if !isolated {
		args = args[1:]
	}
	reports, binary, args := args[0], args[1], args[2:]
	args, err := withReport(reports, binary, args)
	if err != nil {
		return 1, err
	}
	if !isolated {
		return execute(binary, args)
	}

	// The thread keeps the namespaces it enters here; it is never unlocked, so no other goroutine meets them.
	runtime.LockOSThread()
	if err := isolate(); err != nil {
		return 1, fmt.Errorf("isolate %s: %w", binary, err)
	}
	before, err := traces()
	if err != nil {
		return 1, err
	}
	status, err := execute(binary, args)
	if err != nil || status != 0 {
		return status, err
	}
	return 0, leftovers(before)
}

// withReport adds the flag for Ginkgo's JSON report when the binary knows it, which it is asked: what modules it was
// made of is not recorded in test binaries.
func withReport(dir, binary string, args []string) ([]string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read build information: %w", err)
	}
	flag := "-ginkgo.json-report=" + reportFile(dir, info.Path)
	if err := exec.Command(binary, "-test.list=^$", flag).Run(); err != nil {
		return args, nil
	}
	return append(slices.Clone(args), flag, "-ginkgo.no-color"), nil
}

// reportFile names the report of a package; testBinary paths end in ".test".
func reportFile(dir, importPath string) string {
	name := strings.ReplaceAll(strings.TrimSuffix(importPath, ".test"), "/", "_")
	return filepath.Join(dir, name+".json")
}

// isolate gives the calling thread, and so the test it starts, empty places for all that tests may litter.
func isolate() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare network and mount namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, dir := range []string{"/run/netns", "/run/cni", "/var/lib/cni"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
		}
	}
	// Named namespaces are bind mounts, which "ip netns" wants to be shared.
	if err := unix.Mount("", "/run/netns", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share /run/netns: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// traces lists what a careless test leaves: links, named namespaces, mounts, files of plugins.
func traces() (map[string]bool, error) {
	found := map[string]bool{}
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		found["link "+link.Name] = true
	}
	names, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found["network namespace "+name.Name()] = true
	}
	return found, errors.Join(addMounts(found), addFiles(found, "/run/cni"), addFiles(found, "/var/lib/cni"))
}

// addMounts adds the mounts of the calling thread, each with its number: a second one on the same directory is another.
func addMounts(found map[string]bool) error {
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		found["mount "+fields[0]+" on "+fields[4]] = true
	}
	return nil
}

// addFiles adds the files below a directory. Directories stay, and locks: what is shared nobody removes.
func addFiles(found map[string]bool, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !slices.Contains([]string{"lock", "netfilter.lock"}, entry.Name()) {
			found["file "+path] = true
		}
		return err
	})
}

func leftovers(before map[string]bool) error {
	after, err := traces()
	if err != nil {
		return err
	}
	maps.DeleteFunc(after, func(trace string, _ bool) bool { return before[trace] })
	if len(after) == 0 {
		return nil
	}
	return fmt.Errorf("the tests left behind: %s", strings.Join(slices.Sorted(maps.Keys(after)), ", "))
}

// execute runs the binary to its end and returns its status.
func execute(binary string, args []string) (int, error) {
	cmd := exec.Command(binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// go test, killing us on its time limit, must not leave the test running.
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
