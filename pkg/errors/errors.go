// SPDX-License-Identifier: Apache-2.0

// Package errors puts messages in front of errors. It exists for programs that
// already import it; fmt.Errorf with %w does the same.
package errors

import "fmt"

// Annotate returns an error that says message and then err, which it wraps. It
// returns nil when err is nil.
func Annotate(err error, message string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", message, err)
}

// Annotatef is Annotate with a formatted message.
func Annotatef(err error, message string, args ...interface{}) error {
	return Annotate(err, fmt.Sprintf(message, args...))
}
