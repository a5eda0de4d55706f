// SPDX-License-Identifier: Apache-2.0

package utils

import (
	"bytes"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// SupportsIPTables tells whether the iptables binary is there and works on this
// kernel. It runs the binary at each call.
func SupportsIPTables() bool {
	ipt, err := iptables.NewWithProtocol(iptables.ProtocolIPv4)
	if err != nil {
		return false
	}
	_, err = ipt.ChainExists("filter", "INPUT") // either answer shows that it works
	return err == nil
}

// SupportsNFTables tells whether the nft binary is there, new enough (1.0.1)
// and works on this kernel. It runs the binary at each call and changes nothing.
func SupportsNFTables() bool {
	version, err := exec.Command("nft", "--version").Output()
	if err != nil || bytes.HasPrefix(version, []byte("nftables v0.")) || bytes.HasPrefix(version, []byte("nftables v1.0.0 ")) {
		return false
	}
	return nftAccepts(`add table ip supports_nftables_test { comment "probe" ; }`) ||
		nftAccepts(`add table ip supports_nftables_test`)
}

// nftAccepts asks nft whether it would run a command.
func nftAccepts(command string) bool {
	nft := exec.Command("nft", "--check", "-f", "-")
	nft.Stdin = strings.NewReader(command)
	return nft.Run() == nil
}
