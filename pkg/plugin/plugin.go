// SPDX-License-Identifier: Apache-2.0

// Package plugin is the chassis every plugin of this module stands on. It owns
// the edges of a command - decoding, validation, prevResult, the network
// namespace, undo, error codes, printing - and leaves the middle to the plugin,
// as plain Go that is read from top to bottom.
//
// A plugin is a Definition; its main function is
//
//	func main() { plugin.Main(bridge.Plugin) }
package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/utils/buildversion"
	"github.com/containernetworking/plugins/pkg/utils/stdio"
)

// IPAMUse says what a plugin has to do with the "ipam" object of its
// configuration.
type IPAMUse int

// What a plugin has to do with IPAM.
const (
	NoIPAM       IPAMUse = iota // it does not look at "ipam"
	OptionalIPAM                // layer 2 without, addresses with an IPAM plugin
	RequiredIPAM                // it has nothing to do without addresses
	HostIPAM                    // the host assigns addresses where no IPAM plugin does
	IsIPAM                      // it is the IPAM plugin: "ipam" holds its own configuration
)

// Definition is what the author of a plugin writes. C is the plugin's
// configuration: a struct that embeds conf.Common and may be a conf.Validator.
//
// Add, Check and Status get a configuration that was decoded and validated
// without a problem. Del and GC get what could be decoded: a configuration that
// ADD would refuse must not keep anything from being removed.
type Definition[C any] struct {
	Name      string
	Versions  version.PluginInfo
	IPAM      IPAMUse
	Chained   bool     // ADD and CHECK need the result of a previous plugin
	TakesPrev bool     // ADD looks at the result of a previous plugin, if there is one; else not even that it is one
	Args      []string // keys of CNI_ARGS the plugin reads; nil: it does not look at CNI_ARGS
	// ForeignNetns is set for a plugin to which CNI_NETNS is something else than
	// the path of a network namespace. It finds it in Request.Netns.Path().
	ForeignNetns bool
	// IgnoresIfName is set for a plugin that names no interface after CNI_IFNAME:
	// it takes what no interface could be called.
	IgnoresIfName bool

	Add   func(context.Context, *Request, *C) (*current.Result, error)
	Del   func(context.Context, *Request, *C) error
	Check func(context.Context, *Request, *C) error
	// Status tells why ADD could not succeed now; may be nil. The IPAM plugin
	// is asked by the chassis, also where Status is set.
	Status func(context.Context, *Request, *C) error
	// GC removes what belongs to attachments of the network that are not among
	// the given ones; may be nil. The IPAM plugin is told by the chassis.
	GC func(context.Context, *Request, *C, Attachments) error
	// Daemon is what the executable does instead when its first argument is
	// "daemon"; may be nil. It gets the arguments after that one and returns the
	// exit status.
	Daemon func(args []string) int
	// Helper is what a process does that RunHelper has started; may be nil.
	Helper func() error
}

// Plugin is a Definition that has forgotten the type of its configuration.
type Plugin struct {
	Name      string
	Versions  version.PluginInfo
	Delegates bool // an IPAM plugin that "ipam" names gets the configuration as it is
	call      func(ctx context.Context, verb string, args *skel.CmdArgs, stdout io.Writer) error
	decode    func(data []byte, how Linting) error
	place     func(data []byte, first bool) error
	daemon    func(args []string) int // may be nil
	helper    func() error            // may be nil
}

// New makes a plugin of its definition.
func New[C any](d Definition[C]) Plugin {
	c := d.command()
	return Plugin{
		Name: d.Name, Versions: d.Versions, Delegates: c.delegates(),
		call: c.run, decode: c.lint, place: c.lintPlace, daemon: d.Daemon, helper: d.Helper,
	}
}

// Call runs one command ("ADD", "CHECK", "DEL", "STATUS" or "GC") in this
// process and writes the result of an ADD to stdout. An error holds a
// *types.Error with the code for the runtime.
func (p Plugin) Call(ctx context.Context, verb string, args *skel.CmdArgs, stdout io.Writer) error {
	return p.call(ctx, verb, args, stdout)
}

// Lint decodes and validates a configuration as its author would want it
// checked: a key that the plugin does not know is an error too.
func (p Plugin) Lint(data []byte) error { return p.LintAs(data, Linting{Strict: true}) }

// Linting is how a configuration is looked at.
type Linting struct {
	Strict bool                     // a key that the plugin does not know is an error, too
	Origin func(path string) string // of a configuration that was made of another: where there a value stands; may be nil
}

// LintAs says why ADD refuses a configuration, whatever is before it in its network.
func (p Plugin) LintAs(data []byte, how Linting) error { return p.decode(data, how) }

// LintPlace says why ADD refuses a configuration that Lint has nothing against, for
// what is or is not before it in its network.
func (p Plugin) LintPlace(data []byte, first bool) error { return p.place(data, first) }

// CNIFuncs returns the plugin's commands for skel, with results going to
// stdout.
func (p Plugin) CNIFuncs(ctx context.Context, stdout io.Writer) skel.CNIFuncs {
	verb := func(name string) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error { return p.call(ctx, name, args, stdout) }
	}
	return skel.CNIFuncs{Add: verb("ADD"), Check: verb("CHECK"), Del: verb("DEL"), Status: verb("STATUS"), GC: verb("GC")}
}

// Main runs the plugin as the process it is: the command comes from the
// environment and standard input, the answer goes to standard output, and the
// exit status is 1 after an error. Delegates that are the same as one of linked
// are called in this process.
func Main(p Plugin, linked ...Linked) {
	if p.daemon != nil && len(os.Args) > 1 && os.Args[1] == "daemon" {
		useProcessors()
		os.Exit(p.daemon(os.Args[2:]))
	}
	os.Unsetenv("GOMAXPROCS") // internal/startup may have set it: no concern of the programs that a plugin starts
	if p.isHelper() {
		if err := p.helper(); err != nil {
			fmt.Fprintln(stdio.Writer(os.Stderr), err)
			os.Exit(1)
		}
		return
	}
	asked, call := false, p.call
	p.call = func(ctx context.Context, verb string, args *skel.CmdArgs, stdout io.Writer) error {
		asked = true
		return call(ctx, verb, args, stdout)
	}
	err := skel.PluginMainFuncsWithError(p.CNIFuncs(withLinked(context.Background(), linked), stdio.Writer(os.Stdout)), p.Versions, buildversion.BuildString(p.Name))
	if err == nil {
		return
	}
	if !asked { // the library has refused it
		log(p.Name, os.Getenv("CNI_COMMAND"), environment(nil), time.Now(), err)
	}
	if printErr := printError(err); printErr != nil {
		fmt.Fprintf(stdio.Writer(os.Stderr), "%s: print the error %q: %v\n", p.Name, err.Msg, printErr)
	}
	os.Exit(1)
}

// useProcessors makes a daemon use as many processors as Go does by itself:
// internal/startup is for what is soon over.
func useProcessors() {
	runtime.SetDefaultGOMAXPROCS()
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		runtime.GOMAXPROCS(n)
	}
}

// printError is err.Print with our standard output.
func printError(err *types.Error) error {
	text, encodeErr := json.MarshalIndent(err, "", "    ")
	if encodeErr != nil {
		return encodeErr
	}
	_, writeErr := stdio.Writer(os.Stdout).Write(text)
	return writeErr
}
