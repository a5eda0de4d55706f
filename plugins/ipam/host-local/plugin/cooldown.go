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
	file, err := os.OpenFile(c.mark(name), os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.Chtimes(c.mark(name), time.Time{}, time.Now()) // it may have been there
}

// runs tells whether an address still is not to be assigned again. A mark that is
// further from the present than that, on either side, does not count: the clock
// may have been set.
func (c cooldown) runs(name string) bool {
	if c.period == 0 {
		return false
	}
	info, err := os.Lstat(c.mark(name))
	return err == nil && time.Since(info.ModTime()).Abs() < c.period
}

// end forgets about an address, which has been assigned.
func (c cooldown) end(name string) {
	if c.period > 0 {
		_ = os.Remove(c.mark(name)) // one that stays is older than the next release
	}
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
	_ = os.Remove(c.dir) // unless there are others
}
