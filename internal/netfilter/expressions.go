// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// equals compares what is in register 1.
func equals(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: data}
}

// lookup looks up what begins in register 1.
func lookup(set string) expr.Any {
	return &expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set}
}

func jumpTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }
