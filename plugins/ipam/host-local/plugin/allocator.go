// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/undo"
)

// patience is how many taken addresses in a row are found out one by one,
// before all of them are read at once.
const patience = 32

// assignment is an address that was reserved, out of range r.
type assignment struct {
	ip netip.Addr
	r  Range
}

// allocator reserves addresses for one attachment.
type allocator struct {
	store     *store
	undo      *undo.Stack // takes back what has been reserved
	container string
	owner     string     // of the reservations, see ownerOf
	sets      []RangeSet // all there are
}

// allocate reserves one address of every range set: one of those requested, if
// any is in the set, or the one the attachment had in a former life, or else the
// next free one.
func (a *allocator) allocate(requested []netip.Addr) ([]assignment, error) {
	former, err := a.refuseSecond()
	if err != nil {
		return nil, err
	}
	var assigned []assignment
	pending := slices.Clone(requested)
	for n, set := range a.sets {
		assign := func() (assignment, error) { return a.next(n, set) }
		if i := slices.IndexFunc(pending, set.contains); i >= 0 {
			ip := pending[i]
			pending = slices.Delete(pending, i, i+1)
			assign = func() (assignment, error) { return a.exactly(n, set, ip) }
		} else if i := slices.IndexFunc(former, set.contains); i >= 0 {
			assign = func() (assignment, error) { return a.again(n, set, former[i]) }
		}
		one, err := assign()
		if err != nil {
			return nil, inRange(n, err)
		}
		assigned = append(assigned, one)
	}
	if len(pending) > 0 {
		return nil, fmt.Errorf("failed to allocate all requested IPs: %s: the range sets that they are in, if any, have assigned their one address",
			strings.Trim(fmt.Sprint(pending), "[]"))
	}
	for _, one := range assigned { // only now: an ADD that fails leaves them to rest
		a.store.cooldown().end(fileName(one.ip))
	}
	return assigned, nil
}

func inRange(n int, err error) error {
	return fmt.Errorf("failed to allocate for range %d: %w", n, err)
}

// exactly reserves ip.
func (a *allocator) exactly(n int, set RangeSet, ip netip.Addr) (assignment, error) {
	r, _ := set.find(ip)
	if isGateway(ip, r, a.sets) {
		return assignment{}, fmt.Errorf("requested ip %s is subnet's gateway", ip)
	}
	found, err := a.orReclaimed(func() (assignment, error) {
		reserved, err := a.reserve(n, ip)
		if !reserved {
			return assignment{}, err
		}
		return assignment{ip, r}, err
	})
	if err == nil && !found.ip.IsValid() {
		err = fmt.Errorf("requested IP address %s is not available in range set %s", ip, set)
	}
	return found, err
}

// again reserves ip, which has just been freed, unless it is a gateway's by now.
func (a *allocator) again(n int, set RangeSet, ip netip.Addr) (assignment, error) {
	if r, _ := set.find(ip); isGateway(ip, r, a.sets) {
		return a.next(n, set)
	}
	return a.exactly(n, set, ip)
}

// next reserves the first free address behind the one the set gave out last.
func (a *allocator) next(n int, set RangeSet) (assignment, error) {
	last, err := a.store.lastReserved(n)
	if err != nil {
		logf("Error retrieving last reserved ip: %v", err)
	}
	found, err := a.orReclaimed(func() (assignment, error) { return a.search(n, set, last) })
	if err == nil && !found.ip.IsValid() {
		err = plugin.WithCode(types.ErrTryAgainLater, noneAvailable(set, a.store.directory))
	}
	return found, err
}

// orReclaimed tries again what found no address as long as some can be freed that
// nobody has.
func (a *allocator) orReclaimed(try func() (assignment, error)) (assignment, error) {
	found, err := try()
	for _, reclaim := range a.store.reclaims() {
		if err != nil || found.ip.IsValid() {
			break
		}
		var freed int
		if freed, err = reclaim(); err == nil && freed > 0 {
			found, err = try()
		}
	}
	return found, err
}

func noneAvailable(set RangeSet, d directory) error {
	return fmt.Errorf("no IP addresses available in range set: %s: every one is a gateway or has a file in %s", set, d.path())
}

