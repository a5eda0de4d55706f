// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/d2g/dhcp4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Why a lease ends, beside errGone.
var (
	errReleased = errors.New("released")
	errShutdown = errors.New("the daemon ends")
	errExpired  = errors.New("the lease has run out")
	errNoMore   = errors.New("no more tries")
	errUnusable = errors.New("of no use") // what a server grants, and would grant again
	errIsDown   = errors.New("there is no lease for the interface, which is down")
)

// family is an address family, with its protocol.
type family int

const (
	inet4 family = 4
	inet6 family = 6
)

func (f family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// open opens a client in the namespace of the calling thread.
func (f family) open(ctx context.Context, at station, id identity) (client, error) {
	if f == inet6 {
		return newClient6(ctx, at, id)
	}
	return newClient4(at, id)
}

// parse fills in the terms of a grant.
func (f family) parse(g *grant, id identity) error {
	if f == inet6 {
		return terms6(g, id)
	}
	return terms4(g, id)
}

// lease is the lease of one family of an attachment: one goroutine, which is in
// run.
type lease struct {
	*attachment
	family family

	announced atomic.Bool   // its first grant has been
	nudged    chan struct{} // something has happened to the link
	look      atomic.Bool   // make sure that it is still there
	isDown    atomic.Bool   // what the last event said
	wasUp     atomic.Bool   // an event said that it came back

	mu     sync.Mutex
	grant  *grant    // nil: none yet, or none any more
	former []*grant  // what the link may be configured for besides, the latest last
	seen   *sighting // nil: nobody has looked

	// For run alone:
	started  time.Duration // bootTime at which the search for a server began
	failures int           // in a row
	nextTry  time.Duration // bootTime before which nothing is sent
	verify   bool          // ask ahead of time: who knows what the link is connected to now
	partial  bool          // the link could not be given all of the grant
	home     int           // the routing table that the routes were taken out of, if they were
	lastErr  error

	revived     bool          // out of the journal
	bounced     bool          // the link was down, and may have lost what it had of the lease
	nextLook    time.Duration // at the link, after the leases were ready
	nextPutBack time.Duration // bootTime before which it is given back nothing
}

func newLease(a *attachment, f family) *lease {
	return &lease{attachment: a, family: f, nudged: make(chan struct{}, 1), started: bootTime(), lastErr: errNoAnswer, nextLook: settling}
}

func (l *lease) held() *grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grant
}

// noted returns what the journal is to have of the lease, or nil.
func (l *lease) noted() *grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grant == nil && len(l.former) > 0 {
		last := *l.former[len(l.former)-1]
		last.Lost = true
		return &last
	}
	if l.grant == nil && l.announced.Load() {
		return &grant{Lost: true}
	}
	return l.grant
}

// latest returns what is held, or was.
func (l *lease) latest() *grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grant == nil && len(l.former) > 0 {
		return l.former[len(l.former)-1]
	}
	return l.grant
}

// configured returns what the link may be configured for, the latest last.
func (l *lease) configured() []*grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grant == nil {
		return l.former
	}
	return append(slices.Clone(l.former), l.grant)
}

func (l *lease) hold(g *grant) { l.set(g) }

func (l *lease) set(held *grant, former ...*grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grant, l.former = held, former
}

// run keeps the lease until there is a reason to end it, which it returns.
func (l *lease) run(ctx context.Context) error {
	for {
		wait, err := l.step(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.nudged:
		case <-time.After(wait):
		}
	}
}

// step does what is due and returns how long there is nothing to do.
func (l *lease) step(ctx context.Context) (time.Duration, error) {
	if l.look.Swap(false) {
		if err := l.lookAtLink(); err != nil {
			return 0, err
		}
	}
	if l.wasUp.Swap(false) {
		l.bounced, l.verify, l.nextTry = true, true, 0
	}
	g := l.held()
	switch {
	case g == nil && l.announced.Load() && l.isDown.Load(): // until an event says otherwise; that is no failure
		l.started = bootTime()
		return forever, nil
	case g == nil:
		return l.obtain(ctx)
	}
	age := bootTime() - g.Since
	now, until := g.terms.times.at(age)
	switch {
	case now == expired:
		return l.runOut(ctx, g)
	case l.isDown.Load():
		return until - age, nil
	case now == bound && !l.verify:
		pause, err := l.tend(g)
		return min(until-age, pause), err
	case bootTime() < l.nextTry:
		return l.nextTry - bootTime(), nil
	case now == rebinding:
		return l.extend(ctx, until-age, client.rebind)
	}
	return l.extend(ctx, until-age, client.renew)
}

