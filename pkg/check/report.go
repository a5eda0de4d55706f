// SPDX-License-Identifier: Apache-2.0

// Package check compares what an ADD reported with what the kernel says now and
// remembers every difference, not just the first: somebody who repairs a node
// wants the whole list.
//
// Its functions look at the network namespace of the calling thread.
package check

import (
	"fmt"
	"strings"
)

// Report collects differences. The zero value is an empty report.
type Report struct {
	differences []string
}

// Addf notes a difference.
func (r *Report) Addf(format string, args ...any) {
	r.differences = append(r.differences, fmt.Sprintf(format, args...))
}

// Equal notes a difference unless want and got are equal: "eth0: mtu is 1400,
// expected 1500".
func (r *Report) Equal(subject, field string, want, got any) {
	if want != got {
		r.Addf("%s: %s is %v, expected %v", subject, field, got, want)
	}
}

// Fail notes that something could not be compared because of err. A nil err is
// no difference.
func (r *Report) Fail(subject string, err error) {
	if err != nil {
		r.Addf("%s: %v", subject, err)
	}
}

// Err returns nil for an empty report, else an error that lists everything in
// it.
func (r *Report) Err() error {
	if len(r.differences) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(r.differences, "; "))
}
