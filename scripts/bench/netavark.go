// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// netavarkPath is podman's own network program, no CNI plugin, in Debian's package of that name.
const netavarkPath = "/usr/lib/podman/netavark"

// netavark compares the podman chain with what netavark does for podman in its place. Addresses are podman's business
// there; it gets one with each call.
func netavark(s settings) ([]row, error) {
	name := "podman chain / netavark"
	ours := s.sides()[0]
	i := indexOf("podman chain")
	sc := scenarios()[i]
	if _, err := os.Stat(netavarkPath); err != nil || !s.only.MatchString(name) || !ours.has(sc.plugins(ours, 0)...) {
		return nil, nil
	}
	var adds, dels [2]samples
	err := inNamespaces("bench", 2*(s.runs+1), func(netns []string) error {
		return alternate(s, func(i, k int) (err error) {
			var took times
			if k == 0 {
				took, err = sc.round(ours, i, netns[2*i])
			} else {
				took, err = netavarkRound(i, netns[2*i+1])
			}
			if i > 0 {
				adds[k].add(sum(took.add))
				dels[k].add(sum(took.del))
			}
			return err
		})
	})
	return []row{{name: name + " ADD", ours: adds[0], theirs: adds[1]}, {name: name + " DEL", ours: dels[0], theirs: dels[1]}}, err
}

func indexOf(name string) int {
	for i, sc := range scenarios() {
		if sc.name == name {
			return i
		}
	}
	panic("no scenario " + name)
}

func netavarkRound(n int, netns string) (took times, err error) {
	add, err := runNetavark("setup", n, netns)
	if err != nil {
		return took, err
	}
	del, err := runNetavark("teardown", n, netns)
	return times{add: []time.Duration{add}, del: []time.Duration{del}}, err
}

func runNetavark(command string, n int, netns string) (time.Duration, error) {
	config := dataDir + "/netavark"
	if err := os.MkdirAll(config, 0o755); err != nil {
		return 0, err
	}
	id := fmt.Sprintf("%064x", n+1)
	input, err := json.Marshal(object{
		"container_id": id, "container_name": "bench",
		"port_mappings": []any{object{"host_ip": "", "host_port": 10000 + n, "container_port": 80, "protocol": "tcp", "range": 1}},
		"networks":      object{"bench": object{"interface_name": "eth0", "static_ips": []any{fmt.Sprintf("10.97.%d.%d", (n+2)/256, (n+2)%256)}}},
		"network_info": object{"bench": object{
			"name": "bench", "id": strings.Repeat("ab", 32), "driver": "bridge", "network_interface": "br-netavark",
			"created": "2020-01-01T00:00:00Z", "subnets": []any{object{"subnet": "10.97.0.0/16", "gateway": "10.97.0.1"}},
			"ipv6_enabled": false, "internal": false, "dns_enabled": false, "ipam_options": object{"driver": "host-local"},
		}},
	})
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(netavarkPath, "--config", config, command, netns)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin = bytes.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	elapsed, err := timed(cmd)
	if err != nil {
		err = errors.Join(fmt.Errorf("netavark %s: %w", command, err), errors.New(out.String()))
	}
	return elapsed, err
}
