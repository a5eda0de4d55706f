// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"errors"
	"net"

	"github.com/coreos/go-iptables/iptables"

	"github.com/containernetworking/plugins/pkg/utils"
)

// SetupIPMasq installs the iptables rules that masquerade traffic from ipn,
// unless it goes to ipn's subnet or is multicast. The rules are in chain, which
// POSTROUTING jumps to, and all have the comment.
//
// Deprecated: use SetupIPMasqForNetworks.
func SetupIPMasq(ipn *net.IPNet, chain string, comment string) error {
	ipt, multicast, err := iptablesFor(ipn)
	if err != nil {
		return err
	}
	if err := utils.EnsureChain(ipt, "nat", chain); err != nil {
		return err
	}
	rule := func(words ...string) []string { return append(words, "-m", "comment", "--comment", comment) }
	return firstError(
		// First, of several subnets each.
		func() error { return ipt.InsertUnique("nat", chain, 1, rule("-d", ipn.String(), "-j", "ACCEPT")...) },
		func() error { return ipt.AppendUnique("nat", chain, rule("!", "-d", multicast, "-j", "MASQUERADE")...) },
		func() error {
			return ipt.AppendUnique("nat", "POSTROUTING", rule("-s", ipn.IP.String(), "-j", chain)...)
		},
	)
}

// TeardownIPMasq removes what SetupIPMasq installed, and the jump with a prefix
// length that was installed until 2019. What is not there is no error.
//
// Deprecated: use TeardownIPMasqForNetworks.
func TeardownIPMasq(ipn *net.IPNet, chain string, comment string) error {
	return firstError(
		func() error { return removeJumps(ipn, chain, comment) },
		func() error { return removeChain(ipn, chain) },
	)
}

// removeJumps removes what leads packets from ipn to chain.
func removeJumps(ipn *net.IPNet, chain, comment string) error {
	ipt, _, err := iptablesFor(ipn)
	if err != nil {
		return err
	}
	jump := func(source string) error {
		return utils.DeleteRule(ipt, "nat", "POSTROUTING", "-s", source, "-j", chain, "-m", "comment", "--comment", comment)
	}
	return firstError(
		func() error { return jump(ipn.IP.String()) },
		func() error { return jump(ipn.String()) },
	)
}

// removeChain removes the chain, to which nothing leads any more, of ipn's family.
func removeChain(ipn *net.IPNet, chain string) error {
	ipt, _, err := iptablesFor(ipn)
	if err != nil {
		return err
	}
	return firstError(
		func() error { return utils.ClearChain(ipt, "nat", chain) },
		func() error { return utils.DeleteChain(ipt, "nat", chain) },
	)
}

// iptablesFor returns the iptables of ipn's family and its multicast prefix.
func iptablesFor(ipn *net.IPNet) (*iptables.IPTables, string, error) {
	if ipn.IP.To4() == nil {
		ipt, err := iptables.NewWithProtocol(iptables.ProtocolIPv6)
		return ipt, "ff00::/8", err
	}
	ipt, err := iptables.NewWithProtocol(iptables.ProtocolIPv4)
	return ipt, "224.0.0.0/4", err
}

// firstError does one step after the other until one fails.
func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func setupIPMasqIPTables(ipns []*net.IPNet, network, containerID string) error {
	for _, ipn := range ipns {
		if err := SetupIPMasq(ipn, utils.FormatChainName(network, containerID), utils.FormatComment(network, containerID)); err != nil {
			return err
		}
	}
	return nil
}

func teardownIPMasqIPTables(ipns []*net.IPNet, network, containerID string) error {
	chain := utils.FormatChainName(network, containerID)
	var errs []error
	for _, ipn := range ipns {
		errs = append(errs, removeJumps(ipn, chain, utils.FormatComment(network, containerID)))
	}
	for _, ipn := range ipns {
		errs = append(errs, removeChain(ipn, chain))
	}
	return errors.Join(errs...)
}
