// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils"
	"github.com/containernetworking/plugins/pkg/utils/masqrules"
)

// SetupIPMasqForNetworks installs the rules that masquerade traffic from ipns,
// in the shapes the plugins had up to version 1.9. The backend is "iptables",
// "nftables" or nil: then iptables, unless only nftables works on this host.
//
// Deprecated: the plugins keep their rules in tables of their own, in which an
// attachment costs no packet anything; these shapes remain for programs that
// import the function.
func SetupIPMasqForNetworks(backend *string, ipns []*net.IPNet, network, ifname, containerID string) error {
	if backend == nil {
		chosen := "iptables"
		if !utils.SupportsIPTables() && utils.SupportsNFTables() {
			chosen = "nftables"
		}
		backend = &chosen
	}
	switch *backend {
	case "iptables":
		return setupIPMasqIPTables(ipns, network, containerID)
	case "nftables":
		return masqrules.Set(ipns, network, ifname, containerID)
	}
	return fmt.Errorf("unknown ipmasq backend %q: want iptables or nftables", *backend)
}

// TeardownIPMasqForNetworks removes what SetupIPMasqForNetworks installed, with
// whichever backend. A backend that this host does not have is passed over.
//
// Deprecated: see SetupIPMasqForNetworks.
func TeardownIPMasqForNetworks(ipns []*net.IPNet, network, ifname, containerID string) error {
	var errs []error
	if utils.SupportsIPTables() {
		errs = append(errs, teardownIPMasqIPTables(ipns, network, containerID))
	}
	errs = append(errs, masqrules.Remove(network, ifname, containerID))
	return errors.Join(errs...)
}

// GCIPMasqForNetwork removes the nftables rules of a network's attachments that
// are not in the list. The iptables rules do not tell to which network they belong.
//
// Deprecated: see SetupIPMasqForNetworks.
func GCIPMasqForNetwork(network string, attachments []types.GCAttachment) error {
	return masqrules.GC(network, attachments)
}
