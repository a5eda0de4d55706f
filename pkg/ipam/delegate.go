// SPDX-License-Identifier: Apache-2.0

// Package ipam delegates to IPAM plugins and applies what they answer to an
// interface.
package ipam

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/undo"
)

// Delegate is the IPAM plugin of a configuration. The zero value stands for
// none, that is, for layer 2: its methods do nothing, and successfully.
type Delegate struct {
	plugin string
	stdin  []byte
	path   string // of the executable, once it has been located
}

// NewDelegate returns the delegate for the IPAM plugin called plugin. stdin is
// the configuration of the calling plugin as it was received.
func NewDelegate(plugin string, stdin []byte) Delegate { return Delegate{plugin: plugin, stdin: stdin} }

// Locate looks for the IPAM plugin in CNI_PATH: an ADD that cannot succeed for
// want of it should not begin.
func (d *Delegate) Locate() (err error) {
	if d.Configured() && d.path == "" {
		d.path, err = find(d.plugin)
	}
	return err
}

// Configured tells whether there is an IPAM plugin.
func (d Delegate) Configured() bool { return d.plugin != "" }

// SetsMTU tells whether the IPAM plugin gives the interface an MTU: dhcp that of
// the server, in ADD and whenever the server changes it.
func (d Delegate) SetsMTU() bool { return d.plugin == "dhcp" }

// ReleasesThroughInterface tells whether the IPAM plugin releases addresses by way of
// the interface, which then has to be there still: dhcp tells the server.
func (d Delegate) ReleasesThroughInterface() bool { return d.plugin == "dhcp" }

// Add has the IPAM plugin assign addresses. Their release is on the stack
// before it runs, so it is released too if it fails (as the CNI specification
// asks, section 4), or if its answer is no good: one without an address is an
// error. A caller that has given up does not keep it from being released. A
// plugin that is not to be found has reserved nothing.
//
// The release frees all that the attachment has. Callers create their interface
// first; that refuses a second ADD for a live attachment. Where that one's
// interface has another name by now, or is in another namespace, host-local
// refuses, and nothing is released, see cleansUp.
func (d Delegate) Add(ctx context.Context, stack *undo.Stack) (*current.Result, error) {
	if !d.Configured() {
		return &current.Result{}, nil
	}
	if err := d.Locate(); err != nil {
		return nil, err
	}
	clean := false
	stack.Push("IPAM reservation", func() error {
		if clean {
			return nil
		}
		return d.Del(context.WithoutCancel(ctx))
	})
	answer, err := run(ctx, d.path, "ADD", d.stdin)
	if err != nil {
		clean = d.cleansUp(err)
		return nil, err
	}
	result, err := d.result(answer.result(d.path, d.stdin))
	if err != nil {
		return nil, err
	}
	if err := d.validate(result); err != nil {
		return nil, err
	}
	return result, nil
}

// ErrHasAddress is the code of host-local's error about an attachment that has an
// address already. Codes from 100 up are for plugins to define; this one adds
// EEXIST.
const ErrHasAddress uint = 117

// cleansUp tells whether an ADD that ended with err has left nothing. host-local
// takes back by itself what it reserved before it answers with an error, upstream's
// too; what the attachment then has is from another ADD. Only if it died, which is
// no CNI error (or one without a code, by the library on other systems), is there
// no telling. Of other plugins nothing is known but the specification.
func (d Delegate) cleansUp(err error) bool {
	var answered *types.Error
	return d.plugin == "host-local" && errors.As(err, &answered) && answered.Code != types.ErrUnknown
}

// Attach is for a delegate that is no IPAM plugin, but makes the interface: it
// runs its ADD. What that may have done the caller takes back, with Del, also
// after an error.
func (d Delegate) Attach(ctx context.Context) (*current.Result, error) {
	if err := d.Locate(); err != nil {
		return nil, err
	}
	return d.result(execAdd(ctx, d.path, d.stdin))
}

// result converts what execAdd has returned to the current version.
func (d Delegate) result(answer types.Result, err error) (*current.Result, error) {
	if err != nil {
		return nil, err
	}
	result, err := current.NewResultFromResult(answer)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", d.plugin, err)
	}
	return result, nil
}

// validate returns an error when an answer has no addresses, or not where they
// should be.
func (d Delegate) validate(answer *current.Result) error {
	if len(answer.IPs) == 0 {
		return types.NewError(types.ErrInternal, fmt.Sprintf("IPAM plugin %s returned missing IP config: its answer has no address", d.plugin), "")
	}
	for i, ip := range answer.IPs {
		if ip.Address.IP == nil {
			return types.NewError(types.ErrDecodingFailure, fmt.Sprintf("answer of %s: ips[%d].address: missing", d.plugin, i), "")
		}
	}
	return nil
}

// Check has the IPAM plugin check its addresses.
func (d Delegate) Check(ctx context.Context) error { return d.verb(ctx, "CHECK") }

// Del has the IPAM plugin release its addresses.
func (d Delegate) Del(ctx context.Context) error { return d.verb(ctx, "DEL") }

// HostLocalDir is where host-local keeps its reservations, <network>/<address>,
// unless "dataDir" says otherwise.
const HostLocalDir = "/var/lib/cni/networks"

// DelForgotten completes Del where the configuration is another than at ADD, and
// does not name host-local any more: that releases what the attachment still has
// in its directory.
func (d Delegate) DelForgotten(ctx context.Context, network string) error {
	const name = "host-local"
	if d.plugin == name {
		return nil
	}
	if _, err := os.Stat(filepath.Join(HostLocalDir, network)); err != nil {
		return nil // there is no such network
	}
	// The oldest version is one that every release of host-local knows.
	forgotten := NewDelegate(name, fmt.Appendf(nil, `{"cniVersion":"0.1.0","name":%q,"ipam":{"type":%q}}`, network, name))
	if forgotten.Locate() != nil {
		return nil // nor host-local
	}
	return forgotten.Del(ctx)
}

// DelFor is Del for another attachment than the one that this process was
// called for: one that nobody has detached, as GC finds them. Its network
// namespace is not known.
func (d Delegate) DelFor(ctx context.Context, containerID, ifName string) error {
	if err := d.Locate(); err != nil {
		return err
	}
	stale := &invoke.Args{Command: "DEL", ContainerID: containerID, IfName: ifName, Path: os.Getenv("CNI_PATH")}
	_, err := execute(ctx, d.path, d.stdin, stale.AsEnv())
	return err
}

// Status asks the IPAM plugin whether it could assign addresses.
func (d Delegate) Status(ctx context.Context) error { return d.verb(ctx, "STATUS") }

// GC has the IPAM plugin release what belongs to attachments that are no more.
func (d Delegate) GC(ctx context.Context) error { return d.verb(ctx, "GC") }

func (d Delegate) verb(ctx context.Context, verb string) error {
	if !d.Configured() {
		return nil
	}
	return execVerb(ctx, verb, d.plugin, d.stdin)
}
