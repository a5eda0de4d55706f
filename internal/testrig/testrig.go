// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package testrig runs plugins in tests: in a network namespace that plays the
// host, for containers that are namespaces of their own, with the real IPAM
// plugins. Everything it makes goes away with the spec.
package testrig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Rig is a host with a plugin.
type Rig struct {
	Plugin  plugin.Plugin
	Host    ns.NetNS
	DataDir string // for host-local
}

// Container is what a runtime would know of a container.
type Container struct {
	ID       string
	IfName   string
	Netns    ns.NetNS
	Path     string // CNI_NETNS
	Override string // CNI_NETNS_OVERRIDE
	Args     string // CNI_ARGS
}

// BuildIPAM builds the IPAM plugins, to be called once a suite, and returns
// where they are, for New.
func BuildIPAM() string { return Build("ipam/host-local", "ipam/static") }

// Build builds plugins, by their directories below plugins, and returns where
// they are. If PLUGINS_TEST_BIN names a directory, they are taken from there: in
// the emulated machine, building takes minutes.
func Build(dirs ...string) string {
	if built := os.Getenv("PLUGINS_TEST_BIN"); built != "" {
		return built
	}
	var found []string
	for _, dir := range dirs {
		path, err := gexec.Build("github.com/containernetworking/plugins/plugins/" + dir)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		found = append(found, filepath.Dir(path))
	}
	return strings.Join(found, string(os.PathListSeparator))
}

// New returns a host for p. ipamPath is what BuildIPAM returned.
func New(p plugin.Plugin, ipamPath string) *Rig {
	ginkgo.GinkgoHelper()
	testutils.Need(ginkgo.GinkgoT(), "root")
	ginkgo.GinkgoT().Setenv("CNI_PATH", ipamPath)
	rig := &Rig{Plugin: p, Host: testutils.TempNS(ginkgo.GinkgoT()), DataDir: ginkgo.GinkgoT().TempDir()}
	ginkgo.DeferCleanup(rig.forget)
	rig.OnHost(func() { setUp("lo") })
	return rig
}