// runOut handles a lease whose time is over. If every try that was due has
// failed, that is its end. Otherwise the daemon was stopped or away, or the
// machine asleep, and no server has been asked: all are now, for this address
// first, so that the container notices nothing if it gets that again.
func (l *lease) runOut(ctx context.Context, g *grant) (time.Duration, error) {
	switch {
	case l.isDown.Load(): // nobody uses the address, until an event says otherwise
		return forever, nil
	case l.hasTried(g):
		return 0, l.lost(errExpired)
	}
	_, err := l.extend(ctx, l.limits.timeout, client.rebind)
	if err != nil || ctx.Err() != nil || l.held() != g {
		return 0, err
	}
	l.startOver(errExpired)
	return 0, nil
}

// hasTried tells whether the next try to extend a lease was only due at its end.
// One that was due before, or failed long after, was slept through.
func (l *lease) hasTried(g *grant) bool {
	const lateness = 2 * time.Second // of timers, on a busy machine
	return (l.nextTry - g.Since - g.terms.times.lifetime).Abs() <= lateness
}

// startOver gives a lease up, for which the link stays configured for now, and
// begins the search for another.
func (l *lease) startOver(why error) {
	l.surrender(l.configured())
	l.started, l.failures, l.nextTry, l.lastErr = bootTime(), 0, 0, why
}

// lost handles the end of a lease: it is that of the attachment, unless the
// container still has an address of the other family. Then it loses this one,
// and the search for another goes on.
func (l *lease) lost(why error) error {
	if !l.announced.Load() || !l.hasCompany() {
		return why
	}
	l.started = bootTime()
	return l.withdraw(why)
}

// withdraw has the link give up what it is configured for.
func (l *lease) withdraw(why error) error {
	grants := l.configured()
	if len(grants) == 0 {
		return nil
	}
	l.logf("%s: %v; %s is taken off the interface", l.family, why, &l.latest().terms.address)
	err := l.place.visit(l.hostPrefix, func(found netlink.Link) error { return l.takeOff(found, grants, nil) })
	if errors.Is(err, errGone) {
		return err
	}
	if err == nil {
		grants = nil
	} else {
		l.logf("%s: %v", l.family, err)
	}
	l.surrender(grants)
	return nil
}

// surrender notes that nothing is held any more, for which the link may be
// configured nevertheless.
func (l *lease) surrender(configured []*grant) {
	l.set(nil, configured...)
	if l.isReady() {
		l.saved(l.attachment)
	}
}

// hasCompany tells whether another lease of the attachment is held.
func (l *lease) hasCompany() bool {
	return slices.ContainsFunc(l.leases, func(other *lease) bool { return other != l && other.held() != nil })
}

