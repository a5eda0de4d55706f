// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

// conn is one netlink socket to nf_tables, in the network namespace of the
// thread that opened it. It is used for one command and then closed.
//
// The embedded Conn builds and sends transactions. What it cannot do is asked
// for on the same socket, nl: it has no way to get a single element, lists the
// rules of one chain only, not of a table, and drops the error number of what
// it gets.
type conn struct {
	*nftables.Conn
	nl     *netlink.Conn
	ctx    context.Context // of the command
	opened uint32          // the generation when it was
}

// dial opens a conn, and makes sure that nf_tables is at the other end: what is
// asked of it afterwards fails for other reasons.
func dial(ctx context.Context) (*conn, error) {
	c := &conn{ctx: ctx}
	configure := func(nl *netlink.Conn) error {
		c.nl = nl
		_, _ = nl.SetReadBuffer(buffer), nl.SetWriteBuffer(buffer) // the default does for few addresses
		if deadline, ok := ctx.Deadline(); ok {
			return nl.SetDeadline(deadline)
		}
		return nil
	}
	var err error
	c.Conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(configure))
	if err != nil {
		return nil, explain(err)
	}
	if c.opened, err = c.generation(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// buffer leaves room for a transaction, which is sent at once, and for its
// acknowledgements, which come at once, almost a kilobyte for each message. The
// kernel takes memory for what is in a buffer only.
const buffer = 64 << 20

// close does not wait until the kernel has freed what was deleted.
func (c *conn) close() {
	socket := -1
	if raw, err := c.nl.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { socket = int(fd) })
	}
	_ = netlinksafe.CloseLater(socket, c.CloseLasting)
}

// reopen has c use a new socket: a transaction that failed may have left
// acknowledgements in the old one, and what was queued for it.
func (c *conn) reopen(ctx context.Context) error {
	fresh, err := dial(ctx)
	if err != nil {
		return err
	}
	c.close()
	*c = *fresh
	return nil
}

// withConn calls f with a fresh conn.
func withConn(ctx context.Context, f func(*conn) error) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return f(c)
}

// ifNFTables is withConn for what is to be found or removed: a kernel without
// nf_tables has nothing that could be.
func ifNFTables(ctx context.Context, f func(*conn) error) error {
	c, err := dial(ctx)
	if errors.Is(err, errNoNFTables) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	return f(c)
}

// attempts bounds how often a change is planned anew because somebody else
// changed the same objects between our reading and our writing.
const attempts = 20

// retrying calls c.retrying with a fresh conn.
func retrying(ctx context.Context, f func(*conn) error) error {
	return withConn(ctx, func(c *conn) error { return c.retrying(ctx, f) })
}