// forget removes the intents that specs leave which do not detach everybody: the
// directory is the machine's own.
func (r *Rig) forget() error {
	left, err := filepath.Glob(fmt.Sprintf("/run/cni/intent/*/%d:*", ns.InodeAt(r.Host.Path())))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// Container returns a new container with an interface to be called eth0.
func (r *Rig) Container(id string) *Container {
	ginkgo.GinkgoHelper()
	netns := testutils.TempNS(ginkgo.GinkgoT())
	c := &Container{ID: id, IfName: "eth0", Netns: netns, Path: netns.Path()}
	c.Do(func() { setUp("lo") })
	return c
}

// Do runs fn in the container's network namespace.
func (c *Container) Do(fn func()) {
	ginkgo.GinkgoHelper()
	testutils.Inside(c.Netns, fn)
}

// OnHost runs fn in the network namespace that plays the host.
func (r *Rig) OnHost(fn func()) {
	ginkgo.GinkgoHelper()
	testutils.Inside(r.Host, fn)
}

func setUp(name string) {
	ginkgo.GinkgoHelper()
	l, err := netlink.LinkByName(name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(netlink.LinkSetUp(l)).To(gomega.Succeed())
}

// Remember notes how the host and the container are, and returns what expects
// them to be the same again.
func (r *Rig) Remember(c *Container) (expectSame func()) {
	ginkgo.GinkgoHelper()
	before := Snapshot(r.Host, c.Netns)
	return func() {
		ginkgo.GinkgoHelper()
		gomega.Expect(Snapshot(r.Host, c.Netns)).To(gomega.Equal(before))
	}
}

// Rename gives an interface of the container another name. What is configured
// over IPv4 survives that.
func (c *Container) Rename(from, to string) {
	ginkgo.GinkgoHelper()
	c.Do(func() {
		ginkgo.GinkgoHelper()
		l := Find(from)
		gomega.Expect(netlink.LinkSetDown(l)).To(gomega.Succeed()) // before Linux 6.2
		gomega.Expect(netlink.LinkSetName(l, to)).To(gomega.Succeed())
		gomega.Expect(netlink.LinkSetUp(l)).To(gomega.Succeed())
	})
}

// Snapshot is testutils.Snapshot, which must succeed.
func Snapshot(netns ...ns.NetNS) string {
	ginkgo.GinkgoHelper()
	text, err := testutils.Snapshot(netns...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return text
}

// Find returns the link of the current namespace with the name; there must be
// one.
func Find(name string) netlink.Link {
	ginkgo.GinkgoHelper()
	l, err := netlink.LinkByName(name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), name)
	return l
}

// Call runs a command for c and returns what it printed. config is a
// configuration without name and cniVersion, which are "test" and 1.1.0 unless
// it has them.
func (r *Rig) Call(verb string, c *Container, config string) (string, error) {
	return r.CallWith(context.Background(), verb, c, config)
}

// CallWith is Call with a context, for one with an undo.Fault.
func (r *Rig) CallWith(ctx context.Context, verb string, c *Container, config string) (string, error) {
	ginkgo.GinkgoHelper()
	config = Config(config)
	for name, value := range map[string]string{
		"CNI_COMMAND": verb, "CNI_CONTAINERID": c.ID, "CNI_NETNS": c.Path, "CNI_IFNAME": c.IfName, "CNI_ARGS": c.Args,
		"CNI_NETNS_OVERRIDE": c.Override,
	} {
		gomega.Expect(os.Setenv(name, value)).To(gomega.Succeed())
	}
	args := &skel.CmdArgs{ContainerID: c.ID, Netns: c.Path, NetnsOverride: c.Override, IfName: c.IfName, Args: c.Args, StdinData: []byte(config)}
	var stdout bytes.Buffer
	err := r.Host.Do(func(ns.NetNS) error { return r.Plugin.Call(ctx, verb, args, &stdout) })
	return stdout.String(), err
}

// Config completes a configuration with what it lacks.
func Config(config string) string {
	rest := strings.TrimPrefix(strings.TrimSpace(config), "{")
	if !strings.Contains(config, `"cniVersion"`) {
		rest = join(`"cniVersion":"1.1.0"`, rest)
	}
	var given struct{ Name *string } // not those of a prevResult
	if _ = json.Unmarshal([]byte(config), &given); given.Name == nil {
		rest = join(`"name":"test"`, rest)
	}
	return "{" + rest
}

func join(member, rest string) string {
	if strings.HasPrefix(strings.TrimSpace(rest), "}") {
		return member + rest
	}
	return member + "," + rest
}

// Add runs ADD, which must succeed, and returns its result.
func (r *Rig) Add(c *Container, config string) *current.Result {
	ginkgo.GinkgoHelper()
	stdout, err := r.Call("ADD", c, config)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return Result(stdout)
}

// Result decodes what an ADD printed, whatever its version.
func Result(stdout string) *current.Result {
	ginkgo.GinkgoHelper()
	generic, err := create.CreateFromBytes([]byte(stdout))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	result, err := current.NewResultFromResult(generic)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return result
}

// Check runs CHECK with the result of the ADD.
func (r *Rig) Check(c *Container, config string, prev *current.Result) error {
	ginkgo.GinkgoHelper()
	stdout, err := r.Call("CHECK", c, WithPrev(config, prev))
	gomega.Expect(stdout).To(gomega.BeEmpty())
	return err
}

// Del runs DEL, which must succeed.
func (r *Rig) Del(c *Container, config string) {
	ginkgo.GinkgoHelper()
	stdout, err := r.Call("DEL", c, config)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(stdout).To(gomega.BeEmpty())
}

// WithPrev returns config, completed, with a prevResult.
func WithPrev(config string, prev *current.Result) string {
	ginkgo.GinkgoHelper()
	var text bytes.Buffer
	gomega.Expect(prev.PrintTo(&text)).To(gomega.Succeed())
	return "{" + join(`"prevResult":`+text.String(), strings.TrimPrefix(Config(config), "{"))
}

// HostLocal returns an "ipam" member for host-local with a range set for each
// subnet, and the rest of its keys as given (with a leading comma) or empty.
func (r *Rig) HostLocal(rest string, subnets ...string) string {
	var sets []string
	for _, subnet := range subnets {
		sets = append(sets, fmt.Sprintf(`[{"subnet":%q}]`, subnet))
	}
	return fmt.Sprintf(`"ipam":{"type":"host-local","dataDir":%q,"ranges":[%s]%s}`, r.DataDir, strings.Join(sets, ","), rest)
}

// Code returns the CNI error code of err.
func Code(err error) uint {
	ginkgo.GinkgoHelper()
	var coded *types.Error
	gomega.Expect(errors.As(err, &coded)).To(gomega.BeTrue(), "%v", err)
	return coded.Code
}

// Outside connects the host to another one, "outside", by a veth pair with the
// given addresses (CIDR), and returns that host's namespace. Routes back to
// containers are not there: what arrives must come from the host.
func (r *Rig) Outside(hostAddrs, outsideAddrs []string) ns.NetNS {
	ginkgo.GinkgoHelper()
	outside := testutils.TempNS(ginkgo.GinkgoT())
	testutils.Inside(outside, func() { setUp("lo") })
	Join(End{r.Host, "uplink", hostAddrs}, End{outside, "uplink", outsideAddrs})
	return outside
}

// End is one end of a link between two namespaces.
type End struct {
	Netns     ns.NetNS
	Name      string
	Addresses []string // CIDR
}

// Join makes a veth pair, sets its addresses, and sets it up.
func Join(one, other End) {
	ginkgo.GinkgoHelper()
	testutils.Inside(one.Netns, func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = one.Name
		gomega.Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: other.Name, PeerNamespace: netlink.NsFd(other.Netns.Fd())})).To(gomega.Succeed())
		address(one.Name, one.Addresses)
	})
	testutils.Inside(other.Netns, func() { address(other.Name, other.Addresses) })
}

