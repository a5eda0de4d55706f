// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stageVariable tells the three lives of the test binary apart: started by go test it makes the namespaces, as their
// first process it prepares them and reaps, and as that one's child it runs the tests.
const stageVariable = "CNI_E2E_STAGE"

// programVariable names the directory of cnitool and pause, which are built before there is no network any more.
const programVariable = "CNI_E2E_PROGRAMS"

func TestMain(m *testing.M) {
	var status int
	var err error
	switch os.Getenv(stageVariable) {
	case "":
		status, err = enter()
	case "init":
		status, err = initialise()
	default:
		status = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	os.Exit(status)
}

// enter builds what the tests need and runs the binary again in new namespaces.
func enter() (int, error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("run the end-to-end tests as root")
	}
	programs, err := os.MkdirTemp("", "cni-e2e")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(programs)
	for _, pkg := range []string{"github.com/containernetworking/cni/cnitool", "./pause"} {
		build := exec.Command("go", "build", "-buildvcs=false", "-o", programs+"/", pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	defer keepDirectory("/var/lib/cni")()
	cmd := again("init", programVariable+"="+programs)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	return exitStatus(cmd.Run())
}

// keepDirectory makes a directory to mount on, and forgets it afterwards if it was not there.
func keepDirectory(path string) (restore func()) {
	if os.Mkdir(path, 0o755) != nil {
		return func() {}
	}
	return func() { _ = os.Remove(path) }
}

// again is this test binary, once more.
func again(stage string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), stageVariable+"="+stage), env...)
	return cmd
}

// initialise hides what the tests would litter, and runs them. As the first process it reaps every orphan; when it
// ends, the kernel ends the others.
func initialise() (int, error) {
	if err := mountPrivately(); err != nil {
		return 1, err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	tests := again("test")
	if err := tests.Start(); err != nil {
		return 1, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the tests: %w", err)
		case pid == tests.Process.Pid && status.Signaled():
			return 1, fmt.Errorf("the tests were ended by signal: %v", status.Signal())
		case pid == tests.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}

func mountPrivately() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{"/run", "/var/lib/cni"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
		}
	}
	return nil
}

func exitStatus(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// pluginDir is where the plugins under test are.
func pluginDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(cmp.Or(os.Getenv("CNI_PATH"), "../../bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bridge")); err != nil {
		t.Fatalf("the plugins are not built: %v", err)
	}
	return dir
}

// program returns the path of a program that enter built.
func program(name string) string { return filepath.Join(os.Getenv(programVariable), name) }
