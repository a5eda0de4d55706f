// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("a range that is full", func() {
	var dataDir, conf string // 10.1.2.2 and 10.1.2.3
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
		dataDir = GinkgoT().TempDir()
		conf = configOf("1.1.0", dataDir, `"subnet":"10.1.2.0/29","rangeEnd":"10.1.2.3"`)
	})

	fill := func() (a, b attachment) {
		GinkgoHelper()
		a, b = alive("a"), alive("b")
		Expect(addressesOf(mustAdd(a, conf))).To(Equal([]string{"10.1.2.2"}))
		Expect(addressesOf(mustAdd(b, conf))).To(Equal([]string{"10.1.2.3"}))
		return a, b
	}
	expectFull := func() {
		GinkgoHelper()
		_, err := addTo(container("another"), conf)
		Expect(err).To(MatchError(ContainSubstring("no IP addresses available in range set: 10.1.2.1-10.1.2.3")))
		Expect(code(err)).To(Equal(uint(11)))
		_, err = call("STATUS", attachment{}, conf)
		Expect(code(err)).To(Equal(uint(50)))
	}
	expectReclaimed := func(address string) {
		GinkgoHelper()
		Expect(addressesOf(mustAdd(container("new"), conf))).To(Equal([]string{address}))
	}

	It("has the address of a container whose network namespace is gone", func() {
		a, b := fill()
		expectFull()
		start("sh", "-c", "true & exec sleep 100") // leaves a zombie, which is in no namespace
		forget(a.netns)
		said := captureStderr(func() { expectReclaimed("10.1.2.2") })
		Expect(said).To(Equal("host-local: network net: freed 10.1.2.2, which interface eth0 of container a had: there is no network namespace of it any more\n"))
		Expect(reservationsIn(filepath.Join(dataDir, "net"))).To(Equal([]string{"10.1.2.2 new\r\neth0", "10.1.2.3 b\r\neth0"}))
		expectFull()
		Expect(call("DEL", a, conf)).To(BeEmpty())
		Expect(call("DEL", b, conf)).To(BeEmpty())
		Expect(reservationsIn(filepath.Join(dataDir, "net"))).To(Equal([]string{"10.1.2.2 new\r\neth0"}))
	})

	It("has the address of one whose network namespace's number another has by now", func() {
		testutils.Need(GinkgoT(), "namespace-ids")
		a, _ := fill()
		index, owner := newIndex(dataDir, "net"), ownerOf(a.id, a.ifName)
		home, _ := index.home(owner)
		netns := netnsIn(home, thisHost().runningID())
		Expect(netns.Unique).NotTo(BeZero())
		netns.Unique++
		_, bootID, _ := strings.Cut(home, "@")
		Expect(index.set(owner, []string{"10.1.2.2"}, netns.String()+"@"+bootID)).To(Succeed())
		Expect(index.stamp()).To(Succeed())
		expectReclaimed("10.1.2.2")
	})

	It("leaves such a container alone as long as there is another address", func() {
		a := alive("a")
		mustAdd(a, conf)
		forget(a.netns)
		expectReclaimed("10.1.2.3")
		Expect(reservationsIn(filepath.Join(dataDir, "net"))).To(ContainElement("10.1.2.2 a\r\neth0"))
	})

	It("has the one that is asked for", func() {
		_, b := fill()
		forget(b.netns)
		Expect(addressesOf(mustAdd(attachment{id: "new", ifName: "eth0", args: "IP=10.1.2.3"}, conf))).To(Equal([]string{"10.1.2.3"}))
	})

	It("is not full to STATUS", func() {
		a, _ := fill()
		forget(a.netns)
		Expect(call("STATUS", attachment{}, conf)).To(BeEmpty())
		expectReclaimed("10.1.2.2")
	})

	It("has all addresses of such a container", func() {
		conf = configOf("1.1.0", dataDir, `"ranges":[[{"subnet":"10.1.2.0/29","rangeEnd":"10.1.2.3"}],[{"subnet":"fd00::/64"}]]`)
		a, b := alive("a"), alive("b")
		mustAdd(a, conf)
		mustAdd(b, conf)
		forget(a.netns)
		Expect(addressesOf(mustAdd(container("new"), conf))).To(Equal([]string{"10.1.2.2", "fd00::4"}))
		Expect(reservationsIn(filepath.Join(dataDir, "net"))).To(ConsistOf(
			"10.1.2.2 new\r\neth0", "10.1.2.3 b\r\neth0", "fd00::3 b\r\neth0", "fd00::4 new\r\neth0"))
	})

	It("keeps what is known when the index is made anew", func() {
		a, _ := fill()
		write("somebody\r\neth0", dataDir, "net", "10.9.9.9")
		forget(a.netns)
		expectReclaimed("10.1.2.2")
	})

	// keepers are what may keep a network namespace; each returns how to let go of it.
	keepers := map[string]func(netns string) (drop func()){
		"a process": func(netns string) func() { return start("nsenter", "--net="+netns, "sleep", "100") },
		"a mount elsewhere": func(netns string) func() {
			kept := filepath.Join(GinkgoT().TempDir(), "kept")
			write("", kept)
			return start("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount --bind "+netns+" "+kept+" && exec sleep 100")
		},
		"a thread": keepInThread,
		"a descriptor": func(netns string) func() {
			file, err := os.Open(netns)
			Expect(err).NotTo(HaveOccurred())
			return func() { Expect(file.Close()).To(Succeed()) }
		},
	}

	DescribeTable("leaves a container alone whose network namespace is kept",
		func(by string) {
			a, _ := fill()
			drop := keepers[by](a.netns)
			forget(a.netns)
			expectFull()
			drop()
			expectReclaimed("10.1.2.2")
		},
		Entry(nil, "a process"), Entry(nil, "a mount elsewhere"), Entry(nil, "a thread"), Entry(nil, "a descriptor"),
	)

	It("never has the address of a container that lives, whatever keeps it", func() {
		conf = configOf("1.1.0", dataDir, `"subnet":"10.1.2.0/28","rangeEnd":"10.1.2.11"`)
		ours, live := buildOurs(filepath.Join(dataDir, "host-local")), newLeases()
		const workers = 4 // each has two containers at most, and there are ten addresses
		inParallel(workers, func(worker int) {
			drop := func() {}
			for i := range 20 {
				a := alive(fmt.Sprintf("c%d-%d", worker, i))
				release := keepers[slices.Sorted(maps.Keys(keepers))[(worker+i)%len(keepers)]](a.netns)
				result := parseResult(ours.mustRun("ADD", a, conf))
				live.take(addressesOf(result)[0], a.id)
				forget(a.netns)
				drop() // the one before, which nothing but its keeper has kept meanwhile
				drop = func() {
					live.drop(a.id)
					release()
				}
			}
			drop()
		})
	})

	DescribeTable("leaves a container alone of which it is not sure",
		func(change func(a attachment)) {
			a, _ := fill()
			change(a)
			forget(a.netns)
			expectFull()
		},
		Entry("since another program has reserved the address again", func(attachment) {
			file := filepath.Join(dataDir, "net", "10.1.2.2")
			Expect(os.Remove(file)).To(Succeed())
			write("a\r\neth0", file)
			age(-time.Second, file) // file systems tell the time in steps
		}),
		Entry("since it is on another machine", func(a attachment) {
			index, owner := newIndex(dataDir, "net"), ownerOf(a.id, a.ifName)
			home, _ := index.home(owner)
			elsewhere := strings.Replace(home, thisHost().runningID(), "d0ff6f5c-1111-4222-8333-444455556666", 1)
			Expect(elsewhere).NotTo(Equal(home))
			Expect(index.set(owner, []string{"10.1.2.2"}, elsewhere)).To(Succeed())
			Expect(index.stamp()).To(Succeed())
		}),
		Entry("since ports of the host lead to it", func(a attachment) {
			req := &plugin.Request{Network: "net", ContainerID: a.id, IfName: a.ifName}
			mappings, err := intent.New(req, "ports")
			Expect(err).NotTo(HaveOccurred())
			store := intent.Of("portmap")
			Expect(store.Put(mappings)).To(Succeed())
			DeferCleanup(func() { Expect(store.Delete(mappings.Owner())).To(Succeed()) })
		}),
		Entry("since its link is there, with a namespace that a socket keeps", keepBySocket),
		Entry("since the index is gone", func(attachment) { Expect(os.RemoveAll(filepath.Join(dataDir, indexName))).To(Succeed()) }),
		Entry("since it never had a namespace that is one", func(a attachment) {
			Expect(call("DEL", a, conf)).To(BeEmpty())
			a.netns = ""
			mustAdd(a, conf)
		}),
		Entry("since it has a new one", func(a attachment) {
			Expect(call("DEL", a, conf)).To(BeEmpty())
			mustAdd(alive("a"), conf)
		}),
	)

	It("loses it to Reclaim, which touches nothing but networks", func() {
		conf = strings.Replace(conf, `"subnet"`, `"cooldown":"1h","subnet"`, 1)
		a, b := fill()
		Expect(call("DEL", b, conf)).To(BeEmpty())
		for _, dir := range []string{"lost+found", "unused"} {
			Expect(os.Mkdir(filepath.Join(dataDir, dir), 0o755)).To(Succeed())
		}
		write("somebody's", dataDir, "file")
		files := func() []string {
			GinkgoHelper()
			out, err := exec.Command("find", dataDir, "-printf", "%P %l\n").Output()
			Expect(err).NotTo(HaveOccurred())
			return strings.Split(string(out), "\n")
		}
		before := files()
		Expect(Reclaim(dataDir)).To(Succeed())
		Expect(files()).To(ConsistOf(before), "as long as it lives")
		forget(a.netns)
		Expect(Reclaim(dataDir)).To(Succeed())
		link := slices.IndexFunc(before, func(file string) bool { return strings.HasSuffix(file, "/10.1.2.2") && strings.Contains(file, "net:[") })
		Expect(files()).To(ConsistOf(slices.DeleteFunc(slices.Delete(before, link, link+1), func(file string) bool { return file == "net/10.1.2.2 " })))
		Expect(Reclaim(filepath.Join(dataDir, "none"))).To(Succeed())
	})

	It("frees nothing from where not all processes are seen", func() {
		a, _ := fill()
		forget(a.netns)
		ours, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		inside := executable(ours).command("ADD", container("new"), conf)
		cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", ours)
		cmd.Env, cmd.Stdin = inside.Env, inside.Stdin
		said, err := cmd.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(said)).To(And(ContainSubstring("not all processes of this machine can be seen"), ContainSubstring("no IP addresses available")))
		expectReclaimed("10.1.2.2")
	})
})

