// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package conformance asks every plugin the same questions: what the CNI
// specification demands of each command, and what goes wrong in real life - a
// network namespace that is gone, a configuration somebody has edited, a
// failure after any step, bad input, a kill at any moment.
//
// A plugin's test calls Run and KillMatrix with a Suite for each of its ways to
// work:
//
//	var _ = conformance.Run(conformance.Suite{
//		Name:   "layer 3",
//		Plugin: bridge.Plugin,
//		Dir:    "plugins/main/bridge",
//		IPAM:   plugin.OptionalIPAM,
//		Config: func(*conformance.Host) conformance.Object {
//			return conformance.Object{"bridge": "cnitest0", "isGateway": true}
//		},
//	})
//
// The plugin runs as the executable it is, with real delegates, on a Host: a
// network namespace made for the purpose, with directories of its own. Only to
// make ADD fail at each step of its undo stack it is called in process.
//
// What "nothing is left" means: the snapshot of the host, of its files and of
// the container is the same as after a first ADD and DEL, which have made what
// attachments share and none of them takes back.
package conformance

import (
	"fmt"
	"os"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// Object is a JSON object.
type Object = map[string]any

// Suite is a plugin, configured in one way.
type Suite struct {
	Name   string         // what is special about this way
	Plugin plugin.Plugin  // the plugin, to be called in process
	Dir    string         // of its main package, from the root of the module
	IPAM   plugin.IPAMUse // as in its Definition
	Layer2 bool           // leaves "ipam" out, for a plugin that can do without
	Inside bool           // what it makes is all inside the container, out of reach for GC and for a DEL without CNI_NETNS
	Lends  bool           // it lends NICs of the host (see MakeNICs) to containers, Inside of which they are
	Needs  []string       // features of the machine, see testutils.Need
	Others []string       // directories of other plugins that it runs, beside host-local
	// Brief leaves out the specs that run a plugin hundreds of times. It is for
	// plugins that only the emulated machine can run, where that takes minutes,
	// and that share the code in question with one that is tried in full.
	Brief bool
	// KilledInFull is set for a brief suite that is to have all of the kill matrix:
	// no other plugin shares what it does.
	KilledInFull bool
	// Unable is part of the error of an ADD where the machine lacks Needs. A brief
	// suite that names it is given bad input on such a machine, too: that has to be
	// refused before the kernel gets to say what it cannot do.
	Unable string
	// Chained is set for a plugin that comes after others: each container has
	// an interface already, joined to PreviousBridge, and ADD gets the result.
	// An IPAM plugin may be, too, to have an interface to look at; it is not
	// chained for all that.
	Chained bool
	// OneInterface is part of the error of an ADD for a second interface of the same
	// container, in a suite with which that cannot work. It has to leave the first
	// one alone all the same.
	OneInterface string
	// IgnoresIfName is as in the plugin's Definition.
	IgnoresIfName bool
	// Enters is set for an IPAM plugin that has something to do in the network
	// namespace of the container.
	Enters bool

	// Config is a valid configuration with the plugin's own keys. The suite adds
	// cniVersion, name and type, and the ipam of an interface plugin.
	Config func(*Host) Object
	// Full are configurations which together have every documented key; they
	// are what bad input is made from. By default it is Config, of the first
	// suite of a plugin only.
	Full []func(*Host) Object
	// Changed is another valid configuration, for a DEL after somebody has
	// edited it. By default nothing is left of Config.
	Changed func(*Host) Object
	// Typo are a misspelt key and the one it should be; both without a path.
	// The default is "dnss" and "dns", or "rangess" for an IPAM plugin.
	Typo [2]string

	// Prepare makes what Config refers to. It runs in the host's namespace. What
	// does not end with the host by itself, Host.OnClose has to end.
	Prepare func(*Host) error
	// Furnish makes what Config refers to inside a container, before ADD.
	Furnish func(*Container) error
	// Vanish removes what ADD relied on and DEL must do without: the bridge,
	// the master. It runs in the host's namespace.
	Vanish func(*Host) error
	// Verify looks at what ADD has made, beside what CHECK looks at.
	Verify func(Attachment) error
	// Breakages are things CHECK must notice.
	Breakages []Breakage

	onMaster bool
}

// inside tells whether nothing of an attachment is on the host, but what an IPAM
// plugin has there.
func (s Suite) inside() bool { return s.Inside || s.Lends || s.IPAM == plugin.NoIPAM }

// isAddressesOnly tells whether the plugin could do without the container.
func (s Suite) isAddressesOnly() bool { return s.IPAM == plugin.IsIPAM && !s.Enters }

// Attachment is a container that has been added.
type Attachment struct {
	Host      *Host
	Container *Container
	Result    Object // as printed
	Config    []byte // that ADD got
}

// Breakage is a difference between what ADD did and what is there.
type Breakage struct {
	What string                 // "the container's interface is down"
	Do   func(Attachment) error // makes the difference
	Want string                 // part of CHECK's error
	// Alone is set for a difference that hides others: CHECK cannot look at the
	// addresses of an interface that is gone.
	Alone bool
}

// Run declares the matrix over the plugin of the suites.
func Run(suites ...Suite) bool {
	return Describe(suites[0].Plugin.Name+" conforms", Ordered, ContinueOnFailure, func() {
		m := new(matrix)
		BeforeAll(func() { m.build(suites) })
		for i, suite := range suites {
			Context(suite.Name, func() {
				BeforeEach(func() { m.begin(suite) })
				m.protocol()
				m.roundTrips(suite)
				m.removals(suite)
				m.failures(suite)
				m.checks(suite)
				m.collection(suite)
				if suite.onMaster {
					m.masters()
				}
				if suite.Brief && suite.Unable != "" {
					m.removalOfBrokenConfig()
				}
				if !suite.Brief {
					if i == 0 || suite.Full != nil {
						m.badInput(suite)
					}
					m.concurrency(suite)
				}
				if !suite.Brief || i == 0 {
					It("answers the same from the executable of all plugins", m.answersTheSame)
					It("keeps to its budget of system calls", m.keepsToBudget)
				}
			})
			if suite.Brief && suite.Unable != "" {
				Context(suite.Name+", whatever the kernel can do", func() {
					BeforeEach(func() { m.beginAnywhere(suite) })
					m.badInput(suite)
				})
			}
		}
		It("has been asked every command", func() { m.complete(suites) })
	})
}

// matrix is the state of the specs of one plugin.
type matrix struct {
	binaries binaries
	single   binaries // the same plugins in one executable
	tried    verbs

	// Of the running spec:
	suite     Suite
	unable    string // Suite.Unable, if this machine is
	host      *Host
	hostClean string // snapshot of the host with nothing attached
	nsClean   string // snapshot of a container with nothing attached
}

// build builds the executables once for all specs.
func (m *matrix) build(suites []Suite) {
	testutils.Need(GinkgoT(), "root")
	dirs := []string{hostLocalDir}
	for _, suite := range suites {
		dirs = append(append(dirs, suite.Dir), suite.Others...)
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	var err error
	if built := os.Getenv("PLUGINS_TEST_BIN"); built != "" && suites[0].Brief {
		m.binaries = binaries{built} // in the emulated machine, building takes minutes
	} else {
		m.binaries, err = build(GinkgoT().TempDir(), dirs...)
		Expect(err).NotTo(HaveOccurred())
	}
	m.single, err = buildSingle(GinkgoT().TempDir(), dirs)
	Expect(err).NotTo(HaveOccurred())
}

// begin makes a host for a spec and attaches and detaches a first container.
func (m *matrix) begin(suite Suite) {
	testutils.Need(GinkgoT(), suite.Needs...)
	m.beginAnywhere(suite)
}

// beginAnywhere is begin for a spec that has something to find out where ADD
// cannot succeed, too.
func (m *matrix) beginAnywhere(suite Suite) {
	testutils.Need(GinkgoT(), "root", "nft-tool")
	m.suite, m.unable = suite, ""
	if testutils.Lacks(suite.Needs...) {
		m.unable = suite.Unable
	}
	m.host = m.newHost()
	m.warmUp(m.config("1.1.0"))
}

// newHost makes a host that lasts as long as the spec.
func (m *matrix) newHost() *Host {
	GinkgoHelper()
	host, err := newHost(m.suite, m.binaries, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	host.onCall = m.tried.note
	DeferCleanup(host.close)
	return host
}

// warmUp has the shared objects made, and remembers what the host looks like
// with nothing but them.
func (m *matrix) warmUp(config Object) {
	GinkgoHelper()
	if m.unable != "" {
		m.refuseToAdd(m.container("warm-up"), config)
	} else {
		Expect(m.host.warmUp(config)).To(Succeed())
	}
	fresh := m.container("fresh")
	m.hostClean, m.nsClean = snapshot(m.host), snapshot(fresh)
}

// container makes a container that lasts as long as the spec.
func (m *matrix) container(id string) *Container {
	GinkgoHelper()
	c, err := m.host.newContainer(id)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.Remove)
	return c
}

// complete fails if a command was never tried. In the virtual machine, the specs
// that were asked for are all that could not run elsewhere.
func (m *matrix) complete(suites []Suite) {
	missing := m.tried.missing()
	if len(missing) > 0 {
		for _, suite := range suites {
			testutils.Need(GinkgoT(), suite.Needs...)
		}
	}
	config, _ := GinkgoConfiguration()
	chosen := len(config.FocusStrings)+len(config.SkipStrings)+len(config.FocusFiles) > 0 || config.LabelFilter != ""
	if chosen && os.Getenv(testutils.NoSkipVariable) == "" {
		Skip("only some of the specs were asked for")
	}
	Expect(missing).To(BeEmpty(), "no spec has called these")
}

// verbs are the commands that have been tried.
type verbs struct{ set sync.Map }

func (v *verbs) note(verb string) { v.set.Store(verb, true) }

func allVerbs() []string { return []string{"ADD", "CHECK", "DEL", "STATUS", "GC", "VERSION"} }

func (v *verbs) missing() []string {
	return slices.DeleteFunc(allVerbs(), func(verb string) bool {
		_, tried := v.set.Load(verb)
		return tried
	})
}

// expectNothingLeft compares the host, and the containers that still exist,
// with how they were.
func (m *matrix) expectNothingLeft(containers ...*Container) {
	GinkgoHelper()
	if left := m.leftovers(containers...); left != "" {
		Fail("not as it was before:\n" + left)
	}
}

func (m *matrix) leftovers(containers ...*Container) string {
	GinkgoHelper()
	left := diff(m.hostClean, snapshot(m.host))
	for _, c := range containers {
		if c.Exists() {
			left += diff(m.nsClean, snapshot(c))
		}
	}
	return left
}

func snapshot(of interface{ snapshot() (string, error) }) string {
	GinkgoHelper()
	text, err := of.snapshot()
	Expect(err).NotTo(HaveOccurred())
	return text
}

// config returns the suite's configuration for a version; "" has no cniVersion.
func (m *matrix) config(version string) Object {
	return m.host.config(m.suite.Config(m.host), version)
}

// add attaches c, which has to work.
func (m *matrix) add(c *Container, config Object) Attachment {
	GinkgoHelper()
	attachment, err := m.host.attach(c, config)
	Expect(err).NotTo(HaveOccurred())
	return attachment
}

// addIfAble attaches c, unless this machine is unable to.
func (m *matrix) addIfAble(c *Container, config Object) Attachment {
	GinkgoHelper()
	if m.unable == "" {
		return m.add(c, config)
	}
	m.refuseToAdd(c, config)
	return Attachment{Host: m.host, Container: c, Result: previousResult(c)}
}

// refuseToAdd expects of an ADD of c that it says what this machine lacks.
func (m *matrix) refuseToAdd(c *Container, config Object) {
	GinkgoHelper()
	expectRefusal(m.call("ADD", c, config), types.ErrInternal, m.unable)
}

// delete detaches c, which has to work and to be silent.
func (m *matrix) delete(c *Container, config Object) {
	GinkgoHelper()
	Expect(m.host.detach(c, config)).To(Succeed())
}

// call runs a command.
func (m *matrix) call(verb string, c *Container, config Object) Answer {
	return m.host.Run(Call{Verb: verb, Container: c, Config: encode(config)})
}

// expectRefusal expects an error with the code and all of the texts.
func expectRefusal(answer Answer, code uint, texts ...string) {
	GinkgoHelper()
	refusal, err := answer.Refusal()
	Expect(err).NotTo(HaveOccurred())
	Expect(refusal.Code).To(Equal(code), refusal.Error())
	for _, text := range texts {
		Expect(refusal.Error()).To(ContainSubstring(text))
	}
}

func expectSilentSuccess(answer Answer) {
	GinkgoHelper()
	Expect(answer.silentSuccess()).To(Succeed())
}

func containerID(format string, args ...any) string { return fmt.Sprintf(format, args...) }
