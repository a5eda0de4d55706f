// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestWine(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "scripts/wine")
}

const (
	loader = "/usr/lib/wine/wine64"
	server = "/usr/lib/wine/wineserver"
	linker = "x86_64-w64-mingw32-ld"
	limit  = 2 * time.Minute // of one process: against a hang
)

// built is where the executables are, prefix what Wine keeps its registry in and looks for C: below.
var built, prefix string

var _ = BeforeSuite(func() {
	libraries, _ := filepath.Glob("/usr/lib/*/wine/x86_64-windows/*")
	if _, err := os.Stat(loader); err != nil || runtime.GOARCH != "amd64" || len(libraries) == 0 {
		Skip("needs " + loader + " for amd64 (package wine64)")
	}
	var err error
	prefix, err = os.MkdirTemp("", "cni-wine")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, prefix)
	makePrefix(libraries)
	// A server for all: the programs need not start one each.
	Expect(wineCommand(server, "-p").Run()).To(Succeed())
	DeferCleanup(func() { _ = wineCommand(server, "-k", "-w").Run() })

	built = filepath.Join(prefix, "built")
	run("../../build_windows.sh", "-o", built+"/")
})

// makePrefix makes by hand what takes wineboot seconds, and 700 MB of copies of Wine's libraries.
func makePrefix(libraries []string) {
	system := filepath.Join(prefix, "drive_c/windows/system32")
	for _, dir := range []string{system, filepath.Join(prefix, "drive_c/windows/temp"), filepath.Join(prefix, "dosdevices")} {
		Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	}
	Expect(os.WriteFile(filepath.Join(prefix, ".update-timestamp"), []byte("disable\n"), 0o644)).To(Succeed())
	Expect(os.Symlink("../drive_c", filepath.Join(prefix, "dosdevices/c:"))).To(Succeed())
	Expect(os.Symlink("/", filepath.Join(prefix, "dosdevices/z:"))).To(Succeed())
	for _, library := range libraries {
		Expect(os.Symlink(library, filepath.Join(system, filepath.Base(library)))).To(Succeed())
	}
	makeRandom(filepath.Join(system, "bcryptprimitives.dll"))
}

// makeRandom makes the library that programs made with Go have their random numbers from, where Wine (before 9) has
// none: its one function becomes another name of one that does the same.
func makeRandom(library string) {
	if _, err := os.Stat(library); err == nil {
		return
	}
	if _, err := exec.LookPath(linker); err != nil {
		Skip("needs " + linker + " (package binutils-mingw-w64-x86-64), because this Wine has no bcryptprimitives.dll")
	}
	definition := library + ".def"
	text := "LIBRARY bcryptprimitives.dll\nEXPORTS\n  ProcessPrng = advapi32.SystemFunction036\n"
	Expect(os.WriteFile(definition, []byte(text), 0o644)).To(Succeed())
	run(linker, "--shared", "-e", "0", "-o", library, definition)
}