var _ = Describe("a container that is started again without a DEL", func() {
	var dataDir, dir string
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
		dataDir = GinkgoT().TempDir()
		dir = filepath.Join(dataDir, "net")
	})

	// restart returns the ADD after a crash, from another network namespace.
	restart := func(conf string) (again attachment) {
		GinkgoHelper()
		before := alive("a")
		Expect(addressesOf(mustAdd(before, conf))).To(Equal([]string{"10.1.2.2", "fd00::2"}))
		mustAdd(container("b"), conf)
		again = alive("a")
		forget(before.netns)
		return again
	}
	config := func(ranges string) string { return configOf("1.1.0", dataDir, `"ranges":[`+ranges+`]`) }
	const v4, v6 = `[{"subnet":"10.1.2.0/24"}]`, `[{"subnet":"fd00::/64"}]`

	It("gets the addresses that it had", func() {
		conf := config(v4 + "," + v6)
		again := restart(conf)
		Expect(addressesOf(mustAdd(again, conf))).To(Equal([]string{"10.1.2.2", "fd00::2"}))
		Expect(addTo(again, conf)).Error().To(MatchError(ContainSubstring("duplicate allocation is not allowed")), "now in this one")
		Expect(addressesOf(mustAdd(container("c"), conf))).To(Equal([]string{"10.1.2.4", "fd00::4"}), "the order goes on from where it was")
		Expect(call("DEL", again, conf)).To(BeEmpty())
		Expect(reservationsIn(dir)).To(ConsistOf("10.1.2.3 b\r\neth0", "fd00::3 b\r\neth0", "10.1.2.4 c\r\neth0", "fd00::4 c\r\neth0"))
	})

	It("does not have to wait for their cooldown", func() {
		conf := strings.Replace(config(v4+","+v6), `"ranges"`, `"cooldown":"1h","ranges"`, 1)
		Expect(addressesOf(mustAdd(restart(conf), conf))).To(Equal([]string{"10.1.2.2", "fd00::2"}))
	})

	DescribeTable("gets others where it must, and loses those it had",
		func(ranges, args string, expected ...string) {
			again := restart(config(v4 + "," + v6))
			again.args = args
			Expect(addressesOf(mustAdd(again, config(ranges)))).To(Equal(expected))
			var left []string
			for _, address := range expected {
				left = append(left, address+" a\r\neth0")
			}
			Expect(reservationsIn(dir)).To(ConsistOf(append(left, "10.1.2.3 b\r\neth0", "fd00::3 b\r\neth0")))
		},
		Entry("that are asked for", v4+","+v6, "IP=10.1.2.9", "10.1.2.9", "fd00::2"),
		Entry("of a range that is new", `[{"subnet":"10.1.3.0/24"}],`+v6, "", "10.1.3.2", "fd00::2"),
		Entry("of fewer ranges", v6, "", "fd00::2"),
		Entry("since one is the gateway's now", `[{"subnet":"10.1.2.0/24","gateway":"10.1.2.2"}],`+v6, "", "10.1.2.4", "fd00::2"),
	)

	It("keeps them and gets none while its former network namespace is kept", func() {
		conf := config(v4 + "," + v6)
		before, again := alive("a"), alive("a")
		mustAdd(before, conf)
		drop := keepInThread(before.netns)
		forget(before.netns)
		Expect(addTo(again, conf)).Error().To(MatchError(ContainSubstring("10.1.2.2 has been allocated to a, duplicate allocation is not allowed")))
		drop()
		Expect(addressesOf(mustAdd(again, conf))).To(Equal([]string{"10.1.2.2", "fd00::2"}))
	})

	It("has none when the ADD fails", func() {
		conf := config(v4 + "," + v6)
		again := restart(conf)
		write("somebody else's", dir, "10.1.2.9")
		again.args = "IP=10.1.2.9"
		Expect(addTo(again, conf)).Error().To(MatchError(ContainSubstring("requested IP address 10.1.2.9 is not available")))
		Expect(reservationsIn(dir)).To(ConsistOf("10.1.2.3 b\r\neth0", "fd00::3 b\r\neth0", "10.1.2.9 somebody else's"))
	})
})