// retrying calls f, which reads and then writes, until it has not been
// overtaken. Whatever comes of it, c can be used afterwards.
func (c *conn) retrying(ctx context.Context, f func(*conn) error) error {
	var err error
	for range attempts {
		if err = f(c); err == nil {
			return nil
		}
		if reopenErr := c.reopen(ctx); reopenErr != nil {
			return errors.Join(err, reopenErr)
		}
		if !overtaken(err) || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("nftables: overtaken by other changes %d times: %w", attempts, err)
}

// overtaken tells whether a transaction failed because an object it meant to
// create was there, one it meant to delete had gone or was in use again, or
// the kernel interrupted it.
func overtaken(err error) bool {
	for _, errno := range []error{unix.EEXIST, unix.ENOENT, unix.EBUSY, unix.EINTR, unix.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// commit sends what has been queued as one transaction.
func (c *conn) commit() error { return explain(c.Flush()) }

// errNoNFTables is returned where the kernel does not know nf_tables.
var errNoNFTables = errors.New("the kernel has no nf_tables: load the module nf_tables (CONFIG_NF_TABLES)")

// explain reduces the errors of a socket or a transaction, of which each failed
// message has one, to the first error number, and adds what an administrator
// can do about it.
func explain(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT:
		return fmt.Errorf("%w: %w", errNoNFTables, errno)
	case unix.EPERM:
		return fmt.Errorf("nftables: CAP_NET_ADMIN is needed: %w", errno)
	}
	return fmt.Errorf("nftables: %w", errno)
}

// Messages that the nftables package does not send.

// deleteEmpty is a transaction that deletes rules and then sets, as long as these are
// empty: others fail with EBUSY. The nftables package would delete them with their
// elements.
func (c *conn) deleteEmpty(rules []*nftables.Rule, table *nftables.Table, sets []string) error {
	const unlessFilled = 0x100 // NLM_F_NONREC
	messages := []netlink.Message{batchLimit(unix.NFNL_MSG_BATCH_BEGIN)}
	add := func(kind int, flags netlink.HeaderFlags, attrs ...netlink.Attribute) {
		encoded, _ := netlink.MarshalAttributes(attrs) // fails on attributes of 64 KiB only
		messages = append(messages, netlink.Message{
			Header: netlink.Header{
				Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
				Flags: netlink.Request | netlink.Acknowledge | flags,
			},
			Data: append(nfgenmsg(table.Family), encoded...),
		})
	}
	for _, rule := range rules {
		add(unix.NFT_MSG_DELRULE, 0, cstring(unix.NFTA_RULE_TABLE, table.Name), cstring(unix.NFTA_RULE_CHAIN, rule.Chain.Name),
			netlink.Attribute{Type: unix.NFTA_RULE_HANDLE, Data: binary.BigEndian.AppendUint64(nil, rule.Handle)})
	}
	for _, set := range sets {
		add(unix.NFT_MSG_DELSET, unlessFilled, cstring(unix.NFTA_SET_TABLE, table.Name), cstring(unix.NFTA_SET_NAME, set))
	}
	acknowledged := len(messages) - 1
	if _, err := c.nl.SendMessages(append(messages, batchLimit(unix.NFNL_MSG_BATCH_END))); err != nil {
		return explain(err)
	}
	for range acknowledged {
		if _, err := c.nl.Receive(); err != nil {
			return explain(err)
		}
	}
	return nil
}

// batchLimit begins or ends a transaction.
func batchLimit(kind netlink.HeaderType) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
	}
}

// nfgenmsg is the header of every nf_tables message: family, version, resource.
func nfgenmsg(family nftables.TableFamily) []byte {
	return []byte{byte(family), unix.NFNETLINK_V0, 0, 0}
}

// get sends one nf_tables request and returns the replies.
func (c *conn) get(message int, flags netlink.HeaderFlags, family nftables.TableFamily, attrs ...netlink.Attribute) ([]netlink.Message, error) {
	encoded, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return nil, err
	}
	return c.nl.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message),
			Flags: netlink.Request | flags,
		},
		Data: append(nfgenmsg(family), encoded...),
	})
}

func cstring(attr uint16, s string) netlink.Attribute {
	return netlink.Attribute{Type: attr, Data: append([]byte(s), 0)}
}

func nested(attr uint16, attrs ...netlink.Attribute) netlink.Attribute {
	encoded, _ := netlink.MarshalAttributes(attrs) // fails on attributes of 64 KiB only
	return netlink.Attribute{Type: attr | unix.NLA_F_NESTED, Data: encoded}
}

// generation returns the number of the current ruleset, which every transaction
// in the network namespace increments. A kernel without nf_tables, which has
// tried to load the module, does not know the message.
func (c *conn) generation() (uint32, error) {
	replies, err := c.get(unix.NFT_MSG_GETGEN, 0, nftables.TableFamilyUnspecified)
	if isUnknown(err) {
		return 0, errNoNFTables
	}
	if err != nil {
		return 0, explain(err)
	}
	var id uint32
	err = eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_GEN_ID {
			ad.ByteOrder = binary.BigEndian
			id = ad.Uint32()
		}
	})
	return id, err
}

// isUnknown tells whether err is what a kernel without nf_tables answers.
func isUnknown(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) }

// stable calls read until the ruleset was the same before and after it. The
// kernel dumps in pieces, and an object can be missed when others come and go
// between two of them. On a host that changes all the time it settles for the
// last reading.
func (c *conn) stable(read func() error) error {
	for range attempts {
		before, err := c.generation()
		if err != nil {
			return err
		}
		if err := read(); err != nil {
			return explain(err)
		}
		if after, err := c.generation(); err == nil && after == before {
			return nil
		}
	}
	return nil
}

