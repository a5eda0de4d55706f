// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// labeller is the file that sets the SELinux context of the next program that
// the calling thread starts.
type labeller string

// attach makes the interface. It gets the SELinux context of the process that
// makes it, and a process with threads cannot change its own. So where one is
// asked for, another process makes it, and nothing but that.
func (selinux labeller) attach(file *os.File, name string, c *Config) error {
	if c.SELinuxContext == "" {
		return describeAttach(name, attach(file, name, c.flags()))
	}
	if err := selinux.set(c.SELinuxContext); err != nil {
		return err
	}
	err := plugin.RunHelper(file, nameVariable+"="+name, flagsVariable+"="+strconv.Itoa(int(c.flags())))
	return errors.Join(describeAttach(name, err), selinux.set(noContext))
}

// noContext takes back the one that was set.
const noContext = "\n"

// set sets the context. It must not end in a newline: the kernel does not count
// that as written, the library writes it once more, and so takes the context
// back.
func (selinux labeller) set(context string) error {
	file, err := os.OpenFile(string(selinux), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("selinuxContext: %w", err)
	}
	defer file.Close()
	if _, err := file.WriteString(context); err != nil {
		return fmt.Errorf("selinuxContext: set %q: %w%s", context, err, labelHint(err))
	}
	return nil
}

func labelHint(err error) string {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return "; SELinux is off, or its policy does not know the context"
	}
	return ""
}

// check tells why the context could not be set.
func (selinux labeller) check(c *Config) error {
	if c.SELinuxContext == "" {
		return nil
	}
	runtime.LockOSThread() // the context is the thread's
	defer runtime.UnlockOSThread()
	return errors.Join(selinux.set(c.SELinuxContext), selinux.set(noContext))
}

// How the helper is told what to do.
const (
	nameVariable  = "TAP_NAME"
	flagsVariable = "TAP_FLAGS"
	helperFile    = 3
)

// attachAsHelper makes the interface in a process of its own.
func attachAsHelper() error {
	flags, err := strconv.ParseUint(os.Getenv(flagsVariable), 10, 16)
	if err != nil {
		return fmt.Errorf("%s: %w", flagsVariable, err)
	}
	return attach(os.NewFile(helperFile, device), os.Getenv(nameVariable), uint16(flags))
}
