// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// iptablesGate opens with the iptables programs, legacy or nft, whichever the
// host has under that name, in upstream's shape:
//
//	-A FORWARD -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)" -j CNI-ISOLATION-STAGE-1
//	-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
//	-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
//	-A CNI-FORWARD -d 10.88.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
//	-A CNI-FORWARD -s 10.88.0.2/32 -j ACCEPT
//
// The last two have nothing that tells whose they are, because upstream's DEL
// looks for them word by word. That is in the owner's record, a chain that
// nothing jumps to and that comes and goes with them:
//
//	-A CNI-FW-… -s 10.88.0.2/32 -m comment --comment "podman/c1/eth0"
//
// An address is in one record only: who takes it over takes it out of the
// record of its last owner.
type iptablesGate struct{}

func (iptablesGate) Name() string { return IPTables }

const (
	forwardChain   = "FORWARD"
	cniForward     = "CNI-FORWARD"
	isolationFirst = "CNI-ISOLATION-STAGE-1"
	isolationLast  = "CNI-ISOLATION-STAGE-2"

	recordsPrefix = "CNI-FW-" // of the names of all records
)

// ReservedChain tells whether the name of a chain has a meaning for iptables or
// for these plugins, so that it cannot be the one for the rules of the host's
// owner.
func ReservedChain(name string) bool {
	reserved := []string{"INPUT", forwardChain, "OUTPUT", "ACCEPT", "DROP", "QUEUE", "RETURN", cniForward, isolationFirst, isolationLast}
	return slices.Contains(reserved, name) || strings.HasPrefix(name, recordsPrefix)
}

func passageRecord(owner plugin.Owner) string {
	return owner.Name(passageRecords(owner.Network), rulename.MaxChain)
}

// passageRecords returns how the names of the records of a network begin.
func passageRecords(network string) string {
	return plugin.Owner{Network: network}.Name(recordsPrefix, len(recordsPrefix)+8)
}

func forwardJump() ruleWords {
	return words("-j " + cniForward).commented("CNI firewall plugin rules")
}

func adminJump(chain string) ruleWords {
	return words("-j " + chain).commented("CNI firewall plugin admin overrides")
}

