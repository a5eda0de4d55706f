// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("a traced program", func() { aTracedProgram(false) })

// As where there can be no filter.
var _ = Describe("a program traced at every call", func() { aTracedProgram(true) })

func aTracedProgram(everyCall bool) {
	p := &tracedProgram{everyCall: everyCall}
	BeforeEach(func() { p.dir = GinkgoT().TempDir() })
	p.runs()
	p.isKilled()
	p.leavesChildren()
}

// tracedProgram is a script that works in a directory.
type tracedProgram struct {
	everyCall bool
	dir       string
}

func (p *tracedProgram) shell(script string) Spec {
	path, err := exec.LookPath("sh")
	Expect(err).NotTo(HaveOccurred())
	return Spec{Path: path, Args: []string{"-c", script}, Dir: p.dir, Env: os.Environ(), everyCall: p.everyCall}
}

// names are those of the files in the directory.
func (p *tracedProgram) names() []string {
	entries, err := os.ReadDir(p.dir)
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (p *tracedProgram) what(points []Point) []string {
	var list []string
	for _, point := range points {
		list = append(list, strings.ReplaceAll(point.What, p.dir+"/", ""))
	}
	return list
}

// steps creates a, then b, then prints.
const steps = "set -C; echo one >a; echo two >b; echo done"

// runs is about a program that is let run.
func (p *tracedProgram) runs() {
	It("is counted call by call, and its output kept", func() {
		points, output, err := Count(p.shell(steps))
		Expect(err).NotTo(HaveOccurred())
		Expect(p.what(points)).To(Equal([]string{"create a", "write a", "create b", "write b", "print the answer", "exit"}))
		Expect(string(output.Stdout)).To(Equal("done\n"))
		Expect(output.Status).To(BeZero())
		Expect(p.names()).To(Equal([]string{"a", "b"}))
	})

	It("stops at visible calls only, if it may have a filter", func() {
		run := newRun(p.shell("read line; cat /proc/self/status"))
		output, err := run.do()
		Expect(err).NotTo(HaveOccurred())
		filtered := runtime.GOARCH == "amd64" && os.Getuid() == 0 && !p.everyCall
		Expect(run.filter).To(Equal(filtered))
		Expect(strings.Contains(string(output.Stdout), "Seccomp:\t2\n")).To(Equal(filtered))
	})

	It("gets its input and may leave it unread", func() {
		cmd := p.shell("read line; echo got $line >&2; exit 3")
		cmd.Stdin = []byte("hello\n" + strings.Repeat("more\n", 100_000))
		_, output, err := Count(cmd)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(output.Stderr)).To(Equal("got hello\n"))
		Expect(output.Status).To(Equal(3))
	})

	It("is followed into the programs it starts", func() {
		points, _, err := Count(p.shell("mkdir d; mv d e; rmdir e"))
		Expect(err).NotTo(HaveOccurred())
		var list []string
		for _, point := range points {
			list = append(list, point.Process+" "+filepath.Base(point.What))
		}
		text := strings.Join(list, "\n")
		for _, call := range []string{"fork", "mkdir", "mkdir d", "mv e", "rmdir e", "exit"} {
			Expect(text).To(ContainSubstring(call))
		}
		Expect(points[0].Delegate).To(BeFalse())
		Expect(points[1].Delegate).To(BeTrue())
		Expect(points[1].Children).To(Equal(1))
	})

	It("has a deadline", func() {
		cmd := p.shell("sleep 60; true")
		cmd.Timeout = 100 * time.Millisecond
		start := time.Now()
		_, output, err := Count(cmd)
		Expect(err).To(MatchError(ContainSubstring("did not end within 100ms")))
		Expect(output.Status).To(Equal(-1))
		Expect(time.Since(start)).To(BeNumerically("<", 5*time.Second))
	})

	It("must exist", func() {
		_, _, err := Count(Spec{Path: filepath.Join(p.dir, "nothing")})
		Expect(err).To(MatchError(os.ErrNotExist))
	})
}

// isKilled is about the one that is killed, and its parent.
func (p *tracedProgram) isKilled() {
	It("is killed before the call has any effect", func() {
		expected := [][]string{{}, {"a"}, {"a"}, {"a", "b"}, {"a", "b"}, {"a", "b"}}
		for n := 1; ; n++ {
			for _, mode := range []Mode{KillPlugin, KillTree} {
				for _, name := range p.names() {
					Expect(os.Remove(filepath.Join(p.dir, name))).To(Succeed())
				}
				point, output, err := KillAt(p.shell(steps), n, mode)
				Expect(err).NotTo(HaveOccurred())
				if point == (Point{}) {
					Expect(n).To(Equal(len(expected) + 1))
					Expect(output.Status).To(BeZero())
					return
				}
				Expect(point.N).To(Equal(n))
				Expect(point.Process).To(Or(Equal("dash"), Equal("bash"), Equal("sh")))
				Expect(output.Status).To(Equal(-1))
				Expect(p.names()).To(ConsistOf(expected[n-1]), "%v", point)
				if n < len(expected) {
					Expect(output.Stdout).To(BeEmpty(), "%v", point)
				} else {
					Expect(string(output.Stdout)).To(Equal("done\n"), "%v", point)
				}
			}
		}
	})

	It("is not disturbed by the death of what it started", func() {
		point, output, err := KillAt(p.shell("mkdir d; echo $?; mkdir e"), 2, KillDelegate)
		Expect(err).NotTo(HaveOccurred())
		Expect(point.Process).To(Equal("mkdir"))
		Expect(point.What).To(Equal("mkdir d"))
		Expect(string(output.Stdout)).To(Equal("137\n"))
		Expect(p.names()).To(Equal([]string{"e"}))
	})
}

