// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

const (
	hostLocalDir = "plugins/ipam/host-local"
	network      = "conformance"
	callTimeout  = time.Minute // in the emulated machine, beside others, a call takes seconds

	// systemRunCNI is where plugins keep what does not outlive the machine. It
	// has to exist for another directory to be mounted there.
	systemRunCNI = "/run/cni"
)

// Host is a machine to attach containers to: a network namespace of its own
// and directories of its own.
type Host struct {
	NS      ns.NetNS
	DataDir string // for what plugins keep on disk
	RunCNI  string // what plugins find at /run/cni

	suite  Suite
	dir    string
	binDir string   // CNI_PATH
	varLib string   // what plugins find at /var/lib
	cwd    string   // where plugins run
	mounts *os.File // the mount namespace with these
	onCall func(verb string)
	closed bool
	closer func() error          // see OnClose
	spares map[string]*Container // that are as they were made, by their IDs

	// Of a chained suite:
	pairs    []*previous // what the containers were attached to before
	pristine []string    // how a snapshot shows the host's end of a pair
}

// newHost makes a host below dir.
func newHost(suite Suite, bin binaries, dir string) (*Host, error) {
	netns, err := testutils.NewNS()
	if err != nil {
		return nil, err
	}
	h := &Host{
		NS: netns, suite: suite, dir: dir,
		DataDir: filepath.Join(dir, "data"), binDir: filepath.Join(dir, "bin"),
		varLib: filepath.Join(dir, "varlib"), RunCNI: filepath.Join(dir, "runcni"), cwd: filepath.Join(dir, "cwd"),
		onCall: func(string) {}, spares: map[string]*Container{},
	}
	if err := h.furnish(bin); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *Host) furnish(bin binaries) error {
	if err := bin.linkInto(h.binDir); err != nil {
		return err
	}
	for _, dir := range []string{h.DataDir, h.varLib, h.RunCNI, h.cwd, systemRunCNI} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	var err error
	if h.mounts, err = mountNamespace(map[string]string{"/var/lib": h.varLib, systemRunCNI: h.RunCNI}); err != nil {
		return err
	}
	if err := h.Do(func() error { return setLoopback(netlink.LinkSetUp) }); err != nil {
		return err
	}
	if h.suite.Chained {
		if err := h.Do(furnishPrevious); err != nil {
			return err
		}
	}
	if h.suite.Prepare == nil {
		return nil
	}
	return h.Do(func() error { return h.suite.Prepare(h) })
}

func setLoopback(set func(netlink.Link) error) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return set(lo)
}

// OnClose is for what Prepare has started: fn ends it. A host may outlive the
// spec that made it.
func (h *Host) OnClose(fn func() error) { h.closer = fn }

func (h *Host) close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	var err error
	if h.closer != nil {
		err = h.closer()
	}
	for _, c := range h.spares {
		err = errors.Join(err, c.Remove())
	}
	if h.mounts != nil {
		h.mounts.Close()
	}
	return errors.Join(err, closeNS(h.NS))
}

func closeNS(netns ns.NetNS) error {
	return errors.Join(testutils.UnmountNS(netns), netns.Close())
}

// mountNamespace makes a mount namespace in which each target is another
// directory. Namespaces that are mounted later are seen in it.
func mountNamespace(directories map[string]string) (*os.File, error) {
	var file *os.File
	err := onLostThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("make a mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("keep mounts to oneself: %w", err)
		}
		for target, dir := range directories {
			if err := unix.Mount(dir, target, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("mount %s at %s: %w", dir, target, err)
			}
		}
		var err error
		file, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	return file, err
}

// onLostThread runs fn on a thread that ends with it, whatever fn does to it.
func onLostThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread cannot end
			defer runtime.UnlockOSThread()
			done <- onLostThread(fn)
			return
		}
		done <- fn() // and never unlock: that ends the thread
	}()
	return <-done
}

// onHost runs fn, which starts a process, in the host's namespaces.
func (h *Host) onHost(fn func() error) error {
	return onLostThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("have a directory of one's own: %w", err)
		}
		if err := unix.Setns(int(h.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace: %w", err)
		}
		if err := h.NS.Set(); err != nil {
			return err
		}
		return fn()
	})
}

// Do runs fn in the host's network namespace.
func (h *Host) Do(fn func() error) error {
	return h.NS.Do(func(ns.NetNS) error { return fn() })
}

// Container is a network namespace to attach.
type Container struct {
	ID, IfName string
	NS         ns.NetNS
	removed    bool
	host       *Host
	pair       *previous // of a chained suite
}

// newContainer makes a container whose loopback interface has been up before:
// the kernel gave it its addresses, which it keeps. For a chained plugin it is
// attached to something.
func (h *Host) newContainer(id string) (*Container, error) {
	if spare, ok := h.spares[id]; ok {
		delete(h.spares, id)
		return spare, nil
	}
	netns, err := testutils.NewNS()
	if err != nil {
		return nil, err
	}
	c := &Container{ID: id, IfName: "eth0", NS: netns, host: h}
	if err := c.Do(func() error { return errors.Join(setLoopback(netlink.LinkSetUp), setLoopback(netlink.LinkSetDown)) }); err != nil {
		return c, err
	}
	if h.suite.Furnish != nil {
		err = c.Do(func() error { return h.suite.Furnish(c) })
	}
	if h.suite.Chained {
		err = h.attachBefore(c)
	}
	return c, err
}

