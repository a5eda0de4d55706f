// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/undo"
	"github.com/containernetworking/plugins/pkg/utils/stdio"
)

// run is the edge of every command.
func (c command) run(ctx context.Context, verb string, args *skel.CmdArgs, stdout io.Writer) (err error) {
	defaultCode := types.ErrInternal
	if verb == "STATUS" {
		defaultCode = ErrNotAvailable
	}
	began := time.Now()
	defer func() {
		err = edgeError(c.Name, defaultCode, err)
		log(c.Name, verb, args, began, err)
	}()
	switch verb {
	case "ADD":
		return c.add(ctx, args, stdout)
	case "CHECK":
		return c.check(ctx, args)
	case "DEL":
		return c.del(ctx, args)
	case "STATUS":
		return c.status(ctx, args)
	case "GC":
		return c.gc(ctx, args)
	}
	return Errorf(types.ErrInvalidEnvironmentVariables, "unknown CNI_COMMAND: %s", verb)
}

// add answers every question that can be answered without touching the host,
// runs the plugin's Add, prints, and takes everything back if any of it fails.
func (c command) add(ctx context.Context, args *skel.CmdArgs, stdout io.Writer) (err error) {
	config, req, err := c.prepare(args, c.Chained || c.TakesPrev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, req.close()) }()
	if err := c.checkIfName(req.IfName); err != nil {
		return err
	}
	if err := c.checkConvertible(config, req); err != nil {
		return err
	}
	if err := req.IPAM.Locate(); err != nil {
		return err
	}
	if err := c.openNetns(args, req); err != nil {
		return err
	}
	req.Undo = undo.New(ctx)
	err = protect(func() error {
		result, err := c.Add(ctx, req, config)
		if err != nil {
			return err
		}
		if result == req.Prev {
			req.passPrevOn()
		}
		return printResult(result, base(config).CNIVersion, stdout)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ns.ErrStranded): // what is to be undone here is not here
		return err
	}
	return errors.Join(err, req.Undo.Unwind())
}

func (c command) check(ctx context.Context, args *skel.CmdArgs) (err error) {
	config, req, err := c.prepare(args, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, req.close()) }()
	if err := c.needPrevious("CHECK", req, c.delegates()); err != nil {
		return err
	}
	if err := c.openNetns(args, req); err != nil {
		return err
	}
	if c.Check == nil {
		return nil
	}
	return protect(func() error { return c.Check(ctx, req, config) })
}

// del decodes what it can and removes what it can name.
func (c command) del(ctx context.Context, args *skel.CmdArgs) error {
	config, req, err := c.prepareRemoval(args, new(conf.Problems))
	if err != nil {
		return err
	}
	ref, refErr := c.netnsToLeave(args)
	req.Netns = ref
	err = protect(func() error {
		if c.Del == nil {
			return nil
		}
		return c.Del(ctx, req, config)
	})
	if c.delegates() {
		c.delForgotten(ctx, req)
	}
	return errors.Join(err, refErr, req.close())
}

// delForgotten goes beyond what the configuration asks for, and so is no reason for
// DEL to fail.
func (c command) delForgotten(ctx context.Context, req *Request) {
	if err := req.IPAM.DelForgotten(ctx, req.Network); err != nil {
		Logf(c.Name, "what host-local may hold for %s, of which the configuration says nothing, stays: %v", req.Owner().Comment(), err)
	}
}

func (c command) status(ctx context.Context, args *skel.CmdArgs) error {
	config, req, err := c.prepare(args, true)
	if err != nil {
		return err
	}
	return protect(func() error {
		if c.Status != nil {
			err = c.Status(ctx, req, config)
		}
		return errors.Join(err, req.IPAM.Status(ctx))
	})
}

// gc decodes what it can, like del, but for what it has to spare: what it could
// not read there it would remove.
func (c command) gc(ctx context.Context, args *skel.CmdArgs) error {
	var problems conf.Problems
	config, req, err := c.prepareRemoval(args, &problems)
	if err != nil {
		return err
	}
	if err := base(config).ValidAttachmentsErr(&problems); err != nil {
		return err
	}
	valid := NewAttachments(req.Network, base(config).ValidAttachments)
	addresses := func() error { return req.IPAM.GC(ctx) }
	interfaces := func() error {
		if c.GC == nil {
			return nil
		}
		return c.GC(ctx, req, config, valid)
	}
	if req.IPAM.ReleasesThroughInterface() {
		return errors.Join(protect(addresses), protect(interfaces))
	}
	return errors.Join(protect(interfaces), protect(addresses)) // nobody is to get an address that is in use
}

// prepare decodes and validates for ADD, CHECK and STATUS. Everything that is
// wrong with the configuration is in the one error it returns; what an interface
// plugin's ADD is given for a prevResult may be anything.
func (c command) prepare(args *skel.CmdArgs, withPrev bool) (any, *Request, error) {
	var problems conf.Problems
	config := c.newConfig()
	ignored, err := conf.Decode(args.StdinData, config, &problems)
	if err != nil {
		return nil, nil, err
	}
	checkName(&problems, base(config).Name)
	req := c.newRequest(args, base(config))
	if c.Args != nil {
		req.Args = conf.ParseEnvArgs(args.Args, c.Args, &problems)
	}
	c.validate(config, req, &problems)
	if withPrev {
		req.takePrev(base(config), &problems)
	}
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	c.warn(ignored)
	req.IPAM = c.delegate(config, args)
	return config, req, nil
}

func (c command) validate(config any, req *Request, problems *conf.Problems) {
	if c.IPAM == RequiredIPAM && base(config).IPAM.Type == "" {
		problems.Add("ipam.type", "missing; name the IPAM plugin that assigns addresses, such as host-local")
	}
	if c.delegatesToItself(config) {
		problems.Add("ipam.type", "%q is no IPAM plugin; name the one that assigns addresses, such as host-local", base(config).IPAM.Type)
	}
	if v, ok := config.(conf.Validator); ok {
		v.Validate(problems, req.Args)
	}
}

// prepareRemoval decodes for DEL and GC: whatever can be decoded is used, and
// what is wrong with what names the objects stops neither. Without the network's
// name there would be nothing to name them by.
func (c command) prepareRemoval(args *skel.CmdArgs, problems *conf.Problems) (any, *Request, error) {
	config := c.newConfig()
	if _, err := conf.Decode(args.StdinData, config, problems); err != nil {
		return nil, nil, err
	}
	var unnamed conf.Problems
	checkName(&unnamed, base(config).Name)
	if err := unnamed.Err(); err != nil {
		return nil, nil, err
	}
	req := c.newRequest(args, base(config))
	req.Undo = new(undo.Stack)
	if c.Args != nil {
		req.Args = conf.ParseEnvArgs(args.Args, c.Args, problems)
	}
	req.takePrev(base(config), problems)
	req.IPAM = c.delegate(config, args)
	return config, req, nil
}

// checkName notes a name that no network has; it becomes part of paths. skel has
// looked at the last of "name" and "Name", which need not be the one that counts,
// and has not been asked about a command in this process.
func checkName(p *conf.Problems, name string) {
	switch {
	case name == "":
		p.Add("name", "missing, the name of the network is expected")
	case utils.ValidateNetworkName(name) != nil:
		p.Add("name", "%q cannot be the name of a network: it must begin with a letter or digit, and have nothing but these, _ . and -", name)
	}
}

func (c command) delegate(config any, args *skel.CmdArgs) ipam.Delegate {
	if !c.delegates() || base(config).IPAM.Type == "" || c.delegatesToItself(config) {
		return ipam.Delegate{}
	}
	return ipam.NewDelegate(base(config).IPAM.Type, args.StdinData)
}

// delegates tells whether "ipam" may name an IPAM plugin to call.
func (c command) delegates() bool {
	return c.IPAM == OptionalIPAM || c.IPAM == RequiredIPAM || c.IPAM == HostIPAM
}

// delegatesToItself tells whether a configuration has an interface plugin call itself
// for addresses, which would never end. One that another interface plugin calls for
// them gets such a configuration, too, by whatever name its executable has.
func (c command) delegatesToItself(config any) bool {
	name := base(config).IPAM.Type
	return c.delegates() && name != "" && slices.Contains([]string{c.Name, base(config).Type, filepath.Base(os.Args[0])}, name)
}

// lint is prepare for somebody who writes a configuration.
func (c command) lint(data []byte, how Linting) error {
	var problems conf.Problems
	config := c.newConfig()
	ignored, err := conf.Decode(data, config, &problems)
	if err != nil {
		return edgeError(c.Name, types.ErrDecodingFailure, err)
	}
	req := c.newRequest(&skel.CmdArgs{StdinData: data}, base(config))
	c.validate(config, req, &problems)
	if how.Strict {
		for _, key := range c.own(ignored) {
			problems.Add(key.Path, "%s", key.Problem())
		}
	}
	if how.Origin != nil {
		problems.Move(how.Origin)
	}
	return edgeError(c.Name, types.ErrInvalidNetworkConfig, problems.Err())
}

// lintPlace asks what add does after prepare. Of a plugin that takes the result of one
// before it, only the first is known to get none.
func (c command) lintPlace(data []byte, first bool) error {
	if !first && (c.Chained || c.TakesPrev) {
		return nil
	}
	var problems conf.Problems
	config := c.newConfig()
	if _, err := conf.Decode(data, config, &problems); err != nil {
		return edgeError(c.Name, types.ErrDecodingFailure, err)
	}
	args := &skel.CmdArgs{StdinData: data}
	req := c.newRequest(args, base(config))
	req.takePrev(base(config), &problems)
	req.IPAM = c.delegate(config, args)
	return edgeError(c.Name, types.ErrInternal, c.checkConvertible(config, req))
}

// warn writes a line about keys nobody will look at. A runtime may well add keys
// of its own, so using such a configuration is no error.
func (c command) warn(ignored []conf.IgnoredKey) {
	var unknown, repeated []string
	for _, key := range c.own(ignored) {
		if key.Repeated {
			repeated = append(repeated, key.String())
		} else {
			unknown = append(unknown, key.String())
		}
	}
	if len(unknown) > 0 {
		Logf(c.Name, "unknown configuration keys are ignored: %s", strings.Join(unknown, ", "))
	}
	if len(repeated) > 0 {
		Logf(c.Name, "of a configuration key that comes again the last one counts: %s", strings.Join(repeated, ", "))
	}
}

// Logf writes a line for the node's administrator, in the name of a plugin, about
// something that does not keep a command from succeeding. Runtimes log it.
func Logf(name, format string, args ...any) {
	fmt.Fprintf(stdio.Writer(os.Stderr), name+": "+format+"\n", args...)
}

// own drops the keys that this plugin could not know. An IPAM plugin reads the
// configuration of its caller, of which only "ipam" is its own.
func (c command) own(ignored []conf.IgnoredKey) []conf.IgnoredKey {
	if c.IPAM != IsIPAM {
		return ignored
	}
	var own []conf.IgnoredKey
	for _, key := range ignored {
		if strings.HasPrefix(strings.ToLower(key.Path), "ipam.") {
			own = append(own, key)
		}
	}
	return own
}

// checkIfName refuses a name that no interface can have. The library, which has
// looked at it, too, does not know of all.
func (c command) checkIfName(name string) error {
	if c.IgnoresIfName {
		return nil
	}
	var problems conf.Problems
	conf.LinkName(&problems, "CNI_IFNAME", name)
	return problems.Err()
}

// checkConvertible refuses, before anything is done, an ADD whose result could
// not be expressed in the version the runtime asked for.
func (c command) checkConvertible(config any, req *Request) error {
	if err := c.needPrevious("ADD", req, false); err != nil {
		return err
	}
	layer2 := c.IPAM == OptionalIPAM && !req.IPAM.Configured() || c.IPAM == NoIPAM && req.Prev != nil
	if layer2 && len(req.PrevAddresses()) == 0 && base(config).OneAddressPerFamily() {
		return Errorf(types.ErrIncompatibleCNIVersion,
			"cannot convert: no valid IP addresses: cniVersion %q cannot describe an interface without one, use 0.3.0 or newer or configure ipam",
			base(config).CNIVersion)
	}
	return nil
}

func (c command) needPrevious(verb string, req *Request, needed bool) error {
	if req.Prev == nil && (c.Chained || needed) {
		return Errorf(types.ErrInvalidNetworkConfig, "prevResult: missing, %s needs the result of the ADD before it", verb)
	}
	return nil
}

// takePrev converts prevResult to the current version. The library's conversions
// panic on null entries, so those are looked for first. An address of an interface
// that is not in the list is one of none: plugins of others return such, and
// upstream's take it.
func (r *Request) takePrev(common *conf.Common, problems *conf.Problems) {
	if len(common.PrevResult) == 0 || string(common.PrevResult) == "null" {
		return
	}
	before := problems.Len()
	conf.RejectNulls(problems, "prevResult", common.PrevResult)
	if problems.Len() > before {
		return
	}
	result, err := parsePrevious(common)
	if err != nil {
		problems.AddResult("prevResult", common.PrevResult, err)
		return
	}
	r.Prev, r.unlisted = result, map[*current.IPConfig]*int{}
	for _, ip := range result.IPs {
		if ip.Interface != nil && (*ip.Interface < 0 || *ip.Interface >= len(result.Interfaces)) {
			r.unlisted[ip], ip.Interface = ip.Interface, nil
		}
	}
}

// passPrevOn makes prevResult what it was before takePrev, for whoever comes next.
// An address that the plugin has given an interface meanwhile keeps it.
func (r *Request) passPrevOn() {
	for ip, index := range r.unlisted {
		if ip.Interface == nil {
			ip.Interface = index
		}
	}
}

// parsePrevious decodes prevResult as the version it states, or the
// configuration's if it states none.
func parsePrevious(common *conf.Common) (*current.Result, error) {
	var stated struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(common.PrevResult, &stated); err != nil {
		return nil, err
	}
	if stated.CNIVersion == "" {
		stated.CNIVersion = common.CNIVersion
	}
	if stated.CNIVersion == "" {
		stated.CNIVersion = "0.1.0"
	}
	data, err := withVersion(common.PrevResult, stated.CNIVersion)
	if err != nil {
		return nil, err
	}
	result, err := version.NewResult(stated.CNIVersion, data)
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(result)
}

