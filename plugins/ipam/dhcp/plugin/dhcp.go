// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the dhcp IPAM plugin. Its executable is the daemon, too.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "dhcp",
	Versions: version.All,
	IPAM:     plugin.IsIPAM,
	Add:      add,
	Del:      del,
	Check:    check,
	Status:   status,
	GC:       gc,
	Daemon:   daemonMain,
})

const (
	// answerTimeout is how long the daemon may take for what it need not ask a
	// DHCP server for.
	answerTimeout = 10 * time.Second
	// acquireTimeout is how long it may take to get a lease if it does not tell,
	// as daemons of other releases do not: longer than these try by default.
	acquireTimeout = 5 * time.Minute
)

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	result, err := allocate(ctx, req, c)
	if err != nil {
		return nil, err
	}
	req.Undo.Push("DHCP lease", func() error { return release(context.WithoutCancel(ctx), req, c) })
	return result, nil
}

// del succeeds without a daemon: one that is started later releases the leases
// whose interface it does not find. So does one that hangs, when it goes on; the
// specification does not want a DEL to fail for want of a release.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	err := release(ctx, req, c)
	switch {
	case isAbsent(err):
		plugin.Logf("dhcp", "the lease is released when the daemon is started: %v", err)
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		plugin.Logf("dhcp", "the lease is released when the daemon goes on, or is started again: %v", err)
		return nil
	}
	return err
}

// check makes sure that the daemon holds the lease, or makes it take the lease
// up again, and that it is for the addresses of prevResult.
func check(ctx context.Context, req *plugin.Request, c *Config) error {
	result, err := allocate(ctx, req, c)
	if err != nil || req.Prev == nil {
		return err
	}
	var errs []error
	for _, leased := range result.IPs {
		if !hasAddress(req.Prev.IPs, leased.Address) {
			errs = append(errs, fmt.Errorf("the lease is now for %s, which prevResult does not have", leased.Address.String()))
		}
	}
	return errors.Join(errs...)
}

func hasAddress(ips []*current.IPConfig, address net.IPNet) bool {
	for _, ip := range ips {
		if ip.Address.IP.Equal(address.IP) && ip.Address.Mask.String() == address.Mask.String() {
			return true
		}
	}
	return false
}

func status(ctx context.Context, _ *plugin.Request, c *Config) error {
	if _, err := askLimits(ctx, c); err != nil { // which may have the code of an ADD that is to be tried again
		return plugin.Errorf(plugin.ErrNotAvailable, "%w", err)
	}
	return nil
}

// gc has the daemon release the leases of attachments that are no more. A
// daemon of another release does not know how.
func gc(ctx context.Context, req *plugin.Request, c *Config, _ plugin.Attachments) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := call(ctx, c.socketPath(), methodGC, req.Raw, new(struct{}))
	if isAbsent(err) || isUnknownMethod(err) {
		return nil
	}
	return describeCall(c, methodGC, err)
}

// allocate asks the daemon for the attachment's leases, which it may hold
// already. It waits for as long as the daemon says that it will try.
func allocate(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	if err := lookAtNetns(req.Raw.Netns); err != nil {
		return nil, err
	}
	args, err := argsForDaemon(req)
	if err != nil {
		return nil, err
	}
	limit, err := askLimits(ctx, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit+answerTimeout)
	defer cancel()
	result := new(current.Result)
	if err := call(ctx, c.socketPath(), methodAllocate, args, result); err != nil {
		return nil, describeCall(c, methodAllocate, err)
	}
	return result, nil
}

// lookAtNetns makes sure that there is a network namespace at path.
func lookAtNetns(path string) error {
	netns, err := ns.GetNS(path)
	if err != nil {
		return plugin.Errorf(types.ErrInvalidNetNS, "CNI_NETNS: open the network namespace %q: %w", path, err)
	}
	return netns.Close()
}

func release(ctx context.Context, req *plugin.Request, c *Config) error {
	args, err := argsForDaemon(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return describeCall(c, methodRelease, call(ctx, c.socketPath(), methodRelease, args, new(struct{})))
}

// askLimits asks the daemon how long it may take to get a lease.
func askLimits(ctx context.Context, c *Config) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var limits daemonLimits
	err := call(ctx, c.socketPath(), methodLimits, new(skel.CmdArgs), &limits)
	if isUnknownMethod(err) {
		return acquireTimeout, nil
	}
	return limits.Acquire, describeCall(c, methodLimits, err)
}

// argsForDaemon is the call with a path that means the same to the daemon,
// which has a working directory of its own.
func argsForDaemon(req *plugin.Request) (*skel.CmdArgs, error) {
	args := *req.Raw
	if args.Netns == "" {
		return &args, nil
	}
	netns, err := filepath.Abs(args.Netns)
	if err != nil {
		return nil, plugin.Errorf(types.ErrInvalidEnvironmentVariables, "CNI_NETNS: %q: %w", args.Netns, err)
	}
	args.Netns = netns
	return &args, nil
}

// isAbsent tells whether err means that no daemon is there, or can be: the path is
// below a file (ENOTDIR), or too long for a socket (EINVAL).
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EINVAL)
}

func describeCall(c *Config, method string, err error) error {
	switch {
	case err == nil:
		return nil
	case isAbsent(err):
		return fmt.Errorf("error dialing DHCP daemon: %w; start it with \"dhcp daemon\" or \"systemctl start cni-dhcp.socket\", "+
			"or say in ipam.daemonSocketPath where it listens", err)
	case errors.Is(err, context.DeadlineExceeded):
		return plugin.Errorf(types.ErrTryAgainLater, "error calling %s: the DHCP daemon at %s did not answer in time: %w", method, c.socketPath(), err)
	}
	return fmt.Errorf("error calling %s: %w", method, err)
}
