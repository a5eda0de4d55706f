// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// chains measures the commands on each scenario's chain of plugins.
func chains(s settings) ([]row, error) {
	var rows []row
	for _, sc := range scenarios() {
		if !s.only.MatchString(sc.name) {
			continue
		}
		measured, err := sc.measure(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sc.name, err)
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

func (sc scenario) measure(s settings) (rows []row, err error) {
	ours, theirs := s.sides()[0], s.sides()[1]
	if !ours.has(sc.plugins(ours, 0)...) {
		return nil, nil
	}
	if theirs.has(sc.plugins(theirs, 0)...) {
		if rows, err = sc.compare(s, s.sides()); err != nil {
			return nil, err
		}
		if s.parallel > 0 {
			row, err := sc.crowd(s)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	if s.preload > 0 {
		loaded, err := sc.loaded(s)
		rows = append(rows, loaded...)
		return rows, err
	}
	return rows, nil
}

// compare adds, checks and deletes one container after the other, on both sides in turn.
func (sc scenario) compare(s settings, sides [2]side) ([]row, error) {
	for _, side := range sides {
		if err := sc.makeReady(side); err != nil {
			return nil, err
		}
	}
	var measured [2][]times
	err := inNamespaces("bench", 2*(s.runs+1), func(netns []string) error {
		return alternate(s, func(i, k int) error {
			took, err := sc.round(sides[k], i, netns[2*i+k])
			if i > 0 {
				measured[k] = append(measured[k], took)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return sc.rows(measured, sides[0]), nil
}

// rows are those of the whole chain, and of each plugin where there are several.
func (sc scenario) rows(measured [2][]times, s side) []row {
	plugins := sc.plugins(s, 0)
	verb := func(name string, limit float64, of func(times) []time.Duration, pick func([]time.Duration) time.Duration) row {
		r := row{name: name, limit: limit}
		for k, samples := range []*samples{&r.ours, &r.theirs} {
			for _, took := range measured[k] {
				samples.add(pick(of(took)))
			}
		}
		return r
	}
	verbs := []struct {
		name  string
		limit float64
		of    func(times) []time.Duration
		place func(i int) int // of the i-th plugin
	}{
		{"ADD", sc.addLimit, func(t times) []time.Duration { return t.add }, func(i int) int { return i }},
		{"CHECK", sc.checkLimit, func(t times) []time.Duration { return t.check }, func(i int) int { return i }},
		{"DEL", sc.delLimit, func(t times) []time.Duration { return t.del }, func(i int) int { return len(plugins) - 1 - i }},
	}
	var rows []row
	for _, v := range verbs {
		if v.name == "CHECK" && sc.noCheck {
			continue
		}
		rows = append(rows, verb(sc.name+" "+v.name, v.limit, v.of, sum))
		for i := 0; i < len(plugins) && len(plugins) > 1; i++ {
			name := fmt.Sprintf("%s %s: %s", sc.name, v.name, plugins[i]["type"])
			rows = append(rows, verb(name, 0, v.of, func(d []time.Duration) time.Duration { return d[v.place(i)] }))
		}
	}
	return rows
}

func (sc scenario) makeReady(s side) error {
	if sc.prepare == nil {
		return nil
	}
	return sc.prepare(s)
}

// alternate calls round for each run and side; who goes first alternates, too. The round 0 makes the bridges and base
// chains which later ones find, and is not to be counted.
func alternate(s settings, round func(run, side int) error) error {
	for i := range s.runs + 1 {
		for j := range 2 {
			if err := round(i, (i+j)%2); err != nil {
				return err
			}
		}
	}
	return nil
}

// round is the life of one container.
func (sc scenario) round(s side, n int, netns string) (took times, err error) {
	plugins, container := sc.plugins(s, n), fmt.Sprintf("bench%d", n)
	var result object
	if took.add, result, err = s.attach(plugins, container, netns); err != nil {
		return took, err
	}
	if !sc.noCheck {
		if took.check, err = s.check(plugins, container, netns, result); err != nil {
			return took, err
		}
	}
	took.del, err = s.detach(plugins, container, netns, result)
	return took, err
}

// crowd measures the time per ADD when many are added at once.
func (sc scenario) crowd(s settings) (row, error) {
	var measured [2]samples
	err := inNamespaces("crowd", s.parallel, func(netns []string) error {
		return alternate(s, func(i, k int) error {
			elapsed, err := sc.addAtOnce(s.sides()[k], netns)
			if i > 0 {
				measured[k].add(elapsed / time.Duration(len(netns)))
			}
			return err
		})
	})
	name := fmt.Sprintf("%s, %d in parallel, time per ADD", sc.name, s.parallel)
	return row{name: name, ours: measured[0], theirs: measured[1], limit: sc.parallelLimit}, err
}

// addAtOnce attaches a container in each namespace, and detaches them again when all are there.
func (sc scenario) addAtOnce(s side, netns []string) (time.Duration, error) {
	results := make([]object, len(netns))
	start := time.Now()
	err := together(len(netns), func(n int) (err error) {
		_, results[n], err = s.attach(sc.plugins(s, n), fmt.Sprintf("crowd%d", n), netns[n])
		return err
	})
	elapsed := time.Since(start)
	if err != nil {
		return 0, err
	}
	return elapsed, together(len(netns), func(n int) error {
		_, err := s.detach(sc.plugins(s, n), fmt.Sprintf("crowd%d", n), netns[n], results[n])
		return err
	})
}

func together(n int, fn func(n int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// loadLimit is what a command may take on a host with many attachments, of what it takes on an empty one.
const loadLimit = 1.2

// loaded compares a host that has attachments of the same chain with an empty one. Both hosts are namespaces.
func (sc scenario) loaded(s settings) (rows []row, err error) {
	err = inNamespaces("host", 2, func(hosts []string) error {
		full, empty := side{name: "ours", dir: s.ours, host: hosts[0]}, side{name: "theirs", dir: s.ours, host: hosts[1]}
		if err := sc.makeReady(full); err != nil {
			return err
		}
		namespaces := s.preload
		if sc.shared {
			namespaces = 1
		}
		return inNamespaces("load", namespaces, func(netns []string) error {
			for n := range s.preload {
				if _, _, err := full.attach(sc.plugins(full, 1000+n), fmt.Sprintf("load%d", n), netns[n%namespaces]); err != nil {
					return err
				}
			}
			rows, err = sc.compare(s, [2]side{full, empty})
			return err
		})
	})
	for i := range rows {
		rows[i].name += fmt.Sprintf(", %d / 0 attachments", s.preload)
		rows[i].limit = loadLimit
	}
	return rows, err
}

// inNamespaces makes network namespaces for the time of do. All at once, because the kernel takes locks and time to make
// and above all to remove one, which must not fall on the next measurement.
func inNamespaces(prefix string, n int, do func(netns []string) error) (err error) {
	var paths []string
	for i := range n {
		name := fmt.Sprintf("%s%d", prefix, i)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			return fmt.Errorf("ip netns add: %w: %s", err, out)
		}
		defer func() { err = errors.Join(err, exec.Command("ip", "netns", "delete", name).Run()) }()
		paths = append(paths, "/run/netns/"+name)
	}
	return do(paths)
}
