// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/execfile"
	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestCNIPlugins(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "cmd/cni-plugins")
}

var _ = It("has every plugin", func() {
	var dirs []string
	for _, kind := range []string{"main", "meta", "ipam"} {
		found, err := filepath.Glob("../../plugins/" + kind + "/*/main.go")
		Expect(err).NotTo(HaveOccurred())
		for _, file := range found {
			dirs = append(dirs, filepath.Base(filepath.Dir(file)))
		}
	}
	Expect(names()).To(ConsistOf(dirs))
})

var _ = Describe("the command line", func() {
	run := func(args ...string) (status int, stdout, stderr string) {
		var out, err bytes.Buffer
		status = command(args, &out, &err)
		return status, out.String(), err.String()
	}

	It("lists the plugins", func() {
		status, stdout, _ := run("list")
		Expect(status).To(BeZero())
		Expect(strings.Fields(stdout)).To(Equal(names()))
	})

	It("says what can be done", func() {
		for _, args := range [][]string{nil, {"install"}, {"install", "a", "b"}, {"sing"}} {
			status, _, stderr := run(args...)
			Expect(status).To(Equal(2))
			Expect(stderr).To(HavePrefix("usage: cni-plugins install DIRECTORY"))
		}
	})
})

var _ = Describe("install", func() {
	It("removes what was left by one that was killed", func() {
		dir := GinkgoT().TempDir()
		executable := filepath.Join(dir, "executable")
		Expect(os.WriteFile(executable, []byte("#!/bin/sh"), 0o755)).To(Succeed())
		left := []string{temporaryName(own, 1), temporaryName("bridge", os.Getppid())}
		others := []string{temporaryName("other", 1), ".bridge.-1", ".bridge.x", ".bridge"}
		for _, name := range append(left, others...) {
			Expect(os.WriteFile(filepath.Join(dir, name), nil, 0o644)).To(Succeed())
		}
		Expect(install(executable, dir)).To(Succeed())
		entries, err := os.ReadDir(dir)
		Expect(err).NotTo(HaveOccurred())
		var there []string
		for _, entry := range entries {
			there = append(there, entry.Name())
		}
		Expect(there).To(ConsistOf(append(append(names(), own, "executable"), others...)))
	})

	DescribeTable("copies the executable over a link to it",
		func(link func(executable, path string) error) {
			source, dir := GinkgoT().TempDir(), GinkgoT().TempDir()
			executable := filepath.Join(source, own)
			Expect(os.WriteFile(executable, []byte("#!/bin/sh"), 0o755)).To(Succeed())
			Expect(link(executable, filepath.Join(dir, own))).To(Succeed())
			Expect(install(executable, dir)).To(Succeed())
			Expect(os.WriteFile(executable, []byte("changed"), 0o755)).To(Succeed())
			for _, name := range append(names(), own) {
				Expect(os.ReadFile(filepath.Join(dir, name))).To(BeEquivalentTo("#!/bin/sh"), name)
			}
		},
		Entry("of the symbolic kind", os.Symlink),
		Entry("of the hard kind", os.Link),
	)

	It("installs nothing where a directory has a plugin's name", func() {
		dir := GinkgoT().TempDir()
		executable := filepath.Join(GinkgoT().TempDir(), own)
		Expect(os.WriteFile(executable, []byte("#!/bin/sh"), 0o755)).To(Succeed())
		Expect(os.Mkdir(filepath.Join(dir, "bridge"), 0o755)).To(Succeed())
		Expect(os.Mkdir(filepath.Join(dir, "tap"), 0o755)).To(Succeed())
		Expect(install(executable, dir)).To(MatchError(dir + "/bridge is a directory; remove or rename it\n" + dir + "/tap is a directory; remove or rename it"))
		Expect(os.ReadDir(dir)).To(HaveLen(2))
	})
})

func isSame(a, b string) bool {
	GinkgoHelper()
	one, err := os.Stat(a)
	Expect(err).NotTo(HaveOccurred())
	other, err := os.Stat(b)
	Expect(err).NotTo(HaveOccurred())
	return os.SameFile(one, other)
}

