// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run runs a command and returns its standard output; it must succeed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := attempt(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// attempt runs a command; the error holds what it printed.
func attempt(name string, args ...string) (string, error) {
	return attemptWith(nil, name, args...)
}

func attemptWith(env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// newNetns makes a named network namespace for the time of the test and returns its path.
func newNetns(t testing.TB, name string) string {
	t.Helper()
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() {
		if out, err := attempt("ip", "netns", "delete", name); err != nil {
			t.Error(out, err)
		}
	})
	return "/run/netns/" + name
}

// addresses lists the addresses of global scope on an interface in a namespace, with their prefix lengths.
func addresses(t testing.TB, netns, ifName string) []netip.Prefix {
	t.Helper()
	var links []struct {
		AddrInfo []struct {
			Local     netip.Addr
			Prefixlen int
			Scope     string
		} `json:"addr_info"`
	}
	out := run(t, "nsenter", "--net="+netns, "ip", "-j", "addr", "show", "dev", ifName)
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		t.Fatalf("ip -j addr: %v\n%s", err, out)
	}
	var found []netip.Prefix
	for _, link := range links {
		for _, addr := range link.AddrInfo {
			if addr.Scope == "global" {
				found = append(found, netip.PrefixFrom(addr.Local, addr.Prefixlen))
			}
		}
	}
	return found
}

// hasInterface says whether the namespace has an interface of the name.
func hasInterface(netns, ifName string) bool {
	_, err := attempt("nsenter", "--net="+netns, "ip", "link", "show", "dev", ifName)
	return err == nil
}

// expectPing sends packets from a namespace until one is answered: the first may meet a port that is still learning.
func expectPing(t testing.TB, netns string, target netip.Addr) {
	t.Helper()
	run(t, "nsenter", "--net="+netns, "ping", "-c", "1", "-w", "5", target.String())
}

// expectGreeting connects to the pause program.
func expectGreeting(t testing.TB, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil || string(text) != "hello" {
		t.Fatalf("%s greets with %q, %v; want hello", address, text, err)
	}
}

// eventually asks until the answer is yes.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 30 s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// leaveNothing compares the host at the end of the test with now. The shared bridges of the test may stay (no single
// container owns them) and are removed here.
func leaveNothing(t testing.TB, bridges ...string) {
	t.Helper()
	before := hostState(t)
	t.Cleanup(func() {
		for _, bridge := range bridges {
			if _, err := attempt("ip", "link", "delete", bridge); err != nil {
				t.Errorf("the bridge of the test: %v", err)
			}
		}
		expectState(t, before)
	})
}

func expectState(t testing.TB, before []string) {
	t.Helper()
	after := hostState(t)
	for _, line := range after {
		if !slices.Contains(before, line) {
			t.Errorf("left behind: %s", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("gone: %s", line)
		}
	}
}

// hostState lists, a line each, what attachments own on the host: links, leases, cached results, rules. The plugins'
// empty base chains and sets are shared and no container's.
func hostState(t testing.TB) []string {
	t.Helper()
	var state []string
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		state = append(state, "link "+link.Name)
	}
	err = filepath.WalkDir("/var/lib/cni", func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && isOwned(entry.Name()) {
			state = append(state, "file "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(state, rules(t)...)
}

// isOwned leaves out what host-local keeps per network.
func isOwned(file string) bool {
	return file != "lock" && file != "boot" && !strings.HasPrefix(file, "last_reserved_ip.")
}

// rules lists the rules, chains and set elements of the host that belong to a container.
func rules(t testing.TB) []string {
	t.Helper()
	var found []string
	signs := []string{"comment", "elements", "owner", "masquerade", "MASQUERADE", "dnat", "snat"}
	table := ""
	for line := range strings.Lines(run(t, "nft", "list", "ruleset")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "table ") {
			table = line
		}
		if strings.Contains(table, " cni_loopback ") {
			continue // what is in there are devices of the host, not of containers
		}
		// Rules that look packets up in sets, or see that others have, are shared; what belongs to a container are the elements of those.
		shared := strings.Contains(line, " @") || strings.HasPrefix(line, "ct status dnat ")
		if !strings.HasPrefix(line, "table ") && !shared && slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(line, sign) }) {
			found = append(found, "nft "+line)
		}
	}
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		for line := range strings.Lines(run(t, save)) {
			if strings.HasPrefix(line, "-A ") {
				found = append(found, save+" "+strings.TrimSpace(line))
			}
		}
	}
	return found
}

// cgroupParent is the control group of all containers.
const cgroupParent = "/cni-e2e"

// expectNoCgroups removes the parent of the containers' control groups, which works only when it is empty. Podman leaves
// one in it for its monitors, which end a little later than the containers.
func expectNoCgroups(t testing.TB) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} { // version 2, version 1
		parents, err := filepath.Glob(pattern + cgroupParent)
		if err != nil {
			t.Fatal(err)
		}
		for _, parent := range parents {
			eventually(t, parent+" is empty", func() bool {
				_ = syscall.Rmdir(filepath.Join(parent, "conmon"))
				return syscall.Rmdir(parent) == nil
			})
		}
	}
}
