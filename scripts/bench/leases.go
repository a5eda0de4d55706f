// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// leases measures host-local alone with few and with many reservations in the directory.
func leases(s settings) ([]row, error) {
	const few, many = 10, 10000
	if !s.only.MatchString("host-local") {
		return nil, nil
	}
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
	err = inNamespaces("bench", 1, func(netns []string) error {
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
	var prev object
	if err := json.Unmarshal(result, &prev); err != nil {
		return times, fmt.Errorf("result: %w", err)
	}
	conf = withPrevResult(conf, prev)
	for i, command := range []string{"CHECK", "DEL"} {
		times[i+1], _, err = s.run(call{command, container, netns, conf})
		if err != nil {
			return times, err
		}
	}
	return times, nil
}
