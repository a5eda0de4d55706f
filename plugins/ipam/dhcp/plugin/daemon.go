// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/sdnotify"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/utils/stdio"
)

// daemonFlags are the arguments of "dhcp daemon".
type daemonFlags struct {
	pidFile    string
	hostPrefix string
	socketPath string
	journal    string
	broadcast  bool
	limits     limits
	ignored    []string // what follows the flags
}

// daemonMain is the program "dhcp daemon". It returns the exit status.
func daemonMain(args []string) int {
	logger := log.New(stdio.Writer(os.Stderr), "", log.LstdFlags)
	flags, err := parseFlags(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if len(flags.ignored) > 0 { // units of the reference's say "-broadcast true", which it takes no notice of
		logger.Printf("%q is ignored, with all that follows it: there are only flags, such as -broadcast=true", flags.ignored[0])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := runDaemon(ctx, flags, logger); err != nil {
		logger.Printf("%v", err)
		return 1
	}
	return 0
}

func parseFlags(args []string, usage io.Writer) (daemonFlags, error) {
	var f daemonFlags
	set := flag.NewFlagSet("dhcp daemon", flag.ContinueOnError)
	set.SetOutput(usage)
	set.StringVar(&f.pidFile, "pidfile", "", "absolute `path` of a file to write the process id to")
	set.StringVar(&f.hostPrefix, "hostprefix", "", "`path` to put before the socket's and before every network namespace's")
	set.StringVar(&f.socketPath, "socketpath", defaultSocketPath, "`path` of the socket to listen on")
	set.StringVar(&f.journal, "journal", "", "`directory` to note the leases in (default: the socket's path with .leases in place of .sock)")
	set.BoolVar(&f.broadcast, "broadcast", false, "ask servers to broadcast their answers; done in any case for ipvlan")
	set.DurationVar(&f.limits.timeout, "timeout", 10*time.Second, "how long to wait for an answer in one try")
	set.DurationVar(&f.limits.resendMax, "resendmax", 62*time.Second, "longest pause between two tries")
	set.DurationVar(&f.limits.resendTimeout, "resendtimeout", 208*time.Second, "how long to try in all")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	f.ignored = set.Args()
	err := f.check()
	if err != nil {
		fmt.Fprintf(usage, "%v\n", err)
		set.Usage()
	}
	return f, err
}

func (f *daemonFlags) check() error {
	if f.limits.timeout <= 0 || f.limits.resendMax <= 0 || f.limits.resendTimeout <= 0 {
		return errors.New("-timeout, -resendmax and -resendtimeout have to be longer than nothing")
	}
	return nil
}

// listenPath is where the socket is for the daemon, unless systemd passes one.
func (f *daemonFlags) listenPath() string { return f.hostPrefix + f.socketPath }

// openSocket returns the socket to serve, and where it is for the daemon: nowhere
// if systemd passes one that is no file.
func (f *daemonFlags) openSocket() (listener *net.UnixListener, path string, err error) {
	listener, err = passedSocket()
	if err != nil {
		return nil, "", err
	}
	if listener == nil {
		listener, err = listen(f.listenPath())
		return listener, f.listenPath(), err
	}
	if name := listener.Addr().String(); filepath.IsAbs(name) {
		path = f.hostPrefix + name
	}
	return listener, path, nil
}

// openJournal opens the journal that was asked for, or else the one next to the
// socket. The leases can do without the latter: nobody has to give the daemon a
// place to write to. That another daemon has it means that it has the socket, too.
func (f *daemonFlags) openJournal(socket string, logger *log.Logger) (*journal, error) {
	if f.journal != "" {
		return openJournal(f.journal)
	}
	opened, err := journalBeside(socket)
	if err != nil && !errors.Is(err, errLocked) {
		logger.Printf("the leases will not outlive the daemon: %v; -journal says where to note them", err)
		return nil, nil
	}
	return opened, err
}

func journalBeside(socket string) (*journal, error) {
	if socket == "" {
		return nil, errors.New("the socket is no file for the journal to be beside")
	}
	return openJournal(journalPath(socket))
}

// journalPath is where the journal of the daemon at a socket is by default.
func journalPath(socket string) string { return strings.TrimSuffix(socket, ".sock") + ".leases" }

// runDaemon runs the daemon until ctx ends. The leases go on without it: they
// are in the journal.
func runDaemon(ctx context.Context, f daemonFlags, logger *log.Logger) (err error) {
	if err := checkPIDFile(f.pidFile); err != nil {
		return err
	}
	listener, path, err := f.openSocket()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, listener.Close()) }()
	journal, err := f.openJournal(path, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	removePID, err := writePID(f.pidFile)
	if err != nil {
		return errors.Join(err, journal.discard())
	}
	defer func() { err = errors.Join(err, removePID()) }()

	netns, err := ns.GetCurrentNS()
	if err != nil {
		return errors.Join(err, journal.discard())
	}
	defer func() { err = errors.Join(err, netns.Close()) }()

	lives, shutDown := context.WithCancelCause(context.WithoutCancel(ctx))
	d := newDaemon(settings{limits: f.limits, hostPrefix: f.hostPrefix, netns: netns, broadcast: f.broadcast, log: logger}, journal)
	d.open(lives)
	logger.Printf("listening on %s, %d leases taken up", listener.Addr(), d.count())
	if err := sdnotify.Ready(); err != nil {
		logger.Printf("%v", err)
	}
	err = d.serve(ctx, listener)
	shutDown(errShutdown)
	d.running.Wait()
	return err
}

// serve accepts connections until ctx ends.
func (d *daemon) serve(ctx context.Context, listener *net.UnixListener) error {
	defer context.AfterFunc(ctx, func() { listener.SetDeadline(time.Unix(1, 0)) })()
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("accept a connection: %w", err)
		}
		connections.Go(func() { d.serveOne(ctx, conn) })
	}
}

func (d *daemon) serveOne(ctx context.Context, conn *net.UnixConn) {
	err := authorize(conn)
	if err == nil {
		err = serveConn(ctx, conn, d.methods())
	} else {
		conn.Close()
	}
	if err != nil && ctx.Err() == nil {
		d.log.Printf("connection: %v", err)
	}
}

// listen listens at path.
func listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode of the socket is that of the file that bind makes.
	private := func(_, _ string, raw syscall.RawConn) error {
		var mode error
		err := raw.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, mode)
	}
	config := net.ListenConfig{Control: private}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return listener.(*net.UnixListener), nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(path string) error {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another daemon is running: it listens on %s", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return nil // there is none, or bind will say what is wrong
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		return nil
	}
	return os.Remove(path)
}

// passedSocket returns the socket that systemd listens on for us, if it does
// (sd_listen_fds(3)). It stays systemd's: its file is not ours to remove.
func passedSocket() (*net.UnixListener, error) {
	const first = 3
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if pid != os.Getpid() || count == 0 {
		return nil, nil
	}
	if count > 1 {
		return nil, fmt.Errorf("Too many (%d) FDs passed through socket activation; one socket is expected", count)
	}
	file := os.NewFile(first, "LISTEN_FD_3")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS=1 but no FD found: %w", err)
	}
	passed, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the socket passed through socket activation is of the kind %s, a unix socket is expected", listener.Addr().Network()), listener.Close())
	}
	passed.SetUnlinkOnClose(false)
	return passed, nil
}

func checkPIDFile(path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("Error writing pidfile %q: path not absolute", path)
	}
	return nil
}

// writePID writes the process id to a file and returns what removes it.
func writePID(path string) (remove func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return nil, fmt.Errorf("Error writing pidfile %q: %w", path, err)
	}
	return func() error {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}, nil
}
