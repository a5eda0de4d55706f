// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Cni-plugins is all plugins in one executable. It is the plugin that it is
// called as: "cni-plugins install /opt/cni/bin" gives it their names there. By
// another name it is the one that the name is a symbolic link to.
//
// The plugins are the same code as their own executables. What is different is
// that a delegate, which CNI_PATH leads to under another name of the same file, or
// as a copy of it, is called and not started.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/types"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/stdio"
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
)

const usage = `usage: cni-plugins install DIRECTORY   give it the names of the plugins in DIRECTORY
       cni-plugins list                list these names
       cni-plugins heal                put back rules of nftables and iptables that somebody has flushed
       cni-plugins watch               do so as soon as somebody flushes them, until it is stopped
       cni-plugins gc                  take back what containers have left that are gone without a DEL
       cni-plugins status [FILE ...]   say whether networks are ready, of /etc/cni/net.d unless named
       cni-plugins lint [FILE ...]     say what is wrong with configurations, of /etc/cni/net.d unless named
It is a CNI plugin when it is called by one of them.
`

func main() {
	all := plugins()
	if p, ok := called(os.Args[0], all); ok {
		plugin.Main(p, linked(all)...)
		return
	}
	if os.Getenv("CNI_COMMAND") != "" && len(os.Args) == 1 {
		refuse(filepath.Base(os.Args[0]))
		os.Exit(1)
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

// called returns the plugin that this process is called as.
func called(path string, all map[string]plugin.Plugin) (plugin.Plugin, bool) {
	if !strings.Contains(path, "/") { // a shell has found it in PATH
		if p, ok := all[path]; ok {
			return p, true
		}
		path = "/proc/self/exe"
	}
	const hops = 8
	for range hops {
		if p, ok := all[filepath.Base(path)]; ok {
			return p, true
		}
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Dir(path) + "/" + target // not cleaned: the directory may be a link, too
		}
		path = target
	}
	return plugin.Plugin{}, false
}

// refuse answers a runtime, which would not understand the usage. It takes the
// name from "type" of the configuration.
func refuse(name string) {
	err := types.NewError(types.ErrInvalidNetworkConfig,
		fmt.Sprintf("type: %s: no plugin of cni-plugins is called that, it is one of %s", name, strings.Join(names(), ", ")), "")
	if printErr := err.Print(); printErr != nil {
		fmt.Fprintf(stdio.Writer(os.Stderr), "cni-plugins: print the error %q: %v\n", err.Msg, printErr)
	}
}

// command runs what is not a plugin and returns the exit status.
func command(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 1 && args[0] == "list":
		for _, name := range names() {
			fmt.Fprintln(stdout, name)
		}
		return 0
	case len(args) == 1 && args[0] == "heal":
		return heal(context.Background(), stdout, stderr)
	case len(args) == 1 && args[0] == "watch":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return watch(ctx, stdout, stderr)
	case len(args) == 1 && args[0] == "gc":
		return gc(context.Background(), hostlocal.DefaultDataDir, stdout, stderr)
	case len(args) > 0 && args[0] == "status":
		return status(context.Background(), args[1:], confDir, cmp.Or(os.Getenv("CNI_PATH"), binDir), stdout, stderr)
	case len(args) > 0 && args[0] == "lint":
		return lint(args[1:], confDir, stdout, stderr)
	case len(args) == 2 && args[0] == "install":
		if err := install("/proc/self/exe", args[1]); err != nil {
			fmt.Fprintln(stderr, "cni-plugins: install:", err)
			return 1
		}
		return 0
	}
	fmt.Fprint(stderr, usage)
	return 2
}