// hasTable tells whether a table exists.
func (c *conn) hasTable(table *nftables.Table) (bool, error) {
	_, err := c.get(unix.NFT_MSG_GETTABLE, 0, table.Family, cstring(unix.NFTA_TABLE_NAME, table.Name))
	return found(err)
}

// isDormant tells whether a table is there and filters nothing: the kernel keeps
// its chains, and calls none. (The nftables package reads the flags in the byte
// order of the machine, which is not the kernel's.)
func (c *conn) isDormant(table *nftables.Table) (bool, error) {
	replies, err := c.get(unix.NFT_MSG_GETTABLE, 0, table.Family, cstring(unix.NFTA_TABLE_NAME, table.Name))
	if present, err := found(err); !present {
		return false, err
	}
	var flags uint32
	err = eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_TABLE_FLAGS {
			ad.ByteOrder = binary.BigEndian
			flags = ad.Uint32()
		}
	})
	return flags&unix.NFT_TABLE_F_DORMANT != 0, err
}

// hasChain tells whether a chain exists.
func (c *conn) hasChain(table *nftables.Table, chain string) (bool, error) {
	_, err := c.get(unix.NFT_MSG_GETCHAIN, 0, table.Family,
		cstring(unix.NFTA_CHAIN_TABLE, table.Name), cstring(unix.NFTA_CHAIN_NAME, chain))
	return found(err)
}

// policyOf tells whether a chain exists, and whether it drops by its policy what its
// rules do not decide about.
func (c *conn) policyOf(table *nftables.Table, chain string) (exists, drops bool, err error) {
	replies, err := c.get(unix.NFT_MSG_GETCHAIN, 0, table.Family,
		cstring(unix.NFTA_CHAIN_TABLE, table.Name), cstring(unix.NFTA_CHAIN_NAME, chain))
	if present, err := found(err); !present {
		return false, false, err
	}
	err = eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_CHAIN_POLICY {
			ad.ByteOrder = binary.BigEndian
			drops = nftables.ChainPolicy(ad.Uint32()) == nftables.ChainPolicyDrop
		}
	})
	return err == nil, drops, err
}

// hasRules tells whether a chain has any rules, without a look at them.
func (c *conn) hasRules(table *nftables.Table, chain string) (bool, error) {
	replies, err := c.get(unix.NFT_MSG_GETRULE, netlink.Dump, table.Family,
		cstring(unix.NFTA_RULE_TABLE, table.Name), cstring(unix.NFTA_RULE_CHAIN, chain))
	if present, err := found(err); !present {
		return false, err
	}
	return len(replies) > 0, nil
}

// hasSet tells whether a set exists.
func (c *conn) hasSet(set *nftables.Set) (bool, error) {
	_, err := c.get(unix.NFT_MSG_GETSET, 0, set.Table.Family,
		cstring(unix.NFTA_SET_TABLE, set.Table.Name), cstring(unix.NFTA_SET_NAME, set.Name))
	return found(err)
}

// found sorts the errors of a get: absent is no error.
func found(err error) (bool, error) {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ERANGE) { // longer than any name can be
		return false, nil
	}
	return err == nil, explain(err)
}

// ruleComments returns the comments of the rules of a table, in all its chains.
func (c *conn) ruleComments(table *nftables.Table) ([]string, error) {
	replies, err := c.get(unix.NFT_MSG_GETRULE, netlink.Dump, table.Family, cstring(unix.NFTA_RULE_TABLE, table.Name))
	if present, err := found(err); !present {
		return nil, err
	}
	var comments []string
	err = eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_RULE_USERDATA {
			comments = append(comments, nftcomment.Of(ad.Bytes()))
		}
	})
	return comments, err
}

// sets returns the names of the sets of a table.
func (c *conn) sets(table *nftables.Table) ([]string, error) {
	replies, err := c.get(unix.NFT_MSG_GETSET, netlink.Dump, table.Family, cstring(unix.NFTA_SET_TABLE, table.Name))
	if present, err := found(err); !present {
		return nil, err
	}
	var names []string
	err = eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_SET_NAME {
			names = append(names, ad.String())
		}
	})
	return names, err
}

