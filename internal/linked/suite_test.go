// SPDX-License-Identifier: Apache-2.0

//go:build linux

package linked_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestLinked(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/linked")
}

const config = `{
	"cniVersion": "1.1.0", "name": "n", "type": "ptp",
	"ipam": { "type": "static", "addresses": [{ "address": "10.1.2.3/24", "gateway": "10.1.2.1" }] }
}`

var _ = Describe("an IPAM plugin", Ordered, func() {
	var bin string // all executables, of one build

	BeforeAll(func() {
		testutils.Need(GinkgoT(), "root")
		bin = GinkgoT().TempDir()
		cmd := exec.Command("../../build_linux.sh", "-ldflags", "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v9", "-o", bin+"/")
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	})

	// attach runs ADD and DEL of ptp with CNI_PATH, and returns what ADD printed.
	attach := func(path string) string {
		GinkgoHelper()
		host, container := testutils.TempNS(GinkgoT()), testutils.TempNS(GinkgoT())
		var result string
		for _, verb := range []string{"ADD", "DEL"} {
			stdout, err := call(host, filepath.Join(bin, "ptp"), verb, path, container.Path())
			Expect(err).NotTo(HaveOccurred(), stdout)
			result += stdout
		}
		return strings.ReplaceAll(result, container.Path(), "SANDBOX")
	}

	It("of the same build is not started", func() {
		path := GinkgoT().TempDir()
		copyFile(filepath.Join(bin, "static"), filepath.Join(path, "static"), 0o644) // nobody can start it
		Expect(attach(path)).To(ContainSubstring("10.1.2.3/24"))
	})

	It("of another build is started, and answers the same", func() {
		path := GinkgoT().TempDir()
		cmd := exec.Command("go", "build", "-o", path+"/", "../../plugins/ipam/static")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(withoutMACs(attach(path))).To(Equal(withoutMACs(attach(bin))))
		Expect(os.Chmod(filepath.Join(path, "static"), 0o644)).To(Succeed())
		stdout, err := call(testutils.TempNS(GinkgoT()), filepath.Join(bin, "ptp"), "ADD", path, testutils.TempNS(GinkgoT()).Path())
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(ContainSubstring("permission denied"))
	})

	It("is in the log of commands, started or not", func() {
		log := filepath.Join(GinkgoT().TempDir(), "cni.log")
		GinkgoT().Setenv(plugin.LogVariable, log)
		another := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(another, "static"), []byte("#!/bin/sh\nexec "+bin+"/static\n"), 0o755)).To(Succeed())
		for _, path := range []string{bin, another} {
			attach(path)
			lines, err := os.ReadFile(log)
			Expect(err).NotTo(HaveOccurred())
			for _, command := range []string{"ADD", "DEL"} {
				for _, name := range []string{"static", "ptp"} {
					Expect(string(lines)).To(MatchRegexp(`(?m)^{.*"plugin":"%s","command":"%s","network":"n","container":"c1","interface":"eth0".*}$`, name, command))
				}
			}
			Expect(os.Remove(log)).To(Succeed())
		}
	})

	It("is started with the environment and the limits that the runtime has set", func() {
		path, found := GinkgoT().TempDir(), filepath.Join(GinkgoT().TempDir(), "found")
		script := "#!/bin/sh\n{ env; ulimit -Sn; } >" + found + "\nexec " + bin + "/static\n"
		Expect(os.WriteFile(filepath.Join(path, "static"), []byte(script), 0o755)).To(Succeed())
		limited := filepath.Join(GinkgoT().TempDir(), "ptp")
		script = "#!/bin/sh\nulimit -Sn 77\nexec " + bin + "/ptp\n"
		Expect(os.WriteFile(limited, []byte(script), 0o755)).To(Succeed())
		_, err := call(testutils.TempNS(GinkgoT()), limited, "ADD", path, testutils.TempNS(GinkgoT()).Path())
		Expect(err).NotTo(HaveOccurred())
		got, err := os.ReadFile(found)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(got)).To(HaveSuffix("\n77\n"))
		Expect(string(got)).To(ContainSubstring("\nCNI_IFNAME=eth0\n"))
		Expect(string(got)).NotTo(ContainSubstring("GOMAXPROCS"))
	})

	It("and the others start where internal/startup wants it", func() {
		executables, err := filepath.Glob(bin + "/*")
		Expect(err).NotTo(HaveOccurred())
		Expect(len(executables)).To(BeNumerically(">", 10))
		entry := "_rt0_" + runtime.GOARCH + "_linux" // Go's own
		if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
			entry = "cni_plugins_entry"
		}
		for _, path := range executables {
			Expect(entryOf(path)).To(Equal(entry), path)
		}
	})

	It("under another name is not taken for it", func() {
		path := GinkgoT().TempDir()
		copyFile(filepath.Join(bin, "host-local"), filepath.Join(path, "static"), 0o755)
		stdout, err := call(testutils.TempNS(GinkgoT()), filepath.Join(bin, "ptp"), "ADD", path, testutils.TempNS(GinkgoT()).Path())
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(ContainSubstring("host-local: "))
	})

	It("fails in the same words either way", func() {
		wrong := strings.ReplaceAll(config, "10.1.2.3/24", "10.1.2.3/240")
		path := GinkgoT().TempDir()
		copyFile(filepath.Join(bin, "static"), filepath.Join(path, "static"), 0o755)
		file, err := os.OpenFile(filepath.Join(path, "static"), os.O_WRONLY, 0)
		Expect(err).NotTo(HaveOccurred())
		// No longer the same build, as far as anybody can tell.
		head, err := os.ReadFile(filepath.Join(path, "static"))
		Expect(err).NotTo(HaveOccurred())
		_, err = file.WriteAt([]byte("another"), int64(bytes.Index(head[:4096], []byte("Go\x00\x00"))+4))
		Expect(err).NotTo(HaveOccurred())
		Expect(file.Close()).To(Succeed())
		started, err := callWith(wrong, testutils.TempNS(GinkgoT()), filepath.Join(bin, "ptp"), "ADD", path, testutils.TempNS(GinkgoT()).Path())
		Expect(err).To(HaveOccurred())
		linked, err := callWith(wrong, testutils.TempNS(GinkgoT()), filepath.Join(bin, "ptp"), "ADD", bin, testutils.TempNS(GinkgoT()).Path())
		Expect(err).To(HaveOccurred())
		Expect(linked).To(Equal(started))
	})

	It("and the others have the version that was asked for", func() {
		for _, name := range []string{"static", "ptp"} {
			cmd := exec.Command(filepath.Join(bin, name))
			cmd.Env = []string{}
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(out)).To(HavePrefix("CNI " + name + " plugin v9\n"))
		}
	})
})

