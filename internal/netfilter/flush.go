// SPDX-License-Identifier: Apache-2.0

package netfilter

import "context"

// NoteFlush returns a context to add an attachment's rules with, and what tells
// afterwards whether those of all others were missing as well: the table was not
// there, or nothing was in the chain that all share. The attachment may be the
// first on this host, or somebody has flushed the rules. Masquerading with iptables
// does not notice.
func NoteFlush(ctx context.Context) (noting context.Context, flushed func() bool) {
	noted := false
	return context.WithValue(ctx, flushKey{}, &noted), func() bool { return noted }
}

type flushKey struct{}

func noteFlush(ctx context.Context) {
	if noted, ok := ctx.Value(flushKey{}).(*bool); ok {
		*noted = true
	}
}