// element is one entry of a set.
type element struct {
	key     []byte
	value   string // in a map
	comment string
}

// element returns the entry of a set for key, or nil.
func (c *conn) element(set *nftables.Set, key []byte) (*element, error) {
	replies, err := c.get(unix.NFT_MSG_GETSETELEM, 0, set.Table.Family, elementOf(set, key)...)
	if present, err := found(err); !present {
		return nil, err
	}
	found, err := elementsIn(replies)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// elementOf are the attributes of a request for an entry of a set.
func elementOf(set *nftables.Set, key []byte) []netlink.Attribute {
	entry := nested(unix.NFTA_LIST_ELEM, nested(unix.NFTA_SET_ELEM_KEY, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: key}))
	return []netlink.Attribute{
		cstring(unix.NFTA_SET_ELEM_LIST_TABLE, set.Table.Name),
		cstring(unix.NFTA_SET_ELEM_LIST_SET, set.Name),
		nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, entry),
	}
}

// deleteElement queues the deletion of an entry.
func (c *conn) deleteElement(set *nftables.Set, key string) error {
	return c.SetDeleteElements(set, []nftables.SetElement{{Key: []byte(key)}})
}

// elementsPerMessage bounds a message, whose list of entries can have 64 KiB, and
// saves acknowledgements: of thousands of entries, one each would not fit the
// socket's buffer.
const elementsPerMessage = 100

// addElements queues entries of a set.
func (c *conn) addElements(set *nftables.Set, elements []nftables.SetElement) error {
	for some := range slices.Chunk(elements, elementsPerMessage) {
		if err := c.SetAddElements(set, some); err != nil {
			return err
		}
	}
	return nil
}

// deleteElements queues the deletion of entries.
func (c *conn) deleteElements(set *nftables.Set, elements []nftables.SetElement) error {
	for some := range slices.Chunk(elements, elementsPerMessage) {
		if err := c.SetDeleteElements(set, some); err != nil {
			return err
		}
	}
	return nil
}

// elements returns all entries of a set.
func (c *conn) elements(set *nftables.Set) ([]element, error) {
	replies, err := c.get(unix.NFT_MSG_GETSETELEM, netlink.Dump, set.Table.Family,
		cstring(unix.NFTA_SET_ELEM_LIST_TABLE, set.Table.Name),
		cstring(unix.NFTA_SET_ELEM_LIST_SET, set.Name))
	if present, err := found(err); !present {
		return nil, err
	}
	return elementsIn(replies)
}

func elementsIn(replies []netlink.Message) ([]element, error) {
	var list []element
	err := eachAttribute(replies, func(ad *netlink.AttributeDecoder) {
		if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		ad.Nested(func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				var e element
				ad.Nested(e.decode)
				list = append(list, e)
			}
			return nil
		})
	})
	return list, err
}

func (e *element) decode(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			ad.Nested(into(&e.key))
		case unix.NFTA_SET_ELEM_DATA:
			var value []byte
			ad.Nested(into(&value))
			e.value = string(value)
		case unix.NFTA_SET_ELEM_USERDATA:
			e.comment = nftcomment.Of(ad.Bytes())
		}
	}
	return nil
}

// into decodes a nested value.
func into(value *[]byte) func(*netlink.AttributeDecoder) error {
	return func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			*value = ad.Bytes()
		}
		return nil
	}
}

// eachAttribute calls f for every top-level attribute of the replies.
func eachAttribute(replies []netlink.Message, f func(*netlink.AttributeDecoder)) error {
	header := len(nfgenmsg(0))
	for _, reply := range replies {
		if len(reply.Data) < header {
			return fmt.Errorf("nftables: an answer of %d bytes", len(reply.Data))
		}
		ad, err := netlink.NewAttributeDecoder(reply.Data[header:])
		if err != nil {
			return err
		}
		for ad.Next() {
			f(ad)
		}
		if err := ad.Err(); err != nil {
			return err
		}
	}
	return nil
}