// search returns the zero assignment if every address is taken. One whose cooldown
// is not over is better than none.
func (a *allocator) search(n int, set RangeSet, last netip.Addr) (assignment, error) {
	resting := a.store.cooldown()
	found, passed, err := a.searchBut(n, set, last, resting)
	if err != nil || found.ip.IsValid() || !passed {
		return found, err
	}
	found, _, err = a.searchBut(n, set, last, cooldown{})
	if err == nil && found.ip.IsValid() {
		logf("network %s: %s is assigned, though its cooldown of %s is not over: no other address of range set %s is free", a.store.network, found.ip, resting.period, set)
	}
	return found, err
}

// searchBut is search without addresses whose cooldown is not over, and tells
// whether there were any.
func (a *allocator) searchBut(n int, set RangeSet, last netip.Addr, resting cooldown) (found assignment, passed bool, err error) {
	var taken map[netip.Addr]bool
	failures := 0
	for ip, r := range set.after(last) {
		if isGateway(ip, r, a.sets) || taken[ip] {
			continue
		}
		if resting.runs(fileName(ip)) {
			passed = true
			continue
		}
		reserved, err := a.reserve(n, ip)
		if reserved || err != nil {
			return assignment{ip, r}, passed, err
		}
		if failures++; failures == patience {
			if taken, err = a.store.taken(); err != nil {
				return assignment{}, passed, err
			}
		}
	}
	return assignment{}, passed, nil
}

// reserve reserves ip, of range set n; it returns false if it is taken.
func (a *allocator) reserve(n int, ip netip.Addr) (bool, error) {
	reserved, err := a.store.reserve(ip, a.owner)
	if !reserved {
		return false, err
	}
	directory, owner := a.store.directory, a.owner
	a.undo.Push("reservation of "+ip.String(), func() error { return directory.release(ip, owner) })
	return true, a.store.setLastReserved(n, ip)
}

// refuseSecond makes sure that the attachment has no address yet, whatever range
// or request that was for: the DEL that follows when our caller fails would free
// it, too. Where it had some in a network namespace that is gone, as a container
// that is started again after a crash, those are freed and returned. Releases before
// 0.8.0 did not write for which of the container's interfaces an address is; it
// counts if it is of a range set.
func (a *allocator) refuseSecond() (former []netip.Addr, err error) {
	held, err := a.held(a.owner)
	if err != nil {
		return nil, err
	}
	if len(held) > 0 && a.store.lost(a.owner) {
		if _, err := a.store.releaseAll(a.owner); err != nil {
			return nil, err
		}
		held, former = nil, held
	}
	legacy, err := a.held(legacyOwner(a.container))
	if err != nil {
		return nil, err
	}
	held = append(held, slices.DeleteFunc(legacy, func(ip netip.Addr) bool { return a.setOf(ip) < 0 })...)
	if len(held) == 0 {
		return former, nil
	}
	ip := slices.MinFunc(held, a.bySet)
	refusal := plugin.Errorf(ipam.ErrHasAddress, "%s has been allocated to %s, duplicate allocation is not allowed", ip, a.container)
	if n := a.setOf(ip); n >= 0 {
		return nil, inRange(n, refusal)
	}
	return nil, refusal
}

// held returns the addresses that are reserved for owner.
func (a *allocator) held(owner string) ([]netip.Addr, error) {
	names, err := a.store.owned(owner)
	var ips []netip.Addr
	for _, name := range names {
		if ip, ok := parseFileName(name); ok {
			ips = append(ips, ip)
		}
	}
	return ips, err
}

// setOf returns the number of the range set that ip is in, or -1.
func (a *allocator) setOf(ip netip.Addr) int {
	return slices.IndexFunc(a.sets, func(set RangeSet) bool { return set.contains(ip) })
}

// bySet sorts addresses by range set; those of none come last.
func (a *allocator) bySet(x, y netip.Addr) int {
	return cmp.Or(cmp.Compare(uint(a.setOf(x)), uint(a.setOf(y))), x.Compare(y))
}