// withVersion returns the result that data is with one cniVersion in the one
// spelling that the library knows.
func withVersion(data []byte, cniVersion string) ([]byte, error) {
	object := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	keys := len(object)
	for key := range object {
		if strings.EqualFold(key, "cniVersion") && key != "cniVersion" {
			delete(object, key)
		}
	}
	quoted, err := json.Marshal(cniVersion)
	if err != nil {
		return nil, err
	}
	if len(object) == keys && bytes.Equal(object["cniVersion"], quoted) {
		return data, nil
	}
	object["cniVersion"] = quoted
	return json.Marshal(object)
}

// printResult converts a result to the version asked for and writes it, or hands
// it over to who called in this process.
func printResult(result *current.Result, confVersion string, stdout io.Writer) error {
	if confVersion == "" {
		confVersion = "0.1.0"
	}
	result.CNIVersion = current.ImplementedSpecVersion
	converted, err := result.GetAsVersion(confVersion)
	if err != nil {
		return WithCode(types.ErrIncompatibleCNIVersion, err)
	}
	if answer, here := stdout.(*ipam.Answer); here {
		answer.Result = converted
		return nil
	}
	if err := writeResult(converted, stdout); err != nil {
		return Errorf(types.ErrIOFailure, "print the result: %w", err)
	}
	return nil
}

func writeResult(converted types.Result, stdout io.Writer) error {
	result, isCurrent := converted.(*current.Result)
	if !isCurrent {
		return converted.PrintTo(stdout)
	}
	text, err := resultText(result)
	if err != nil {
		return err
	}
	_, err = stdout.Write(text)
	return err
}

// openNetns opens the container's namespace for ADD and CHECK, which need it
// unless the plugin only assigns addresses, and makes sure that it is not the
// one we are in.
func (c command) openNetns(args *skel.CmdArgs, req *Request) error {
	if c.foreignNetns() {
		req.Netns = ns.RefTo(nil, args.Netns)
		return nil
	}
	if c.IPAM == IsIPAM {
		same, err := sameNetns(args)
		return refuseOwn(args, same, err)
	}
	netns, err := ns.GetNS(args.Netns)
	if err != nil {
		return Errorf(types.ErrInvalidNetNS, "CNI_NETNS: open the network namespace %q: %w", args.Netns, err)
	}
	home, err := ns.GetCurrentNS()
	if err != nil {
		return errors.Join(err, netns.Close())
	}
	req.Netns = ns.RefFrom(home, netns, args.Netns)
	same, err := ns.Same(home, netns)
	return refuseOwn(args, same && !overridden(args), err)
}

// refuseOwn returns an error if the container's namespace is our own.
func refuseOwn(args *skel.CmdArgs, same bool, err error) error {
	if err == nil && same {
		err = Errorf(types.ErrInvalidNetNS,
			"CNI_NETNS: plugin's netns and netns from CNI_NETNS should not be the same (%s)", args.Netns)
	}
	args.NetnsOverride = "1" // skel asks the same question again, after the work is done
	return err
}

// foreignNetns tells whether CNI_NETNS is not for us to open: the plugin says so,
// or this system has no network namespaces.
func (c command) foreignNetns() bool { return c.ForeignNetns || runtime.GOOS != "linux" }

// netnsToLeave opens the container's namespace for DEL. One that is gone, or is
// no namespace any more, or has become our own (the path of a process whose
// number was reused), holds nothing of the container.
func (c command) netnsToLeave(args *skel.CmdArgs) (ns.Ref, error) {
	defer func() { args.NetnsOverride = "1" }() // as in openNetns; and DEL has no reason to fail over it
	if c.foreignNetns() || c.IPAM == IsIPAM {
		return ns.RefTo(nil, args.Netns), nil
	}
	same, err := sameNetns(args)
	if same || err != nil {
		return ns.Ref{}, err
	}
	return ns.OpenRef(args.Netns)
}

func sameNetns(args *skel.CmdArgs) (bool, error) {
	if overridden(args) || args.Netns == "" {
		return false, nil
	}
	return ns.SameAsCurrent(args.Netns)
}

// overridden tells whether the runtime says that the container's namespace may be our own.
func overridden(args *skel.CmdArgs) bool {
	return args.NetnsOverride == "1" || strings.EqualFold(args.NetnsOverride, "true")
}

// protect runs fn and turns a panic into an error: no input may end in a stack
// trace instead of an answer.
func protect(fn func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicError(value)
		}
	}()
	return fn()
}

func base(config any) *conf.Common {
	return config.(interface{ Base() *conf.Common }).Base()
}
