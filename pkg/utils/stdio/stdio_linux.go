// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// Writer returns what writes to os.Stdout or os.Stderr. A reader that is gone is an
// error (EPIPE), with which ADD takes everything back, and which is nothing to a
// warning; Go's own writing to these two files would end the process there (os/signal,
// "SIGPIPE").
func Writer(file *os.File) io.Writer { return rawWriter{file} }

type rawWriter struct{ file *os.File }

// Write implements io.Writer.
func (w rawWriter) Write(text []byte) (written int, err error) {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	for written < len(text) && err == nil {
		waitErr := conn.Write(func(fd uintptr) (done bool) {
			var n int
			n, err = syscall.Write(int(fd), text[written:])
			written += max(n, 0)
			if err == syscall.EINTR {
				err = nil
			}
			return err != syscall.EAGAIN
		})
		err = errors.Join(err, waitErr)
	}
	return written, err
}
