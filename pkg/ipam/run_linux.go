// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils/stdio"
)

// execute starts a delegate and returns what it printed. Its standard input is a file
// in memory. The outputs are pipes, since a script that opens /dev/stderr opens a file
// anew, empties it and begins at its start. They are read until the delegate has ended:
// a grandchild that keeps them open holds nobody up.
//
// The delegate gets SIGKILL when this process dies (PR_SET_PDEATHSIG): one that
// lived on would race the DEL that the runtime sends next, and reserve an
// address after it was released. The kernel ties that signal to the thread that
// forked, so the goroutine keeps its thread until the delegate has ended
// (golang.org/issue/27505).
func execute(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	files, err := openFiles(stdin)
	defer files.close()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	process, err := start(ctx, path, &os.ProcAttr{
		Env:   environ,
		Files: []*os.File{files.in, files.out.write, files.err.write},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = process.Kill() })
	defer stop()
	files.collect(process)
	state, err := process.Wait()
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", path, err)
	}
	stdout, stderr := files.out.text, files.err.text
	if len(stderr) > 0 {
		_, _ = stdio.Writer(os.Stderr).Write(stderr)
	}
	switch {
	case state.Success():
		return stdout, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s was stopped: %w", filepath.Base(path), context.Cause(ctx))
	}
	return nil, delegateError(path, state, stdout, stderr)
}

// start starts the process. An executable that is being replaced right now
// cannot be ("text file busy"); that is over in a moment.
func start(ctx context.Context, path string, attr *os.ProcAttr) (*os.Process, error) {
	const attempts = 8
	pause := 5 * time.Millisecond
	for i := 1; ; i++ {
		process, err := os.StartProcess(path, []string{path}, attr)
		if !errors.Is(err, unix.ETXTBSY) || i == attempts {
			return process, err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// delegateError returns the error that the delegate printed, with its code, or
// one without a code that says what it printed instead.
func delegateError(path string, state *os.ProcessState, stdout, stderr []byte) *types.Error {
	reported := &types.Error{}
	if json.Unmarshal(stdout, reported) == nil && (reported.Msg != "" || reported.Code != 0) {
		return reported
	}
	said := "and no error message"
	if len(stdout) > 0 {
		said = fmt.Sprintf("and printed %q, which is no CNI error", excerpt(stdout))
	} else if len(stderr) > 0 {
		said = fmt.Sprintf("and said %q", excerpt(stderr))
	}
	return &types.Error{Msg: fmt.Sprintf("%s ended with %s %s", filepath.Base(path), state, said)}
}

func excerpt(text []byte) []byte {
	const max = 500
	return text[:min(len(text), max)]
}

// standardFiles are those of a delegate.
type standardFiles struct {
	in       *os.File
	out, err pipe
}

func openFiles(stdin []byte) (*standardFiles, error) {
	var files standardFiles
	var err error
	if files.in, err = createFile("stdin"); err != nil {
		return &files, err
	}
	for _, output := range []*pipe{&files.out, &files.err} {
		if err := output.open(); err != nil {
			return &files, err
		}
	}
	_, err = files.in.Write(stdin)
	if err == nil {
		_, err = files.in.Seek(0, io.SeekStart)
	}
	if err != nil {
		return &files, fmt.Errorf("fill the stdin of a delegate: %w", err)
	}
	return &files, nil
}

// collect reads both outputs until the process has ended, or nobody has them open any
// more: a kernel before 5.3 does not tell us about the former.
func (f *standardFiles) collect(process *os.Process) {
	f.out.closeWriter()
	f.err.closeWriter()
	ended, err := unix.PidfdOpen(process.Pid, 0)
	if err == nil {
		defer unix.Close(ended)
	} else {
		ended = -1
	}
	for f.out.isOpen() || f.err.isOpen() {
		fds := []unix.PollFd{f.out.poll(), f.err.poll(), {Fd: int32(ended), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		f.out.drain()
		f.err.drain()
		if fds[2].Revents != 0 { // and so all it has said had been there to be read
			return
		}
	}
}

func (f *standardFiles) close() {
	if f.in != nil {
		_ = f.in.Close()
	}
	for _, output := range []*pipe{&f.out, &f.err} {
		output.closeWriter()
		output.closeReader()
	}
}

// pipe is an output of a delegate, and what has been read of it.
type pipe struct {
	read  int // a descriptor, 0 if it is closed
	write *os.File
	text  []byte
}

func (p *pipe) open() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("create an output of a delegate: %w", err)
	}
	p.read, p.write = ends[0], os.NewFile(uintptr(ends[1]), "output")
	return unix.SetNonblock(p.read, true)
}

func (p *pipe) isOpen() bool { return p.read > 0 }

// poll asks for what there is to read. A negative descriptor is passed over.
func (p *pipe) poll() unix.PollFd {
	if !p.isOpen() {
		return unix.PollFd{Fd: -1}
	}
	return unix.PollFd{Fd: int32(p.read), Events: unix.POLLIN}
}

// drain reads what there is, and closes what nobody can write to any more.
func (p *pipe) drain() {
	var buffer [4096]byte
	for p.isOpen() {
		n, err := unix.Read(p.read, buffer[:])
		switch {
		case n > 0:
			p.text = append(p.text, buffer[:n]...)
		case err == unix.EAGAIN:
			return
		case err != unix.EINTR:
			p.closeReader()
		}
	}
}

func (p *pipe) closeReader() {
	if p.isOpen() {
		_ = unix.Close(p.read)
		p.read = 0
	}
}

func (p *pipe) closeWriter() {
	if p.write != nil {
		_ = p.write.Close()
		p.write = nil
	}
}

// createFile creates a file in memory that nobody can execute: vm.memfd_noexec
// may forbid others. Kernels before 6.3 do not know the difference.
func createFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("cni-"+name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("cni-"+name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("create the %s of a delegate: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
