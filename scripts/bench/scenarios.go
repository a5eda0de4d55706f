// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
)

// dataDir is where the leases of the comparison are.
const dataDir = "/run/cni-bench"

// scenario is a network to which containers are attached over and over. The limits are for ours / theirs.
type scenario struct {
	name                           string
	prepare                        func(side) error          // makes what the plugins refer to, where it is missing; may be nil
	plugins                        func(s side, n int) chain // n counts the attachments of the side
	addLimit, checkLimit, delLimit float64
	parallelLimit                  float64 // of the time per ADD with many at once
	noCheck                        bool    // portmap 1.1.1 misses its IPv6 rules after an ADD without IPv6
	shared                         bool    // what is attached needs no namespace of its own
}

func scenarios() []scenario {
	return []scenario{
		{name: "loopback", plugins: func(side, int) chain { return chain{plugin("loopback", nil)} }},
		{name: "bridge", addLimit: 0.45, checkLimit: 0.45, plugins: func(s side, _ int) chain {
			return chain{bridge(s, "bridge", nil)}
		}},
		{name: "bridge + ipMasq", addLimit: 0.35, delLimit: 0.5, plugins: func(s side, _ int) chain {
			return chain{bridge(s, "masq", object{"ipMasq": true})}
		}},
		{name: "ptp", plugins: func(s side, _ int) chain {
			return chain{plugin("ptp", object{"ipam": hostLocal(s, "ptp")})}
		}},
		{name: "macvlan", addLimit: 0.6, prepare: makeMaster, plugins: func(s side, _ int) chain {
			return chain{plugin("macvlan", object{"master": masterOf(s), "ipam": hostLocal(s, "macvlan")})}
		}},
		{name: "portmap", shared: true, addLimit: 0.15, delLimit: 0.2, plugins: func(s side, n int) chain {
			return chain{portmapAlone(s, n)}
		}},
		{name: "podman chain", noCheck: true, addLimit: 0.25, delLimit: 0.3, parallelLimit: 0.2, plugins: func(s side, n int) chain {
			return chain{
				bridge(s, "podman", object{"ipMasq": true, "hairpinMode": true}),
				portmap(n), plugin("firewall", nil), plugin("tuning", nil),
			}
		}},
		{name: "k8s chain", noCheck: true, addLimit: 0.25, delLimit: 0.3, parallelLimit: 0.2, plugins: func(s side, n int) chain {
			return chain{
				bridge(s, "k8s", object{"ipMasq": true}), portmap(n),
				plugin("bandwidth", object{"ingressRate": 1e7, "ingressBurst": 1e6, "egressRate": 1e7, "egressBurst": 1e6}),
			}
		}},
	}
}

// masterOf names the link that a side's macvlan interfaces are on.
func masterOf(s side) string { return "m-" + s.name }

func makeMaster(s side) error {
	const script = `ip link show "$1" || { ip link add "$1" type veth peer name "$1p" && ip link set "$1p" up && ip link set "$1" up; }`
	if _, err := s.timed(exec.Command("sh", "-c", script, "sh", masterOf(s))); err != nil {
		return fmt.Errorf("make the master: %w", err)
	}
	return nil
}

func plugin(kind string, keys object) object {
	conf := object{"cniVersion": "1.0.0", "name": "bench", "type": kind}
	maps.Copy(conf, keys)
	return conf
}

// bridge has a bridge of the side's own.
func bridge(s side, store string, keys object) object {
	conf := plugin("bridge", object{"bridge": "br-" + s.name, "isGateway": true, "ipam": hostLocal(s, store)})
	maps.Copy(conf, keys)
	return conf
}

// portmap maps a port of each attachment's own.
func portmap(n int) object {
	mapping := object{"hostPort": 10000 + n, "containerPort": 80, "protocol": "tcp"}
	return plugin("portmap", object{"capabilities": object{"portMappings": true}, "runtimeConfig": object{"portMappings": []any{mapping}}})
}

// portmapAlone does so for a container that nobody has attached, with addresses of both families.
func portmapAlone(s side, n int) object {
	conf := portmap(n)
	conf["prevResult"] = object{
		"cniVersion": "1.0.0", "interfaces": []any{object{"name": "eth0", "sandbox": "/run/netns/" + s.name}},
		"ips": []any{
			object{"interface": 0, "address": fmt.Sprintf("10.96.%d.%d/16", (n+2)/256%256, (n+2)%256)},
			object{"interface": 0, "address": fmt.Sprintf("fd96::%x/64", n+2)},
		},
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
