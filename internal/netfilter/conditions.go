// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Conditions are matches as nft spells them. Without nft, these are understood,
// any number of them in a row:
//
//	ip saddr 192.0.2.0/24            ip6 saddr, ip daddr, ip6 daddr likewise
//	ip saddr != { 192.0.2.1, 192.0.2.2 }
//	iifname != "eth0"                or the beginning of a name: "veth*"
//	tcp sport 1024-65535             udp, sctp and dport likewise
//	meta mark 0x1
//
// Each may have "==" or "!=" ahead of the value.

// CheckConditions says what is wrong with conditions for IPv4 or IPv6.
func CheckConditions(conditions []string, ipv6 bool) error {
	index := 0
	if ipv6 {
		index = 1
	}
	_, err := families()[index].compile(conditions)
	return err
}

// compile translates conditions.
func (f family) compile(conditions []string) ([]expr.Any, error) {
	words := strings.Fields(strings.NewReplacer("{", " { ", "}", " } ", ",", " ").Replace(strings.Join(conditions, " ")))
	if len(conditions) > 0 && len(words) == 0 {
		return nil, errors.New("empty")
	}
	var exprs []expr.Any
	for len(words) > 0 {
		match, rest, err := f.compileOne(words)
		if err != nil {
			return nil, err
		}
		exprs, words = append(exprs, match...), rest
	}
	return exprs, nil
}

// operand is what a condition compares.
type operand struct {
	load  []expr.Any
	parse func(word string) (matching []expr.Any, inverse []expr.Any, err error)
}

func (f family) compileOne(words []string) (match []expr.Any, rest []string, err error) {
	operand, words, err := f.operand(words)
	if err != nil {
		return nil, nil, err
	}
	negated, words := relation(words)
	values, rest, err := valuesOf(words)
	if err != nil {
		return nil, nil, err
	}
	if len(values) > 1 && !negated {
		return nil, nil, errors.New("a set { } needs != ahead of it: use a prefix or a range, or the backend iptables")
	}
	for _, value := range values {
		matching, inverse, err := operand.parse(value)
		if err != nil {
			return nil, nil, err
		}
		if negated {
			matching = inverse
		}
		match = append(append(match, operand.load...), matching...)
	}
	return match, rest, nil
}

func relation(words []string) (negated bool, rest []string) {
	if len(words) > 0 && (words[0] == "==" || words[0] == "!=") {
		return words[0] == "!=", words[1:]
	}
	return false, words
}

// valuesOf returns the value, or those between braces.
func valuesOf(words []string) (values, rest []string, err error) {
	switch {
	case len(words) == 0:
		return nil, nil, errors.New("a value is missing at the end")
	case words[0] != "{":
		return words[:1], words[1:], nil
	}
	end := slices.Index(words, "}")
	if end < 2 {
		return nil, nil, errors.New("a set { } is empty or not closed")
	}
	return words[1:end], words[end+1:], nil
}

// operand returns what the first words name.
func (f family) operand(words []string) (operand, []string, error) {
	own, second := "ip", ""
	if !f.isIPv4() {
		own = "ip6"
	}
	if len(words) > 1 {
		second = words[1]
	}
	switch {
	case words[0] == own && second == "saddr":
		return operand{parse: f.compareAddress(f.saddr)}, words[2:], nil
	case words[0] == own && second == "daddr":
		return operand{parse: f.compareAddress(f.daddr)}, words[2:], nil
	case words[0] == "iifname":
		return operand{[]expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1}}, compareName}, words[1:], nil
	case words[0] == "meta" && second == "mark":
		return operand{[]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1}}, compareMark}, words[2:], nil
	case Protocols()[words[0]] != 0 && (second == "sport" || second == "dport"):
		return portOperand(Protocols()[words[0]], second), words[2:], nil
	}
	return operand{}, nil, fmt.Errorf("%q is none of the matches that are understood without nft: %s saddr, %s daddr, iifname, meta mark, "+
		"tcp|udp|sctp sport|dport, each with a value, or != and a value; for others use the backend iptables", strings.Join(words[:min(2, len(words))], " "), own, own)
}

func not(equal expr.Any) []expr.Any {
	inverse := *equal.(*expr.Cmp)
	inverse.Op = expr.CmpOpNeq
	return []expr.Any{&inverse}
}

// compareAddress compares the address at an offset with one or with a prefix.
func (f family) compareAddress(offset uint32) func(string) (matching, inverse []expr.Any, err error) {
	return func(word string) (matching, inverse []expr.Any, err error) {
		prefix := parsePrefix(word)
		if !prefix.IsValid() || prefix.Addr().Is4() != f.isIPv4() {
			return nil, nil, fmt.Errorf("%q is neither an address nor a prefix of the family", word)
		}
		load, equal := f.prefixOf(offset, unix.NFT_REG_1, prefix.Bits()), equals(prefix.Masked().Addr().AsSlice())
		return append(slices.Clone(load), equal), append(load, not(equal)...), nil
	}
}

func compareName(word string) (matching, inverse []expr.Any, err error) {
	name := strings.Trim(word, `"`)
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "*" {
		return nil, nil, fmt.Errorf("%s cannot be the name of an interface", word)
	}
	data := interfaceName(name)
	if beginning, ok := strings.CutSuffix(name, "*"); ok {
		data = []byte(beginning)
	}
	return []expr.Any{equals(data)}, not(equals(data)), nil
}

func compareMark(word string) (matching, inverse []expr.Any, err error) {
	mark, err := strconv.ParseUint(word, 0, 32)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is not a mark, a number of 32 bits", word)
	}
	equal := equals(binaryutil.NativeEndian.PutUint32(uint32(mark)))
	return []expr.Any{equal}, not(equal), nil
}

func portOperand(proto byte, which string) operand {
	load := loadPort16(unix.NFT_REG_1).(*expr.Payload)
	if which == "sport" {
		load.Offset = 0
	}
	return operand{[]expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1}, equals([]byte{proto}), load}, comparePort}
}

func comparePort(word string) (matching, inverse []expr.Any, err error) {
	low, high, isRange := strings.Cut(word, "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is not a port", low)
	}
	last, err := strconv.ParseUint(high, 10, 16)
	if err != nil || last < first {
		return nil, nil, fmt.Errorf("%q is not a port, or below %s", high, low)
	}
	if first == last {
		equal := equals(port(uint16(first)))
		return []expr.Any{equal}, not(equal), nil
	}
	within := expr.Range{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, FromData: port(uint16(first)), ToData: port(uint16(last))}
	outside := within
	outside.Op = expr.CmpOpNeq
	return []expr.Any{&within}, []expr.Any{&outside}, nil
}

// class names a set of conditions in the names of maps: "-" and a hash, or
// nothing for none.
func (f family) class(conditions []expr.Any) string {
	if len(conditions) == 0 {
		return ""
	}
	hash := fnv.New32a()
	for _, e := range conditions {
		encoded, _ := expr.Marshal(byte(f.table), e)
		_, _ = hash.Write(encoded)
	}
	return "-" + hex.EncodeToString(hash.Sum(nil))
}
