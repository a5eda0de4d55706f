// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// run is one traced execution of a command.
type run struct {
	spec   Spec
	target int // the point to kill at, 0: none
	mode   Mode

	root    int             // process id of the command, also its process group
	threads map[int]*thread // all that are traced, by thread id
	calls   map[uint64]describer
	filter  bool  // whether only these calls stop a thread
	held    []int // threads whose stop is answered once the command is gone

	points   []Point
	killed   Point
	dead     bool // the command has been reaped
	status   int
	outlived *Outlived
	survivor string // a child that was still there when the command had gone

	mu       sync.Mutex // guards what timers touch
	over     bool       // all processes are gone, their numbers may be reused
	timedOut bool
	late     bool // the children had their time after the command's death
	timers   []*time.Timer
}

type thread struct {
	pid     int // of its process
	started bool
}

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_EXITKILL

func newRun(spec Spec) *run {
	if spec.Timeout == 0 {
		spec.Timeout = DefaultTimeout
	}
	return &run{spec: spec, threads: map[int]*thread{}, calls: visibleCalls(), status: -1}
}

// do runs the command. A traced process answers to one thread only, which also
// has to be the one that started it.
func (r *run) do() (Output, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	streams, err := r.start()
	if err != nil {
		return Output{Status: -1}, err
	}
	r.killAfter(r.spec.Timeout, &r.timedOut)
	err = r.follow()
	r.finish()
	output := Output{Status: r.status}
	output.Stdout, output.Stderr = streams.wait()
	return output, r.verdict(err)
}

func (r *run) verdict(err error) error {
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	if r.timedOut {
		errs = append(errs, fmt.Errorf("%s did not end within %v", r.spec.Path, r.spec.Timeout))
	}
	if r.late && r.outlived == nil {
		r.outlived = &Outlived{Killed: r.killed, Process: r.survivor, What: fmt.Sprintf("it did nothing, but was there after %v", SurvivalLimit)}
	}
	if r.outlived != nil {
		errs = append(errs, r.outlived)
	}
	return errors.Join(errs...)
}

// start starts the command, which stops right after its exec.
func (r *run) start() (*streams, error) {
	s, files, err := openStreams(r.spec.Stdin)
	if err != nil {
		return nil, err
	}
	r.root, err = syscall.ForkExec(r.spec.Path, append([]string{r.spec.Path}, r.spec.Args...), &syscall.ProcAttr{
		Dir:   r.spec.Dir,
		Env:   r.spec.Env,
		Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	for _, file := range files {
		file.Close()
	}
	s.pump()
	if err != nil {
		s.wait()
		return nil, fmt.Errorf("start %s: %w", r.spec.Path, err)
	}
	return s, nil
}

// follow answers the stops of all threads until none is left.
func (r *run) follow() error {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-r.root, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			r.killAll()
			return fmt.Errorf("wait for the processes of %s: %w", r.spec.Path, err)
		case status.Stopped():
			err = r.stopped(tid, status)
		default:
			r.ended(tid, status)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has died meanwhile
			r.killAll()
			return fmt.Errorf("trace %s: %w", r.spec.Path, err)
		}
	}
}

// stopped answers one stop of a thread.
func (r *run) stopped(tid int, status unix.WaitStatus) error {
	t, err := r.thread(tid)
	if err != nil {
		return err
	}
	signal := status.StopSignal()
	switch {
	case !t.started:
		t.started = true
		if tid == r.root {
			if err := r.begin(); err != nil {
				return err
			}
		}
		return r.resume(tid, 0)
	case signal == unix.SIGTRAP|0x80, signal == unix.SIGTRAP && status>>16 == unix.PTRACE_EVENT_SECCOMP:
		return r.inSyscall(tid, t)
	case signal == unix.SIGTRAP && status>>16 == unix.PTRACE_EVENT_EXEC:
		r.forgetOthers(tid)
		return r.resume(tid, 0)
	case signal == unix.SIGTRAP && status>>16 != 0:
		return r.resume(tid, 0)
	}
	return r.resume(tid, int(signal))
}

