// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// forever is the length of a lease that does not end.
const forever = time.Duration(1<<63 - 1)

// infinite is how DHCP writes it.
const infinite = 0xffffffff

// bootTime is the time since the machine was started, time asleep included. A
// clock that somebody sets must not end a lease, nor lengthen it.
func bootTime() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

// timeAsleep is how long the machine has been asleep since it was started.
func timeAsleep() time.Duration { return bootTime() - clock(unix.CLOCK_MONOTONIC) }

func clock(id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// times are how long after a request was sent what it led to is to be renewed
// (T1), to be confirmed by any server (T2), and over.
type times struct{ t1, t2, lifetime time.Duration }

// minT1 keeps a server that says T1 = 0 from being asked all the time.
const minT1 = time.Second

// sane returns t with a T1 or T2 that is missing or out of order replaced, each by
// itself: by 50 and 85 per cent of the lifetime, or else by what is in order. Of
// two that are not, it is T1.
func (t times) sane() times {
	if t.lifetime == forever {
		return times{forever, forever, forever}
	}
	if t.t2 <= 0 || t.t2 >= t.lifetime {
		t.t2 = t.lifetime / 100 * 85
		if t.t1 >= t.t2 && t.t1 < t.lifetime {
			t.t2 = t.t1 + (t.lifetime-t.t1)/2
		}
	}
	if t.t1 <= 0 || t.t1 >= t.t2 {
		t.t1 = min(t.lifetime/2, t.t2/85*50)
	}
	if t.t1 < minT1 {
		t.t1 = min(minT1, t.lifetime/2)
		t.t2 = max(t.t2, t.t1)
	}
	return t
}

func (t times) String() string {
	if t.lifetime == forever {
		return "ever"
	}
	return fmt.Sprintf("%v (T1 %v, T2 %v)", t.lifetime, t.t1, t.t2)
}

// phase is what a lease of a certain age is to do.
type phase int

const (
	bound     phase = iota // nothing
	renewing               // ask its server for more time
	rebinding              // ask any server
	expired                // end
)

// at returns the phase after the given time, and when it ends.
func (t times) at(age time.Duration) (now phase, until time.Duration) {
	switch {
	case age < t.t1:
		return bound, t.t1
	case age < t.t2:
		return renewing, t.t2
	case age < t.lifetime:
		return rebinding, t.lifetime
	}
	return expired, age
}

// retryAfter returns how long to wait for another try in a phase of which so
// much time is left: half of it (RFC 2131, 4.4.5), but neither more often than
// makes sense nor so seldom that a short phase sees only one.
func retryAfter(left time.Duration) time.Duration {
	const shortest, longest = time.Second, time.Hour
	wait := min(max(left/2, shortest), longest)
	if left/2 < time.Minute && left > time.Minute {
		wait = time.Minute
	}
	return min(jitter(wait), left)
}

// jitter spreads waits, so that those who waited for the same do not all come
// back at once.
func jitter(wait time.Duration) time.Duration {
	spread := min(wait/2, 2*time.Second)
	return wait - spread/2 + rand.N(spread+1)
}