// spare keeps a container that is as newContainer makes it for the next one of
// its ID: the kernel takes longer for a namespace than for all else.
func (h *Host) spare(c *Container) {
	if c.Exists() {
		h.spares[c.ID] = c
	}
}

func (h *Host) isSpare(c *Container) bool { return h.spares[c.ID] == c }

// attachBefore is what the plugins before a chained one do.
func (h *Host) attachBefore(c *Container) error {
	c.pair = newPrevious(len(h.pairs)+2, c.IfName, c.NS.Path())
	h.pairs = append(h.pairs, c.pair)
	if err := h.Do(func() error { return c.pair.attach(c.NS) }); err != nil || h.pristine != nil {
		return err
	}
	text, err := kernelSnapshot(h.NS)
	h.pristine = c.pair.linesOf(text)
	return err
}

// Do runs fn in the container's network namespace.
func (c *Container) Do(fn func() error) error {
	return c.NS.Do(func(ns.NetNS) error { return fn() })
}

// Exists tells whether the container still has its network namespace.
func (c *Container) Exists() bool { return !c.removed }

// Remove takes the network namespace away, like a runtime that does not wait
// for DEL. Its path is gone at once; the kernel takes its time for the rest.
func (c *Container) Remove() error {
	if c.removed {
		return nil
	}
	c.removed = true
	if c.host.suite.Lends && !c.host.closed {
		if err := c.loseNICs(); err != nil {
			return err
		}
	}
	if c.pair == nil || c.host.closed {
		return closeNS(c.NS)
	}
	return errors.Join(closeNS(c.NS), c.host.Do(c.pair.remove))
}

// rebirth is the container after a restart: the same, in a new namespace.
func (c *Container) rebirth() (*Container, error) {
	return c.host.newContainer(c.ID)
}

func (c *Container) snapshot() (string, error) {
	text, err := kernelSnapshot(c.NS)
	if c.pair != nil {
		text = c.pair.anonymous(text) + c.parameters()
	}
	return "container:\n" + text, err
}

// parameters are those of the interface that a plugin may change for a moment.
func (c *Container) parameters() (text string) {
	_ = c.Do(func() error {
		value, err := sysctl.Sysctl("net/ipv6/conf/" + c.IfName + "/accept_dad") // the interface may be gone
		text = fmt.Sprintln("accept_dad", value, err)
		return nil
	})
	return text
}

// snapshot describes the host and its files.
func (h *Host) snapshot() (string, error) {
	kernel, err := kernelSnapshot(h.NS)
	if err != nil {
		return "", err
	}
	files, err := testutils.SnapshotDirs(h.DataDir, h.varLib, h.RunCNI, h.cwd)
	return "host:\n" + h.withoutPairs(kernel) + "# files\n" + withoutProgress(files), err
}

// withoutPairs leaves out what the plugins before a chained one have made, as
// long as nobody has touched it.
func (h *Host) withoutPairs(text string) string {
	if len(h.pairs) == 0 {
		return text
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return slices.ContainsFunc(h.pairs, func(p *previous) bool {
			about := p.linesOf(line)
			return len(about) > 0 && slices.Contains(h.pristine, about[0])
		})
	})
	return strings.Join(lines, "\n")
}

// kernelSnapshot tries again when something went away while it was described,
// as the links of a namespace do that has just been removed.
func kernelSnapshot(netns ns.NetNS) (text string, err error) {
	for range 3 {
		if text, err = testutils.Snapshot(netns); err == nil {
			return text, nil
		}
	}
	return "", err
}

// withoutProgress blanks the note of host-local which address it gave out
// last, that every ADD changes and nothing takes back.
func withoutProgress(files string) string {
	return regexp.MustCompile(`(?m)^(\S*/last_reserved_ip\.\d+ \S+) ".*"$`).ReplaceAllString(files, `$1 "..."`)
}

// config completes a plugin's own part of a configuration.
func (h *Host) config(own Object, version string) Object {
	config := Object{"name": network, "type": h.suite.Plugin.Name}
	if h.suite.IPAM == plugin.IsIPAM {
		config["type"] = "caller"
	}
	maps.Copy(config, own)
	if version != "" {
		config["cniVersion"] = version
	}
	if _, ok := config["ipam"]; !ok && h.delegates() {
		config["ipam"] = h.hostLocal("1.0", "1.255")
	}
	return config
}

// delegates tells whether the plugin gets its addresses from an IPAM plugin.
func (h *Host) delegates() bool {
	return !h.suite.Layer2 && (h.suite.IPAM == plugin.OptionalIPAM || h.suite.IPAM == plugin.RequiredIPAM)
}

