// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// TestMain makes the test binary the plugin, too, for the tests that need it as
// a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		plugin.Main(Plugin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHostLocal(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/ipam/host-local")
}

// attachment is an interface of a container, as the runtime names it.
type attachment struct {
	id, ifName string
	args       string // CNI_ARGS
	netns      string // none, if it is not said
}

func container(id string) attachment { return attachment{id: id, ifName: "eth0"} }

// call runs a command of the plugin in this process.
func call(verb string, a attachment, conf string) (string, error) {
	var stdout bytes.Buffer
	err := Plugin.Call(context.Background(), verb, a.cmdArgs(conf), &stdout)
	return stdout.String(), err
}

func (a attachment) cmdArgs(conf string) *skel.CmdArgs {
	return &skel.CmdArgs{
		ContainerID: a.id,
		Netns:       cmp.Or(a.netns, "/some/where"),
		IfName:      a.ifName,
		Args:        a.args,
		Path:        "/nowhere",
		StdinData:   []byte(conf),
	}
}

// add runs ADD and converts what it printed to the current version.
func addTo(a attachment, conf string) (*current.Result, error) {
	printed, err := call("ADD", a, conf)
	if err != nil {
		return nil, err
	}
	return parseResult(printed), nil
}

func mustAdd(a attachment, conf string) *current.Result {
	GinkgoHelper()
	var result *current.Result
	var err error
	said := captureStderr(func() { result, err = addTo(a, conf) })
	_, _ = io.WriteString(os.Stderr, said) // for who captures it, too
	Expect(err).NotTo(HaveOccurred(), said)
	return result
}

func parseResult(printed string) *current.Result {
	GinkgoHelper()
	var stated struct{ CNIVersion string }
	Expect(json.Unmarshal([]byte(printed), &stated)).To(Succeed())
	result, err := version.NewResult(stated.CNIVersion, []byte(printed))
	Expect(err).NotTo(HaveOccurred())
	converted, err := current.NewResultFromResult(result)
	Expect(err).NotTo(HaveOccurred())
	return converted
}

// addressesOf returns the addresses of a result, without prefix lengths.
func addressesOf(result *current.Result) []string {
	var list []string
	for _, ip := range result.IPs {
		list = append(list, ip.Address.IP.String())
	}
	return list
}

// code returns the CNI error code that the runtime sees.
func code(err error) uint {
	GinkgoHelper()
	var e *types.Error
	Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
	return e.Code
}

// configOf returns a configuration of network "net" from the members of its
// "ipam" object and perhaps some of the outer one.
func configOf(cniVersion, dataDir, ipam string, outer ...string) string {
	return `{"cniVersion":"` + cniVersion + `","name":"net","type":"ipvlan","master":"foo0",` + strings.Join(append(outer, ""), ",") +
		`"ipam":{"type":"host-local","dataDir":"` + dataDir + `",` + ipam + `}}`
}

// reservations returns the files of a network's directory that reserve
// addresses, as "name owner".
func reservationsIn(dir string) []string {
	GinkgoHelper()
	entries, err := os.ReadDir(dir)
	Expect(err).NotTo(HaveOccurred())
	list := []string{}
	for _, entry := range entries {
		if entry.Name() != lockName && !strings.HasPrefix(entry.Name(), pointerPrefix) {
			list = append(list, entry.Name()+" "+read(filepath.Join(dir, entry.Name())))
		}
	}
	return list
}

func read(path ...string) string {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join(path...))
	Expect(err).NotTo(HaveOccurred())
	return string(data)
}

func write(content string, path ...string) {
	GinkgoHelper()
	file := filepath.Join(path...)
	Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
	Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
}

// captureStderr returns what fn writes to standard error.
func captureStderr(fn func()) string {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	defer r.Close()
	saved := os.Stderr
	os.Stderr = w
	func() {
		defer func() { os.Stderr = saved }()
		fn()
	}()
	w.Close()
	text, err := io.ReadAll(r)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

// setOf returns the range set of ranges, each written "subnet", "subnet
// start-end" or "subnet start-end gateway".
func setOf(texts ...string) RangeSet {
	GinkgoHelper()
	var config []RangeConfig
	for _, text := range texts {
		fields := append(strings.Fields(text), "", "")
		start, end, _ := strings.Cut(fields[1], "-")
		config = append(config, RangeConfig{Subnet: fields[0], RangeStart: start, RangeEnd: end, Gateway: fields[2]})
	}
	sets := parse(Config{IPAM: IPAMConfig{Type: "host-local", Ranges: [][]RangeConfig{config}}})
	return sets[0]
}

// parse returns the range sets of a configuration that has to be valid.
func parse(c Config) []RangeSet {
	GinkgoHelper()
	c.CNIVersion = "1.0.0"
	Expect(problemsOf(&c, nil)).To(Succeed())
	return c.sets
}

// collect returns the first n elements that a sequence yields.
func collect(set RangeSet, last string, n int) []string {
	var from netip.Addr
	if last != "" {
		from = ip(last)
	}
	var list []string
	for addr := range set.after(from) {
		if list = append(list, addr.String()); len(list) == n {
			break
		}
	}
	return list
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// hasIndex tells whether this system has an index.
func hasIndex() bool { return runtime.GOOS == "linux" }

// callWithFault runs an ADD whose undo stack fails.
func callWithFault(ctx context.Context, a attachment, conf string) error {
	return Plugin.Call(ctx, "ADD", a.cmdArgs(conf), io.Discard)
}