// begin says at what the command, and what it starts, has to stop. A user without
// privileges may not have a filter (EACCES), and not every kernel has them (EINVAL).
func (r *run) begin() error {
	if err := unix.PtraceSetOptions(r.root, traceOptions); err != nil {
		return err
	}
	if r.spec.everyCall {
		return nil
	}
	err := installFilter(r.root, r.calls)
	r.filter = err == nil
	if errors.Is(err, errNoFilter) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// inSyscall looks at a system call that is about to be made, or has been made.
func (r *run) inSyscall(tid int, t *thread) error {
	call, entering, err := readCall(tid, t.pid)
	if err != nil {
		return err
	}
	if !entering {
		return r.resume(tid, 0)
	}
	what := r.describe(call)
	if what == "" || r.mode == KillDelegate && r.target > 0 && t.pid == r.root {
		return r.resume(tid, 0)
	}
	if r.dead && !r.waits(t.pid) && !call.exits() {
		r.survived(t.pid, what)
	}
	if r.dead {
		return r.resume(tid, 0)
	}
	point := Point{N: len(r.points) + 1, What: what, Process: programName(t.pid), Delegate: t.pid != r.root, Children: r.children()}
	r.points = append(r.points, point)
	if point.N == r.target {
		r.killed = point
		return r.kill(tid, t)
	}
	return r.resume(tid, 0)
}

func (r *run) describe(c call) string {
	describe, ok := r.calls[c.number]
	if !ok {
		return ""
	}
	return describe(c)
}

// kill kills at the point that tid has reached.
func (r *run) kill(tid int, t *thread) error {
	switch r.mode {
	case KillTree:
		r.killAll()
		return nil
	case KillDelegate:
		return unix.Kill(t.pid, unix.SIGKILL)
	}
	if t.pid != r.root {
		r.held = append(r.held, tid)
	}
	return unix.Kill(r.root, unix.SIGKILL)
}

// resume lets a thread go on to its next stop, unless it has to wait.
func (r *run) resume(tid, signal int) error {
	if signal == 0 && r.waits(r.threads[tid].pid) {
		r.held = append(r.held, tid)
		return nil
	}
	return r.goOn(tid, signal)
}

// goOn lets a thread go on to its next stop.
func (r *run) goOn(tid, signal int) error {
	if r.filter {
		return unix.PtraceCont(tid, signal)
	}
	return unix.PtraceSyscall(tid, signal)
}

// waits tells whether a child has to wait: while the command is dying, and then
// while its own parent may be, for one that is to die with its parent must not
// do a thing more.
func (r *run) waits(pid int) bool {
	if r.killed.N == 0 || r.mode != KillPlugin || pid == r.root {
		return false
	}
	return !r.dead || r.isTraced(parentOf(pid))
}

func (r *run) isTraced(pid int) bool {
	for _, t := range r.threads {
		if t.pid == pid {
			return true
		}
	}
	return false
}

// ended notes the end of a thread.
func (r *run) ended(tid int, status unix.WaitStatus) {
	delete(r.threads, tid)
	if tid != r.root {
		r.releaseHeld()
		return
	}
	r.dead = r.killed.N > 0 && r.mode == KillPlugin
	if status.Exited() {
		r.status = status.ExitStatus()
	}
	if !r.dead {
		return
	}
	r.releaseHeld()
	if child := r.anyChild(); child != 0 {
		r.killAfter(SurvivalLimit, &r.late)
		r.survivor = programName(child)
	}
}

// releaseHeld lets the children go on that need not wait any more. The kernel has
// sent them their parent-death signals before the parent could be reaped, so one
// that still answers has not got any.
func (r *run) releaseHeld() {
	held := r.held
	r.held = nil
	for _, tid := range held {
		t, ok := r.threads[tid]
		switch {
		case !ok:
		case r.waits(t.pid):
			r.held = append(r.held, tid)
		default:
			r.release(tid, t)
		}
	}
}

func (r *run) release(tid int, t *thread) {
	if call, entering, err := readCall(tid, t.pid); err == nil && entering && !call.exits() {
		if what := r.describe(call); what != "" {
			r.survived(t.pid, what)
		}
	}
	_ = r.goOn(tid, 0) // one that is gone needs nothing
}

// survived notes that a process lived on after the command's death.
func (r *run) survived(pid int, what string) {
	if r.outlived == nil {
		r.outlived = &Outlived{Killed: r.killed, Process: programName(pid), What: what}
	}
	r.killAll()
}

// killAfter kills everything when time is up, and says so in fired.
func (r *run) killAfter(limit time.Duration, fired *bool) {
	r.timers = append(r.timers, time.AfterFunc(limit, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.over {
			*fired = true
			r.killAll()
		}
	}))
}