// alive makes a container with a network namespace that is mounted at a path.
func alive(id string) attachment {
	GinkgoHelper()
	netns, err := testutils.NewNS()
	Expect(err).NotTo(HaveOccurred())
	path := netns.Path()
	Expect(netns.Close()).To(Succeed())
	DeferCleanup(func() { forget(path) })
	return attachment{id: id, ifName: "eth0", netns: path}
}

// forget takes a network namespace from its path.
func forget(path string) {
	GinkgoHelper()
	if _, err := os.Stat(path); err == nil {
		Expect(unix.Unmount(path, unix.MNT_DETACH)).To(Succeed())
		Expect(os.Remove(path)).To(Succeed())
	}
}

// start starts a program and waits until it has come to its sleep.
func start(name string, args ...string) (stop func()) {
	GinkgoHelper()
	cmd := exec.Command(name, args...)
	Expect(cmd.Start()).To(Succeed())
	stop = func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
	}
	DeferCleanup(stop)
	Eventually(func() (string, error) {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "comm"))
		return string(text), err
	}).Should(Equal("sleep\n"))
	return stop
}

// keepBySocket gives a container a link to the host, and opens a socket in its network
// namespace, which outlives what else keeps that.
func keepBySocket(a attachment) {
	GinkgoHelper()
	netns, err := ns.GetNS(a.netns)
	Expect(err).NotTo(HaveOccurred())
	fd, err := ns.Call(netns, func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(unix.Close(fd)).To(Succeed()) })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = plugin.Owner{Network: "net", ContainerID: a.id, IfName: a.ifName}.HostLink()
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: a.ifName, PeerNamespace: netlink.NsFd(netns.Fd())}
	Expect(netlink.LinkAdd(pair)).To(Succeed())
	DeferCleanup(func() { Expect(netlink.LinkDel(pair)).To(Succeed()) })
	Expect(netns.Close()).To(Succeed())
}

// keepInThread has one thread of this process in a network namespace, which has no
// descriptor of it. It is back when leave returns.
func keepInThread(path string) (leave func()) {
	GinkgoHelper()
	netns, err := ns.GetNS(path)
	Expect(err).NotTo(HaveOccurred())
	said, stay := make(chan error), make(chan struct{})
	go func() {
		said <- netns.Do(func(ns.NetNS) error {
			said <- netns.Close()
			<-stay
			return nil
		})
	}()
	Expect(<-said).To(Succeed())
	return func() {
		GinkgoHelper()
		close(stay)
		Expect(<-said).To(Succeed())
	}
}