func call(host ns.NetNS, executable, verb, path, netns string) (string, error) {
	return callWith(config, host, executable, verb, path, netns)
}

// callWith runs a plugin in the namespace host and returns what it printed.
func callWith(config string, host ns.NetNS, executable, verb, path, netns string) (string, error) {
	cmd := exec.Command(executable)
	cmd.Env = []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0", "CNI_NETNS=" + netns, "CNI_PATH=" + path,
		plugin.LogVariable + "=" + os.Getenv(plugin.LogVariable)}
	cmd.Stdin = strings.NewReader(config)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err := host.Do(func(ns.NetNS) error { return cmd.Run() })
	return stdout.String(), err
}

// entryOf names the function that an executable starts with.
func entryOf(path string) string {
	GinkgoHelper()
	file, err := elf.Open(path)
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	symbols, err := file.Symbols()
	Expect(err).NotTo(HaveOccurred())
	for _, symbol := range symbols {
		if symbol.Value == file.Entry && elf.ST_TYPE(symbol.Info) == elf.STT_FUNC {
			return symbol.Name
		}
	}
	return ""
}

func copyFile(from, to string, mode os.FileMode) {
	GinkgoHelper()
	data, err := os.ReadFile(from)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(to, data, mode)).To(Succeed())
}

// withoutMACs drops the lines that differ from one attachment to the next.
func withoutMACs(result string) string {
	var kept []string
	for line := range strings.Lines(result) {
		if !strings.Contains(line, `"mac"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
