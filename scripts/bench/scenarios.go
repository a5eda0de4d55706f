// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// dataDir is where the leases of the comparison are.
const dataDir = "/run/cni-bench"

// startUp compares the answer to VERSION with a Go program that does nothing at all.
func startUp(s settings) ([]row, error) {
	const plugin = "bridge"
	var ours, theirs, bare samples
	for range s.runs {
		for _, measured := range []struct {
			samples *samples
			program string
		}{{&bare, s.bare}, {&ours, filepath.Join(s.ours, plugin)}, {&theirs, filepath.Join(s.theirs, plugin)}} {
			cmd := exec.Command(measured.program)
			cmd.Env = []string{"CNI_COMMAND=VERSION"}
			elapsed, err := timed(cmd)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", measured.program, err)
			}
			measured.samples.add(elapsed)
		}
	}
	return []row{
		{name: plugin + " VERSION", ours: ours, theirs: theirs},
		{name: plugin + " VERSION / bare Go program", ours: ours, theirs: bare, limit: 1.5},
	}, nil
}

// scenario is an attachment that is added and deleted over and over.
type scenario struct {
	name               string
	conf               func(side) object
	addLimit, delLimit float64
}

func scenarios() []scenario {
	return []scenario{
		{name: "loopback", conf: func(side) object { return plugin("loopback", nil) }},
		{name: "bridge + host-local", addLimit: 0.5, conf: func(s side) object {
			return plugin("bridge", object{"bridge": "br-" + s.name, "isGateway": true, "ipam": hostLocal(s, "bridge")})
		}},
		{name: "bridge + host-local + ipMasq", addLimit: 0.35, delLimit: 0.5, conf: func(s side) object {
			return plugin("bridge", object{"bridge": "br-" + s.name, "isGateway": true, "ipMasq": true, "ipam": hostLocal(s, "masq")})
		}},
		{name: "ptp + host-local", conf: func(s side) object {
			return plugin("ptp", object{"ipam": hostLocal(s, "ptp")})
		}},
	}
}

func plugin(kind string, keys object) object {
	conf := object{"cniVersion": "1.0.0", "name": "bench", "type": kind}
	for key, value := range keys {
		conf[key] = value
	}
	return conf
}

// hostLocal allocates in a subnet of the side: both have bridges at the same time.
func hostLocal(s side, store string) object {
	subnet := "10.98.0.0/16"
	if s.name == "theirs" {
		subnet = "10.99.0.0/16"
	}
	return object{
		"type": "host-local", "dataDir": filepath.Join(dataDir, s.name, store),
		"ranges": []any{[]any{object{"subnet": subnet}}}, "routes": []any{object{"dst": "0.0.0.0/0"}},
	}
}

// attachments measures ADD and DEL of each scenario.
func attachments(s settings) ([]row, error) {
	var rows []row
	for _, scenario := range scenarios() {
		measured, err := scenario.measure(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", scenario.name, err)
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

func (sc scenario) measure(s settings) ([]row, error) {
	var adds, dels [2]samples
	err := inNamespaces(2*(s.runs+1), func(netns []string) error {
		return alternate(s, func(i, k int) error {
			add, del, err := sc.round(s.sides()[k], fmt.Sprintf("bench%d", i), netns[2*i+k])
			if i > 0 {
				adds[k].add(add)
				dels[k].add(del)
			}
			return err
		})
	})
	return []row{
		{name: sc.name + " ADD", ours: adds[0], theirs: adds[1], limit: sc.addLimit},
		{name: sc.name + " DEL", ours: dels[0], theirs: dels[1], limit: sc.delLimit},
	}, err
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

// round adds one container and deletes it.
func (sc scenario) round(s side, container, netns string) (add, del time.Duration, err error) {
	conf := sc.conf(s)
	add, result, err := s.run(call{"ADD", container, netns, conf})
	if err != nil {
		return 0, 0, err
	}
	if conf, err = withPrevResult(conf, result); err != nil {
		return 0, 0, err
	}
	del, _, err = s.run(call{"DEL", container, netns, conf})
	return add, del, err
}

// inNamespaces makes network namespaces for the time of do. All at once, because the kernel takes locks and time to make
// and above all to remove one, which must not fall on the next measurement.
func inNamespaces(n int, do func(netns []string) error) (err error) {
	var paths []string
	for i := range n {
		name := fmt.Sprintf("bench%d", i)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			return fmt.Errorf("ip netns add: %w: %s", err, out)
		}
		defer func() { err = errors.Join(err, exec.Command("ip", "netns", "delete", name).Run()) }()
		paths = append(paths, "/run/netns/"+name)
	}
	return do(paths)
}

// leases measures host-local alone with few and with many reservations in the directory.
func leases(s settings) ([]row, error) {
	const few, many = 10, 10000
	var rows []row
	small, err := measureStore(s, few)
	if err != nil {
		return nil, err
	}
	large, err := measureStore(s, many)
	if err != nil {
		return nil, err
	}
	commands := []string{"ADD", "CHECK", "DEL"}
	for i, command := range commands {
		rows = append(rows,
			row{name: fmt.Sprintf("host-local %s, %d leases", command, few), ours: small[0][i], theirs: small[1][i]},
			row{name: fmt.Sprintf("host-local %s, %d leases", command, many), ours: large[0][i], theirs: large[1][i]})
	}
	for i, command := range commands {
		rows = append(rows, row{
			name: fmt.Sprintf("host-local %s, %d / %d leases", command, many, few),
			ours: large[0][i], theirs: small[0][i], limit: 1.5,
		})
	}
	return rows, nil
}

// measureStore times ADD, CHECK and DEL of each side in a store that has reservations already.
func measureStore(s settings, reservations int) (measured [2][3]samples, err error) {
	store := fmt.Sprintf("leases%d", reservations)
	for _, side := range s.sides() {
		if err := fill(filepath.Join(dataDir, side.name, store, "bench"), side, reservations); err != nil {
			return measured, err
		}
	}
	err = inNamespaces(1, func(netns []string) error {
		return alternate(s, func(i, k int) error {
			times, err := leaseRound(s.sides()[k], store, fmt.Sprintf("bench%d", i), netns[0])
			for command, elapsed := range times {
				if i > 0 {
					measured[k][command].add(elapsed)
				}
			}
			return err
		})
	})
	return measured, err
}

// fill writes reservations as the reference plugin does: a file named by the address that holds the container's ID and
// the interface, and which address came last.
func fill(dir string, s side, reservations int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	subnet := 98
	if s.name == "theirs" {
		subnet = 99
	}
	last := ""
	for i := range reservations {
		last = fmt.Sprintf("10.%d.%d.%d", subnet, (i+2)/256, (i+2)%256)
		content := fmt.Sprintf("other%d\r\neth0", i)
		if err := os.WriteFile(filepath.Join(dir, last), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "last_reserved_ip.0"), []byte(last), 0o600)
}

func leaseRound(s side, store, container, netns string) (times [3]time.Duration, err error) {
	// host-local answers as an IPAM plugin: it is called with the configuration of the one that delegates.
	conf := object{"cniVersion": "1.0.0", "name": "bench", "type": "host-local", "ipam": hostLocal(s, store)}
	var result []byte
	times[0], result, err = s.run(call{"ADD", container, netns, conf})
	if err != nil {
		return times, err
	}
	if conf, err = withPrevResult(conf, result); err != nil {
		return times, err
	}
	for i, command := range []string{"CHECK", "DEL"} {
		times[i+1], _, err = s.run(call{command, container, netns, conf})
		if err != nil {
			return times, err
		}
	}
	return times, nil
}
