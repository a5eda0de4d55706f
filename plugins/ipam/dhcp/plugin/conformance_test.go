// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	config := func(*conformance.Host) conformance.Object {
		return conformance.Object{"ipam": conformance.Object{"type": "dhcp"}}
	}
	return conformance.Suite{
		Plugin:       Plugin,
		Dir:          "plugins/ipam/dhcp",
		IPAM:         plugin.IsIPAM,
		Chained:      true,
		Enters:       true,
		OneInterface: `looking up "eth1"`, // there is none to ask from
		Typo:         [2]string{"provid", "provide"},
		Config:       config,
		Full: []func(*conformance.Host) conformance.Object{func(h *conformance.Host) conformance.Object {
			full := config(h)
			ipam := full["ipam"].(conformance.Object)
			ipam["provide"] = []any{conformance.Object{"option": "host-name", "value": "x", "fromArg": "K8S_POD_NAME"}}
			ipam["request"] = []any{conformance.Object{"option": "119", "skipDefault": true}}
			ipam["priority"] = 7
			ipam["daemonSocketPath"] = defaultSocketPath
			return full
		}},
		Prepare: serve,
		Breakages: []conformance.Breakage{
			{What: "the address has changed", Want: "which prevResult does not have", Do: func(a conformance.Attachment) error {
				a.Result["ips"].([]any)[0].(conformance.Object)["address"] = "10.77.1.1/16"
				return nil
			}},
		},
	}
}

// socketIn is where plugins find defaultSocketPath.
func socketIn(h *conformance.Host) string { return filepath.Join(h.RunCNI, "dhcp.sock") }

// serve runs a daemon, and a DHCP server beside it, for as long as the host.
func serve(h *conformance.Host) error {
	dir, err := os.MkdirTemp("", "cnitest-dhcp-")
	if err != nil {
		return err
	}
	server := exec.Command("/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--user=root", "--pid-file=",
		"--interface="+conformance.PreviousBridge, "--bind-dynamic", "--dhcp-authoritative", "--log-facility=/dev/null",
		"--dhcp-leasefile="+filepath.Join(dir, "leases"), "--dhcp-range=10.77.200.0,10.77.250.250,255.255.0.0,120", "--dhcp-option=119,example.com")
	daemon := exec.Command(executable, "daemon", "-socketpath", socketIn(h), "-timeout", "5s", "-resendmax", "1s", "-resendtimeout", "10s")
	h.OnClose(func() error {
		for _, cmd := range []*exec.Cmd{daemon, server} {
			if cmd.Process != nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
		return os.RemoveAll(dir)
	})
	if err := errors.Join(server.Start(), daemon.Start()); err != nil {
		return err
	}
	return listening(socketIn(h))
}

// listening waits until a daemon listens.
func listening(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := &Config{IPAM: IPAMConfig{DaemonSocketPath: socket}}
	for {
		_, err := askLimits(ctx, c)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}
