// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/ipam"
)

// resultsDir is where libcni keeps what is attached where:
// <network>-<container>-<interface>.
const resultsDir = "/var/lib/cni/results"

// otherNetworkHas returns a function that tells whether there is a trace of a
// container in a network other than the given one. Upstream's nftables rules
// have the container's id and nothing else: a GC must leave those that may be
// another network's.
func otherNetworkHas(network string) func(container string) bool {
	return func(container string) bool {
		return otherResult(resultsDir, network, container) || otherIntent(network, container) || otherReservation(ipam.HostLocalDir, network, container)
	}
}

func otherResult(dir, network, container string) bool {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if strings.Contains(entry.Name(), "-"+container+"-") && !strings.HasPrefix(entry.Name(), network+"-"+container+"-") {
			return true
		}
	}
	return false
}

func otherIntent(network, container string) bool {
	return slices.ContainsFunc(store().OfContainerAnywhere(container), func(i intent.Intent) bool { return i.Network != network })
}

func otherReservation(dir, network, container string) bool {
	networks, _ := os.ReadDir(dir)
	for _, other := range networks {
		if other.Name() == network || strings.HasPrefix(other.Name(), ".") {
			continue
		}
		files, _ := os.ReadDir(filepath.Join(dir, other.Name()))
		for _, file := range files {
			content, _ := os.ReadFile(filepath.Join(dir, other.Name(), file.Name()))
			if id, _, _ := strings.Cut(string(content), "\r\n"); id == container {
				return true
			}
		}
	}
	return false
}
