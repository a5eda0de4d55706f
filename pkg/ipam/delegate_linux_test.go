// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/undo"
)

const goodAnswer = `{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24","gateway":"10.1.2.1"}],"routes":[{"dst":"0.0.0.0/0"}]}`

// reaction is what fakeipam does when it is called with a command.
type reaction struct {
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
	Exit   int    `json:"exit,omitempty"`
	Hang   bool   `json:"hang,omitempty"`
}

var _ = Describe("delegation", func() {
	var records string

	BeforeEach(func() {
		records = GinkgoT().TempDir()
		GinkgoT().Setenv("CNI_PATH", fakeDir)
		GinkgoT().Setenv("CNI_COMMAND", "ADD")
		GinkgoT().Setenv("CNI_CONTAINERID", "container")
		GinkgoT().Setenv("CNI_IFNAME", "eth0")
		GinkgoT().Setenv("CNI_ARGS", "A=b=c;IgnoreUnknown=1")
	})

	// netconf configures fakeipam to react to commands in the given ways.
	netconf := func(commands map[string]reaction) []byte {
		GinkgoHelper()
		text, err := json.Marshal(map[string]any{
			"cniVersion": "1.1.0", "name": "net", "type": "test",
			"ipam": map[string]any{"type": "fakeipam", "records": records, "commands": commands},
		})
		Expect(err).NotTo(HaveOccurred())
		return text
	}
	onAdd := func(r reaction) []byte { return netconf(map[string]reaction{"ADD": r}) }
	record := func(name string) string {
		GinkgoHelper()
		text, err := os.ReadFile(filepath.Join(records, name))
		Expect(err).NotTo(HaveOccurred())
		return string(text)
	}
	called := func(command string) bool {
		_, err := os.Stat(filepath.Join(records, command+".pid"))
		return err == nil
	}

	Describe("of a command", func() {
		DescribeTable("hands over everything as it is",
			func(command string, call func(stdin []byte) error) {
				GinkgoT().Setenv("CNI_COMMAND", "SOMETHING")
				GinkgoT().Setenv("ODD", " with = and \n")
				stdin := onAdd(reaction{Stdout: goodAnswer})
				stdin = append([]byte("\n  \t"), append(stdin, " \n\n"...)...)
				Expect(call(stdin)).To(Succeed())
				Expect(record(command + ".stdin")).To(Equal(string(stdin)))

				environment := strings.Split(strings.TrimSuffix(record(command+".env"), "\x00"), "\x00")
				own := os.Environ()
				own[slices.Index(own, "CNI_COMMAND=SOMETHING")] = "CNI_COMMAND=" + command
				Expect(environment).To(ConsistOf(own))
			},
			Entry("ADD", "ADD", func(stdin []byte) error {
				_, err := ipam.ExecAdd("fakeipam", stdin)
				return err
			}),
			Entry("CHECK", "CHECK", func(stdin []byte) error { return ipam.ExecCheck("fakeipam", stdin) }),
			Entry("DEL", "DEL", func(stdin []byte) error { return ipam.ExecDel("fakeipam", stdin) }),
			Entry("STATUS", "STATUS", func(stdin []byte) error { return ipam.ExecStatus("fakeipam", stdin) }),
			Entry("GC", "GC", func(stdin []byte) error { return ipam.ExecGC("fakeipam", stdin) }),
		)

		It("returns the result", func() {
			result, err := ipam.ExecAdd("fakeipam", onAdd(reaction{Stdout: goodAnswer}))
			Expect(err).NotTo(HaveOccurred())
			Expect(json.Marshal(result)).To(MatchJSON(goodAnswer))
		})

		It("takes a result without a version for one of the configuration's", func() {
			answer := `{"ips":[{"address":"2001:db8::3/64"}]}`
			result, err := ipam.ExecAdd("fakeipam", onAdd(reaction{Stdout: answer}))
			Expect(err).NotTo(HaveOccurred())
			Expect(result.Version()).To(Equal("1.1.0"))
			Expect(result.(*current.Result).IPs).To(HaveLen(1))
		})

		It("does not mind what other commands than ADD print", func() {
			stdin := netconf(map[string]reaction{"DEL": {Stdout: "released\n"}})
			Expect(ipam.ExecDel("fakeipam", stdin)).To(Succeed())
		})

		It("passes on what a successful delegate says on stderr", func() {
			said := capturingStderr(func() {
				_, err := ipam.ExecAdd("fakeipam", onAdd(reaction{Stdout: goodAnswer, Stderr: "a note\n"}))
				Expect(err).NotTo(HaveOccurred())
			})
			Expect(said).To(Equal("a note\n"))
		})
	})

	Describe("that fails", func() {
		fail := func(r reaction) error {
			GinkgoHelper()
			_, err := ipam.ExecAdd("fakeipam", onAdd(r))
			Expect(err).To(HaveOccurred())
			return err
		}

		It("keeps the delegate's code, message and details", func() {
			err := fail(reaction{Exit: 1, Stdout: `{"cniVersion":"1.1.0","code":11,"msg":"try again later","details":"pool is empty"}`})
			var reported *types.Error
			Expect(errors.As(err, &reported)).To(BeTrue())
			Expect(*reported).To(Equal(types.Error{Code: 11, Msg: "try again later", Details: "pool is empty"}))
		})

		It("keeps them for every command", func() {
			stdin := netconf(map[string]reaction{"STATUS": {Exit: 1, Stdout: `{"code":50,"msg":"not now"}`}})
			var reported *types.Error
			Expect(errors.As(ipam.ExecStatus("fakeipam", stdin), &reported)).To(BeTrue())
			Expect(reported.Code).To(BeEquivalentTo(50))
		})

		It("passes on what the delegate says on stderr, however it ends", func() {
			for _, r := range []reaction{
				{Exit: 1, Stderr: "a note\n", Stdout: `{"code":11,"msg":"busy"}`},
				{Exit: 1, Stderr: "a note\n", Stdout: "rubbish"},
				{Exit: 1, Stderr: "a note\n"},
			} {
				Expect(capturingStderr(func() { fail(r) })).To(Equal("a note\n"))
			}
		})

		It("keeps a code that comes without a message", func() {
			var reported *types.Error
			Expect(errors.As(fail(reaction{Exit: 1, Stdout: `{"code":11}`}), &reported)).To(BeTrue())
			Expect(reported.Code).To(BeEquivalentTo(11))
		})

		It("returns an error of the protocol in any case, which callers assert", func() {
			for _, r := range []reaction{{Exit: 1, Stdout: "rubbish"}, {Exit: 1, Stderr: "a note\n"}, {Exit: 1}} {
				reported, ok := fail(r).(*types.Error)
				Expect(ok).To(BeTrue())
				Expect(reported.Code).To(Equal(types.ErrUnknown))
			}
		})

		It("shows what is no CNI error", func() {
			Expect(fail(reaction{Exit: 3, Stdout: "out of memory"})).To(MatchError(And(
				ContainSubstring("fakeipam"), ContainSubstring("exit status 3"), ContainSubstring("out of memory"))))
			Expect(fail(reaction{Exit: 1, Stdout: `{"some":"thing"}`})).To(MatchError(ContainSubstring("some")))
		})

		It("shows stderr when there is nothing else", func() {
			Expect(fail(reaction{Exit: 2, Stderr: "cannot open the pool"})).To(MatchError(And(
				ContainSubstring("fakeipam"), ContainSubstring("exit status 2"), ContainSubstring("cannot open the pool"))))
		})

		It("says that there is nothing at all", func() {
			Expect(fail(reaction{Exit: 4})).To(MatchError(And(
				ContainSubstring("fakeipam"), ContainSubstring("exit status 4"))))
		})

		DescribeTable("because of its answer",
			func(answer string, wanted ...string) {
				err := fail(reaction{Stdout: answer})
				for _, text := range append(wanted, "fakeipam") {
					Expect(err).To(MatchError(ContainSubstring(text)))
				}
			},
			Entry("nothing", ""),
			Entry("no JSON", "all went well"),
			Entry("half of a result", `{"cniVersion":"1.1.0","ips":[`),
			Entry("a null address", `{"cniVersion":"1.1.0","ips":[null]}`, "ips[0]"),
			Entry("a null interface", `{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"},null],"ips":[]}`, "interfaces[1]"),
			Entry("a null route", `{"cniVersion":"1.1.0","routes":[null]}`, "routes[0]"),
			Entry("a null route of an old version", `{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/8","routes":[null]}}`, "ip4.routes[0]"),
			Entry("an unknown version", `{"cniVersion":"99.0.0"}`, "99.0.0"),
		)
	})

	Describe("to a script", func() {
		install := func(script string) {
			GinkgoHelper()
			dir := GinkgoT().TempDir()
			GinkgoT().Setenv("CNI_PATH", dir)
			Expect(os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\n"+script), 0o755)).To(Succeed())
		}
		// say runs ADD of a script and returns what it said on standard error.
		say := func(script string) (said string) {
			GinkgoHelper()
			install(script)
			return capturingStderr(func() {
				result, err := ipam.ExecAdd("script", []byte("the configuration"))
				Expect(err).NotTo(HaveOccurred())
				Expect(result.(*current.Result).IPs).To(HaveLen(1))
			})
		}

		It("loses nothing of what it writes to /dev/stdout and /dev/stderr", func() {
			said := say(`echo one >/dev/stderr; echo two >&2; cat /dev/stdin >/dev/stderr
				echo '{"cniVersion":"1.0.0",'; echo '"ips":[{"address":"10.5.0.2/24"}]' >/dev/stdout; echo '}'`)
			Expect(said).To(Equal("one\ntwo\nthe configuration"))
		})

		It("does not wait for what it leaves behind", func() {
			began := time.Now()
			said := say(`sleep 30 & echo $! >&2; echo '` + goodAnswer + `'`)
			Expect(time.Since(began)).To(BeNumerically("<", 20*time.Second))
			pid, err := strconv.Atoi(strings.TrimSpace(said))
			Expect(err).NotTo(HaveOccurred())
			Expect(unix.Kill(pid, unix.SIGKILL)).To(Succeed())
		})

		It("waits for it when it has closed its outputs", func() {
			install(`echo '` + goodAnswer + `'; exec >/dev/null 2>&1; exit 3`)
			_, err := ipam.ExecAdd("script", []byte("the configuration"))
			Expect(err).To(MatchError(ContainSubstring("script ended with exit status 3")))
		})
	})

	It("copes with a megabyte in each direction", func() {
		padding := strings.Repeat("x", 1<<20)
		answer := strings.TrimSuffix(goodAnswer, "}") + `,"dns":{"domain":"` + padding + `"}}`
		said := capturingStderr(func() {
			result, err := ipam.ExecAdd("fakeipam", onAdd(reaction{Stdout: answer, Stderr: padding}))
			Expect(err).NotTo(HaveOccurred())
			Expect(result.(*current.Result).DNS.Domain).To(Equal(padding))
		})
		Expect(said).To(Equal(padding))
	})

	Describe("to a program", func() {
		It("that is missing names the directories", func() {
			GinkgoT().Setenv("CNI_PATH", "/nowhere/one:/nowhere/two")
			Expect(ipam.ExecDel("fakeipam", netconf(nil))).To(MatchError(And(
				ContainSubstring("fakeipam"), ContainSubstring("/nowhere/one"), ContainSubstring("/nowhere/two"))))
		})

		It("without a directory says which variable to set", func() {
			GinkgoT().Setenv("CNI_PATH", "")
			Expect(ipam.ExecDel("fakeipam", netconf(nil))).To(MatchError(And(
				ContainSubstring("fakeipam"), ContainSubstring("CNI_PATH"))))
		})

		DescribeTable("with no proper name is refused",
			func(name string) { Expect(ipam.ExecDel(name, netconf(nil))).To(MatchError(ContainSubstring("name"))) },
			Entry("none", ""),
			Entry("a path", "../fakeipam"),
		)

		It("that cannot be executed says so", func() {
			dir := GinkgoT().TempDir()
			Expect(os.WriteFile(filepath.Join(dir, "fakeipam"), []byte("no program"), 0o755)).To(Succeed())
			GinkgoT().Setenv("CNI_PATH", dir)
			Expect(ipam.ExecDel("fakeipam", netconf(nil))).To(MatchError(unix.ENOEXEC))
		})

		Context("that is being replaced", func() {
			var beingWritten *os.File

			BeforeEach(func() {
				dir := GinkgoT().TempDir()
				GinkgoT().Setenv("CNI_PATH", dir)
				program, err := os.ReadFile(filepath.Join(fakeDir, "fakeipam"))
				Expect(err).NotTo(HaveOccurred())
				path := filepath.Join(dir, "fakeipam")
				Expect(os.WriteFile(path, program, 0o755)).To(Succeed())
				beingWritten, err = os.OpenFile(path, os.O_WRONLY, 0)
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(func() { beingWritten.Close() })
				if err := exec.Command(path).Run(); !errors.Is(err, unix.ETXTBSY) {
					Skip("this kernel executes files that are open for writing")
				}
			})

			It("waits a moment", func() {
				time.AfterFunc(50*time.Millisecond, func() { beingWritten.Close() })
				Expect(ipam.ExecDel("fakeipam", netconf(nil))).To(Succeed())
				Expect(called("DEL")).To(BeTrue())
			})

			It("does not wait forever", func() {
				Expect(ipam.ExecDel("fakeipam", netconf(nil))).To(MatchError(unix.ETXTBSY))
			})

			It("does not wait longer than its caller", func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				Expect(ipam.NewDelegate("fakeipam", netconf(nil)).Del(ctx)).To(MatchError(context.DeadlineExceeded))
			})
		})
	})

	Describe("ends with", func() {
		hangs := func() []byte { return onAdd(reaction{Hang: true}) }

		It("its caller", func() {
			var errText bytes.Buffer
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), parentVariable+"=1")
			parent.Stdin = bytes.NewReader(hangs())
			parent.Stderr = &errText
			Expect(parent.Start()).To(Succeed())
			DeferCleanup(func() { _ = parent.Process.Kill() })
			Eventually(called).WithArguments("ADD").WithTimeout(10 * time.Second).Should(BeTrue())
			delegate := record("ADD.pid")
			Expect(isRunning(delegate)).To(BeTrue())

			Expect(parent.Process.Kill()).To(Succeed())
			_ = parent.Wait() // says that it was killed
			Eventually(isRunning).WithArguments(delegate).Should(BeFalse())
			Expect(errText.String()).To(BeEmpty())
		})

		It("its context", func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				for !called("ADD") {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			_, err := ipam.NewDelegate("fakeipam", hangs()).Add(ctx, &undo.Stack{})
			Expect(err).To(And(MatchError(context.Canceled), MatchError(ContainSubstring("fakeipam"))))
			Expect(isRunning(record("ADD.pid"))).To(BeFalse())
		})
	})

	Describe("with a Delegate", func() {
		ctx := context.Background()

		It("returns the result and releases it when undone", func() {
			var stack undo.Stack
			result, err := ipam.NewDelegate("fakeipam", onAdd(reaction{Stdout: goodAnswer})).Add(ctx, &stack)
			Expect(err).NotTo(HaveOccurred())
			Expect(result.IPs).To(HaveLen(1))
			Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.3/24"))
			Expect(called("DEL")).To(BeFalse())
			Expect(stack.Unwind()).To(Succeed())
			Expect(called("DEL")).To(BeTrue())
		})

		It("understands an old result", func() {
			answer := `{"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1"}}`
			result, err := ipam.NewDelegate("fakeipam", onAdd(reaction{Stdout: answer})).Add(ctx, &undo.Stack{})
			Expect(err).NotTo(HaveOccurred())
			Expect(result.IPs[0].Gateway.String()).To(Equal("10.1.2.1"))
		})

		DescribeTable("releases what it may have reserved after",
			func(r reaction, wanted string) {
				var stack undo.Stack
				_, err := ipam.NewDelegate("fakeipam", onAdd(r)).Add(ctx, &stack)
				Expect(err).To(MatchError(ContainSubstring(wanted)))
				Expect(stack.Unwind()).To(Succeed())
				Expect(called("DEL")).To(BeTrue())
			},
			Entry("a failure", reaction{Exit: 1, Stdout: `{"code":11,"msg":"busy"}`}, "busy"),
			Entry("an answer without addresses", reaction{Stdout: `{"cniVersion":"1.1.0"}`}, "no address"),
			Entry("no answer", reaction{}, "fakeipam"),
			Entry("a null answer", reaction{Stdout: "null"}, "is null"),
			Entry("a null address", reaction{Stdout: `{"cniVersion":"1.1.0","ips":[null]}`}, "ips[0]"),
			Entry("an entry without address", reaction{Stdout: `{"cniVersion":"1.1.0","ips":[{"gateway":"10.1.2.1"}]}`}, "ips[0].address"),
		)

		DescribeTable("releases nothing that another ADD has reserved, if it knows",
			func(name string, r reaction, released bool) {
				dir := GinkgoT().TempDir()
				Expect(os.Symlink(filepath.Join(fakeDir, "fakeipam"), filepath.Join(dir, name))).To(Succeed())
				GinkgoT().Setenv("CNI_PATH", dir)
				var stack undo.Stack
				_, err := ipam.NewDelegate(name, onAdd(r)).Add(ctx, &stack)
				Expect(err).To(HaveOccurred())
				Expect(stack.Unwind()).To(Succeed())
				Expect(called("DEL")).To(Equal(released))
			},
			Entry("host-local says so", "host-local", reaction{Exit: 1, Stdout: `{"code":117,"msg":"there is one"}`}, false),
			Entry("host-local says anything else", "host-local", reaction{Exit: 1, Stdout: `{"code":999,"msg":"not available"}`}, false),
			Entry("host-local dies", "host-local", reaction{Exit: 2, Stderr: "out of memory"}, true),
			Entry("host-local talks nonsense", "host-local", reaction{Exit: 1, Stdout: "out of memory"}, true),
			Entry("host-local answers with what is no result", "host-local", reaction{Stdout: `{"cniVersion":"1.1.0","ips":[null]}`}, true),
			Entry("another plugin means something else", "another", reaction{Exit: 1, Stdout: `{"code":117,"msg":"there is one"}`}, true),
		)

		It("releases nothing that another ADD has reserved when host-local is called in this process", func() {
			dir := GinkgoT().TempDir()
			Expect(os.WriteFile(filepath.Join(dir, "host-local"), nil, 0o755)).To(Succeed())
			GinkgoT().Setenv("CNI_PATH", dir)
			var calls []string
			linked := func(string) ipam.InProcess {
				return func(_ context.Context, verb string, _ []byte, _ *ipam.Answer) error {
					calls = append(calls, verb)
					return fmt.Errorf("wrapped: %w", types.NewError(types.ErrInternal, "not available", ""))
				}
			}
			var stack undo.Stack
			_, err := ipam.NewDelegate("host-local", nil).Add(ipam.WithLinked(ctx, linked), &stack)
			Expect(err).To(MatchError(ContainSubstring("not available")))
			Expect(stack.Unwind()).To(Succeed())
			Expect(calls).To(Equal([]string{"ADD"}))
		})

		It("has nothing to release when there is no such plugin", func() {
			var stack undo.Stack
			_, err := ipam.NewDelegate("nosuchipam", onAdd(reaction{})).Add(ctx, &stack)
			Expect(err).To(MatchError(And(ContainSubstring("nosuchipam"), ContainSubstring(fakeDir))))
			Expect(stack).To(BeZero())
		})

		It("releases it even though the caller has given up", func() {
			ctx, cancel := context.WithCancel(context.Background())
			var stack undo.Stack
			_, err := ipam.NewDelegate("fakeipam", onAdd(reaction{Stdout: goodAnswer})).Add(ctx, &stack)
			Expect(err).NotTo(HaveOccurred())
			cancel()
			Expect(stack.Unwind()).To(Succeed())
			Expect(called("DEL")).To(BeTrue())
		})

		It("reports that the release failed", func() {
			stdin := netconf(map[string]reaction{"ADD": {Exit: 1, Stderr: "no"}, "DEL": {Exit: 1, Stderr: "still in use"}})
			var stack undo.Stack
			_, err := ipam.NewDelegate("fakeipam", stdin).Add(ctx, &stack)
			Expect(err).To(HaveOccurred())
			Expect(stack.Unwind()).To(MatchError(ContainSubstring("still in use")))
		})

		It("forwards the other commands", func() {
			delegate := ipam.NewDelegate("fakeipam", netconf(nil))
			Expect(delegate.Configured()).To(BeTrue())
			Expect(delegate.Check(ctx)).To(Succeed())
			Expect(delegate.Del(ctx)).To(Succeed())
			Expect(delegate.Status(ctx)).To(Succeed())
			Expect(delegate.GC(ctx)).To(Succeed())
			for _, command := range []string{"CHECK", "DEL", "STATUS", "GC"} {
				Expect(called(command)).To(BeTrue(), command)
			}
		})

		It("takes any answer of a plugin that makes the interface", func() {
			delegate := ipam.NewDelegate("fakeipam", onAdd(reaction{Stdout: `{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"}]}`}))
			result, err := delegate.Attach(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(result.Interfaces).To(HaveLen(1))
			_, err = ipam.NewDelegate("fakeipam", onAdd(reaction{Exit: 1, Stdout: `{"code":11,"msg":"busy"}`})).Attach(ctx)
			Expect(err).To(MatchError(ContainSubstring("busy")))
			Expect(called("DEL")).To(BeFalse(), "that is up to the caller")
			missing := ipam.NewDelegate("nosuchplugin", nil)
			_, err = missing.Attach(ctx)
			Expect(err).To(MatchError(ContainSubstring("nosuchplugin")))
			Expect(missing.DelFor(ctx, "c", "i")).To(MatchError(ContainSubstring("nosuchplugin")))
		})

		It("detaches others than the one that was called for", func() {
			delegate := ipam.NewDelegate("fakeipam", netconf(nil))
			Expect(delegate.DelFor(ctx, "stale", "net1")).To(Succeed())
			env := strings.Split(record("DEL.env"), "\x00")
			Expect(env).To(ContainElements("CNI_COMMAND=DEL", "CNI_CONTAINERID=stale", "CNI_IFNAME=net1", "CNI_NETNS=", "CNI_ARGS=", "CNI_PATH="+fakeDir))
		})

		It("does nothing without a plugin", func() {
			var none ipam.Delegate
			var stack undo.Stack
			Expect(none.Configured()).To(BeFalse())
			result, err := none.Add(ctx, &stack)
			Expect(err).NotTo(HaveOccurred())
			Expect(result.IPs).To(BeEmpty())
			Expect(stack).To(BeZero())
			for _, verb := range []func(context.Context) error{none.Check, none.Del, none.Status, none.GC} {
				Expect(verb(ctx)).To(Succeed())
			}
		})
	})
})

// isRunning tells whether a process exists and has not ended; nobody may have
// collected it yet.
func isRunning(pid string) bool {
	GinkgoHelper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false
	}
	Expect(err).NotTo(HaveOccurred())
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return state[0] != 'Z' && state[0] != 'X'
}

// capturingStderr returns what is written to os.Stderr while f runs.
func capturingStderr(f func()) string {
	GinkgoHelper()
	file, err := os.Create(filepath.Join(GinkgoT().TempDir(), "stderr"))
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	before := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = before }()
	f()
	text, err := os.ReadFile(file.Name())
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}
