// SPDX-License-Identifier: Apache-2.0

package utils

import (
	"errors"
	"fmt"

	"github.com/coreos/go-iptables/iptables"
)

// statusBadArgument is the exit status of iptables -D for a rule whose target
// is gone.
const statusBadArgument = 2

var errNilHandle = errors.New("no iptables handle")

// EnsureChain creates the chain unless it exists.
func EnsureChain(ipt *iptables.IPTables, table, chain string) error {
	if ipt == nil {
		return fmt.Errorf("ensure chain %s: %w", chain, errNilHandle)
	}
	exists, err := ipt.ChainExists(table, chain)
	if err != nil {
		return fmt.Errorf("look for iptables chain %s: %w", chain, err)
	}
	if exists {
		return nil
	}
	err = ipt.NewChain(table, chain)
	if err == nil {
		return nil
	}
	// Somebody else may have been faster. iptables says so with status 1, or,
	// when it was a matter of microseconds and the kernel noticed, with 4.
	if exists, asked := ipt.ChainExists(table, chain); asked == nil && exists {
		return nil
	}
	return fmt.Errorf("create iptables chain %s: %w", chain, err)
}

// DeleteRule deletes the rule. One that is gone is a success, and so is one
// whose target is.
func DeleteRule(ipt *iptables.IPTables, table, chain string, rulespec ...string) error {
	if ipt == nil {
		return fmt.Errorf("delete a rule of chain %s: %w", chain, errNilHandle)
	}
	var failure *iptables.Error
	err := ipt.Delete(table, chain, rulespec...)
	if errors.As(err, &failure) && (failure.IsNotExist() || failure.ExitStatus() == statusBadArgument) {
		return nil
	}
	return err
}

// DeleteChain deletes the chain. One that is gone is a success.
func DeleteChain(ipt *iptables.IPTables, table, chain string) error {
	if ipt == nil {
		return fmt.Errorf("delete chain %s: %w", chain, errNilHandle)
	}
	return ignoreNotExist(ipt.DeleteChain(table, chain))
}

// ClearChain deletes the rules of the chain, or creates it.
func ClearChain(ipt *iptables.IPTables, table, chain string) error {
	if ipt == nil {
		return fmt.Errorf("clear chain %s: %w", chain, errNilHandle)
	}
	if ipt.ClearChain(table, chain) == nil {
		return nil
	}
	// It may have been created or deleted meanwhile.
	if err := EnsureChain(ipt, table, chain); err != nil {
		return err
	}
	return ipt.ClearChain(table, chain)
}

// InsertUnique adds the rule, first in the chain or last, unless it is there.
func InsertUnique(ipt *iptables.IPTables, table, chain string, prepend bool, rule []string) error {
	if ipt == nil {
		return fmt.Errorf("insert into chain %s: %w", chain, errNilHandle)
	}
	exists, err := ipt.Exists(table, chain, rule...)
	if err != nil {
		return fmt.Errorf("look for a rule in iptables chain %s: %w", chain, err)
	}
	switch {
	case exists:
		return nil
	case prepend:
		return ipt.Insert(table, chain, 1, rule...)
	}
	return ipt.Append(table, chain, rule...)
}

func ignoreNotExist(err error) error {
	var failure *iptables.Error
	if errors.As(err, &failure) && failure.IsNotExist() {
		return nil
	}
	return err
}
