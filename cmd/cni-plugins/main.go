// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Cni-plugins is all plugins in one executable. It is the plugin that it is
// called as: "cni-plugins install /opt/cni/bin" gives it their names there.
//
// The plugins are the same code as their own executables. What is different is
// that a delegate, which CNI_PATH leads to under another name of the same file,
// is called and not started.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "github.com/containernetworking/plugins/internal/oneprocessor"
	"github.com/containernetworking/plugins/pkg/plugin"
)

const usage = `usage: cni-plugins install DIRECTORY   give it the names of the plugins in DIRECTORY
       cni-plugins list                list these names
       cni-plugins heal                put back rules of nftables and iptables that somebody has flushed
It is a CNI plugin when it is called by one of them.
`

func main() {
	all := plugins()
	if p, ok := all[filepath.Base(os.Args[0])]; ok {
		plugin.Main(p, linked(all)...)
		return
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
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