// run runs a command on this machine.
func run(name string, args ...string) {
	GinkgoHelper()
	out, err := exec.Command(name, args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// wineCommand returns a command with Wine's environment.
func wineCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(prefix, "drive_c") // what has no drive letter, such as /var/lib/cni, is on this drive
	cmd.Env = append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=")
	return cmd
}

// windowsPath is how a program for Windows calls a file of this machine.
func windowsPath(path string) string { return "Z:" + strings.ReplaceAll(path, "/", `\`) }

// attachment is a container's interface.
type attachment struct{ id, ifName string }

func container(id string) attachment { return attachment{id, "eth0"} }

// answer is how a plugin has ended.
type answer struct {
	stdout, stderr string
	code           uint // of the error, 0 after success
}

// process is a plugin that runs. Its input and outputs are files: processes that Wine starts in the background get them,
// too, and would hold pipes open.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr *os.File
}

// start starts a plugin's executable.
func start(plugin, verb string, a attachment, config map[string]any) *process {
	GinkgoHelper()
	stdin, err := json.Marshal(config)
	Expect(err).NotTo(HaveOccurred())
	p := &process{name: plugin + " " + verb, stdout: file(nil), stderr: file(nil)}
	p.cmd = wineCommand(loader, filepath.Join(built, plugin+".exe"))
	p.cmd.Env = append(p.cmd.Env, "CNI_COMMAND="+verb, "CNI_CONTAINERID="+a.id, "CNI_IFNAME="+a.ifName,
		"CNI_NETNS=9ad28d2d-6fb1-4a4e-a1b6-9cf2f5ed2a16", "CNI_PATH="+windowsPath(built))
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = file(stdin), p.stdout, p.stderr
	Expect(p.cmd.Start()).To(Succeed())
	return p
}

// file returns a file with a content, to be read or written from its beginning.
func file(content []byte) *os.File {
	GinkgoHelper()
	f, err := os.CreateTemp(prefix, "stdio")
	Expect(err).NotTo(HaveOccurred())
	_, err = f.WriteAt(content, 0)
	Expect(err).NotTo(HaveOccurred())
	return f
}

// contents returns what is in a file, which is done with.
func contents(f *os.File) string {
	GinkgoHelper()
	text, err := os.ReadFile(f.Name())
	Expect(errors.Join(err, f.Close(), os.Remove(f.Name()))).To(Succeed())
	return string(text)
}

// wait waits for the end.
func (p *process) wait() answer {
	GinkgoHelper()
	timer := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	err := p.cmd.Wait()
	a := answer{stdout: contents(p.stdout), stderr: contents(p.stderr)}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred())
		return a
	}
	var printed struct{ Code uint }
	Expect(json.Unmarshal([]byte(a.stdout), &printed)).To(Succeed(), "%s ended with %v and printed %q and %q", p.name, err, a.stdout, a.stderr)
	Expect(printed.Code).NotTo(BeZero())
	a.code = printed.Code
	return a
}

// call runs a command of a plugin to its end.
func call(plugin, verb string, a attachment, config map[string]any) answer {
	GinkgoHelper()
	return start(plugin, verb, a, config).wait()
}

// succeed runs a command that must succeed and returns what it printed.
func succeed(plugin, verb string, a attachment, config map[string]any) string {
	GinkgoHelper()
	got := call(plugin, verb, a, config)
	Expect(got.code).To(BeZero(), got.stdout)
	return got.stdout
}

// addresses are those of a printed result.
func addresses(printed string) []string {
	GinkgoHelper()
	var result struct{ IPs []struct{ Address string } }
	Expect(json.Unmarshal([]byte(printed), &result)).To(Succeed(), printed)
	var all []string
	for _, ip := range result.IPs {
		all = append(all, ip.Address)
	}
	return all
}

var _ = Describe("every executable", func() {
	for _, plugin := range []string{"host-local", "static", "flannel", "win-bridge", "win-overlay"} {
		It("says what it is: "+plugin, func() {
			Expect(start(plugin, "", container("c"), nil).wait().stderr).To(ContainSubstring("CNI " + plugin + " plugin version"))
			Expect(succeed(plugin, "VERSION", container("c"), map[string]any{"cniVersion": "1.1.0"})).To(ContainSubstring(`"supportedVersions":["0.1.0"`))
		})

		It("reports an error as the protocol wants it: "+plugin, func() {
			got := call(plugin, "ADD", container("c"), map[string]any{"cniVersion": "1.1.0", "name": "n", "dns": 5, "ipam": 7})
			Expect(got.code).To(BeEquivalentTo(7))
			Expect(got.stdout).To(ContainSubstring(plugin + ": "))
		})
	}
})

// Tests that are compiled for Windows.
var _ = Describe("the tests of", func() {
	for pkg, suite := range map[string]string{"pkg/hns": "hns", "plugins/ipam/static/plugin": "plugin"} {
		It(fmt.Sprintf("%s pass", pkg), func() {
			binary := filepath.Join(GinkgoT().TempDir(), suite+".test.exe")
			build := exec.Command("go", "test", "-c", "-o", binary, "./"+pkg)
			build.Dir, build.Env = "../..", append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0")
			out, err := build.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			tests, printed := wineCommand(loader, binary, "-ginkgo.no-color"), file(nil)
			tests.Dir, tests.Stdout, tests.Stderr = filepath.Join("../..", pkg), printed, printed
			err = tests.Run()
			text := contents(printed)
			Expect(err).NotTo(HaveOccurred(), text)
			Expect(text).To(MatchRegexp(`Ran [1-9]\d* of`))
		})
	}
})