// address brings a link up with addresses that are usable at once, and so is the
// link-local one that neighbours are asked from.
func address(name string, addresses []string) {
	ginkgo.GinkgoHelper()
	_ = sysctl.Set("net/ipv6/conf/"+name+"/accept_dad", "0") // the kernel may have no IPv6
	l, err := netlink.LinkByName(name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	for _, text := range addresses {
		ip, network, err := net.ParseCIDR(text)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: network.Mask}}
		if ip.To4() == nil {
			addr.Flags = 0x02 // IFA_F_NODAD
		}
		gomega.Expect(netlink.AddrAdd(l, addr)).To(gomega.Succeed())
	}
	gomega.Expect(netlink.LinkSetUp(l)).To(gomega.Succeed())
}

// WaitUp waits until a link of a namespace is operationally up; before that the
// kernel does not answer for the IPv6 addresses it has. With ends of the same index,
// as in two new namespaces, it takes its time for that, up to a second.
func WaitUp(netns ns.NetNS, name string) {
	ginkgo.GinkgoHelper()
	testutils.Inside(netns, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		gomega.Expect(link.WaitUp(ctx, Find(name).Attrs().Index)).To(gomega.Succeed())
	})
}

// Route adds a route of a namespace to subnet through gateway.
func Route(netns ns.NetNS, subnet, gateway string) {
	ginkgo.GinkgoHelper()
	testutils.Inside(netns, func() {
		_, dst, err := net.ParseCIDR(subnet)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		gomega.Expect(netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)})).To(gomega.Succeed())
	})
}

// MoveLink moves a link to another namespace and sets it up there.
func MoveLink(from ns.NetNS, name string, to ns.NetNS) {
	ginkgo.GinkgoHelper()
	testutils.Inside(from, func() {
		l, err := netlink.LinkByName(name)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		gomega.Expect(netlink.LinkSetNsFd(l, int(to.Fd()))).To(gomega.Succeed())
	})
	testutils.Inside(to, func() { setUp(name) })
}

// Reach tells whether a UDP datagram from one namespace gets to another and
// back, and as whose it arrives.
func Reach(from, to ns.NetNS, target string) (seenAs string, err error) {
	ginkgo.GinkgoHelper()
	return exchange(from, to, target, 16, attempts)
}

// Misses tells whether no datagram from one namespace gets to another and back.
// It tries less often than Reach, which should have shown that there is a way.
func Misses(from, to ns.NetNS, target string) bool {
	_, err := exchange(from, to, target, 16, attempts/10)
	return err != nil
}

// ReachWith is Reach with a datagram of the given size, which must not be
// fragmented on its way to be of interest to a test of the MTU.
func ReachWith(from, to ns.NetNS, target string, size int) error {
	_, err := exchange(from, to, target, size, attempts)
	return err
}
