// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// ifNamePlaceholder stands for the interface's name in the key of a parameter.
const ifNamePlaceholder = "IFNAME"

// parameter is a kernel parameter to be set.
type parameter struct {
	path  string // where the configuration says so
	key   string // as it is written there
	file  string // below /proc/sys
	value string
}

// parameters are the parameters to set for an interface, in their order.
func (c *Config) parameters(ifName string) ([]parameter, error) {
	var problems conf.Problems
	planned := c.planParameters(&problems, ifName)
	return planned, problems.Err()
}

// planParameters translates the keys and puts the parameters in an order. Those
// of args.cni take the place of the configuration's, however they are written.
func (c *Config) planParameters(p *conf.Problems, ifName string) []parameter {
	byFile := map[string]parameter{}
	maps.Copy(byFile, translate(p, "sysctl", c.Sysctl, ifName))
	maps.Copy(byFile, translate(p, "args.cni.sysctl", c.Args.CNI.Sysctl, ifName))
	return slices.SortedStableFunc(maps.Values(byFile), byGenerality)
}

// translate returns the parameters of an object by their files.
func translate(p *conf.Problems, where string, values map[string]string, ifName string) map[string]parameter {
	byFile := map[string]parameter{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		param := parameter{where + "." + key, key, fileOf(key, ifName), values[key]}
		other, taken := byFile[param.file]
		switch {
		case !strings.HasPrefix(param.file, "net/") || strings.Contains(ifName, "/"):
			p.Add(param.path, "invalid net sysctl key, it is /proc/sys/%s; only parameters below net belong to a container", param.file)
		case isGlobal(param.file):
			p.Add(param.path, "the host has only one /proc/sys/%s for all containers; set it on the host", param.file)
		case taken && other.value != param.value:
			p.Add(param.path, "is the same parameter as %s, which has another value", other.path)
		default:
			byFile[param.file] = param
		}
	}
	return byFile
}

// fileOf returns the file of a parameter. Dots become slashes before the
// interface's name is put in, so that one with a dot (eth0.100) survives.
func fileOf(key, ifName string) string {
	slashed := strings.ReplaceAll(key, ".", "/")
	return path.Clean("/" + strings.Replace(slashed, ifNamePlaceholder, ifName, 1))[1:]
}

// isGlobal tells whether a parameter is seen in every network namespace, where
// it can be written, but is the same in all. So was nf_conntrack_... before
// Linux 5.13, and tcp_allowed_... before 5.12.
func isGlobal(file string) bool {
	return slices.Contains([]string{
		"net/netfilter/nf_hooks_lwtunnel",
		"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_buckets", "net/netfilter/nf_conntrack_expect_max",
		"net/ipv4/tcp_allowed_congestion_control",
	}, file)
}

// byGenerality puts parameters that set others first: net.ipv4.ip_forward and
// conf.all before conf.default, and these before those of an interface.
func byGenerality(a, b parameter) int {
	if d := generality(a.file) - generality(b.file); d != 0 {
		return d
	}
	return strings.Compare(a.file, b.file)
}

func generality(file string) int {
	for i, part := range []string{"/all/", "/default/", "/conf/"} {
		if strings.Contains(file, part) {
			return i + 1
		}
	}
	return 0
}

// writeParameters sets the parameters in the container and pushes the way back. It
// looks at all of them before it sets the first: one of all interfaces that is taken
// back does not give each of them back what it had.
func writeParameters(req *plugin.Request, parameters []parameter) error {
	host := openOnHost(parameters)
	defer host.close()
	return req.InNetns(func() error {
		before := make([]*string, len(parameters))
		for i, param := range parameters {
			var err error
			if before[i], err = host.look(param); err != nil {
				return fmt.Errorf("%s: %w", param.path, err)
			}
		}
		for i, param := range parameters {
			if err := write(req, param, before[i]); err != nil {
				return fmt.Errorf("%s: %w", param.path, err)
			}
		}
		return nil
	})
}

// look returns the value of a parameter, or nil if it cannot be read, as
// route.flush. One that there is none of, or that is the host's, is an error.
func (h hostParameters) look(param parameter) (value *string, err error) {
	if h.shares(param.file) {
		return nil, fmt.Errorf("/proc/sys/%s is the host's own; set it on the host", param.file)
	}
	text, err := sysctl.Sysctl(param.file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR):
		return nil, err
	case err != nil:
		return nil, nil
	}
	return &text, nil
}

func write(req *plugin.Request, param parameter, before *string) error {
	if err := sysctl.Write(param.file, param.value); err != nil {
		return err
	}
	if before != nil && *before != param.value {
		req.Undo.Push("sysctl "+param.key, func() error {
			return req.InNetns(func() error { return sysctl.Write(param.file, *before) })
		})
	}
	return nil
}

func checkParameters(report *check.Report, parameters []parameter) {
	for _, param := range parameters {
		value, err := sysctl.Sysctl(param.file)
		switch {
		case errors.Is(err, fs.ErrPermission): // route.flush and the like can only be written
		case err != nil:
			report.Fail(param.path, err)
		case !sysctl.SameValue(value, param.value):
			report.Equal("sysctl", param.key, param.value, value)
		}
	}
}

// hostParameters are parameters as the host sees them. They are held open: so
// long, nothing else has the same inode number.
type hostParameters map[string]*os.File

func openOnHost(parameters []parameter) hostParameters {
	host := hostParameters{}
	for _, param := range parameters {
		if file, err := os.OpenFile("/proc/sys/"+param.file, unix.O_PATH, 0); err == nil {
			host[param.file] = file
		}
	}
	return host
}

// shares tells whether a parameter of the current namespace is the host's.
func (h hostParameters) shares(file string) bool {
	onHost, ok := h[file]
	if !ok {
		return false
	}
	theirs, err := onHost.Stat()
	ours, ourErr := os.Stat("/proc/sys/" + file)
	return err == nil && ourErr == nil && os.SameFile(theirs, ours)
}

func (h hostParameters) close() {
	for _, file := range h {
		file.Close()
	}
}
