// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"path/filepath"
	"time"
)

const cooldownName = ".cni-cooldown" // no network is called that

// cooldown is the time for which an address that was released is not assigned
// again, see the package comment. Without a period there is none.
type cooldown struct {
	dir    string
	period time.Duration
}

func (d directory) cooldown() cooldown {
	return cooldown{filepath.Join(d.dataDir, cooldownName, d.network), d.rest}
}

func (c cooldown) mark(name string) string { return filepath.Join(c.dir, name) }

// begin notes that the address of a reservation was released just now.
func (c cooldown) begin(name string) error {
	if c.period == 0 {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	err := touch(c.mark(name))
	c.sweepInTurn()
	return err
}

// touch gives a file, which may be there already, the time of now.
func touch(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.Chtimes(path, time.Time{}, time.Now())
}

// runs tells whether an address still is not to be assigned again.
func (c cooldown) runs(name string) bool { return c.period > 0 && c.isRecent(c.mark(name)) }

// isRecent tells whether the time of a file is less than the period ago. One that is
// further from the present than that, on either side, does not count: the clock may
// have been set.
func (c cooldown) isRecent(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && time.Since(info.ModTime()).Abs() < c.period
}

// end forgets about an address, which has been assigned.
func (c cooldown) end(name string) {
	if c.period > 0 {
		_ = os.Remove(c.mark(name)) // one that stays is older than the next release
	}
}

// sweepInTurn sweeps once in a period. Not everybody calls GC, and round robin in a
// large range comes back to few marks.
func (c cooldown) sweepInTurn() {
	if !c.isRecent(c.swept()) && touch(c.swept()) == nil {
		c.sweep()
	}
}

// swept is a file that tells when that was. No network is called that.
func (c cooldown) swept() string {
	parent, network := filepath.Split(c.dir)
	return parent + "." + network
}

// sweep removes the marks of addresses that may be assigned again.
func (c cooldown) sweep() {
	names, err := readNames(c.dir)
	if err != nil {
		return
	}
	for _, name := range names {
		if !c.runs(name) {
			_ = os.Remove(c.mark(name))
		}
	}
	if os.Remove(c.dir) == nil { // there are no others
		_ = os.Remove(c.swept())
	}
}