// hostLocal is the ipam of host-local with one range of each family, from
// 10.88.<first> to 10.88.<last>.
func (h *Host) hostLocal(first, last string) Object {
	v6 := func(s string) string { return "fd88::" + strings.ReplaceAll(s, ".", ":") }
	return Object{
		"type":    "host-local",
		"dataDir": h.DataDir,
		"ranges": []any{
			[]any{Object{"subnet": "10.88.0.0/16", "rangeStart": "10.88." + first, "rangeEnd": "10.88." + last, "gateway": "10.88.0.1"}},
			[]any{Object{"subnet": "fd88::/64", "rangeStart": v6(first), "rangeEnd": v6(last), "gateway": "fd88::1"}},
		},
		"routes": []any{Object{"dst": "192.0.2.0/24"}, Object{"dst": "2001:db8::/32"}},
	}
}

func encode(config Object) []byte {
	data, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return data
}

// with returns a copy of config with more keys. A nil value removes the key.
func with(config Object, more Object) Object {
	changed := maps.Clone(config)
	for key, value := range more {
		if value == nil {
			delete(changed, key)
		} else {
			changed[key] = value
		}
	}
	return changed
}

// Call is a command for the plugin.
type Call struct {
	Verb      string
	Container *Container // may be nil
	Config    []byte
	Env       []string // more variables, or the same ones: the last counts
	Stdout    *os.File // instead of having it read
	Stderr    *os.File // likewise
	Under     []string // a program with its arguments that runs the plugin
}

// input is what the plugin reads.
func (call Call) input() []byte {
	if call.Container == nil || call.Container.pair == nil {
		return call.Config
	}
	config := call.Container.pair.withOwnNumber(call.Config)
	if call.Verb != "ADD" {
		return config
	}
	return call.Container.pair.withPreviousResult(config)
}

// Run runs the plugin as a process on the host. ADD of a chained plugin gets
// the result of those before it, unless there is one already.
func (h *Host) Run(call Call) Answer {
	h.onCall(call.Verb)
	call.Config = call.input()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	words := append(slices.Clone(call.Under), h.executable())
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = h.environment(call)
	cmd.Dir = h.cwd
	cmd.Stdin = bytes.NewReader(call.Config)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if call.Stdout != nil {
		cmd.Stdout = call.Stdout
	}
	if call.Stderr != nil {
		cmd.Stderr = call.Stderr
	}
	cmd.WaitDelay = 10 * time.Second
	err := h.onHost(cmd.Run)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Answer{verb: call.Verb, failure: err}
	}
	return Answer{verb: call.Verb, Status: cmd.ProcessState.ExitCode(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
}

func (h *Host) executable() string { return filepath.Join(h.binDir, filepath.Base(h.suite.Dir)) }

func (h *Host) environment(call Call) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "CNI_PATH=" + h.binDir, "CNI_COMMAND=" + call.Verb}
	if c := call.Container; c != nil {
		env = append(env, "CNI_CONTAINERID="+c.ID, "CNI_IFNAME="+c.IfName, "CNI_NETNS="+c.NS.Path())
	}
	return append(env, call.Env...)
}

// attach runs ADD, which has to succeed.
func (h *Host) attach(c *Container, config Object) (Attachment, error) {
	call := Call{Verb: "ADD", Container: c, Config: encode(config)}
	attachment := Attachment{Host: h, Container: c, Config: call.input()}
	answer := h.Run(call)
	var err error
	attachment.Result, err = answer.Result()
	return attachment, err
}

// detach runs DEL, which has to succeed.
func (h *Host) detach(c *Container, config Object) error {
	return h.Run(Call{Verb: "DEL", Container: c, Config: encode(config)}).silentSuccess()
}

// warmUp attaches and detaches a container.
func (h *Host) warmUp(config Object) error {
	c, err := h.newContainer("warm-up")
	if err != nil {
		return err
	}
	_, addErr := h.attach(c, config)
	return errors.Join(addErr, h.detach(c, config), c.Remove())
}

// collect runs GC with the containers as the valid ones.
func (h *Host) collect(config Object, valid ...*Container) error {
	return h.Run(Call{Verb: "GC", Config: encode(with(config, validAttachments(valid...)))}).silentSuccess()
}

func validAttachments(valid ...*Container) Object {
	list := []any{}
	for _, c := range valid {
		list = append(list, Object{"containerID": c.ID, "ifname": c.IfName})
	}
	return Object{"cni.dev/valid-attachments": list}
}

// binaries are the executables of plugins.
type binaries struct{ dir string }

// build builds the executables of the main packages in dirs.
func build(into string, dirs ...string) (binaries, error) {
	root, err := moduleRoot()
	if err != nil {
		return binaries{}, err
	}
	args := []string{"build", "-buildvcs=false", "-o", into + "/"}
	for _, dir := range dirs {
		args = append(args, "./"+dir)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return binaries{}, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return binaries{into}, nil
}

// linkInto fills the directory for CNI_PATH of a host.
func (b binaries) linkInto(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Symlink(filepath.Join(b.dir, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// moduleRoot finds the directory with go.mod above the current one, in which go
// test runs the tests of a package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("no go.mod above the current directory: run the tests with go test")
		}
		dir = filepath.Dir(dir)
	}
}
