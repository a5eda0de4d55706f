// SPDX-License-Identifier: Apache-2.0

package testutils

import "errors"

// BadReader is an io.ReadCloser that cannot be read.
type BadReader struct {
	Error error // what Read returns, if it is not to be the default
}

// Read returns the reader's error.
func (r *BadReader) Read([]byte) (int, error) {
	if r.Error != nil {
		return 0, r.Error
	}
	return 0, errors.New("this reader cannot be read")
}

// Close does nothing.
func (r *BadReader) Close() error { return nil }
