// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/testutils/killpoint"
)

// KillMatrix declares what a plugin leaves when it is killed: at every call
// that others can see, of its own and of its delegates, in ADD and in DEL, with
// every way in which life may go on.
func KillMatrix(suites ...Suite) bool {
	return Describe(suites[0].Plugin.Name+" killed at any moment", Ordered, ContinueOnFailure, func() {
		m := new(matrix)
		BeforeAll(func() { m.build(suites) })
		for _, suite := range suites {
			m.kills(suite, aftermathsOf(suite))
		}
	})
}

// kills declares kills of one suite.
func (m *matrix) kills(suite Suite, aftermaths []aftermath) {
	Context(suite.Name, func() {
		var killers []*killer
		BeforeAll(func() { killers = m.killers(suite) })
		BeforeEach(func() { testutils.Need(GinkgoT(), append([]string{"root", "nft-tool"}, suite.Needs...)...) })
		for _, aftermath := range aftermaths {
			It(aftermath.title, func() { killEverywhere(killers, aftermath) })
		}
	})
}

// aftermath is what happens after a kill.
type aftermath struct {
	title  string
	killed string // the command that is killed
	modes  []killpoint.Mode
	// then goes on, and has to come to an end with nothing attached.
	then func(*scene) error
}

// scene is one killed container on its host.
type scene struct {
	*Host
	killer *killer
	mode   killpoint.Mode
	victim *Container
	config Object
	output killpoint.Output
	others []*Container // whose namespaces have to be as before, too

	refused   bool // an ADD that came without a DEL
	collected bool // the victim, by GC rather than DEL
}

// aftermaths are the ways in which life goes on. A plugin whose delegates die
// with it leaves the same whoever is killed first, so that both are tried where
// it costs little.
func aftermaths() []aftermath {
	alone := []killpoint.Mode{killpoint.KillPlugin}
	both := []killpoint.Mode{killpoint.KillPlugin, killpoint.KillTree}
	delegate := []killpoint.Mode{killpoint.KillDelegate}
	return append(briefAftermaths(), []aftermath{
		{"in ADD: DEL leaves nothing when the namespace has vanished", "ADD", both, inTurn(vanish, del)},
		{"in ADD: a fresh ADD harms nobody", "ADD", alone, inTurn(tryAdd, del)},
		{"in ADD: a fresh ADD in a new namespace harms nobody", "ADD", alone, inTurn(vanish, restart, tryAdd, del)},
		{"in ADD: the next ADD and GC leave nothing", "ADD", alone, otherAndGC},
		{"in DEL: DEL leaves nothing when the namespace has vanished", "DEL", both, inTurn(vanish, del)},
		{"in DEL: the next ADD and GC leave nothing", "DEL", alone, otherAndGC},
		{"in DEL: the next ADD and GC leave nothing when the namespace has vanished", "DEL", alone, inTurn(vanish, otherAndGC)},
		{"in ADD, its delegate alone: an error leaves nothing", "ADD", delegate, orDel},
		{"in DEL, its delegate alone: DEL leaves nothing", "DEL", delegate, del},
	}...)
}

// briefAftermaths are those that every suite goes through: that DEL cleans up is
// what all others build upon, and GC is for what nobody calls DEL for.
func briefAftermaths() []aftermath {
	alone := []killpoint.Mode{killpoint.KillPlugin}
	both := []killpoint.Mode{killpoint.KillPlugin, killpoint.KillTree}
	return []aftermath{
		{"in ADD: DEL leaves nothing, and a fresh ADD succeeds", "ADD", both, inTurn(del, afresh)},
		{"in ADD: the next ADD and GC leave nothing when the namespace has vanished", "ADD", alone, inTurn(vanish, otherAndGC)},
		{"in DEL: DEL leaves nothing, and a fresh ADD succeeds", "DEL", both, inTurn(del, afresh)},
		{"in GC: GC leaves nothing", "GC", both, collectAll()},
	}
}

func aftermathsOf(suite Suite) []aftermath {
	if suite.Brief && !suite.KilledInFull {
		return briefAftermaths()
	}
	return aftermaths()
}