// leavesChildren is about those that a killed program has started.
func (p *tracedProgram) leavesChildren() {
	It("takes down with it what asked for that", func() {
		Expect(exec.LookPath("setpriv")).NotTo(BeEmpty())
		cmd := p.shell("setpriv --pdeathsig KILL sh -c 'echo >a; echo >b'; true")
		for n := 1; ; n++ {
			point, _, err := KillAt(cmd, n, KillPlugin)
			if strings.HasPrefix(point.What, "exec") {
				continue // setpriv has not asked yet
			}
			Expect(err).NotTo(HaveOccurred(), "%v", point)
			if strings.HasSuffix(point.What, "create b") {
				Expect(point.Delegate).To(BeTrue())
				Expect(p.names()).To(Equal([]string{"a"}))
				return
			}
			Expect(point.N).To(Equal(n))
		}
	})

	It("takes down with it, one after the other, what asked for that", func() {
		command := "echo >a; echo >b; echo >c"
		for range 3 {
			command = fmt.Sprintf("setpriv --pdeathsig KILL sh -c %q; true", command)
		}
		for n := 1; ; n++ {
			point, _, err := KillAt(p.shell(command), n, KillPlugin)
			if strings.HasPrefix(point.What, "exec") || point.Process == "setpriv" {
				continue // it has not asked yet
			}
			Expect(err).NotTo(HaveOccurred(), "%v", point)
			if strings.HasSuffix(point.What, "create c") {
				Expect(point.Children).To(Equal(3))
				return
			}
			Expect(point.N).To(Equal(n))
		}
	})

	It("is reported when a child goes on without it", func() {
		point, _, err := KillAt(p.shell("sh -c 'echo >a; echo >b'; true"), 4, KillPlugin)
		Expect(point.What).To(HavePrefix("write"))
		var outlived *Outlived
		Expect(errors.As(err, &outlived)).To(BeTrue(), "%v", err)
		Expect(outlived.Killed).To(Equal(point))
		Expect(outlived.What).To(HavePrefix("write"))
		Expect(p.names()).To(Equal([]string{"a"}), "the survivor is killed, too")
	})

	It("is reported when a child just sits there", func() {
		start := time.Now()
		point, _, err := KillAt(p.shell("sleep 60 & sleep 0.1; echo x"), 6, KillPlugin)
		Expect(point.What).To(Equal("print the answer"))
		Expect(err).To(MatchError(And(ContainSubstring("sleep outlived its parent"), ContainSubstring("it did nothing"))))
		Expect(time.Since(start)).To(BeNumerically("<", 2*SurvivalLimit))
	})
}

var _ = DescribeTable("netlink messages that change something",
	func(protocol int, kinds []uint16, expected string) {
		var data []byte
		for _, kind := range kinds {
			data = append(data, 20, 0, 0, 0, byte(kind), byte(kind>>8), 0, 0)
			data = append(data, make([]byte, 12)...)
		}
		Expect(describeNetlink(protocol, data)).To(Equal(expected))
	},
	Entry("a dump of links", unix.NETLINK_ROUTE, []uint16{unix.RTM_GETLINK}, ""),
	Entry("a new link", unix.NETLINK_ROUTE, []uint16{unix.RTM_NEWLINK}, "netlink RTM_NEWLINK"),
	Entry("a route taken away", unix.NETLINK_ROUTE, []uint16{unix.RTM_DELROUTE}, "netlink RTM_DELROUTE"),
	Entry("a question in between", unix.NETLINK_ROUTE, []uint16{unix.RTM_NEWADDR, unix.RTM_GETADDR, unix.RTM_SETLINK}, "netlink RTM_NEWADDR RTM_SETLINK"),
	Entry("the name space id", unix.NETLINK_ROUTE, []uint16{unix.RTM_GETNSID}, ""),
	Entry("an nft transaction", unix.NETLINK_NETFILTER, []uint16{0x10, 0xa00, 0xa06, 0xa06, 0xa0c, 0x11}, "netlink NFT_NEWTABLE NFT_NEWRULE NFT_NEWSETELEM"),
	Entry("an nft listing", unix.NETLINK_NETFILTER, []uint16{0xa01}, ""),
	Entry("the nft generation", unix.NETLINK_NETFILTER, []uint16{0xa10}, ""),
	Entry("a conntrack listing", unix.NETLINK_NETFILTER, []uint16{0x101}, ""),
	Entry("a conntrack flush", unix.NETLINK_NETFILTER, []uint16{0x102}, "netlink netfilter 1.2"),
	Entry("the controller of generic netlink", unix.NETLINK_GENERIC, []uint16{unix.GENL_ID_CTRL}, ""),
	Entry("generic netlink", unix.NETLINK_GENERIC, []uint16{0x15}, "netlink protocol 16 type 21"),
	Entry("sockets", unix.NETLINK_SOCK_DIAG, []uint16{20}, ""),
	Entry("nothing", unix.NETLINK_ROUTE, nil, ""),
)