// finish stops the timers; what they would kill could be somebody else by now.
func (r *run) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, timer := range r.timers {
		timer.Stop()
	}
}

func (r *run) killAll() { _ = unix.Kill(-r.root, unix.SIGKILL) }

func (r *run) thread(tid int) (*thread, error) {
	if t, ok := r.threads[tid]; ok {
		return t, nil
	}
	pid, err := processOf(tid)
	if err != nil {
		return nil, err
	}
	r.threads[tid] = &thread{pid: pid}
	return r.threads[tid], nil
}

// forgetOthers drops the threads that an exec has ended.
func (r *run) forgetOthers(pid int) {
	for tid, t := range r.threads {
		if t.pid == pid && tid != pid {
			delete(r.threads, tid)
		}
	}
}

// children counts the processes beside the command.
func (r *run) children() int {
	pids := map[int]bool{}
	for _, t := range r.threads {
		pids[t.pid] = true
	}
	delete(pids, r.root)
	return len(pids)
}

func (r *run) anyChild() int {
	for _, t := range r.threads {
		if t.pid != r.root {
			return t.pid
		}
	}
	return 0
}

// processOf returns the process that thread tid is of.
func processOf(tid int) (int, error) { return statusField(tid, "Tgid") }

// parentOf returns the parent of a process; 0 for one that is gone.
func parentOf(pid int) int {
	parent, _ := statusField(pid, "PPid")
	return parent
}

func statusField(tid int, name string) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, unix.ESRCH
	}
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(bytes.TrimSpace(line)))
}

func programName(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return filepath.Base(exe)
}

// streams are the ends of the command's pipes that we hold.
type streams struct {
	input          []byte
	stdin          *os.File
	stdout, stderr *os.File
	out, err       bytes.Buffer
	pumps          sync.WaitGroup
}

// openStreams makes the pipes; files are the ends for the command.
func openStreams(input []byte) (s *streams, files [3]*os.File, err error) {
	s = &streams{input: input}
	defer func() {
		if err != nil {
			for _, file := range append(files[:], s.stdin, s.stdout, s.stderr) {
				file.Close() // which a nil file survives
			}
		}
	}()
	if files[0], s.stdin, err = os.Pipe(); err != nil {
		return nil, files, err
	}
	if s.stdout, files[1], err = os.Pipe(); err != nil {
		return nil, files, err
	}
	if s.stderr, files[2], err = os.Pipe(); err != nil {
		return nil, files, err
	}
	return s, files, nil
}

// pump moves the data until the command and its children have closed their ends.
func (s *streams) pump() {
	s.pumps.Go(func() {
		_, _ = s.stdin.Write(s.input) // the command need not read it
		s.stdin.Close()
	})
	s.pumps.Go(func() { _, _ = io.Copy(&s.out, s.stdout) })
	s.pumps.Go(func() { _, _ = io.Copy(&s.err, s.stderr) })
}

func (s *streams) wait() (stdout, stderr []byte) {
	s.pumps.Wait()
	s.stdout.Close()
	s.stderr.Close()
	return s.out.Bytes(), s.err.Bytes()
}
