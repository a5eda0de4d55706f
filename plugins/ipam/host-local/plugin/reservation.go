// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/utils"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

const (
	fileMode = 0o600

	// maxContent is more than any reservation can have: the longest environment
	// variable, and then some.
	maxContent = 256 << 10
)

// reservation is a file of the directory that reserves an address.
type reservation struct {
	name     string // of the file
	owner    string // its content, without white space around it
	modified time.Time
}

// ownerOf returns what the reservations of an attachment contain.
func ownerOf(containerID, ifName string) string {
	return strings.TrimSpace(containerID) + "\r\n" + ifName
}

// legacyOwner returns what releases before 0.8.0 wrote for a container.
func legacyOwner(containerID string) string { return strings.TrimSpace(containerID) }

// parseOwner takes the content of a reservation apart. ifName is empty for one
// made by a release before 0.8.0; ok is false if no release has written this.
func parseOwner(owner string) (containerID, ifName string, ok bool) {
	containerID, ifName, pair := strings.Cut(owner, "\r\n")
	if utils.ValidateContainerID(containerID) != nil {
		return "", "", false
	}
	if pair && utils.ValidateInterfaceName(ifName) != nil {
		return "", "", false
	}
	return containerID, ifName, true
}

// ofContainer tells whether a container has made the reservation. The format
// of releases before 0.8.0 does not count: it is a single word, which somebody
// may have written to keep the address out of use.
func (r reservation) ofContainer() bool {
	_, ifName, ok := parseOwner(r.owner)
	return ok && ifName != ""
}

// isGenerated tells whether a single word is the id that a runtime made for a
// container, such as a UUID, rather than what somebody has written: that may be a
// MAC address.
func isGenerated(word string) bool {
	const fewest = 32
	digits := strings.ReplaceAll(word, "-", "")
	return len(digits) >= fewest && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// readReservation reads the reservation at path.
func readReservation(path string) (reservation, error) {
	file, err := plainfile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return reservation{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return reservation{}, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxContent))
	return reservation{info.Name(), strings.TrimSpace(string(content)), info.ModTime()}, err
}

// removeEmpty removes a reservation without an owner: nobody else is about to
// write it, for we have the lock. A file of any other name is somebody's own.
func removeEmpty(path string) bool {
	if _, ok := parseFileName(filepath.Base(path)); !ok {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0 && os.Remove(path) == nil
}

// addresses returns the addresses that files of the given names reserve.
func addresses(names []string) map[netip.Addr]bool {
	taken := make(map[netip.Addr]bool, len(names))
	for _, name := range names {
		if ip, ok := parseFileName(name); ok {
			taken[ip] = true
		}
	}
	return taken
}

// fileName returns the name of the file that reserves ip.
func fileName(ip netip.Addr) string { return escape(runtime.GOOS, ip.String()) }

// parseFileName is the inverse of fileName.
func parseFileName(name string) (netip.Addr, bool) { return parseAddress(unescape(runtime.GOOS, name)) }

// escape makes a file name of an address. Windows has no colons in names.
func escape(goos, name string) string {
	if goos == "windows" {
		return strings.ReplaceAll(name, ":", "_")
	}
	return name
}

func unescape(goos, name string) string {
	if goos == "windows" {
		return strings.ReplaceAll(name, "_", ":")
	}
	return name
}
