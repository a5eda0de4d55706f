// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

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
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestPlugin(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/plugin")
}

type toyConfig struct {
	conf.Common
	Size int `json:"size"`
}

func (c *toyConfig) Default() { c.Size = 1 }

func (c *toyConfig) Validate(p *conf.Problems, args conf.EnvArgs) {
	p.Range("size", c.Size, 1, 10)
	if args["COLOUR"] == "bad" {
		p.Add(args.Path("COLOUR"), "bad")
	}
}

// toy is a plugin whose steps a test replaces.
type toy struct {
	plugin.Definition[toyConfig]
	undone []string
}

func newToy() *toy {
	t := &toy{}
	t.Definition = plugin.Definition[toyConfig]{
		Name:     "toy",
		Versions: version.All,
		Args:     []string{"COLOUR"},
		Add: func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			req.Undo.Push("toy", func() error { t.undone = append(t.undone, "toy"); return nil })
			return resultFor(req), nil
		},
	}
	return t
}

func resultFor(req *plugin.Request) *current.Result {
	_, network, _ := net.ParseCIDR("10.1.2.0/24")
	return &current.Result{
		Interfaces: []*current.Interface{{Name: req.IfName, Sandbox: req.Netns.Path(), Mtu: 1400}},
		IPs:        []*current.IPConfig{{Interface: current.Int(0), Address: *network}},
	}
}

var _ = Describe("Owner", func() {
	owner := plugin.Owner{Network: "podman", ContainerID: "3f2a", IfName: "eth0"}

	It("writes itself in plain text", func() {
		Expect(owner.Comment()).To(Equal("podman/3f2a/eth0"))
	})

	It("stays below nft's limit and unique however long the names are", func() {
		long := plugin.Owner{Network: strings.Repeat("n", 300), ContainerID: strings.Repeat("c", 300), IfName: strings.Repeat("i", 15)}
		other := long
		other.ContainerID = strings.Repeat("c", 299) + "d"
		Expect(len(long.Comment())).To(BeNumerically("<=", 127))
		Expect(long.Comment()).NotTo(Equal(other.Comment()))
	})

	It("derives names of the asked length", func() {
		Expect(owner.Name("bwp", 15)).To(And(HavePrefix("bwp"), HaveLen(15)))
		Expect(owner.HostLink()).To(And(HavePrefix(owner.HostLinkPrefix()), HavePrefix("veth"), HaveLen(15)))
		other := owner
		other.IfName = "eth1"
		Expect(other.HostLink()).NotTo(Equal(owner.HostLink()))
		Expect(other.HostLinkPrefix()).To(Equal(owner.HostLinkPrefix()))
	})

	It("tells stale marks of its network from live and foreign ones", func() {
		valid := plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "3f2a", IfName: "eth0"}})
		Expect(valid.Network()).To(Equal("podman"))
		Expect(valid.Contains(owner)).To(BeTrue())
		Expect(valid.HasContainer("3f2a")).To(BeTrue())
		Expect(valid.HasContainer("3f2b")).To(BeFalse())
		Expect(valid.Owners()).To(ConsistOf(owner))
		Expect(valid.StaleComment("podman/3f2a/eth0")).To(BeFalse())
		Expect(valid.StaleComment("podman/3f2a/eth1")).To(BeTrue())
		Expect(valid.StaleComment("podman2/3f2a/eth1")).To(BeFalse())
	})
})

var _ = DescribeTable("the attachment's interface in prevResult",
	func(netns string, want int, sandboxes ...string) {
		req := &plugin.Request{IfName: "eth0", Netns: ns.RefTo(nil, netns), Prev: &current.Result{}}
		for _, sandbox := range sandboxes {
			req.Prev.Interfaces = append(req.Prev.Interfaces, &current.Interface{Name: "eth1", Sandbox: netns}, &current.Interface{Name: "eth0", Sandbox: sandbox})
		}
		index, iface := req.PrevInterface()
		Expect(index).To(Equal(want))
		Expect(iface != nil).To(Equal(want >= 0))
	},
	Entry("is the one in CNI_NETNS", "/run/netns/c1", 5, "", "/run/netns/other", "/run/netns/c1"),
	Entry("is the first in a sandbox, if none is", "/run/netns/c1", 3, "", "/run/netns/other", "vm"),
	Entry("is the first in a sandbox without CNI_NETNS, too", "", 3, "", "/run/netns/other", "/run/netns/c1"),
	Entry("is none of the host's", "", -1, "", ""),
	Entry("may be missing", "/run/netns/c1", -1),
)

