// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/plugins/internal/filelock"
)

// sharedLock is the file whose lock is held by who changes what attachments
// share and cannot be changed in one transaction: between iptables-save and
// iptables-restore others would see the same chain missing and make it, too.
const sharedLock = "/run/cni/netfilter.lock"

// sharedLockWait bounds the wait for it. Whoever has it needs some 20 ms.
const sharedLockWait = 30 * time.Second

// locked runs f with the lock. Where there is no place for the file, as with a
// read-only /run, f runs without: two first ADDs may then get into each other's
// way, all others do not.
func locked(ctx context.Context, f func() error) error {
	file, err := openLock()
	if err != nil {
		return f()
	}
	ctx, cancel := context.WithTimeout(ctx, sharedLockWait)
	defer cancel()
	if err := waitForLock(ctx, file); err != nil {
		return err
	}
	defer file.Close()
	return f()
}

func openLock() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(sharedLock), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(sharedLock, os.O_CREATE|os.O_RDWR, 0o600)
}

// waitForLock locks the file, which closing it unlocks. It closes the file when
// it fails.
func waitForLock(ctx context.Context, file *os.File) error {
	result := make(chan error)
	go func() {
		err := filelock.Lock(file.Fd())
		select {
		case result <- err:
		case <-ctx.Done(): // nobody waits any more
			file.Close()
		}
	}()
	select {
	case err := <-result:
		if err != nil {
			file.Close()
			return fmt.Errorf("lock %s: %w", sharedLock, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s is held by %s: %w", sharedLock, lockHolder(sharedLock), ctx.Err())
	}
}
