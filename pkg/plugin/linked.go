// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// Linked is a plugin that is part of an executable beside the one it is named
// after.
type Linked struct {
	Plugin Plugin
	// BuildID is what Go's linker calls the plugin's own executable if that was
	// built from the same sources in the same way (see build_linux.sh), else "".
	BuildID string
}

// withLinked has delegates called in this process where they are the same as
// one of all.
func withLinked(ctx context.Context, all []Linked) context.Context {
	if len(all) == 0 {
		return ctx
	}
	return ipam.WithLinked(ctx, func(path string) ipam.InProcess {
		for _, one := range all {
			if one.Plugin.Name == filepath.Base(path) && one.isAt(path) {
				return one.Plugin.inProcess
			}
		}
		return nil
	})
}

// isAt tells whether the executable at path is the plugin's own from the same build
// or, where all plugins are one, this one under another name, or a copy of it.
func (l Linked) isAt(path string) bool {
	id := l.BuildID
	if id == "" {
		if isSelf(path) {
			return true
		}
		id = buildIDOf(head("/proc/self/exe"))
	}
	return id != "" && buildIDOf(head(path)) == id
}

func isSelf(path string) bool {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(self, there)
}

// head returns the first page of a file, or what there is of it.
func head(path string) []byte {
	file, err := plainfile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	page := make([]byte, 4096)
	n, err := file.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return page[:n]
}

// buildIDOf returns the build ID of an executable, or "". Go's linker puts it into a
// note within the first page of the file. It is a hash of everything that went into
// the executable.
func buildIDOf(page []byte) string {
	_, note, _ := bytes.Cut(page, []byte("Go\x00\x00"))
	id, _, _ := bytes.Cut(note, []byte{0})
	return string(id)
}

// inProcess is an ipam.InProcess.
func (p Plugin) inProcess(ctx context.Context, verb string, stdin []byte, answer *ipam.Answer) error {
	return p.Call(ctx, verb, environment(stdin), answer)
}

// environment takes from the environment what skel takes for a process.
func environment(stdin []byte) *skel.CmdArgs {
	return &skel.CmdArgs{
		ContainerID:   os.Getenv("CNI_CONTAINERID"),
		Netns:         os.Getenv("CNI_NETNS"),
		IfName:        os.Getenv("CNI_IFNAME"),
		Args:          os.Getenv("CNI_ARGS"),
		Path:          os.Getenv("CNI_PATH"),
		NetnsOverride: os.Getenv("CNI_NETNS_OVERRIDE"),
		StdinData:     stdin,
	}
}