var _ = Describe("errors", func() {
	It("keep their code through every layer", func() {
		inner := types.NewError(types.ErrTryAgainLater, "busy", "come back")
		Expect(plugin.WithCode(7, inner)).To(BeIdenticalTo(inner))
		Expect(plugin.WithCode(7, nil)).To(Succeed())
		err := fmt.Errorf("outer: %w", plugin.WithCode(types.ErrInvalidNetNS, os.ErrNotExist))
		var coded *types.Error
		Expect(errors.As(err, &coded)).To(BeTrue())
		Expect(coded.Code).To(Equal(types.ErrInvalidNetNS))
		Expect(err).To(MatchError(os.ErrNotExist))
	})
})

var _ = Describe("a command", func() {
	var (
		t      *toy
		args   *skel.CmdArgs
		stdout *bytes.Buffer
		target string
	)

	BeforeEach(func() {
		target = testutils.TempNS(GinkgoT()).Path()
		t, stdout = newToy(), &bytes.Buffer{}
		args = &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", Netns: target}
	})

	call := func(verb, config string) *types.Error {
		args.StdinData = []byte(config)
		err := plugin.New(t.Definition).Call(context.Background(), verb, args, stdout)
		if err == nil {
			return nil
		}
		var coded *types.Error
		Expect(errors.As(err, &coded)).To(BeTrue())
		return coded
	}

	It("prints the result in the version of the configuration", func() {
		for _, v := range testutils.AllSpecVersions {
			stdout.Reset()
			Expect(call("ADD", fmt.Sprintf(`{"cniVersion":%q,"name":"n"}`, v))).To(BeNil())
			var shape map[string]any
			Expect(json.Unmarshal(stdout.Bytes(), &shape)).To(Succeed())
			Expect(shape).To(HaveKeyWithValue("cniVersion", v))
			if v == "0.1.0" || v == "0.2.0" {
				Expect(shape).To(HaveKey("ip4"))
			} else {
				Expect(shape).To(HaveKey("interfaces"))
			}
		}
		stdout.Reset()
		Expect(call("ADD", `{"name":"n"}`)).To(BeNil())
		Expect(stdout.String()).To(ContainSubstring(`"ip4"`))
	})

	It("reports every problem of the configuration at once", func() {
		t.TakesPrev = true
		args.Args = "COLOUR=bad;SHAPE=round"
		err := call("ADD", `{"name":"n","size":11,"type":5,"prevResult":{"interfaces":[null]}}`)
		Expect(err.Code).To(Equal(types.ErrInvalidNetworkConfig))
		Expect(err.Msg).To(HavePrefix("toy: "))
		for _, part := range []string{"size: 11 is outside 1-10", "type: the number 5", "CNI_ARGS.COLOUR: bad", `"SHAPE=round"`, "prevResult.interfaces[0]: null"} {
			Expect(err.Msg).To(ContainSubstring(part))
		}
		Expect(stdout.String()).To(BeEmpty())
	})

	DescribeTable("refuses a bad prevResult",
		func(prev, want string) {
			t.TakesPrev = true
			err := call("ADD", `{"cniVersion":"1.0.0","name":"n","prevResult":`+prev+`}`)
			Expect(err.Code).To(Equal(types.ErrInvalidNetworkConfig))
			Expect(err.Msg).To(ContainSubstring(want))
		},
		Entry("null address", `{"ips":[null]}`, "prevResult.ips[0]: null"),
		Entry("null route", `{"routes":[null]}`, "prevResult.routes[0]: null"),
		Entry("version", `{"cniVersion":"9.9"}`, "prevResult: "),
		Entry("kind", `[]`, "toy: prevResult: a list where an object is expected"),
		Entry("kind with null", `[null]`, "toy: prevResult: a list where an object is expected"),
		Entry("text", `"x"`, `toy: prevResult: the string "x" where an object is expected`),
		Entry("kind within, with null", `{"interfaces":{"a":null}}`, "toy: prevResult.interfaces: an object where a list is expected"),
		Entry("kind within", `{"ips":[{"address":5},{"address":"10.0.0.1/8","gateway":5}]}`,
			"toy: prevResult.ips[0].address: the number 5 where CIDR notation is expected; prevResult.ips[1].gateway: the number 5 where an IP address is expected"),
		Entry("values", `{"ips":[{"address":"10.0.0.1"},{"address":"10.0.0.1/8","gateway":"x"}],"routes":[{"dst":"y"}]}`,
			`toy: prevResult.ips[0].address: "10.0.0.1" is not CIDR notation such as 10.1.0.0/16; prevResult.ips[1].gateway: "x" is not an IP address; prevResult.routes[0].dst: "y" is not CIDR notation such as 10.1.0.0/16`),
		Entry("values of an old version", `{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1","routes":[{"dst":"y"}]},"ip6":{"gateway":5}}`,
			`toy: prevResult.ip4.ip: "10.0.0.1" is not CIDR notation such as 10.1.0.0/16; prevResult.ip4.routes[0].dst: "y" is not CIDR notation such as 10.1.0.0/16; prevResult.ip6.gateway: the number 5 where an IP address is expected`),
		Entry("other values", `{"interfaces":[{"name":5,"mtu":"x"}],"ips":[{"address":"10.0.0.1/8","interface":"x"}],"dns":{"nameservers":[1]},"cniVersion":1}`,
			`toy: prevResult.cniVersion: the number 1 where a string is expected; prevResult.dns.nameservers[0]: the number 1 where a string is expected; `+
				`prevResult.interfaces[0].mtu: the string "x" where an integer is expected; prevResult.interfaces[0].name: the number 5 where a string is expected; `+
				`prevResult.ips[0].interface: the string "x" where an integer is expected`),
	)

	It("does not look at a prevResult that the plugin has no use for", func() {
		Expect(call("ADD", `{"cniVersion":"1.0.0","name":"n","prevResult":{"ips":[{"address":"10.0.0.1"}]}}`)).To(BeNil())
	})

	It("passes a prevResult on as it was", func() {
		t.TakesPrev = true
		t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			return req.Prev, nil
		}
		const prev = `"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.1/8","interface":5},{"address":"10.0.0.2/8","interface":0}]`
		Expect(call("ADD", `{"cniVersion":"1.0.0","name":"n","prevResult":{`+prev+`}}`)).To(BeNil())
		Expect(stdout.String()).To(MatchJSON(`{"cniVersion":"1.0.0",` + prev + `}`))
	})

	It("passes a prevResult on with the interface that the plugin has given an address", func() {
		t.TakesPrev = true
		t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			req.Prev.IPs[0].Interface = current.Int(0)
			return req.Prev, nil
		}
		Expect(call("ADD", `{"cniVersion":"1.0.0","name":"n","prevResult":{"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.1/8","interface":5}]}}`)).To(BeNil())
		Expect(stdout.String()).To(MatchJSON(`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.1/8","interface":0}]}`))
	})

	DescribeTable("takes an address of an interface that is not in prevResult for one of none",
		func(verb string, index int) {
			var seen *current.Result
			t.TakesPrev = true
			t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
				seen = req.Prev
				return &current.Result{}, nil
			}
			t.Del = func(_ context.Context, req *plugin.Request, _ *toyConfig) error {
				seen = req.Prev
				return nil
			}
			config := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"n","prevResult":{"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.1/8","interface":%d},{"address":"10.0.0.2/8","interface":0}]}}`, index)
			Expect(call(verb, config)).To(BeNil())
			Expect(seen.IPs).To(HaveExactElements(HaveField("Interface", BeNil()), HaveField("Interface", HaveValue(Equal(0)))))
		},
		Entry("ADD, beyond", "ADD", 1), Entry("ADD, below", "ADD", -1), Entry("DEL", "DEL", 7),
	)

	It("gives DEL what it can decode and never refuses", func() {
		var seen toyConfig
		t.Del = func(_ context.Context, req *plugin.Request, c *toyConfig) error {
			seen = *c
			Expect(req.Network).To(Equal("n"))
			Expect(req.Prev).To(BeNil())
			return nil
		}
		args.Args = "nonsense"
		Expect(call("DEL", `{"name":"n","size":"x","type":"toy","prevResult":{"ips":[null]}}`)).To(BeNil())
		Expect(seen.Type).To(Equal("toy"))
		Expect(seen.Size).To(Equal(1))
	})

	DescribeTable("treats a namespace that is none as gone on DEL",
		func(path string) {
			entered := false
			t.Del = func(_ context.Context, req *plugin.Request, _ *toyConfig) error {
				Expect(req.Netns.Present()).To(BeFalse())
				return req.InNetns(func() error { entered = true; return nil })
			}
			args.Netns = path
			Expect(call("DEL", `{"name":"n"}`)).To(BeNil())
			Expect(entered).To(BeFalse())
		},
		Entry("empty", ""), Entry("missing", "/run/netns/no-such"), Entry("a file", "/etc/passwd"), Entry("too long", strings.Repeat("/x", 3000)), Entry("our own", "/proc/self/ns/net"),
	)

	It("refuses the plugin's own namespace before doing anything", func() {
		args.Netns = "/proc/self/ns/net"
		err := call("ADD", `{"name":"n"}`)
		Expect(err.Code).To(Equal(types.ErrInvalidNetNS))
		Expect(t.undone).To(BeEmpty())
		args.NetnsOverride = "TRUE"
		Expect(call("ADD", `{"name":"n"}`)).To(BeNil())
	})

	It("refuses a name of which the kernel would make another, but not to remove what has it", func() {
		removed := false
		t.Del = func(context.Context, *plugin.Request, *toyConfig) error { removed = true; return nil }
		args.IfName = "net%d"
		err := call("ADD", `{"name":"n"}`)
		Expect(err.Code).To(Equal(types.ErrInvalidEnvironmentVariables))
		Expect(err.Msg).To(HavePrefix(`toy: CNI_IFNAME: "net%d" cannot be the name of an interface`))
		Expect(stdout.String()).To(BeEmpty())
		Expect(call("DEL", `{"name":"n"}`)).To(BeNil())
		Expect(removed).To(BeTrue())
	})

	It("says when the namespace is not there", func() {
		args.Netns = "/run/netns/no-such"
		err := call("ADD", `{"name":"n"}`)
		Expect(err.Code).To(Equal(types.ErrInvalidNetNS))
		Expect(err.Msg).To(ContainSubstring("no such file or directory"))
	})

	It("leaves the namespace alone in a plugin that only assigns addresses", func() {
		t.IPAM = plugin.IsIPAM
		args.Netns = "/run/netns/no-such"
		Expect(call("ADD", `{"name":"n"}`)).To(BeNil())
		args.Netns, args.NetnsOverride = "/proc/self/ns/net", ""
		Expect(call("ADD", `{"name":"n"}`).Code).To(Equal(types.ErrInvalidNetNS))
	})

	It("unwinds when the result cannot be printed", func() {
		err := plugin.New(t.Definition).Call(context.Background(), "ADD", withConfig(args, `{"name":"n"}`), brokenPipe{})
		Expect(err).To(MatchError(ContainSubstring("print the result")))
		Expect(t.undone).To(Equal([]string{"toy"}))
	})

	It("unwinds when the result cannot be converted, and says what undoing met", func() {
		t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			req.Undo.Push("link", func() error { return errors.New("busy") })
			return &current.Result{}, nil
		}
		err := call("ADD", `{"name":"n","cniVersion":"0.2.0"}`)
		Expect(err.Msg).To(ContainSubstring("no valid IP addresses"))
		Expect(err.Msg).To(ContainSubstring("undo link: busy"))
		Expect(err.Msg).NotTo(ContainSubstring("\n"))
	})

	It("keeps code and details of an inner error, with the whole text", func() {
		t.Add = func(context.Context, *plugin.Request, *toyConfig) (*current.Result, error) {
			return nil, fmt.Errorf("ask the delegate: %w", types.NewError(types.ErrTryAgainLater, "busy", "come back"))
		}
		err := call("ADD", `{"name":"n"}`)
		Expect(*err).To(Equal(types.Error{Code: types.ErrTryAgainLater, Msg: "toy: ask the delegate: busy", Details: "come back"}))
	})

	It("turns a panic into an error that names the place", func() {
		t.Check = func(context.Context, *plugin.Request, *toyConfig) error { var m map[string]int; m["x"] = 1; return nil }
		err := call("CHECK", `{"name":"n","cniVersion":"1.0.0"}`)
		Expect(err.Code).To(Equal(types.ErrInternal))
		Expect(err.Msg).To(MatchRegexp(`assignment to entry in nil map \(suite_test.go:\d+\)`))
	})

	It("says where a panic was, too, if that is with an error", func() {
		t.Check = func(context.Context, *plugin.Request, *toyConfig) error { panic(errors.New("boom")) }
		err := call("CHECK", `{"name":"n","cniVersion":"1.0.0"}`)
		Expect(err.Code).To(Equal(types.ErrInternal))
		Expect(err.Msg).To(MatchRegexp(`internal error, please report it: boom \(suite_test.go:\d+\)`))
	})

	It("undoes nothing in the network namespace that it cannot leave", func() {
		undone := false
		t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			req.Undo.Push("link", func() error { undone = true; return nil })
			panic(fmt.Errorf("%w: no way back", ns.ErrStranded))
		}
		Expect(call("ADD", `{"name":"n"}`).Msg).To(ContainSubstring("the thread is in the wrong network namespace"))
		Expect(undone).To(BeFalse())
	})

	It("needs a prevResult where the plugin is a chained one", func() {
		t.Chained = true
		Expect(call("ADD", `{"name":"n"}`).Msg).To(ContainSubstring("prevResult: missing, ADD needs"))
		Expect(call("CHECK", `{"name":"n"}`).Msg).To(ContainSubstring("prevResult: missing, CHECK needs"))
	})

	It("refuses a layer 2 ADD that the version cannot express", func() {
		t.IPAM = plugin.OptionalIPAM
		err := call("ADD", `{"name":"n","cniVersion":"0.2.0"}`)
		Expect(err.Code).To(Equal(types.ErrIncompatibleCNIVersion))
		Expect(err.Msg).To(ContainSubstring("cannot convert: no valid IP addresses"))
		Expect(t.undone).To(BeEmpty())
		By("whatever it is given for a prevResult")
		Expect(call("ADD", `{"name":"n","cniVersion":"0.2.0","prevResult":{"ip4":{"ip":"10.0.0.1/8"}}}`).Code).To(Equal(types.ErrIncompatibleCNIVersion))
		By("in a chain")
		t.IPAM, t.Chained = plugin.NoIPAM, true
		Expect(call("ADD", `{"name":"n","cniVersion":"0.2.0","prevResult":{}}`).Code).To(Equal(types.ErrIncompatibleCNIVersion))
		Expect(t.undone).To(BeEmpty())
	})

	It("lets the host assign addresses, in every version", func() {
		t.IPAM = plugin.HostIPAM
		Expect(call("ADD", `{"name":"n","cniVersion":"0.2.0"}`)).To(BeNil())
		Expect(call("CHECK", `{"name":"n","cniVersion":"1.0.0"}`).Msg).To(ContainSubstring("prevResult: missing"))
		Expect(call("STATUS", `{"name":"n","cniVersion":"1.1.0","ipam":{"type":"not-there"}}`).Msg).To(ContainSubstring("not-there"))
	})

	It("passes on a CNI_NETNS that is no namespace of this system, if the plugin knows what it is", func() {
		t.ForeignNetns, args.Netns = true, "container:abc"
		path := ""
		t.Add = func(_ context.Context, req *plugin.Request, _ *toyConfig) (*current.Result, error) {
			path = req.Netns.Path()
			return resultFor(req), nil
		}
		t.Check = func(_ context.Context, req *plugin.Request, _ *toyConfig) error { path += req.Netns.Path(); return nil }
		t.Del = t.Check
		Expect(call("ADD", `{"name":"n"}`)).To(BeNil())
		Expect(call("CHECK", `{"name":"n","cniVersion":"1.0.0"}`)).To(BeNil())
		Expect(call("DEL", `{"name":"n"}`)).To(BeNil())
		Expect(path).To(Equal("container:abccontainer:abccontainer:abc"))
	})

	It("asks for an IPAM plugin where the plugin needs one", func() {
		t.IPAM = plugin.RequiredIPAM
		Expect(call("ADD", `{"name":"n","ipam":{}}`).Msg).To(ContainSubstring("ipam.type: missing"))
	})

	DescribeTable("does not call itself for addresses",
		func(conf string) {
			t.IPAM = plugin.OptionalIPAM
			for _, verb := range []string{"ADD", "CHECK", "STATUS"} {
				err := call(verb, conf)
				Expect(err).NotTo(BeNil(), verb)
				Expect(err.Code).To(Equal(types.ErrInvalidNetworkConfig), verb)
				Expect(err.Msg).To(ContainSubstring(` is no IPAM plugin; name the one that assigns addresses, such as host-local`), verb)
			}
			Expect(call("DEL", conf)).To(BeNil())
			Expect(call("GC", conf)).To(BeNil())
		},
		Entry("by its name", `{"cniVersion":"1.1.0","name":"n","type":"toy","ipam":{"type":"toy"}}`),
		Entry("for another interface plugin", `{"cniVersion":"1.1.0","name":"n","type":"other","ipam":{"type":"toy"}}`),
		Entry("by another name", `{"cniVersion":"1.1.0","name":"n","type":"toy-2","ipam":{"type":"toy-2"}}`),
		Entry("for another interface plugin, by the name that its executable has",
			`{"cniVersion":"1.1.0","name":"n","type":"other","ipam":{"type":"`+filepath.Base(os.Args[0])+`"}}`),
	)

	It("answers STATUS with code 50", func() {
		t.Status = func(context.Context, *plugin.Request, *toyConfig) error { return errors.New("no master") }
		Expect(*call("STATUS", `{"name":"n"}`)).To(Equal(types.Error{Code: plugin.ErrNotAvailable, Msg: "toy: no master"}))
	})

	DescribeTable("gives GC the valid attachments",
		func(lists string) {
			var seen plugin.Attachments
			t.GC = func(_ context.Context, _ *plugin.Request, _ *toyConfig, valid plugin.Attachments) error {
				seen = valid
				return nil
			}
			Expect(call("GC", `{"name":"n",`+lists+`}`)).To(BeNil())
			Expect(seen.Owners()).To(ConsistOf(plugin.Owner{Network: "n", ContainerID: "c", IfName: "eth0"}))
		},
		Entry("by name", `"cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]`),
		Entry("by their old name", `"cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}]`),
		Entry("by their old name beside null", `"cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}],"cni.dev/valid-attachments":null`),
		Entry("by both names, which are about different ones", `"cni.dev/attachments":[{"containerID":"d","ifname":"eth0"}],"cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]`),
		Entry("whatever is there by their old name", `"cni.dev/attachments":"oops","cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]`),
	)

	DescribeTable("refuses a network without a name, whatever skel has seen",
		func(names, want string) {
			refuse := func() error { Fail("called"); return nil }
			t.Add = func(context.Context, *plugin.Request, *toyConfig) (*current.Result, error) { return nil, refuse() }
			t.Check = func(context.Context, *plugin.Request, *toyConfig) error { return refuse() }
			t.Del, t.Status = t.Check, t.Check
			t.GC = func(context.Context, *plugin.Request, *toyConfig, plugin.Attachments) error { return refuse() }
			for _, verb := range []string{"ADD", "CHECK", "DEL", "STATUS", "GC"} {
				err := call(verb, `{"cniVersion":"1.1.0",`+names+`"type":"toy"}`)
				Expect(err).NotTo(BeNil(), verb)
				Expect(*err).To(Equal(types.Error{Code: types.ErrInvalidNetworkConfig, Msg: "toy: name: " + want}), verb)
			}
		},
		Entry("none", ``, "missing, the name of the network is expected"),
		Entry("one of two, which does not count", `"NAME":"n","name":"",`, "missing, the name of the network is expected"),
		Entry("a path", `"NAME":"n","name":"../up",`,
			`"../up" cannot be the name of a network: it must begin with a letter or digit, and have nothing but these, _ . and -`),
	)

	It("removes nothing when there is no telling what", func() {
		for _, verb := range []string{"DEL", "GC"} {
			Expect(call(verb, `{"name":"n"} {}`).Code).To(Equal(types.ErrDecodingFailure))
		}
	})

	DescribeTable("does not collect when it cannot read what is valid",
		func(list, want string) {
			t.IPAM = plugin.OptionalIPAM
			t.GC = func(context.Context, *plugin.Request, *toyConfig, plugin.Attachments) error {
				defer GinkgoRecover()
				Fail("collected")
				return nil
			}
			err := call("GC", `{"name":"n","size":"x","ipam":{"type":"not-there"},`+list+`}`)
			Expect(*err).To(Equal(types.Error{Code: types.ErrInvalidNetworkConfig, Msg: "toy: " + want}))
		},
		Entry("text", `"cni.dev/valid-attachments":"oops"`, `cni.dev/valid-attachments: the string "oops" where a list is expected`),
		Entry("an object", `"CNI.dev/valid-attachments":{}`, `CNI.dev/valid-attachments: an object where a list is expected`),
		Entry("null", `"cni.dev/valid-attachments":[null]`, `cni.dev/valid-attachments[0]: null where an object is expected`),
		Entry("a container", `"cni.dev/valid-attachments":["c1"]`, `cni.dev/valid-attachments[0]: the string "c1" where an object is expected`),
		Entry("a list of interfaces", `"cni.dev/valid-attachments":[{"containerID":"c1","ifname":["eth0"]}]`,
			`cni.dev/valid-attachments[0].ifname: a list where a string is expected`),
		Entry("a number in the second", `"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"},{"containerID":2,"ifname":"eth0"}]`,
			`cni.dev/valid-attachments[1].containerID: the number 2 where a string is expected`),
		Entry("no names", `"cni.dev/valid-attachments":[{"containerID":"","ifname":null}]`,
			"cni.dev/valid-attachments[0].containerID: missing, GC could remove what it has to spare; "+
				"cni.dev/valid-attachments[0].ifname: missing, GC could remove what it has to spare"),
		Entry("text by its old name", `"cni.dev/attachments":"oops"`, `cni.dev/attachments: the string "oops" where a list is expected`),
		Entry("null by its old name", `"cni.dev/attachments":[null]`, `cni.dev/attachments[0]: null where an object is expected`),
		Entry("no interface by its old name", `"cni.dev/attachments":[{"containerID":"c1"}]`,
			"cni.dev/attachments[0].ifname: missing, GC could remove what it has to spare"),
		Entry("text beside its old name", `"cni.dev/valid-attachments":"oops","cni.dev/attachments":[{"containerID":"c1","ifname":"eth0"}]`,
			`cni.dev/valid-attachments: the string "oops" where a list is expected`),
	)

	DescribeTable("collects everything when there is no list of what is valid",
		func(list string) {
			var seen []plugin.Owner
			t.GC = func(_ context.Context, _ *plugin.Request, _ *toyConfig, valid plugin.Attachments) error {
				seen = append(valid.Owners(), plugin.Owner{Network: valid.Network()})
				return nil
			}
			Expect(call("GC", `{"name":"n","size":"x","cni.dev/valid-attachments2":7`+list+`}`)).To(BeNil())
			Expect(seen).To(ConsistOf(plugin.Owner{Network: "n"}))
		},
		Entry("none", ``), Entry("null", `,"cni.dev/valid-attachments":null`), Entry("an empty one", `,"cni.dev/valid-attachments":[]`),
		Entry("an empty one by its old name", `,"cni.dev/attachments":[]`),
		Entry("an empty one beside its old name", `,"cni.dev/valid-attachments":[],"cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}]`),
	)

	It("tells of keys that it ignores", func() {
		file, err := os.Create(GinkgoT().TempDir() + "/stderr")
		Expect(err).NotTo(HaveOccurred())
		defer file.Close()
		before := os.Stderr
		os.Stderr = file
		defer func() { os.Stderr = before }()
		Expect(call("ADD", `{"name":"n","sise":3,"capabilities":{"ips":false,"mac":true,"ips":true}}`)).To(BeNil())
		Expect(os.ReadFile(file.Name())).To(BeEquivalentTo("toy: unknown configuration keys are ignored: \"sise\" (did you mean \"size\"?)\n" +
			"toy: of a configuration key that comes again the last one counts: \"capabilities.ips\"\n"))
	})

	It("lints unknown keys", func() {
		p := plugin.New(t.Definition)
		Expect(p.Lint([]byte(`{"name":"n","size":3}`))).To(Succeed())
		Expect(p.Lint([]byte(`{"name":"n","sise":3}`))).To(MatchError(`toy: sise: unknown key (did you mean "size"?)`))
		Expect(p.Lint([]byte(`{"name":"n","colour":3}`))).To(MatchError(`toy: colour: unknown key`))
		Expect(p.Lint([]byte(`{"name":"n","capabilities":{"ips":true,"ips":true}}`))).To(MatchError(`toy: capabilities.ips: duplicated, only the last of the values counts`))
	})

	It("lints what depends on the plugin before", func() {
		lint := func(config string, first bool) error {
			return plugin.New(t.Definition).LintPlace([]byte(config), first)
		}
		const layer2 = `toy: cannot convert: no valid IP addresses: cniVersion "0.2.0" cannot describe an interface without one, use 0.3.0 or newer or configure ipam`
		t.IPAM = plugin.OptionalIPAM
		for _, first := range []bool{true, false} {
			Expect(lint(`{"cniVersion":"0.2.0","name":"n"}`, first)).To(MatchError(layer2))
			Expect(lint(`{"cniVersion":"0.2.0","name":"n","ipam":{"type":"x"}}`, first)).To(Succeed())
			Expect(lint(`{"cniVersion":"0.3.0","name":"n"}`, first)).To(Succeed())
		}
		t.TakesPrev = true
		Expect(lint(`{"cniVersion":"0.2.0","name":"n"}`, true)).To(MatchError(layer2))
		Expect(lint(`{"cniVersion":"0.2.0","name":"n"}`, false)).To(Succeed())
		t.IPAM, t.TakesPrev, t.Chained = plugin.NoIPAM, false, true
		Expect(lint(`{"name":"n"}`, true)).To(MatchError(`toy: prevResult: missing, ADD needs the result of the ADD before it`))
		Expect(lint(`{"name":"n"}`, false)).To(Succeed())
		Expect(lint(`{"cniVersion":"1.0.0","name":"n","prevResult":{}}`, true)).To(Succeed())
	})
})

func withConfig(args *skel.CmdArgs, config string) *skel.CmdArgs {
	args.StdinData = []byte(config)
	return args
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

var _ = Describe("Background", func() {
	It("runs in the caller's namespace and reports errors and panics", func() {
		netns := testutils.TempNS(GinkgoT())
		Expect(netns.Do(func(ns.NetNS) error {
			return plugin.Background(func() error {
				same, err := ns.SameAsCurrent(netns.Path())
				Expect(same).To(BeTrue())
				return err
			})()
		})).To(Succeed())
		Expect(plugin.Background(func() error { return os.ErrClosed })()).To(MatchError(os.ErrClosed))
		Expect(plugin.Background(func() error { panic("boom") })()).To(MatchError(ContainSubstring("boom")))
	})
})
