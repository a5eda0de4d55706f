// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const probeSuffix = "_probe"

// probe writes tables under other names and deletes them again in the same
// transaction: the kernel loads and checks everything and keeps nothing. Missing says
// what it may lack.
func probe(ctx context.Context, missing error, tables []*registry, write func(*conn, *registry) error) error {
	err := withConn(ctx, func(c *conn) error {
		for _, r := range tables {
			r.table.Name += probeSuffix
			c.AddTable(&r.table)
			if err := write(c, r); err != nil {
				return err
			}
			c.DelTable(&r.table)
		}
		return c.commit()
	})
	return orMissing(err, missing)
}

// wholeBase is for tables whose owners share a base chain.
func wholeBase(c *conn, r *registry) error { return r.queueWholeBase(c, r.always) }

// orMissing says what the kernel may be missing.
func orMissing(err, missing error) error {
	if isUnsupported(err) {
		return fmt.Errorf("%w: %w", missing, err)
	}
	return err
}

// isUnsupported tells whether err is what a kernel answers that has nf_tables, but not
// all of what a table needs.
func isUnsupported(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)
}