// lookAtLink returns an error if the link is gone. Other troubles may pass. It may
// have been down, and may be so now.
func (l *lease) lookAtLink() error {
	err := l.place.visit(l.hostPrefix, func(found netlink.Link) error {
		l.isDown.Store(!isRunning(found.Attrs().RawFlags))
		if g := l.held(); g != nil && l.isReady() && !l.isDown.Load() && l.sighted() != nil {
			l.missBounce(found, g)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errGone) {
		l.logf("%v", err)
		return nil
	}
	return err
}

// obtain tries to get a lease, and gives up when it has tried for too long.
func (l *lease) obtain(ctx context.Context) (time.Duration, error) {
	usable, err := l.usable()
	if err != nil {
		return 0, err
	}
	left := l.started + l.limits.resendTimeout - bootTime()
	switch wait := l.nextTry - bootTime(); {
	case left <= 0:
		return 0, l.lost(&reasoned{errNoMore, l.lastErr})
	case wait > 0:
		return min(wait, left, usable), nil
	}
	g, err := l.exchange(ctx, min(left, usable), func(ctx context.Context, c client) (*grant, error) { return l.acquire(ctx, c) })
	if err == nil {
		return 0, l.adopt(g)
	}
	hopeless := errors.Is(err, errUnusable) && !l.announced.Load() // else the servers have done better before
	if hopeless || errors.Is(err, errGone) || errors.Is(err, errIsDown) {
		return 0, err
	}
	l.logf("%s: %v", l.family, err)
	if err.Error() != context.DeadlineExceeded.Error() { // else the try was cut off, and what failed before says more
		l.lastErr = err
	}
	l.nextTry = bootTime() + l.limits.backoff(l.failures)
	l.failures++
	return 0, nil
}

// usable returns how long the link may stay configured for a lease that is not
// held any more: until that would have ended. Then it gives it up (RFC 2131, 4.4.5).
func (l *lease) usable() (time.Duration, error) {
	last := l.latest()
	if last == nil {
		return forever, nil
	}
	if left := last.left(); left > 0 {
		return left, nil
	}
	return forever, l.withdraw(errExpired)
}

// acquire gets an address that nobody else uses, if it is to be made sure.
func (l *lease) acquire(ctx context.Context, c client) (*grant, error) {
	g, err := c.acquire(ctx)
	if err != nil || !l.config.IPAM.Probe {
		return g, err
	}
	conflict, err := c.probe(ctx, g.terms.address.IP)
	if err != nil {
		return nil, errors.Join(err, c.release(g))
	}
	if conflict != nil {
		return nil, errors.Join(conflict, c.decline(g))
	}
	return g, nil
}

// extend asks for more time, for as long as there is. A refusal makes the lease
// start over.
func (l *lease) extend(ctx context.Context, left time.Duration, ask func(client, context.Context, *grant) (*grant, error)) (time.Duration, error) {
	g := l.held()
	asked, _ := g.terms.times.at(bootTime() - g.Since)
	renewed, err := l.exchange(ctx, left, func(ctx context.Context, c client) (*grant, error) { return ask(c, ctx, g) })
	switch {
	case err == nil:
		return 0, l.adopt(renewed)
	case errors.Is(err, errGone):
		return 0, err
	case errors.Is(err, errRefused):
		l.logf("%s: %v; starting over", l.family, err)
		l.startOver(err)
		return 0, nil
	}
	l.logf("%s: %v", l.family, err)
	age := bootTime() - g.Since
	now, until := g.terms.times.at(age)
	wait := retryAfter(until - age)
	if now != asked { // the try took until another kind of it was due
		wait = 0
	}
	l.nextTry = bootTime() + wait
	return wait, nil
}

// exchange runs fn with a client on the interface, for at most limit.
func (l *lease) exchange(ctx context.Context, limit time.Duration, fn func(context.Context, client) (*grant, error)) (*grant, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	g, err := fn(ctx, c)
	return g, errors.Join(err, c.Close())
}

// open opens a client on the interface, which it sets up for the first lease of
// an ADD. Later, it is somebody's decision that it is down, or ours: its lease has
// run out.
func (l *lease) open(ctx context.Context) (c client, err error) {
	return c, l.place.visit(l.hostPrefix, func(found netlink.Link) error {
		if err := l.prepare(ctx, found); err != nil {
			return err
		}
		at := l.place.station
		at.IfName, at.MAC = found.Attrs().Name, l.hardwareAddr(found)
		c, err = l.family.open(ctx, at, l.identity)
		if err == nil {
			l.overhear(c, found)
		}
		return err
	})
}

// prepare has the interface ready to send, as far as that is for us to decide.
func (l *lease) prepare(ctx context.Context, found netlink.Link) error {
	switch {
	case l.announced.Load():
		return nil
	case l.config.isOfCheck() && found.Attrs().RawFlags&unix.IFF_UP == 0:
		return errIsDown
	}
	return setUp(ctx, found)
}

// hardwareAddr returns the address to name to servers (chaddr): as long as there
// is a grant, the one by which they know the client from it, though the interface
// may have got another. Answers are sent to the IP address then.
func (l *lease) hardwareAddr(found netlink.Link) net.HardwareAddr {
	if g := l.held(); g != nil && l.family == inet4 {
		return dhcp4.Packet(g.Message).CHAddr()
	}
	return found.Attrs().HardwareAddr
}

// adopt takes a grant. The interface follows it: what the plugins configured
// may not be what this says.
func (l *lease) adopt(g *grant) error {
	before := l.configured()
	left := others(before, g) // what the link could not be made to give up
	l.failures, l.nextTry, l.verify = 0, 0, false
	l.bounced = l.bounced && l.announced.Load() // else nobody has configured it yet
	err := l.place.visit(l.hostPrefix, func(found netlink.Link) (err error) {
		left, err = l.apply(found, before, g)
		if l.sighted() != nil {
			l.observe(found, g)
		}
		return err
	})
	if errors.Is(err, errGone) {
		return err
	}
	if err != nil {
		l.logf("%s: %v", l.family, err)
	}
	l.partial = err != nil && l.announced.Load()
	l.set(g, left...)
	if len(before) == 0 {
		l.logf("%s: leased %s from %s for %v", l.family, &g.terms.address, g.Server, g.terms.times)
	}
	l.granted(l)
	return nil
}

// giveBackTimeout is how long DEL waits for an interface to be able to send.
const giveBackTimeout = 3 * time.Second

// giveBack tells the server that the address is free, in a way that depends on
// whether the interface is still there and can send.
func (l *lease) giveBack() error {
	g := l.held()
	if g == nil {
		return nil
	}
	err := l.release(g)
	if errors.Is(err, errGone) || errors.Is(err, unix.ENETDOWN) {
		return l.family.releaseFromHost(g, l.identity)
	}
	return err
}

// release gives a grant back on the interface.
func (l *lease) release(g *grant) error {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	c, err := l.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.release(g), c.Close())
}

// noticed notes the state of the link, as an event has told it.
func (l *lease) noticed(up bool) {
	if l.isDown.Swap(!up) && up {
		l.wasUp.Store(true)
	}
	l.nudge()
}

func (l *lease) nudge() {
	select {
	case l.nudged <- struct{}{}:
	default: // it will look anyway
	}
}
