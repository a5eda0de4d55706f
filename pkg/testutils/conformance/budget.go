// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/testutils"
)

// budget is how many system calls a plugin may make for each command on a host
// that it has been on before, its IPAM plugin in the same process. Time depends
// on the machine; this does not, and a command that suddenly makes a call for
// each link of the host stands out. Go's runtime is not counted.
type budget struct{ add, check, del, status, gc int }

// budgets are a little above what the plugins need: raise one with a reason.
func budgets() map[string]budget {
	return map[string]budget{
		"bandwidth":   {add: 170, check: 140, del: 120, status: 90, gc: 40},
		"bridge":      {add: 310, check: 195, del: 275, status: 130, gc: 265},
		"dhcp":        {add: 70, check: 60, del: 50, status: 40, gc: 50},
		"dummy":       {add: 170, check: 80, del: 115, status: 40, gc: 65},
		"firewall":    {add: 165, check: 125, del: 125, status: 205, gc: 260},
		"flannel":     {add: 210, check: 170, del: 290, status: 60, gc: 280},
		"host-device": {add: 200, check: 90, del: 200, status: 50, gc: 80},
		"host-local":  {add: 90, check: 50, del: 80, status: 30, gc: 70},
		"ipvlan":      {add: 170, check: 80, del: 115, status: 40, gc: 65},
		"loopback":    {add: 60, check: 50, del: 60, status: 30, gc: 30},
		"macvlan":     {add: 175, check: 85, del: 120, status: 45, gc: 70},
		"portmap":     {add: 225, check: 190, del: 155, status: 205, gc: 125},
		"ptp":         {add: 255, check: 160, del: 240, status: 130, gc: 235},
		"sbr":         {add: 170, check: 60, del: 200, status: 30, gc: 30},
		"static":      {add: 30, check: 30, del: 30, status: 30, gc: 30},
		"tap":         {add: 185, check: 100, del: 150, status: 40, gc: 70},
		"tuning":      {add: 130, check: 60, del: 110, status: 30, gc: 30},
		"vlan":        {add: 175, check: 85, del: 115, status: 40, gc: 65},
		"vrf":         {add: 210, check: 50, del: 185, status: 30, gc: 30},
	}
}

func (b budget) of(verb string) int {
	return map[string]int{"ADD": b.add, "CHECK": b.check, "DEL": b.del, "STATUS": b.status, "GC": b.gc}[verb]
}

// keepsToBudget counts the calls of every command.
func (m *matrix) keepsToBudget() {
	testutils.Need(GinkgoT(), "strace")
	own := m.binaries
	defer func() { m.binaries = own }()
	m.binaries = m.single
	m.host = m.newHost()
	m.warmUp(m.config("1.1.0"))

	limit, known := budgets()[m.suite.Plugin.Name]
	Expect(known).To(BeTrue(), "%s has no budget", m.suite.Plugin.Name)
	c := m.container("c1")
	config := m.config("1.1.0")
	var result Object
	for _, verb := range []string{"ADD", "CHECK", "STATUS", "DEL", "GC"} {
		call := Call{Verb: verb, Container: c, Config: encode(with(config, Object{"prevResult": result}))}
		if verb == "ADD" {
			call.Config = encode(config)
		}
		answer, cost := m.host.count(call)
		Expect(answer.success()).To(Succeed())
		if verb == "ADD" {
			Expect(onlyJSON(answer.Stdout, &result)).To(Succeed())
		}
		AddReportEntry(fmt.Sprintf("%s of %s, %s", verb, m.suite.Plugin.Name, m.suite.Name), cost.String())
		if slices.ContainsFunc(m.suite.Needs, func(need string) bool {
			return strings.Contains(need, "tables-") || strings.HasSuffix(need, "iptables")
		}) {
			Expect(cost.processes).To(BeNumerically("<=", 8), "iptables is other processes: %s", cost)
			continue
		}
		Expect(cost.processes).To(BeZero(), "%s starts processes", verb)
		Expect(cost.total).To(BeNumerically("<=", limit.of(verb)), "%s makes %s", verb, cost)
	}
}

// cost is what a command has cost.
type cost struct {
	total, processes int
	calls            map[string]int
}

func (c cost) String() string {
	var kinds []string
	for name, n := range c.calls {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, name))
	}
	slices.SortFunc(kinds, func(a, b string) int { return len(strings.Fields(b)[0]) - len(strings.Fields(a)[0]) })
	return fmt.Sprintf("%d calls (%s)", c.total, strings.Join(kinds, ", "))
}

// count runs the plugin and counts its system calls.
func (h *Host) count(call Call) (Answer, cost) {
	GinkgoHelper()
	table := filepath.Join(h.dir, "calls")
	call.Under = []string{"strace", "-f", "-c", "-U", "calls,name", "-o", table}
	answer := h.Run(call)
	text, err := os.ReadFile(table)
	Expect(err).NotTo(HaveOccurred())
	return answer, readCost(string(text))
}

// readCost reads strace's table: a number of calls and a name in each line.
func readCost(table string) cost {
	c := cost{calls: map[string]int{}, processes: -1} // the plugin itself is one
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		if strings.HasPrefix(fields[1], "execve") {
			c.processes += n
		}
		if !ofRuntime(fields[1]) {
			c.calls[fields[1]] = n
			c.total += n
		}
	}
	return c
}

// ofRuntime tells whether a call is made for Go's own purposes: how often
// depends on the scheduler. (The clock is a call where the machine's can only be
// read by the kernel, as an emulated one's.)
func ofRuntime(name string) bool {
	return slices.Contains([]string{
		"arch_prctl", "clock_gettime", "clone", "clone3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "exit_group", "fcntl", "futex", "getpid", "gettid",
		"madvise", "mmap", "munmap", "nanosleep", "prctl", "prlimit64", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
		"sched_getaffinity", "sched_yield", "sigaltstack", "tgkill", "timer_create", "timer_delete", "timer_settime", "restart_syscall", "set_robust_list", "rseq",
	}, name)
}
