// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/vishvananda/netns"
)

// removalLimit bounds the whole clean-up; a plugin that hangs must not keep the machine's state half removed forever
// without a word.
const removalLimit = 2 * time.Minute

// sandbox is a network namespace and what joined it.
type sandbox struct {
	name     string // also the container ID
	networks *networks
	cni      *libcni.CNIConfig
	cache    string // libcni's results, gone with the sandbox
	attempts int    // networks that were at least tried
}

func newSandbox(networks *networks) (*sandbox, error) {
	cache, err := os.MkdirTemp("", "netrun")
	if err != nil {
		return nil, err
	}
	s := &sandbox{name: "netrun-" + rand.Text()[:12], networks: networks, cache: cache}
	s.cni = libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), cache, nil)
	if err := createNetns(s.name); err != nil {
		return nil, errors.Join(fmt.Errorf("create network namespace: %w", err), os.RemoveAll(cache))
	}
	return s, nil
}

// createNetns makes a named namespace, as "ip netns add" does. The thread that made it is inside afterwards, and ends
// with its goroutine.
func createNetns(name string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		handle, err := netns.NewNamed(name)
		if err == nil {
			err = handle.Close()
		}
		done <- err
	}()
	return <-done
}

// join adds the sandbox to its networks in turn.
func (s *sandbox) join(ctx context.Context) (err error) {
	release, err := s.networks.lockShared()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := s.networks.noteBefore(); err != nil {
		return err
	}
	for _, network := range s.networks.lists {
		s.attempts++ // also a failed ADD is followed by a DEL
		result, err := s.cni.AddNetworkList(ctx, network.list, s.runtimeConf(network))
		if err != nil {
			return fmt.Errorf("join network %q: %w", network.list.Name, err)
		}
		if os.Getenv("DEBUG") != "" {
			if err := printJSON(result); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove leaves the networks in reverse and removes all that is left; it goes on past failures.
func (s *sandbox) remove() error {
	release, err := s.networks.lockShared()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), removalLimit)
	defer cancel()
	var errs []error
	for i := s.attempts - 1; i >= 0; i-- {
		network := s.networks.lists[i]
		if err := s.cni.DelNetworkList(ctx, network.list, s.runtimeConf(network)); err != nil {
			errs = append(errs, fmt.Errorf("leave network %q: %w", network.list.Name, err))
		}
	}
	if err := netns.DeleteNamed(s.name); err != nil {
		errs = append(errs, fmt.Errorf("remove network namespace %s: %w", s.name, err))
	}
	return errors.Join(append(errs, s.networks.removeShared(), os.RemoveAll(s.cache), release())...)
}

func (s *sandbox) runtimeConf(network *network) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: s.name,
		NetNS:       filepath.Join("/run/netns", s.name),
		IfName:      network.ifName,
		Args:        [][2]string{{"IgnoreUnknown", "1"}},
	}
}

func printJSON(value any) error {
	text, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stderr, string(text))
	return err
}
