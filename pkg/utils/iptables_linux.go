// SPDX-License-Identifier: Apache-2.0

package utils

import (
	"errors"
	"fmt"

	"github.com/coreos/go-iptables/iptables"
)

const (
	statusExists      = 1 // exit status of iptables -N for a chain that exists
	statusBadArgument = 2 // and of -D for a rule whose target is gone
)

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
	var failure *iptables.Error
	err = ipt.NewChain(table, chain)
	if errors.As(err, &failure) && failure.ExitStatus() == statusExists {
		return nil // somebody else was faster
	}
	return err
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
	var failure *iptables.Error
	err := ipt.ClearChain(table, chain)
	if errors.As(err, &failure) && failure.IsNotExist() {
		return EnsureChain(ipt, table, chain)
	}
	return err
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