// passageRules returns the rules for an address: for what it sends, and for the
// answers.
func passageRules(addr netip.Prefix) []ruleWords {
	return []ruleWords{
		words("-d " + addr.String() + " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
		words("-s " + addr.String() + " -j ACCEPT"),
	}
}

// Prepared looks for the programs of all families of the addresses: one family
// would be done when the other fails.
func (iptablesGate) Prepared(_ context.Context, p Passage) error {
	var errs []error
	for _, f := range families() {
		if len(f.singles(p.Addrs)) > 0 {
			errs = append(errs, f.equipped())
		}
	}
	return errors.Join(errs...)
}

// equipped says which program is missing for a change.
func (f family) equipped() error {
	return cmp.Or(f.installed("-save"), f.installed("-restore"))
}

// Open starts, for each family of the addresses for which it cannot do without
// (see openDirectly), one iptables-save and, if there is something to do, one
// iptables-restore.
func (iptablesGate) Open(ctx context.Context, owner plugin.Owner, p Passage) error {
	return locked(ctx, func() error {
		for _, f := range families() {
			addrs := f.singles(p.Addrs)
			if len(addrs) == 0 || f.openDirectly(ctx, owner, p, addrs) {
				continue
			}
			err := f.changeLocked(ctx, "filter", func(d *draft) error {
				if len(d.table[cniForward]) == 0 {
					if err := stopAtFlush(ctx); err != nil {
						return err
					}
				}
				d.open(owner, p, addrs)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Restore starts, for each family, one iptables-save and, if something is to be
// restored, one iptables-restore. It is all or nothing for the latter: if it
// fails, one attachment is restored after the other, unless nobody gets the lock.
func (g iptablesGate) Restore(ctx context.Context, all []OwnedPassage) (restored []plugin.Owner, err error) {
	touched := map[plugin.Owner]bool{}
	err = locked(ctx, func() error {
		for _, f := range families() {
			if err := f.restorePassages(ctx, all, touched); err != nil {
				return err
			}
		}
		return nil
	})
	if isLockedOut(err) {
		return nil, err
	}
	if err != nil {
		return openEach(ctx, g, all)
	}
	for _, o := range all {
		if touched[o.Owner] {
			restored = append(restored, o.Owner)
		}
	}
	return restored, nil
}

// restorePassages notes the owners whose rules it has touched. Who is current while
// we have the lock has lost no address to an Open.
func (f family) restorePassages(ctx context.Context, all []OwnedPassage, touched map[plugin.Owner]bool) error {
	all = slices.DeleteFunc(slices.Clone(all), func(o OwnedPassage) bool { return len(f.singles(o.Passage.Addrs)) == 0 })
	if len(all) == 0 {
		return nil
	}
	return f.changeLocked(ctx, "filter", func(d *draft) error {
		for _, o := range all {
			if !o.Current() {
				continue
			}
			before := len(d.lines)
			if d.open(o.Owner, o.Passage, f.singles(o.Passage.Addrs)); len(d.lines) > before {
				touched[o.Owner] = true
			}
		}
		return nil
	})
}

// open plans all that Open does.
func (d *draft) open(owner plugin.Owner, p Passage, addrs []netip.Prefix) {
	d.share(p)
	d.record(owner, addrs)
	d.pass(addrs)
}

// share plans what owners share.
func (d *draft) share(p Passage) {
	d.addChain(cniForward)
	d.addChain(p.AdminChain)
	d.prepend(forwardChain, forwardJump())
	d.prepend(cniForward, adminJump(p.AdminChain))
	d.setIngress(p.Ingress)
}

// pass plans the rules for the addresses.
func (d *draft) pass(addrs []netip.Prefix) {
	for _, addr := range addrs {
		for _, rule := range passageRules(addr) {
			d.append(cniForward, rule)
		}
	}
}

// record makes the addresses the owner's, and only them.
func (d *draft) record(owner plugin.Owner, addrs []netip.Prefix) {
	own := passageRecord(owner)
	for _, addr := range addrs {
		for record := range d.recordsWith(addr) {
			if record != own {
				d.forget(record, addr)
			}
		}
	}
	for _, addr := range d.recorded(own) {
		if !slices.Contains(addrs, addr) {
			d.revoke(addr)
			d.forget(own, addr)
		}
	}
	d.addChain(own)
	for _, addr := range addrs {
		d.append(own, words("-s "+addr.String()).commented(owner.Comment()))
	}
}

// recorded returns the addresses in a record.
func (d *draft) recorded(record string) []netip.Prefix {
	var addrs []netip.Prefix
	for _, rule := range d.table[record] {
		if addr := parsePrefix(after(rule, "-s")); addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// recordsWith returns the records with an address.
func (d *draft) recordsWith(addr netip.Prefix) map[string]bool {
	found := map[string]bool{}
	for chain := range d.table {
		if strings.HasPrefix(chain, recordsPrefix) && slices.Contains(d.recorded(chain), addr) {
			found[chain] = true
		}
	}
	return found
}

// forget takes an address out of a record, and the record away with its last
// one.
func (d *draft) forget(record string, addr netip.Prefix) {
	for _, rule := range slices.Clone(d.table[record]) {
		if parsePrefix(after(rule, "-s")) == addr {
			d.delete(record, rule)
		}
	}
	if len(d.table[record]) == 0 {
		d.deleteChain(record)
	}
}

// revoke deletes the rules for an address.
func (d *draft) revoke(addr netip.Prefix) {
	for _, rule := range passageRules(addr) {
		d.delete(cniForward, rule)
	}
}

// close removes a record and the rules for the addresses in it, and for those of
// the known addresses that nobody has recorded.
func (d *draft) close(record string, known []netip.Prefix) {
	addrs := d.recorded(record)
	for _, addr := range known {
		if !slices.Contains(addrs, addr) && len(d.recordsWith(addr)) == 0 {
			addrs = append(addrs, addr)
		}
	}
	for _, addr := range addrs {
		d.revoke(addr)
	}
	d.deleteChain(record)
}

// Check starts one iptables-save for each family.
func (iptablesGate) Check(ctx context.Context, owner plugin.Owner, p Passage) ([]string, error) {
	var differences []string
	for _, f := range families() {
		addrs := f.singles(p.Addrs)
		if len(addrs) == 0 {
			continue
		}
		d, err := f.draft(ctx, "filter")
		if err != nil {
			return nil, err
		}
		d.share(p)
		if d.table.has(passageRecord(owner)) { // upstream has none
			d.record(owner, addrs)
		}
		d.pass(addrs)
		differences = append(differences, f.differences(d)...)
	}
	if err := blindness(p.Ingress.Policy); err != nil {
		differences = append(differences, err.Error())
	}
	return differences, nil
}

// differences says what is wrong with the table filter if it needs a change.
func (f family) differences(d *draft) []string {
	var differences []string
	for _, line := range d.lines {
		differences = append(differences, fmt.Sprintf("%s: table filter: %s", f.program(""), difference(line)))
	}
	return differences
}

// difference says what is wrong if a line for iptables-restore is needed to put
// it right.
func difference(line string) string {
	change, rest, _ := strings.Cut(line, " ")
	chain, rule, _ := strings.Cut(rest, " ")
	switch change {
	case "-N":
		return fmt.Sprintf("chain %s is missing", chain)
	case "-F", "-X":
		return fmt.Sprintf("chain %s should not be there", chain)
	case "-D":
		return fmt.Sprintf("chain %s has, or has in the wrong place, the rule %s", chain, rule)
	}
	return fmt.Sprintf("chain %s lacks the rule %s", chain, strings.TrimPrefix(rule, "1 "))
}

// Available looks for the programs of one family at least, and lets them list an
// empty chain: an attachment may have addresses of that one only.
func (iptablesGate) Available(ctx context.Context, policy string) error {
	var errs []error
	for _, f := range families() {
		_, err := f.run(ctx, "", "", "-w", lockWait, "-t", "filter", "-S", forwardChain, "1")
		if err = errors.Join(err, f.equipped()); err == nil {
			return blindness(policy)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// closeInLegacy starts iptables-legacy only if the kernel's legacy table
// mentions the record, or may have rules for the known addresses.
func (f family) closeInLegacy(ctx context.Context, record string, known []netip.Prefix) error {
	if !f.legacyMentions("filter", record) && (len(known) == 0 || !f.legacyMentions("filter", cniForward)) {
		return nil
	}
	return unlessAbsent(f.legacy().change(ctx, "filter", func(d *draft) error {
		d.close(record, known)
		return nil
	}))
}

func (f family) gcPassagesInLegacy(ctx context.Context, attachments plugin.Attachments) error {
	if !f.legacyMentions("filter", passageRecords(attachments.Network())) {
		return nil
	}
	return unlessAbsent(f.legacy().change(ctx, "filter", func(d *draft) error {
		for _, record := range slices.Sorted(maps.Keys(d.table)) {
			if staleRecord(record, attachments) {
				d.close(record, nil)
			}
		}
		return nil
	}))
}

// staleRecord tells whether a chain is the record of an attachment of the
// network that is not valid any more.
func staleRecord(chain string, attachments plugin.Attachments) bool {
	return len(chain) == rulename.MaxChain && strings.HasPrefix(chain, passageRecords(attachments.Network())) &&
		!slices.ContainsFunc(attachments.Owners(), func(owner plugin.Owner) bool { return passageRecord(owner) == chain })
}
