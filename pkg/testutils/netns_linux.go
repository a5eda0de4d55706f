// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

// NewNS makes a network namespace that lasts until UnmountNS. Its path can be
// handed to other processes.
func NewNS() (ns.NetNS, error) {
	dir := netnsDir()
	if err := makeShared(dir); err != nil {
		return nil, err
	}
	netns, err := ns.TempNetNS()
	if err != nil {
		return nil, err
	}
	defer netns.Close()
	return persist(netns, filepath.Join(dir, newName()))
}

// UnmountNS removes the path of a namespace that NewNS made; others it leaves
// alone. The namespace itself goes when nothing holds it open any more.
func UnmountNS(netns ns.NetNS) error {
	path := netns.Path()
	if !strings.HasPrefix(path, netnsDir()+"/") {
		return nil
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount network namespace %q: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	return nil
}

// netnsDir is where ip-netns(8) keeps namespaces, so that they can be looked
// at. In a user namespace that directory belongs to somebody else, and the
// user's own runtime directory takes its place.
func netnsDir() string {
	own := os.Getenv("XDG_RUNTIME_DIR")
	if own == "" || belongsToUs("/var/run") {
		return "/var/run/netns"
	}
	return filepath.Join(own, "netns")
}

func belongsToUs(path string) bool {
	var stat unix.Stat_t
	err := unix.Stat(path, &stat)
	return err == nil && int(stat.Uid) == os.Getuid()
}

// makeShared makes dir a mount point whose mounts other mount namespaces see,
// as ip-netns(8) does: a namespace could not be unmounted everywhere otherwise.
func makeShared(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("directory of network namespaces: %w", err)
	}
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %q on itself: %w", dir, err)
		}
		err = unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("share mount %q: %w", dir, err)
	}
	return nil
}

// newName returns the name upstream's tests give their namespaces: scripts that
// clean up after a killed test look for it.
func newName() string {
	id := make([]byte, 16)
	rand.Read(id)
	return fmt.Sprintf("cnitest-%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// persist mounts netns at path and opens it there.
func persist(netns ns.NetNS, path string) (ns.NetNS, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, fmt.Errorf("mount point of a network namespace: %w", err)
	}
	file.Close()
	if err := unix.Mount(netns.Path(), path, "none", unix.MS_BIND, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("mount network namespace at %q: %w", path, err), os.Remove(path))
	}
	return ns.GetNS(path)
}
