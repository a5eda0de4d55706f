// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// limits are how patient the daemon is.
type limits struct {
	timeout       time.Duration // for one answer
	resendMax     time.Duration // between two tries
	resendTimeout time.Duration // for a lease
}

// backoff returns the pause after so many failures in a row.
func (l limits) backoff(failures int) time.Duration {
	const first = 2 * time.Second
	return min(jitter(first<<min(failures, 16)), l.resendMax)
}

// attachment is an interface of a container, with its leases. They have one
// life: when one of them ends, so do the others.
type attachment struct {
	settings
	owner    plugin.Owner
	args     *skel.CmdArgs
	config   *Config
	identity identity
	place    place
	nsid     int // the number of its namespace, for watch
	leases   []*lease

	ctx     context.Context
	cancel  context.CancelCauseFunc
	running atomic.Int32  // leases that have not come to their end
	pending atomic.Int32  // leases that have not been granted yet
	ready   chan struct{} // closed when all are granted
	readyAt atomic.Int64  // bootTime of that
	done    chan struct{} // closed when all have ended
	cause   error         // why; set before done is closed

	saving sync.Mutex

	callers sync.Mutex
	waiting int  // callers for the leases
	told    bool // a caller has been told of them

	ended func(*attachment) // told before done is closed
	saved func(*attachment) // told when a grant has changed
}

// settings are those of the daemon.
type settings struct {
	limits     limits
	hostPrefix string
	netns      ns.NetNS // its own
	broadcast  bool
	log        *log.Logger
}

// newAttachment describes the attachment that args are about.
func newAttachment(s settings, config *Config, args *skel.CmdArgs) *attachment {
	return &attachment{
		settings: s,
		owner:    ownerOf(config, args),
		args:     args,
		config:   config,
		ready:    make(chan struct{}),
		done:     make(chan struct{}),
	}
}

func decodeConfig(data []byte) (*Config, error) {
	config := new(Config)
	var problems conf.Problems
	if _, err := conf.Decode(data, config, &problems); err != nil {
		return nil, err
	}
	config.Validate(&problems, nil)
	return config, problems.Err()
}

// ownerOf names the attachment, whatever else is wrong with its configuration.
func ownerOf(config *Config, args *skel.CmdArgs) plugin.Owner {
	return plugin.Owner{Network: config.Name, ContainerID: args.ContainerID, IfName: args.IfName}
}

// settle sets where the attachment is, and prepares its leases.
func (a *attachment) settle(at place) {
	a.place = at
	clientID := clientIDOf(a.owner)
	a.identity = identity{
		clientID: clientID,
		options:  sentOptions(a.config.IPAM, a.args.Args, clientID),
		timeout:  a.limits.timeout,
		probe:    a.config.IPAM.Probe,
		// The interfaces of ipvlan share a MAC address and are told apart by their
		// addresses, of which this one has none yet.
		broadcast: a.broadcast || at.Kind == "ipvlan",
	}
	for _, f := range a.config.families() {
		a.leases = append(a.leases, newLease(a, f))
	}
}

// clientIDOf is what servers know an attachment by. Reservations on servers
// depend on it.
func clientIDOf(owner plugin.Owner) string {
	const longest = 254 // an option, without the byte for the type
	id := owner.ContainerID + "/" + owner.Network + "/" + owner.IfName
	return id[:min(len(id), longest)]
}

// start starts the leases. Those that hold a grant go on with it.
func (a *attachment) start() {
	a.running.Store(int32(len(a.leases)))
	for _, l := range a.leases {
		if !l.announced.Load() {
			a.pending.Add(1)
		}
	}
	if a.pending.Load() == 0 {
		a.becomeReady()
	}
	for _, l := range a.leases {
		go a.live(l)
	}
}

// noticed is told what state the link is in.
func (a *attachment) noticed(up bool) {
	for _, l := range a.leases {
		l.noticed(up)
	}
}

// lookAgain has the leases look whether the link is there.
func (a *attachment) lookAgain() {
	for _, l := range a.leases {
		l.look.Store(true)
		l.nudge()
	}
}