func inTurn(steps ...func(*scene) error) func(*scene) error {
	return func(s *scene) error {
		for _, step := range steps {
			if err := step(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func del(s *scene) error { return s.detach(s.victim, s.config) }

func vanish(s *scene) error { return s.victim.Remove() }

func restart(s *scene) (err error) {
	s.victim, err = s.victim.rebirth()
	return err
}

func add(s *scene) error {
	_, err := s.attach(s.victim, s.config)
	return err
}

// afresh attaches and detaches the victim once more, after a DEL that has left
// nothing. Whoever was killed before that, it is the same.
func afresh(s *scene) error {
	if s.mode != killpoint.KillPlugin {
		return nil
	}
	return inTurn(leavesNothing, add, del)(s)
}

func leavesNothing(s *scene) error { return s.killer.nothingLeft([]*Container{s.victim}) }

// tryAdd is ADD where a runtime should have called DEL before: the plugin may
// ask for that, but then it has to work.
func tryAdd(s *scene) error {
	answer := s.Run(Call{Verb: "ADD", Container: s.victim, Config: encode(s.config)})
	if answer.Status == 0 {
		return answer.success()
	}
	if _, err := answer.Refusal(); err != nil {
		return err
	}
	s.refused = true
	return inTurn(del, add)(s)
}

// otherAndGC is a runtime that forgets the victim: it attaches another
// container, and says that there is only that one.
func otherAndGC(s *scene) error {
	other, err := s.newContainer("other")
	if err != nil {
		return err
	}
	s.others, s.collected = append(s.others, other), true
	if err := s.attachAfterKill(other); err != nil {
		return err
	}
	if err := s.collect(s.config, other); err != nil {
		return err
	}
	if s.suite.Lends { // GC's turn comes when the victim's namespace has gone
		if err := inTurn(vanish, collectAll(other))(s); err != nil {
			return err
		}
	}
	return s.detach(other, s.config)
}

// attachAfterKill is attach by which host-local may be the first to meet the
// reservation of a victim killed before it could write its name into the file. It
// frees it and says so. That takes a file system without nameless files, like the
// emulated machine's: elsewhere the file appears with its content.
func (s *scene) attachAfterKill(c *Container) error {
	answer := s.Run(Call{Verb: "ADD", Container: c, Config: encode(s.config)})
	answer.Stderr = withoutFreed(answer.Stderr)
	_, err := answer.Result()
	return err
}

func withoutFreed(stderr []byte) []byte {
	return regexp.MustCompile(`(?m)^host-local: network \S+: freed 1 addresses that .* have no owner\n`).ReplaceAll(stderr, nil)
}

// collectAll runs GC again, for all but the valid containers. The victim that
// it is about is gone, too.
func collectAll(valid ...*Container) func(*scene) error {
	return func(s *scene) error { return s.collect(s.config, valid...) }
}

// orDel detaches what was attached although the delegate died.
func orDel(s *scene) error {
	if s.output.Status != 0 {
		return Answer{verb: "ADD", Status: s.output.Status, Stdout: s.output.Stdout, Stderr: s.output.Stderr}.proper()
	}
	return del(s)
}

// workers is how many hosts are at work at once. What the kernel waits for in
// one the processor can use for the other.
const workers = 3

// killers makes the workers. Their hosts last for all aftermaths, as nothing is
// left of one when the next begins.
func (m *matrix) killers(suite Suite) []*killer {
	dir := GinkgoT().TempDir()
	all := make([]*killer, workers)
	for w := range all {
		k := &killer{suite: suite, newHost: func(n int) (*Host, error) {
			return newHost(suite, m.binaries, filepath.Join(dir, fmt.Sprintf("%d-%d", w, n)))
		}}
		DeferCleanup(k.close)
		all[w] = k
	}
	return all
}

// killEverywhere kills at the first, second ... call until a run ends without
// reaching it.
func killEverywhere(killers []*killer, what aftermath) {
	start := time.Now()
	tally := &tally{}
	var all sync.WaitGroup
	for w, k := range killers {
		k.what, k.tally = what, tally
		all.Go(func() { tally.fail(k.work(w+1, len(killers))) })
	}
	all.Wait()
	AddReportEntry(what.title, tally.String()+" in "+time.Since(start).Round(time.Millisecond).String())
	failAll(tally.failures)
}

// tally is what the workers have done together.
type tally struct {
	mu       sync.Mutex
	kills    int
	last     int // the highest call that was reached
	refused  int // ADDs that asked for a DEL first
	failures []string
}

func (t *tally) String() string {
	text := fmt.Sprintf("%d kills at %d calls", t.kills, t.last)
	if t.refused > 0 {
		text += fmt.Sprintf(", a fresh ADD refused after %d", t.refused)
	}
	return text
}

func (t *tally) killed(point killpoint.Point, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kills++
	t.last = max(t.last, point.N)
	if refused {
		t.refused++
	}
}

func (t *tally) fail(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, err.Error())
}

// killer goes through every n-th call on a host of its own.
type killer struct {
	suite   Suite
	newHost func(n int) (*Host, error)
	what    aftermath
	tally   *tally

	host      *Host
	hosts     int
	hostClean string
	nsClean   string
}

func (k *killer) close() error {
	if k.host == nil {
		return nil
	}
	host := k.host
	k.host = nil
	return host.close()
}

func (k *killer) work(first, step int) error {
	for n := first; ; n += step {
		reached, err := k.killAt(n)
		if err != nil || !reached {
			return err
		}
	}
}

// killAt kills at call n in every mode that makes a difference there.
func (k *killer) killAt(n int) (reached bool, err error) {
	for _, mode := range k.what.modes {
		if err := k.prepare(); err != nil {
			return false, fmt.Errorf("prepare a host: %w", err)
		}
		point, refused, err := k.kill(n, mode)
		if err != nil {
			k.tally.fail(fmt.Errorf("%v, %v: %w", point, mode, err))
			if err := k.close(); err != nil {
				return false, err
			}
		}
		if point.N == 0 {
			return false, nil
		}
		k.tally.killed(point, refused)
		if point.Children == 0 {
			break // all modes are the same
		}
	}
	return true, nil
}

// prepare makes a host if there is none that is as it should be.
func (k *killer) prepare() error {
	if k.host != nil {
		return nil
	}
	host, err := k.newHost(k.hosts)
	if err != nil {
		return err
	}
	k.host, k.hosts = host, k.hosts+1
	if err := host.warmUp(host.config(k.suite.Config(host), "1.1.0")); err != nil {
		return err
	}
	fresh, err := host.newContainer("fresh")
	if err != nil {
		return err
	}
	var errs [2]error
	k.hostClean, errs[0] = host.snapshot()
	k.nsClean, errs[1] = fresh.snapshot()
	return errors.Join(errs[0], errs[1], fresh.Remove())
}

// kill kills the command once and lets life go on.
func (k *killer) kill(n int, mode killpoint.Mode) (point killpoint.Point, refused bool, err error) {
	victim, err := k.host.newContainer("victim")
	if err != nil {
		return point, false, err
	}
	s := &scene{Host: k.host, killer: k, mode: mode, victim: victim, config: k.host.config(k.suite.Config(k.host), "1.1.0")}
	defer func() {
		for _, c := range append(s.others, victim, s.victim) {
			if !s.isSpare(c) {
				err = errors.Join(err, c.Remove())
			}
		}
	}()
	if err := s.begin(k.what.killed); err != nil {
		return point, false, err
	}
	if point, s.output, err = s.kill(k.what.killed, n, mode); err != nil {
		return point, false, err
	}
	if point.N == 0 {
		return point, false, s.ranThrough(k.what.killed)
	}
	if err := k.what.then(s); err != nil {
		return point, s.refused, err
	}
	left := append(s.others, victim, s.victim)
	if s.collected && k.suite.inside() {
		left = s.others
	}
	if err := k.nothingLeft(left); err != nil {
		return point, s.refused, err
	}
	for _, c := range left {
		s.spare(c)
	}
	return point, s.refused, nil
}

// begin attaches the victim for a command that undoes that. GC is for those
// whose namespace is gone.
func (s *scene) begin(killed string) error {
	if killed == "ADD" {
		return nil
	}
	if err := add(s); err != nil {
		return err
	}
	if killed == "GC" {
		return vanish(s)
	}
	return nil
}

// kill runs the plugin under killpoint.
func (s *scene) kill(verb string, n int, mode killpoint.Mode) (point killpoint.Point, output killpoint.Output, err error) {
	call := Call{Verb: verb, Container: s.victim, Config: encode(s.config)}
	spec := killpoint.Spec{Path: s.executable(), Env: s.environment(call), Stdin: call.input(), Dir: s.cwd, Timeout: callTimeout}
	err = s.onHost(func() (err error) {
		point, output, err = killpoint.KillAt(spec, n, mode)
		return err
	})
	return point, output, err
}

// ranThrough is for a run that ended without being killed.
func (s *scene) ranThrough(verb string) error {
	answer := Answer{verb: verb, Status: s.output.Status, Stdout: s.output.Stdout, Stderr: s.output.Stderr}
	if err := answer.success(); err != nil {
		return err
	}
	return del(s)
}

// nothingLeft compares the host and the containers with how they were.
func (k *killer) nothingLeft(containers []*Container) error {
	now, err := k.host.snapshot()
	if err != nil {
		return err
	}
	left := diff(k.hostClean, now)
	for _, c := range containers {
		if !c.Exists() {
			continue
		}
		if now, err = c.snapshot(); err != nil {
			return err
		}
		left += diff(k.nsClean, now)
	}
	if left != "" {
		return fmt.Errorf("left:\n%s", left)
	}
	return nil
}