var _ = Describe("the executable", Ordered, func() {
	var executable string
	BeforeAll(func() {
		dir := GinkgoT().TempDir()
		executable = filepath.Join(dir, own)
		out, err := exec.Command("../../build_linux.sh", "--single", "-o", dir).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	})

	introduction := func(path string) string {
		GinkgoHelper()
		cmd := exec.Command(path)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		return string(out)
	}

	It("has at most nine megabytes", func() {
		info, err := os.Stat(executable)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Size()).To(BeNumerically("<=", 9_000_000))
		AddReportEntry("bytes", info.Size())
	})

	It("installs itself as each plugin, and over itself", func() {
		dir := filepath.Join(GinkgoT().TempDir(), "opt", "bin")
		for range 2 {
			Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		}
		entries, err := os.ReadDir(dir)
		Expect(err).NotTo(HaveOccurred())
		Expect(entries).To(HaveLen(len(names()) + 1))
		for _, name := range names() {
			Expect(introduction(filepath.Join(dir, name))).To(HavePrefix("CNI " + name + " plugin "))
			Expect(isSame(filepath.Join(dir, name), filepath.Join(dir, own))).To(BeTrue())
		}
		Expect(isSame(filepath.Join(dir, own), executable)).To(BeFalse(), "it is a copy")
		Expect(exec.Command(filepath.Join(dir, own), "install", dir).Run()).To(Succeed(), "from where it is installed")
	})

	It("waits for another that installs there, whatever PID that has", func() {
		testutils.Need(GinkgoT(), "root")
		dir := GinkgoT().TempDir()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				defer GinkgoRecover()
				for range 3 {
					out, err := exec.Command("unshare", "--pid", "--fork", executable, "install", dir).CombinedOutput()
					Expect(err).NotTo(HaveOccurred(), string(out))
				}
			})
		}
		all.Wait()
		Expect(os.ReadDir(dir)).To(HaveLen(len(names()) + 1))
	})

	It("replaces plugins that are running", func() {
		dir := GinkgoT().TempDir()
		sleep, err := exec.LookPath("sleep")
		Expect(err).NotTo(HaveOccurred())
		Expect(execfile.Copy(sleep, filepath.Join(dir, "bridge"))).To(Succeed())
		running := exec.Command(filepath.Join(dir, "bridge"), "60")
		Expect(running.Start()).To(Succeed())
		Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		Expect(introduction(filepath.Join(dir, "bridge"))).To(HavePrefix("CNI bridge plugin "))
		Expect(running.Process.Kill()).To(Succeed())
		Expect(running.Wait()).To(MatchError(ContainSubstring("killed")))
	})

	It("calls a delegate that is a copy of it, and does not start that", func() {
		testutils.Need(GinkgoT(), "root", "veth")
		dir := GinkgoT().TempDir()
		Expect(execfile.Copy(executable, filepath.Join(dir, "ptp"))).To(Succeed())
		Expect(execfile.Copy(executable, filepath.Join(dir, "static"))).To(Succeed())
		config := `{"cniVersion":"1.1.0","name":"n","type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24","gateway":"10.1.2.1"}]}}`
		attach := func() (string, error) {
			c := &testrig.Container{ID: "c1", IfName: "eth0", Path: testutils.TempNS(GinkgoT()).Path()}
			return runPlugin(testutils.TempNS(GinkgoT()), dir, "ptp", "ADD", c, config)
		}

		Expect(os.Chmod(filepath.Join(dir, "static"), 0o644)).To(Succeed()) // nobody can start it
		Expect(attach()).To(ContainSubstring("10.1.2.3/24"))

		file, err := os.OpenFile(filepath.Join(dir, "static"), os.O_RDWR, 0)
		Expect(err).NotTo(HaveOccurred())
		page := make([]byte, 4096)
		Expect(file.ReadAt(page, 0)).To(Equal(len(page)))
		_, err = file.WriteAt([]byte("another"), int64(bytes.Index(page, []byte("Go\x00\x00"))+4))
		Expect(errors.Join(err, file.Close())).To(Succeed())
		out, err := attach()
		Expect(err).To(HaveOccurred(), "another build has to be started")
		Expect(out).To(ContainSubstring("permission denied"))
	})

	It("takes nothing back from where not all processes are seen", func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
		ref, err := ns.OpenRef(testutils.TempNS(GinkgoT()).Path())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(ref.Close)
		kept, err := intent.New(&plugin.Request{Network: "unseen", ContainerID: "c1", IfName: "eth0", Netns: ref}, "ports")
		Expect(err).NotTo(HaveOccurred())
		kept.Inode = 1
		store := intent.Of("portmap")
		Expect(store.Put(kept)).To(Succeed())
		DeferCleanup(func() { Expect(store.Delete(kept.Owner())).To(Succeed()) })
		out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", executable, "gc").CombinedOutput()
		Expect(err).To(HaveOccurred(), string(out))
		Expect(string(out)).To(HaveSuffix("cni-plugins: gc: not all processes of this machine can be seen from this PID namespace\n"))
		Expect(store.Has(kept)).To(BeTrue())
	})

	It("works through a symbolic link, too", func() {
		dir := GinkgoT().TempDir()
		Expect(os.Symlink(executable, filepath.Join(dir, "host-local"))).To(Succeed())
		Expect(introduction(filepath.Join(dir, "host-local"))).To(HavePrefix("CNI host-local plugin "))
	})

	It("is the plugin that a link of another name leads to", func() {
		dir := GinkgoT().TempDir()
		Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		for _, link := range [][2]string{{"bridge", "mybridge"}, {"mybridge", "ourbridge"}, {filepath.Join(dir, "macvlan"), "tap"}, {"../" + filepath.Base(dir) + "/ptp", "myptp"}} {
			Expect(os.RemoveAll(filepath.Join(dir, link[1]))).To(Succeed())
			Expect(os.Symlink(link[0], filepath.Join(dir, link[1]))).To(Succeed())
		}
		for name, want := range map[string]string{"mybridge": "bridge", "ourbridge": "bridge", "tap": "tap", "myptp": "ptp"} {
			Expect(introduction(filepath.Join(dir, name))).To(HavePrefix("CNI "+want+" plugin "), name)
		}
		found := exec.Command("/bin/sh", "-c", "mybridge")
		found.Env = []string{"PATH=" + dir}
		out, err := found.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(string(out)).To(HavePrefix("CNI bridge plugin "))
	})

	It("answers a runtime that calls it by no plugin's name", func() {
		dir := GinkgoT().TempDir()
		path := filepath.Join(dir, "mybridge")
		Expect(os.Symlink(executable, path)).To(Succeed())
		for _, verb := range []string{"VERSION", "ADD"} {
			cmd := exec.Command(path)
			cmd.Env = []string{"CNI_COMMAND=" + verb}
			out, err := cmd.Output()
			Expect(err).To(MatchError("exit status 1"))
			var answer types.Error
			Expect(json.Unmarshal(out, &answer)).To(Succeed(), string(out))
			Expect(answer).To(Equal(types.Error{Code: types.ErrInvalidNetworkConfig,
				Msg: "type: mybridge: no plugin of cni-plugins is called that, it is one of " + strings.Join(names(), ", ")}))
		}
		list := exec.Command(path, "list")
		list.Env = []string{"CNI_COMMAND=ADD"}
		Expect(list.Run()).To(Succeed(), "this is nobody's runtime")
	})

	It("leaves links of the host alone when CNI_NETNS has become its own namespace, in delegates, too", func() {
		testutils.Need(GinkgoT(), "root", "veth")
		dir := GinkgoT().TempDir()
		Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "c1"), []byte(`{"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "none"}`), 0o600)).To(Succeed())
		Expect(testutils.TempNS(GinkgoT()).Do(func(ns.NetNS) error {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"})).To(Succeed())
			flannel := exec.Command(filepath.Join(dir, "flannel"))
			flannel.Env = []string{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0", "CNI_NETNS=/proc/self/ns/net", "CNI_PATH=" + dir}
			flannel.Stdin = strings.NewReader(`{"cniVersion": "1.0.0", "name": "n", "type": "flannel", "dataDir": "` + dir + `"}`)
			out, err := flannel.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			Expect(filepath.Join(dir, "c1")).NotTo(BeAnExistingFile(), "the delegate has been called")
			_, err = netlinksafe.LinkByName("eth0")
			return err
		})).To(Succeed())
	})

	// statusOf asks for that of a network, with the executable's plugins in dir.
	statusOf := func(dir, network string) (status int, said, refused string) {
		GinkgoHelper()
		file := filepath.Join(dir, "n.conflist")
		Expect(os.WriteFile(file, []byte(network), 0o600)).To(Succeed())
		var stdout, stderr bytes.Buffer
		Expect(testutils.TempNS(GinkgoT()).Do(func(ns.NetNS) error {
			cmd := exec.Command(executable, "status", file)
			cmd.Env, cmd.Stdout, cmd.Stderr = []string{"CNI_PATH=" + dir}, &stdout, &stderr
			_ = cmd.Run()
			status = cmd.ProcessState.ExitCode()
			return nil
		})).To(Succeed())
		return status, strings.ReplaceAll(stdout.String(), dir+"/", ""), strings.ReplaceAll(stderr.String(), dir+"/", "")
	}

	It("asks the plugins of a network for their status", func() {
		testutils.Need(GinkgoT(), "root", "bridge")
		dir := GinkgoT().TempDir()
		Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "old"), []byte("#!/bin/sh\n"+`echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'`), 0o755)).To(Succeed())
		ask := func(ipam, more string) (status int, said, refused string) {
			GinkgoHelper()
			return statusOf(dir, `{"cniVersion":"0.4.0","name":"pods","plugins":[
				{"type":"bridge","bridge":"cnitest0","ipam":`+ipam+`},{"type":"old"},{"type":"bandwidth","ingressRate":9007199254740993,"ingressBurst":80000}`+more+`]}`)
		}
		ready := "n.conflist: plugins[0]: bridge: ready\n"
		others := "n.conflist: plugins[1]: old: not asked, as it does not know STATUS\nn.conflist: plugins[2]: bandwidth: ready\n"
		status, said, refused := ask(`{"type":"static"}`, "")
		Expect([]any{status, said, refused}).To(Equal([]any{0, ready + others, ""}))

		status, said, refused = ask(`{"type":"dhcp","daemonSocketPath":"/none"}`, `,{"type":"macvlan","master":"none","ipam":{}},{"type":"nowhere"}`)
		Expect([]any{status, said}).To(Equal([]any{1, others}))
		Expect(strings.Split(refused, "\n")).To(HaveExactElements(
			HavePrefix("n.conflist: plugins[0]: bridge: dhcp: error dialing DHCP daemon: dial unix /none: connect: no such file or directory; start it with"),
			HavePrefix(`n.conflist: plugins[3]: macvlan: master: there is no interface "none" on the host`),
			HavePrefix(`n.conflist: plugins[4]: failed to find plugin "nowhere" in path`), ""))
	})

	DescribeTable("has no network for ready that no ADD can work in",
		func(network, want string) {
			testutils.Need(GinkgoT(), "root", "bridge")
			dir := GinkgoT().TempDir()
			Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
			status, said, refused := statusOf(dir, network)
			Expect([]any{status, said, refused}).To(Equal([]any{1, "", "n.conflist: " + want + "\n"}))
		},
		Entry("for its version", `{"cniVersion":"9.2.0","name":"pods","plugins":[{"type":"bridge"}]}`,
			`plugins[0]: bridge: cniVersion: "9.2.0" is none of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`),
		Entry("for a version without interfaces", `{"cniVersion":"0.2.0","name":"pods","plugins":[{"type":"bridge"}]}`,
			`plugins[0]: bridge: cannot convert: no valid IP addresses: cniVersion "0.2.0" cannot describe an interface without one, use 0.3.0 or newer or configure ipam`),
		Entry("for a version of one address per family", `{"cniVersion":"0.2.0","name":"pods","plugins":[{"type":"ptp","ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"10.2.0.0/24"}]]}}]}`,
			`plugins[0]: host-local: ipam.ranges: CNI version 0.2.0 does not support more than 1 address per family`),
		Entry("for the order of its plugins", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bandwidth","ingressRate":80000,"ingressBurst":80000}]}`,
			`plugins[0]: bandwidth: prevResult: missing, ADD needs the result of the ADD before it`),
		Entry("as no runtime can load it", `{"cniVersion":"1.0.0","Name":"pods"}`,
			"plugins: missing; a network has a list of plugins, the type of one in a file *.conf, or *.conf files in a directory of its name\nn.conflist: name: missing"),
	)

	It("takes keys that nobody knows for no reason why a network is not ready", func() {
		testutils.Need(GinkgoT(), "root", "bridge")
		dir := GinkgoT().TempDir()
		Expect(exec.Command(executable, "install", dir).Run()).To(Succeed())
		status, said, _ := statusOf(dir, `{"cniVersion":"1.0.0","name":"pods","disablegc":true,"plugins":[{"type":"bridge","mtuu":1400}]}`)
		Expect([]any{status, said}).To(Equal([]any{0, "n.conflist: plugins[0]: bridge: ready\n"}))
	})

	It("says why it cannot be installed", func() {
		file := filepath.Join(GinkgoT().TempDir(), "file")
		Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
		out, err := exec.Command(executable, "install", file).CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(Equal("cni-plugins: install: mkdir " + file + ": not a directory\n"))
	})
})

