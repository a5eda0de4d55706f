// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/testutils/killpoint"
)

// upstream is the host-local plugin of Debian's containernetworking-plugins.
const upstream = "/usr/lib/cni/host-local"

// executable is the file of a host-local plugin.
type executable string

// buildOurs builds the plugin. Where that is not possible, the test's own
// executable is the plugin, too; it just starts more slowly.
func buildOurs(into string) executable {
	GinkgoHelper()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", into, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if cmd.Run() == nil {
		return executable(into)
	}
	path, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	return executable(path)
}

func (b executable) spec(verb string, a attachment, conf string) killpoint.Spec {
	return killpoint.Spec{
		Path: string(b),
		Env: []string{
			"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + a.id, "CNI_IFNAME=" + a.ifName, "CNI_ARGS=" + a.args,
			"CNI_NETNS=" + cmp.Or(a.netns, "/some/where"), "CNI_PATH=/nowhere",
		},
		Stdin: []byte(conf),
	}
}

func (b executable) command(verb string, a attachment, conf string) *exec.Cmd {
	spec := b.spec(verb, a, conf)
	cmd := exec.Command(spec.Path)
	cmd.Env, cmd.Stdin = spec.Env, bytes.NewReader(spec.Stdin)
	return cmd
}

// run runs a command and returns what it printed.
func (b executable) run(verb string, a attachment, conf string) (string, error) {
	out, err := b.command(verb, a, conf).Output()
	if err != nil {
		err = fmt.Errorf("%s %s of %s: %w: %s", b, verb, a.id, err, out)
	}
	return string(out), err
}

func (b executable) mustRun(verb string, a attachment, conf string) string {
	GinkgoHelper()
	out, err := b.run(verb, a, conf)
	Expect(err).NotTo(HaveOccurred())
	return out
}

// inParallel runs fn with 0 to n-1 at once.
func inParallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer GinkgoRecover()
			fn(i)
		})
	}
	wg.Wait()
}

// leases knows which address belongs to which container.
type leases struct {
	mutex  sync.Mutex
	owners map[string]string
}

func newLeases() *leases { return &leases{owners: map[string]string{}} }

func (l *leases) take(address, id string) {
	GinkgoHelper()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	Expect(l.owners).NotTo(HaveKey(address))
	l.owners[address] = id
}

func (l *leases) drop(id string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for address, owner := range l.owners {
		if owner == id {
			delete(l.owners, address)
		}
	}
}