// live is the life of a lease. The last one to end ends the attachment.
func (a *attachment) live(l *lease) {
	a.cancel(protect(func() error { return l.run(a.ctx) }))
	cause := context.Cause(a.ctx)
	if !errors.Is(cause, errShutdown) && !errors.Is(cause, errExpired) {
		if err := protect(l.giveBack); err != nil {
			a.logf("%s: %v", l.family, err)
		}
	}
	if a.running.Add(-1) == 0 {
		a.end(cause)
	}
}

// protect turns a panic into an error of one lease.
func protect(fn func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("internal error, please report it: %v", value)
		}
	}()
	return fn()
}

// granted is told by a lease that it has a new grant. The journal has it before
// anybody else.
func (a *attachment) granted(l *lease) {
	first := l.announced.CompareAndSwap(false, true)
	if first && a.pending.Add(-1) > 0 || a.pending.Load() > 0 {
		return
	}
	a.saved(a)
	if first {
		a.becomeReady()
	}
}

func (a *attachment) becomeReady() {
	a.readyAt.Store(int64(bootTime()))
	close(a.ready)
	for _, l := range a.leases {
		l.nudge()
	}
}

func (a *attachment) end(cause error) {
	if revoked(cause) && a.isReady() {
		if err := a.place.visit(a.hostPrefix, netlink.LinkSetDown); err != nil {
			a.logf("set %s down: %v", a.place.IfName, err)
		}
	}
	if !errors.Is(cause, errShutdown) {
		a.logf("ended: %v", cause)
	}
	a.cause = cause
	a.ended(a)
	close(a.done)
}

// revoked tells whether the address may not be used any more.
func revoked(cause error) bool { return errors.Is(cause, errExpired) || errors.Is(cause, errNoMore) }

func (a *attachment) isEnding() bool { return a.ctx.Err() != nil }

func (a *attachment) isReady() bool {
	select {
	case <-a.ready:
		return true
	default:
		return false
	}
}

// stop ends the attachment for a reason and waits until that is done.
func (a *attachment) stop(ctx context.Context, why error) error {
	a.cancel(why)
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait waits until there is an answer for who wants to have the leases.
func (a *attachment) wait(ctx context.Context) (*current.Result, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.done:
		return nil, a.cause
	case <-a.ready:
		return a.result()
	}
}

// join counts another caller who waits, unless the last of them has gone.
func (a *attachment) join() bool {
	a.callers.Lock()
	defer a.callers.Unlock()
	if a.isEnding() {
		return false
	}
	a.waiting++
	return true
}

// leave counts a caller no more who has been told, or else has gone for a reason.
// Leases that nobody has been told of, and nobody waits for, are of no use.
func (a *attachment) leave(why error) {
	a.callers.Lock()
	defer a.callers.Unlock()
	a.waiting--
	a.told = a.told || why == nil
	if a.waiting == 0 && !a.told {
		a.cancel(fmt.Errorf("the caller has gone: %w", why))
	}
}

// result is what the leases say, for the plugin.
func (a *attachment) result() (*current.Result, error) {
	result := new(current.Result)
	for _, l := range a.leases {
		g := l.held()
		if g == nil || g.left() <= 0 {
			return nil, fmt.Errorf("%s: the address has run out, or a server has taken it away; another one is being asked for", l.family)
		}
		result.IPs = append(result.IPs, &current.IPConfig{Address: g.terms.address, Gateway: g.terms.gateway})
		for _, route := range g.terms.routes {
			copied := *route
			if a.config.IPAM.Priority != 0 {
				copied.Priority = a.config.IPAM.Priority
			}
			result.Routes = append(result.Routes, &copied)
		}
		dns := g.terms.dns
		result.DNS.Nameservers = append(result.DNS.Nameservers, dns.Nameservers...)
		result.DNS.Search = append(result.DNS.Search, dns.Search...)
		if result.DNS.Domain == "" {
			result.DNS.Domain = dns.Domain
		}
	}
	return result, nil
}

func (a *attachment) logf(format string, args ...any) {
	a.log.Printf("%s: %s", a.owner.Comment(), fmt.Sprintf(format, args...))
}