var _ = Describe("heal", func() {
	It("puts back what somebody has flushed, and says so", func() {
		testutils.Need(GinkgoT(), "root", "nftables-bridge", "nft-tool")
		GinkgoT().Setenv("CNI_PATH", testrig.BuildIPAM())
		host, container := testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		Expect(os.MkdirAll("/run/cni", 0o755)).To(Succeed())
		attached := `{"cniVersion": "1.1.0", "name": "healed", "type": "bridge", "ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true,
			"ipam": {"type": "static", "addresses": [{"address": "10.1.2.3/24"}]}}`
		config := `{"cniVersion": "1.1.0", "name": "healed", "type": "portmap", "backend": "nftables", "prevResult": {
			"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "x"}], "ips": [{"interface": 0, "address": "10.1.2.3/24"}]},
			"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}`
		call := func(name, verb, config string) {
			GinkgoHelper()
			args := &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", Netns: container.Path(), StdinData: []byte(config)}
			Expect(host.Do(func(ns.NetNS) error {
				for variable, value := range map[string]string{"CNI_COMMAND": verb, "CNI_CONTAINERID": args.ContainerID, "CNI_NETNS": args.Netns, "CNI_IFNAME": args.IfName} {
					GinkgoT().Setenv(variable, value) // for the IPAM plugin
				}
				return plugins()[name].Call(context.Background(), verb, args, new(bytes.Buffer))
			})).To(Succeed())
		}
		run := func(name string, args ...string) string {
			GinkgoHelper()
			var out []byte
			Expect(host.Do(func(ns.NetNS) (err error) {
				out, err = exec.Command(name, args...).CombinedOutput()
				return err
			})).To(Succeed(), string(out))
			return string(out)
		}
		healed := func() string {
			GinkgoHelper()
			var stdout, stderr bytes.Buffer
			var status int
			Expect(host.Do(func(ns.NetNS) error {
				status = heal(context.Background(), &stdout, &stderr)
				return nil
			})).To(Succeed())
			Expect(status).To(BeZero(), stderr.String())
			return stdout.String()
		}
		call("bridge", "ADD", attached)
		defer call("bridge", "DEL", attached)
		call("portmap", "ADD", config)
		defer call("portmap", "DEL", config)
		Expect(healed()).To(BeEmpty())
		complete := strings.Split(run("nft", "list", "ruleset"), "\n")
		run("nft", "flush", "ruleset")
		Expect(strings.Split(healed(), "\n")).To(ConsistOf(
			"portmap: put back the rules of healed/c1/eth0", "masquerading: put back the rules of healed/c1/eth0",
			"MAC spoof check: put back the rules of healed/c1/eth0", ""))
		Expect(strings.Split(run("nft", "list", "ruleset"), "\n")).To(ConsistOf(complete))
		Expect(healed()).To(BeEmpty())
	})
})
