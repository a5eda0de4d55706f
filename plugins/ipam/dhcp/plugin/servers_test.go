// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
)

// needProgram skips a spec for lack of a server.
func needProgram(name, pkg string) string {
	GinkgoHelper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	Skip(fmt.Sprintf("needs %s (package %s)", name, pkg))
	return ""
}

// dnsmasq starts a server with leases of two minutes, the shortest it knows,
// from 10.77.0.10 to 10.77.0.250.
func (n *lan) dnsmasq(args ...string) process {
	GinkgoHelper()
	args = append([]string{
		"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-dynamic", "--no-ping", "--log-dhcp",
		"--user=root", "--dhcp-leasefile=" + filepath.Join(n.dir, "dnsmasq.leases"), "--pid-file=", "--dhcp-authoritative",
	}, args...)
	if !strings.Contains(strings.Join(args, " "), "--dhcp-range=") {
		args = append(args, "--dhcp-range=10.77.0.10,10.77.0.250,255.255.255.0,120")
	}
	p := start(n.server, needProgram("dnsmasq", "dnsmasq-base"), args...)
	Eventually(p.Err).Should(gbytes.Say("DHCP, "))
	return p
}

// timing is how long the leases of a server last, in seconds.
type timing struct{ t1, t2, lease int64 } // seconds

// kea starts a server with leases from 10.77.0.<first> on.
func (n *lan) kea(first int, t timing) process {
	GinkgoHelper()
	return n.keaWith(first, t, nil)
}

// keaWith is kea with more in its configuration. Times that are 0 are left out.
func (n *lan) keaWith(first int, t timing, more map[string]any) process {
	GinkgoHelper()
	program := needProgram("kea-dhcp4", "kea-dhcp4-server")
	option := func(name, data string) any { return map[string]any{"name": name, "data": data} }
	server := map[string]any{
		"interfaces-config": map[string]any{"interfaces": []any{"eth0"}},
		"lease-database":    map[string]any{"type": "memfile", "persist": false},
		"valid-lifetime":    t.lease, "authoritative": true,
		"subnet4": []any{map[string]any{
			"subnet": "10.77.0.0/24", "pools": []any{map[string]any{"pool": fmt.Sprintf("10.77.0.%d - 10.77.0.%d", first, first+9)}},
			"option-data": []any{option("routers", serverAddress), option("domain-name-servers", serverAddress)},
		}},
		"loggers": []any{map[string]any{"name": "kea-dhcp4", "severity": "INFO", "output_options": []any{map[string]any{"output": "stdout"}}}},
	}
	if t.t1 != 0 {
		server["renew-timer"], server["rebind-timer"] = t.t1, t.t2
	}
	maps.Copy(server, more)
	data, err := json.Marshal(map[string]any{"Dhcp4": server})
	Expect(err).NotTo(HaveOccurred())
	config := filepath.Join(n.dir, "kea.json")
	Expect(os.WriteFile(config, data, 0o644)).To(Succeed())
	cmd := exec.Command(program, "-c", config)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+n.dir, "KEA_LOCKFILE_DIR="+n.dir)
	p := startCommand(n.server, cmd)
	Eventually(p.Out, "60s").Should(gbytes.Say("DHCP4_STARTED")) // emulated, it takes its time
	return p
}

// isc starts ISC's server with leases from 10.77.0.<first> on.
func (n *lan) isc(first, lease int) process {
	GinkgoHelper()
	program := needProgram("dhcpd", "isc-dhcp-server")
	config, leases := filepath.Join(n.dir, "dhcpd.conf"), filepath.Join(n.dir, "dhcpd.leases")
	Expect(os.WriteFile(config, fmt.Appendf(nil, `authoritative; ping-check false; default-lease-time %d; max-lease-time %d; min-lease-time %d;
		subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.%d 10.77.0.%d; option routers 10.77.0.1; }`,
		lease, lease, lease, first, first+9), 0o644)).To(Succeed())
	Expect(os.WriteFile(leases, nil, 0o644)).To(Succeed())
	p := start(n.server, program, "-4", "-f", "-d", "-cf", config, "-lf", leases, "-pf", filepath.Join(n.dir, "dhcpd.pid"), "eth0")
	Eventually(p.Err).Should(gbytes.Say("Server starting service"))
	return p
}

// dnsmasq6 starts a server of both families that announces itself as a router.
func (n *lan) dnsmasq6(addresses string) process {
	GinkgoHelper()
	return n.dnsmasq("--dhcp-range=10.77.0.10,10.77.0.250,255.255.255.0,120",
		"--enable-ra", "--ra-param=eth0,5,1800", "--dhcp-range="+addresses, "--dhcp-option=option6:dns-server,[fd77::53]")
}

// kea6 starts a server of DHCPv6. Nobody announces a router.
func (n *lan) kea6(t timing) process {
	GinkgoHelper()
	program := needProgram("kea-dhcp6", "kea-dhcp6-server")
	Expect(n.server.Do(func(ns.NetNS) error { // it does not try again to use the link-local address
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return link.WaitDAD(context.Background(), l.Attrs().Index)
	})).To(Succeed())
	config := filepath.Join(n.dir, "kea6.json")
	Expect(os.WriteFile(config, fmt.Appendf(nil, `{"Dhcp6": {
		"interfaces-config": {"interfaces": ["eth0"]},
		"lease-database": {"type": "memfile", "persist": false},
		"server-id": {"type": "EN", "enterprise-id": 7, "identifier": "00112233", "persist": false},
		"renew-timer": %d, "rebind-timer": %d, "preferred-lifetime": %d, "valid-lifetime": %d,
		"subnet6": [{"subnet": "fd77::/64", "interface": "eth0", "pools": [{"pool": "fd77::100 - fd77::1ff"}]}],
		"loggers": [{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{"output": "stdout"}]}]}}`,
		t.t1, t.t2, t.lease-1, t.lease), 0o644)).To(Succeed())
	cmd := exec.Command(program, "-c", config)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+n.dir, "KEA_LOCKFILE_DIR="+n.dir)
	p := startCommand(n.server, cmd)
	Eventually(p.Out).Should(gbytes.Say("DHCP6_STARTED"))
	return p
}
