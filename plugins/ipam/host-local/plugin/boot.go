// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// host names the files in which a machine says who it is and when it started.
// Where they do not exist - other systems than Linux, a bare chroot - nothing is
// ever taken for a leftover of an earlier boot.
type host struct {
	bootID    string // a random number made at every start of the kernel
	machineID string // of the installation; machine-id(5)
	hostname  string
	uptime    string // seconds since the start
	run       string // a directory that is filled anew after every start
}

func thisHost() host {
	return host{
		bootID:    "/proc/sys/kernel/random/boot_id",
		machineID: "/etc/machine-id",
		hostname:  "/proc/sys/kernel/hostname",
		uptime:    "/proc/uptime",
		run:       "/run",
	}
}

// boot identifies one run of one machine. It is recorded as "<id> <machine>".
type boot struct {
	id      string // empty: not known
	machine string // empty: not known
}

func (h host) boot() boot { return boot{id: h.runningID(), machine: h.machine()} }

// runningID returns the id of the boot that is going on, or nothing.
func (h host) runningID() string { return firstLine(h.bootID) }

// machine returns the machine's id, or its name where it has none (Alpine Linux).
// An image that is to get an id when it is first started may have a certain word in
// its place, and many machines are called localhost.
func (h host) machine() string {
	if id := firstLine(h.machineID); id != "" && id != "uninitialized" {
		return id
	}
	name := firstLine(h.hostname)
	if name == "" || name == "(none)" || strings.HasPrefix(name, "localhost") {
		return ""
	}
	return "name:" + name
}

func parseBoot(record string) boot {
	id, machine, _ := strings.Cut(record, " ")
	return boot{id, machine}
}

func (b boot) String() string { return b.id + " " + b.machine }

// known tells whether there is anything to compare.
func (b boot) known() bool { return b.id != "" }

// certain tells whether b is known, and of which machine.
func (b boot) certain() bool { return b.known() && b.machine != "" }

// restartOf tells whether b certainly is a later boot of the machine that earlier
// was a boot of: machines without an id may share the directory.
func (b boot) restartOf(earlier boot) bool {
	return b.certain() && earlier.known() && b.id != earlier.id && b.machine == earlier.machine
}

// started returns a time that is certainly not after the start of the machine
// as the clock was set when anything was written since. It returns false if
// there is no telling.
//
// Now minus the uptime is not enough: a board without a battery for its clock
// starts somewhere in the past and sets the clock once it has reached a time
// server, which moves the computed start to after what was written until then.
// What lies in /run was written after the start, by the same wrong clock.
func (h host) started(now time.Time) (time.Time, bool) {
	uptime, err := strconv.ParseFloat(firstField(firstLine(h.uptime)), 64)
	if err != nil || uptime < 0 {
		return time.Time{}, false
	}
	started := now.Add(-time.Duration(uptime * float64(time.Second)))
	oldest, ok := oldestEntry(h.run)
	if oldest.Before(started) {
		started = oldest
	}
	return started, ok
}

// oldestEntry returns the earliest modification time in directory dir.
func oldestEntry(dir string) (oldest time.Time, ok bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return oldest, false
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && (!ok || info.ModTime().Before(oldest)) {
			oldest, ok = info.ModTime(), true
		}
	}
	return oldest, ok
}

// firstLine returns the first line of a file, or nothing.
func firstLine(path string) string {
	data, _ := plainfile.Read(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

func firstField(line string) string {
	field, _, _ := strings.Cut(line, " ")
	return field
}