var _ = Describe("processes", Ordered, ContinueOnFailure, func() {
	var built executable
	ours := func() executable { return built }
	BeforeAll(func() { built = buildOurs(filepath.Join(GinkgoT().TempDir(), "host-local")) })

	var t testStore
	var conf string
	BeforeEach(func() {
		t = testStore{newDirectory(GinkgoT().TempDir(), "net")}
		conf = configOf("1.1.0", t.dataDir, `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"2001:db8::/64"}]]`)
	})

	It("allocate unique addresses, a hundred at once", func() {
		const n = 100
		id := func(i int) attachment { return container(fmt.Sprintf("c%d", i)) }
		live := newLeases()
		inParallel(n, func(i int) {
			for _, address := range addressesOf(parseResult(ours().mustRun("ADD", id(i), conf))) {
				live.take(address, id(i).id)
			}
		})
		Expect(live.owners).To(HaveLen(2 * n))
		Expect(reservationsIn(t.path())).To(HaveLen(2 * n))
		Expect(t.inOrder()).To(BeTrue())
		inParallel(n, func(i int) {
			ours().mustRun("CHECK", id(i), conf)
			ours().mustRun("DEL", id(i), conf)
		})
		Expect(reservationsIn(t.path())).To(BeEmpty())
		Expect(t.inOrder()).To(BeTrue())
	})

	It("survive a storm in which many of them are killed", func() {
		live := newLeases()
		inParallel(8, func(worker int) {
			for i := range 40 {
				a := container(fmt.Sprintf("w%d-%d", worker, i))
				add := ours().command("ADD", a, conf)
				if printed, killed := runOrKill(add, rand.N(20*time.Millisecond)); !killed {
					for _, address := range addressesOf(parseResult(printed)) {
						live.take(address, a.id)
					}
				}
				live.drop(a.id)
				runOrKill(ours().command("DEL", a, conf), rand.N(20*time.Millisecond))
				ours().mustRun("DEL", a, conf)
			}
		})
		Expect(reservationsIn(t.path())).To(BeEmpty())
		ours().mustRun("ADD", container("last"), conf)
		Expect(reservationsIn(t.path())).To(HaveLen(2))
		Expect(t.inOrder()).To(BeTrue())
	})

	// What happens to an attachment whose ADD or DEL is killed is in kill_test.go.
	Describe("killed at any moment", func() {
		victim := container("victim")
		gc := func() string {
			return configOf("1.1.0", t.dataDir, `"subnet":"10.1.0.0/16"`, `"cni.dev/valid-attachments":[{"containerID":"neighbour","ifname":"eth0"}]`)
		}

		// atEveryPoint kills the command at its first, second ... visible call,
		// each time in a new directory, and then looks at what can be done.
		atEveryPoint := func(verb string, prepare, then func()) {
			GinkgoHelper()
			for n := 1; ; n++ {
				t = testStore{newDirectory(GinkgoT().TempDir(), "net")}
				conf = configOf("1.1.0", t.dataDir, `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"2001:db8::/64"}]]`)
				prepare()
				point, output, err := killpoint.KillAt(ours().spec(verb, victim, conf), n, killpoint.KillPlugin)
				Expect(err).NotTo(HaveOccurred())
				if point == (killpoint.Point{}) {
					Expect(output.Status).To(BeZero(), string(output.Stdout))
					Expect(n).To(BeNumerically(">", 5))
					return
				}
				By(point.String())
				then()
			}
		}
		addBoth := func() {
			ours().mustRun("ADD", container("neighbour"), conf)
			ours().mustRun("ADD", victim, conf)
		}

		It("in the first ADD of all: DEL and the next ADD work", func() {
			atEveryPoint("ADD", func() {}, func() {
				ours().mustRun("DEL", victim, conf)
				ours().mustRun("ADD", victim, conf)
				ours().mustRun("CHECK", victim, conf)
				Expect(reservationsIn(t.path())).To(HaveLen(2))
				Expect(t.inOrder()).To(BeTrue())
			})
		})

		It("in GC: the next GC leaves nothing", func() {
			atEveryPoint("GC", func() {
				addBoth()
				conf = gc()
			}, func() {
				ours().mustRun("GC", victim, conf)
				Expect(reservationsIn(t.path())).To(Equal([]string{"10.1.0.2 neighbour\r\neth0", "2001:db8::2 neighbour\r\neth0"}))
				Expect(t.inOrder()).To(BeTrue())
			})
		})

		It("while it reclaims an earlier boot: the next ADD finishes", func() {
			atEveryPoint("ADD", func() {
				addBoth()
				index := newIndex(t.dataDir, t.network)
				now := thisHost().boot()
				Expect(index.setBoot(boot{"an-earlier-one", now.machine})).To(Succeed())
				Expect(index.stamp()).To(Succeed())
			}, func() {
				ours().mustRun("DEL", victim, conf)
				ours().mustRun("ADD", victim, conf)
				Expect(reservationsIn(t.path())).To(And(HaveLen(2), HaveEach(ContainSubstring("victim"))))
				Expect(t.inOrder()).To(BeTrue())
			})
		})
	})

	It("take as long with 10,000 reservations as with 10", func() {
		few, many := t.dataDir+"/few", t.dataDir+"/many"
		for dataDir, n := range map[string]int{few: 10, many: 10_000} {
			for i := range n {
				write(fmt.Sprintf("%064x\r\neth0", i), dataDir, "net", fmt.Sprintf("10.1.%d.%d", 100+i/250, i%250))
			}
			captureStderr(func() { mustAdd(container("first"), configOf("1.1.0", dataDir, `"subnet":"10.1.0.0/16"`)) })
		}
		times := map[string][]time.Duration{}
		for i := range 31 {
			for _, dataDir := range []string{few, many} {
				conf := configOf("1.1.0", dataDir, `"subnet":"10.1.0.0/16"`)
				for _, verb := range []string{"ADD", "CHECK", "DEL"} {
					start := time.Now()
					ours().mustRun(verb, container(fmt.Sprintf("c%d", i)), conf)
					times[verb+dataDir] = append(times[verb+dataDir], time.Since(start))
				}
			}
		}
		for _, verb := range []string{"ADD", "CHECK", "DEL"} {
			withFew, withMany := median(times[verb+few]), median(times[verb+many])
			AddReportEntry(verb, fmt.Sprintf("%v with 10, %v with 10,000", withFew, withMany))
			Expect(float64(withMany)/float64(withFew)).To(BeNumerically("<", 2.5), verb)
		}
	})

	Describe("of another release on the same node", func() {
		BeforeEach(func() {
			if _, err := os.Stat(upstream); err != nil {
				Skip("needs " + upstream + ", from Debian's containernetworking-plugins")
			}
			conf = configOf("1.0.0", t.dataDir, `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"2001:db8::/64"}]]`)
		})

		for name, pair := range map[string][2]func() executable{
			"ours after theirs":  {func() executable { return upstream }, ours},
			"theirs after ours":  {ours, func() executable { return upstream }},
			"ours and ours":      {ours, ours},
			"theirs with theirs": {func() executable { return upstream }, func() executable { return upstream }},
		} {
			It("see and release each other's reservations: "+name, func() {
				first, second := pair[0](), pair[1]()
				Expect(addressesOf(parseResult(first.mustRun("ADD", container("a"), conf)))).To(Equal([]string{"10.1.0.2", "2001:db8::2"}))
				Expect(addressesOf(parseResult(second.mustRun("ADD", container("b"), conf)))).To(Equal([]string{"10.1.0.3", "2001:db8::3"}))
				Expect(addressesOf(parseResult(first.mustRun("ADD", container("c"), conf)))).To(Equal([]string{"10.1.0.4", "2001:db8::4"}))
				for _, id := range []string{"a", "b", "c"} {
					first.mustRun("CHECK", container(id), conf)
					second.mustRun("CHECK", container(id), conf)
				}
				_, err := second.run("ADD", container("a"), conf)
				Expect(err).To(MatchError(ContainSubstring("10.1.0.2 has been allocated to a, duplicate allocation is not allowed")))
				second.mustRun("DEL", container("a"), conf)
				first.mustRun("DEL", container("b"), conf)
				Expect(reservationsIn(t.path())).To(Equal([]string{"10.1.0.4 c\r\neth0", "2001:db8::4 c\r\neth0"}))
				_, err = first.run("CHECK", container("a"), conf)
				Expect(err).To(MatchError(ContainSubstring("host-local: Failed to find address added by container a")))
				Expect(addressesOf(parseResult(second.mustRun("ADD", container("a"), conf)))).To(Equal([]string{"10.1.0.5", "2001:db8::5"}))
				first.mustRun("DEL", container("a"), conf)
				second.mustRun("DEL", container("c"), conf)
				Expect(reservationsIn(t.path())).To(BeEmpty())
			})
		}

		It("write the same files", func() {
			theirs := testStore{newDirectory(GinkgoT().TempDir(), "net")}
			ours().mustRun("ADD", container("a"), conf)
			executable(upstream).mustRun("ADD", container("a"), configOf("1.0.0", theirs.dataDir, `"ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"2001:db8::/64"}]]`))
			Expect(files(t.path())).To(Equal(files(theirs.path())))
		})

		It("share it under load", func() {
			live := newLeases()
			both := []executable{ours(), upstream}
			inParallel(8, func(worker int) {
				for i := range 20 {
					a := container(fmt.Sprintf("w%d-%d", worker, i))
					for _, address := range addressesOf(parseResult(both[(worker+i)%2].mustRun("ADD", a, conf))) {
						live.take(address, a.id)
					}
					both[i%2].mustRun("CHECK", a, conf)
					live.drop(a.id)
					both[i/2%2].mustRun("DEL", a, conf)
				}
			})
			Expect(reservationsIn(t.path())).To(BeEmpty())
		})
	})
})

// runOrKill runs a command and kills it if it takes longer than patience.
func runOrKill(cmd *exec.Cmd, patience time.Duration) (printed string, killed bool) {
	GinkgoHelper()
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	Expect(cmd.Start()).To(Succeed())
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return "", true
	}
	Expect(err).NotTo(HaveOccurred(), stdout.String())
	return stdout.String(), false
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// files returns the content of all files in a directory by name.
func files(dir string) map[string]string {
	GinkgoHelper()
	names, err := readNames(dir)
	Expect(err).NotTo(HaveOccurred())
	content := map[string]string{}
	for _, name := range names {
		content[name] = read(filepath.Join(dir, name))
	}
	return content
}
