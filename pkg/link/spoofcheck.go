// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/networkplumbing/go-nft/nft"
	"github.com/networkplumbing/go-nft/nft/schema"
)

// NftConfigurer applies and reads nftables configurations.
type NftConfigurer interface {
	// Apply applies a configuration and returns what nft echoes, which has
	// the handles of the rules.
	Apply(*nft.Config) (*nft.Config, error)

	// Read lists what the filter commands name, such as "chain bridge nat PREROUTING".
	Read(filterCommands ...string) (*nft.Config, error)
}

// SpoofChecker drops the frames that come in through a port of a bridge from
// another MAC address than the port's own. It writes a pair of chains and four
// rules by starting nft, and packets of all ports pass one rule for each port.
//
// Deprecated: the plugins check MAC addresses in a table of their own, by map
// lookup and without starting nft. SpoofChecker remains for programs that
// import it.
type SpoofChecker struct {
	iface      string
	macAddress string
	refID      string
	configurer NftConfigurer
	applied    *nft.Config // what Setup has written, as nft echoed it
}

// NewSpoofChecker returns a SpoofChecker for the port iface, behind which
// macAddress is to be. The refID tells its rules from those of other ports.
//
// Deprecated: see SpoofChecker.
func NewSpoofChecker(iface, macAddress, refID string) *SpoofChecker {
	return NewSpoofCheckerWithConfigurer(iface, macAddress, refID, nftCommand{})
}

// NewSpoofCheckerWithConfigurer is NewSpoofChecker with something else than nft
// to apply what it configures.
//
// Deprecated: see SpoofChecker.
func NewSpoofCheckerWithConfigurer(iface, macAddress, refID string, configurer NftConfigurer) *SpoofChecker {
	return &SpoofChecker{iface: iface, macAddress: macAddress, refID: refID, configurer: configurer}
}

// Setup installs the chains and rules.
func (sc *SpoofChecker) Setup() error {
	if _, err := sc.configurer.Apply(sc.chainsConfig()); err != nil {
		return fmt.Errorf("spoof check of %s: add chains: %w", sc.iface, err)
	}
	applied, err := sc.configurer.Apply(sc.rulesConfig())
	if err != nil {
		return fmt.Errorf("spoof check of %s: add rules: %w", sc.iface, err)
	}
	sc.applied = applied
	return nil
}

// Teardown removes what Setup has installed. The table and its base chain stay.
// It goes on after an error, so that the chains go even if the rules cannot be found.
func (sc *SpoofChecker) Teardown() error {
	return errors.Join(sc.removeRules(), sc.removeChains())
}

// removeRules removes the rules of the base chain, which are told by their comment.
func (sc *SpoofChecker) removeRules() error {
	current, err := sc.current()
	if err != nil {
		return fmt.Errorf("spoof check of %s: list rules: %w", sc.iface, err)
	}
	config := nft.NewConfig()
	for _, rule := range current.LookupRule(sc.rule(sc.baseChain())) {
		config.DeleteRule(rule)
	}
	if _, err := sc.configurer.Apply(config); err != nil {
		return fmt.Errorf("spoof check of %s: delete rules: %w", sc.iface, err)
	}
	return nil
}

func (sc *SpoofChecker) removeChains() error {
	config := nft.NewConfig()
	config.DeleteChain(sc.ifaceChain())
	config.DeleteChain(sc.macChain())
	if _, err := sc.configurer.Apply(config); err != nil {
		return fmt.Errorf("spoof check of %s: delete chains: %w", sc.iface, err)
	}
	return nil
}

// current returns the rules that Setup has written, if this is the SpoofChecker
// that did, or else what the base chain holds.
func (sc *SpoofChecker) current() (*nft.Config, error) {
	if sc.applied != nil {
		return sc.applied, nil
	}
	base := sc.baseChain()
	return sc.configurer.Read("chain", base.Family, base.Table, base.Name)
}

func (sc *SpoofChecker) chainsConfig() *nft.Config {
	config := nft.NewConfig()
	config.AddTable(spoofCheckTable())
	config.AddChain(sc.baseChain())
	config.AddChain(sc.ifaceChain())
	config.AddChain(sc.macChain())
	return config
}

func (sc *SpoofChecker) rulesConfig() *nft.Config {
	config := nft.NewConfig()
	config.FlushChain(sc.ifaceChain())
	config.FlushChain(sc.macChain())
	config.AddRule(sc.rule(sc.baseChain(), matchInput(sc.iface), jumpTo(sc.ifaceChain())))
	config.AddRule(sc.rule(sc.ifaceChain(), jumpTo(sc.macChain())))
	config.AddRule(sc.rule(sc.macChain(), matchSource(sc.macAddress), schema.Statement{Verdict: schema.Return()}))
	config.AddRule(sc.rule(sc.macChain(), schema.Statement{Verdict: schema.Drop()}))
	return config
}

func spoofCheckTable() *schema.Table { return nft.NewTable("nat", nft.FamilyBridge) }

func (sc *SpoofChecker) baseChain() *schema.Chain {
	kind, hook, priority, policy := nft.TypeFilter, nft.HookPreRouting, -300, nft.PolicyAccept
	return nft.NewChain(spoofCheckTable(), "PREROUTING", &kind, &hook, &priority, &policy)
}

func (sc *SpoofChecker) ifaceChain() *schema.Chain {
	return nft.NewRegularChain(spoofCheckTable(), "cni-br-iface-"+sc.refID)
}

func (sc *SpoofChecker) macChain() *schema.Chain {
	return nft.NewRegularChain(spoofCheckTable(), sc.ifaceChain().Name+"-mac")
}

// rule returns a rule with the comment that all rules of the port have.
func (sc *SpoofChecker) rule(chain *schema.Chain, statements ...schema.Statement) *schema.Rule {
	return nft.NewRule(spoofCheckTable(), chain, statements, nil, nil, "macspoofchk-"+sc.refID)
}

func matchInput(iface string) schema.Statement {
	return schema.Statement{Match: &schema.Match{
		Op:    schema.OperEQ,
		Left:  schema.Expression{RowData: []byte(`{"meta":{"key":"iifname"}}`)},
		Right: schema.Expression{String: &iface},
	}}
}

func matchSource(mac string) schema.Statement {
	return schema.Statement{Match: &schema.Match{
		Op:    schema.OperEQ,
		Left:  schema.Expression{Payload: &schema.Payload{Protocol: schema.PayloadProtocolEther, Field: schema.PayloadFieldEtherSAddr}},
		Right: schema.Expression{String: &mac},
	}}
}

func jumpTo(chain *schema.Chain) schema.Statement {
	return schema.Statement{Verdict: schema.Verdict{Jump: &schema.ToTarget{Target: chain.Name}}}
}

// nftCommand is the NftConfigurer that starts nft.
type nftCommand struct{}

// nftTimeout leaves a margin to the minute that runtimes give a plugin.
const nftTimeout = 55 * time.Second

func (nftCommand) Apply(config *nft.Config) (*nft.Config, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nftTimeout)
	defer cancel()
	return nft.ApplyConfigEcho(ctx, config)
}

func (nftCommand) Read(filterCommands ...string) (*nft.Config, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nftTimeout)
	defer cancel()
	return nft.ReadConfigContext(ctx, filterCommands...)
}
