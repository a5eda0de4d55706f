// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/d2g/dhcp4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/acd"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

const (
	clientPort6 = 546
	serverPort6 = 547
)

// client6 is the client of IPv6: of DHCPv6 (RFC 8415) where routers say that
// addresses are managed, or say nothing, and of their own announcements (RFC
// 4862) otherwise.
type client6 struct {
	identity
	conn    *net.UDPConn
	routers *neighbourhood
	zone    string
	duid    dhcpv6.DUID
	iaid    [4]byte
	server  net.IP // that sent the last answer
}

// newClient6 opens a client in the network namespace of the calling thread. It
// waits for the link-local address to be usable, and keeps the kernel from
// making addresses and routes of its own, of which nobody would know.
func newClient6(ctx context.Context, at station, id identity) (client, error) {
	own, err := linkLocal(ctx, at)
	if err != nil {
		return nil, err
	}
	zone := strconv.Itoa(at.Index) // a name would be looked up in the wrong namespace, and remembered
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: own, Port: clientPort6, Zone: zone})
	if err != nil {
		return nil, fmt.Errorf("listen for DHCPv6 on %s: %w", at.IfName, err)
	}
	routers, err := openNeighbourhood(at, own)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &client6{identity: id, conn: conn, routers: routers, zone: zone}
	sum := sha256.Sum256([]byte(id.clientID))
	c.duid = &dhcpv6.DUIDUUID{UUID: [16]byte(sum[:16])}
	copy(c.iaid[:], sum[16:])
	return c, nil
}

// linkLocal returns the link-local address of the interface once it is usable.
func linkLocal(ctx context.Context, at station) (net.IP, error) {
	l := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: at.Index, Name: at.IfName}}
	if err := takeOver(l); err != nil {
		return nil, err
	}
	if err := link.WaitDAD(ctx, at.Index); err != nil {
		return nil, err
	}
	addresses, err := link.Addresses(l, netlink.FAMILY_V6)
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		if address.IP.IsLinkLocalUnicast() && address.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return address.IP, nil
		}
	}
	return nil, fmt.Errorf("%s has no usable link-local address", at.IfName)
}

// takeOver keeps the kernel from acting on what routers announce. A default
// route that it has already would keep the plugins from adding theirs.
func takeOver(l netlink.Link) error {
	for key, value := range map[string]string{"disable_ipv6": "0", "autoconf": "0", "accept_ra_defrtr": "0"} {
		if err := sysctl.Set("net/ipv6/conf/"+l.Attrs().Name+"/"+key, value); err != nil {
			return err
		}
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: l.Attrs().Index, Protocol: unix.RTPROT_RA},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	for _, route := range routes {
		if ones, _ := route.Dst.Mask.Size(); ones > 0 {
			continue
		}
		if removeErr := netlink.RouteDel(&route); !errors.Is(removeErr, unix.ESRCH) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

func (c *client6) Close() error { return errors.Join(c.conn.Close(), c.routers.Close()) }

// acquire asks the routers first what kind of network it is.
func (c *client6) acquire(ctx context.Context) (*grant, error) {
	since := bootTime()
	heard, err := c.routers.solicit(ctx, notice.isDefault)
	if err != nil {
		return nil, err
	}
	g := &grant{Since: since}
	if router := chooseRouter(g, heard); router != nil {
		g.follow(*router)
		if prefix := router.autonomous(); prefix != nil && !router.managed {
			g.Server, g.Prefix = router.router, prefix.network.IP
			return g, terms6(g, c.identity)
		}
	}
	advertise, err := c.ask(ctx, c.solicitation(), dhcpv6.MessageTypeAdvertise)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv6.NewRequestFromAdvertise(advertise)
	if err != nil {
		return nil, err
	}
	return c.request(ctx, request, g)
}

func (c *client6) renew(ctx context.Context, g *grant) (*grant, error) {
	return c.extend(ctx, g, dhcpv6.MessageTypeRenew)
}

func (c *client6) rebind(ctx context.Context, g *grant) (*grant, error) {
	return c.extend(ctx, g, dhcpv6.MessageTypeRebind)
}

// extend asks for more time. For an address out of a router's prefix that is
// the router's next announcement.
func (c *client6) extend(ctx context.Context, g *grant, kind dhcpv6.MessageType) (*grant, error) {
	if len(g.Message) == 0 {
		return c.extendPrefix(ctx, g)
	}
	message, err := c.about(g, kind)
	if err != nil {
		return nil, err
	}
	return c.withRouter(ctx, message, &grant{RA: g.RA, Router: g.Router, Heard: g.heard()})
}

// extendPrefix asks the routers for the prefix of the address. One that has
// another prefix may be one of several routers; its prefix is taken when ours is
// announced to be out of date, or by nobody in time. So is the prefix of one that
// is not the default router, while that is another.
func (c *client6) extendPrefix(ctx context.Context, g *grant) (*grant, error) {
	next := &grant{Since: bootTime()}
	heard, err := c.routers.solicit(ctx, func(a notice) bool {
		return a.router.Equal(g.Router) && a.prefixOf(g.terms.address.IP) != nil && (a.isDefault() || !g.current().isDefault())
	})
	if err != nil {
		return nil, err
	}
	age := bootTime() - g.Since
	late := age >= g.terms.times.t2
	router := choosePrefix(g, heard)
	if router == nil || !late && !router.isDefault() && !router.router.Equal(g.Router) && g.stillRouted() {
		return nil, fmt.Errorf("%w: no router announces the prefix of %s for use", errNoAnswer, g.terms.address.IP)
	}
	ours, other := router.prefixOf(g.terms.address.IP), router.autonomous()
	switch {
	case ours.isUsable():
		next.follow(*router)
		next.Server, next.Prefix = router.router, ours.network.IP
		next.Valid = believable(ours.valid, g.terms.times.lifetime-age)
		return next, terms6(next, c.identity)
	case other != nil && (ours != nil || late):
		return nil, fmt.Errorf("%w: the router %s has %s instead", errRefused, router.router, &other.network)
	}
	return nil, fmt.Errorf("%w: no router announces the prefix of %s for use", errNoAnswer, g.terms.address.IP)
}

// believable returns how long an address is valid that an announcement gives so
// much time, when so much is left: anybody on the link can announce something
// (RFC 4862, 5.5.3, e). 0 means the announced time.
func believable(announced, left time.Duration) time.Duration {
	const atLeast = 2 * time.Hour
	if announced > atLeast || announced >= left {
		return 0
	}
	return min(left, atLeast)
}

// withRouter sends a message that extends a lease, and then asks what routers
// have to say by now. That they say nothing changes nothing.
func (c *client6) withRouter(ctx context.Context, message *dhcpv6.Message, next *grant) (*grant, error) {
	g, err := c.request(ctx, message, next)
	if err != nil {
		return nil, err
	}
	heard, err := c.routers.solicit(ctx, func(a notice) bool {
		address := g.terms.address.IP
		return a.isDefault() && (len(g.RA) == 0 || a.router.Equal(g.Router) && (a.onLink(address) != nil || g.current().onLink(address) == nil))
	})
	if err != nil {
		return g, nil
	}
	router := chooseRouter(g, heard)
	if router == nil || !slices.ContainsFunc(heard, router.isOfSameRouter) {
		return g, nil
	}
	g.follow(*router)
	return g, terms6(g, c.identity)
}

// release waits a moment for the server to confirm: a release that got lost
// would be noticed by nobody.
func (c *client6) release(g *grant) error { return c.tell(g, dhcpv6.MessageTypeRelease) }

func (c *client6) decline(g *grant) error { return c.tell(g, dhcpv6.MessageTypeDecline) }

// tell sends what needs no answer, but should have one.
func (c *client6) tell(g *grant, kind dhcpv6.MessageType) error {
	if len(g.Message) == 0 {
		return nil // nobody keeps record of it
	}
	message, err := c.about(g, kind)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err = c.ask(ctx, message, dhcpv6.MessageTypeReply); errors.Is(err, errNoAnswer) {
		return nil
	}
	return err
}

func (c *client6) probe(ctx context.Context, ip net.IP) (*acd.ConflictError, error) {
	return c.routers.probe(ctx, ip)
}

// solicitation is a SOLICIT for one address.
func (c *client6) solicitation() *dhcpv6.Message {
	return c.message(dhcpv6.MessageTypeSolicit, dhcpv6.WithIAID(c.iaid),
		dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList))
}

func (c *client6) message(kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind}
	rand.Read(m.TransactionID[:])
	for _, modify := range append(modifiers, dhcpv6.WithClientID(c.duid), dhcpv6.WithOption(dhcpv6.OptElapsedTime(0))) {
		modify(m)
	}
	return m
}

// about is a message about the address of a grant, to its server, except that
// a REBIND is for any.
func (c *client6) about(g *grant, kind dhcpv6.MessageType) (*dhcpv6.Message, error) {
	granted, err := dhcpv6.MessageFromBytes(g.Message)
	if err != nil {
		return nil, err
	}
	address := &dhcpv6.OptIAAddress{IPv6Addr: g.terms.address.IP}
	m := c.message(kind, dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: c.iaid, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{address}}}))
	if kind != dhcpv6.MessageTypeRebind {
		dhcpv6.WithServerID(granted.Options.ServerID())(m)
	}
	if kind == dhcpv6.MessageTypeRenew || kind == dhcpv6.MessageTypeRebind {
		dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList)(m)
	}
	return m, nil
}

// request sends a message and completes g with the REPLY.
func (c *client6) request(ctx context.Context, message *dhcpv6.Message, g *grant) (*grant, error) {
	g.Since = bootTime()
	reply, err := c.ask(ctx, message, dhcpv6.MessageTypeReply)
	if err != nil {
		return nil, err
	}
	if err := refusal(reply); err != nil {
		return nil, err
	}
	g.Message, g.Server = reply.ToBytes(), c.server
	return g, terms6(g, c.identity)
}

// refusal says why a REPLY grants nothing.
func refusal(reply *dhcpv6.Message) error {
	if status := reply.Options.Status(); status != nil && status.StatusCode != iana.StatusSuccess {
		return fmt.Errorf("%w: %s %s", errRefused, status.StatusCode, domainText([]byte(status.StatusMessage)))
	}
	ia := reply.Options.OneIANA()
	if ia == nil {
		return fmt.Errorf("%w: the reply has no address", errRefused)
	}
	if status := ia.Options.Status(); status != nil && status.StatusCode != iana.StatusSuccess {
		return fmt.Errorf("%w: %s %s", errRefused, status.StatusCode, domainText([]byte(status.StatusMessage)))
	}
	if address := ia.Options.OneAddress(); address == nil || address.ValidLifetime == 0 {
		return fmt.Errorf("%w: the reply has no valid address", errRefused)
	}
	return nil
}

// ask multicasts a message, more than once if it has to, and waits for an
// answer of the kind. It gives up after the client's timeout.
func (c *client6) ask(ctx context.Context, message *dhcpv6.Message, kind dhcpv6.MessageType) (*dhcpv6.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })()
	start := time.Now()
	for wait := firstResend; ctx.Err() == nil; wait *= 2 {
		message.UpdateOption(dhcpv6.OptElapsedTime(time.Since(start)))
		servers := &net.UDPAddr{IP: dhcpv6.AllDHCPRelayAgentsAndServers, Port: serverPort6, Zone: c.zone}
		if _, err := c.conn.WriteToUDP(message.ToBytes(), servers); err != nil {
			return nil, fmt.Errorf("send a DHCPv6 message: %w", err)
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(jitter(wait))); err != nil {
			return nil, err
		}
		answer, err := c.await(message, kind)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w with DHCPv6 within %v", errNoAnswer, c.timeout)
	}
	return nil, ctx.Err()
}

func (c *client6) await(message *dhcpv6.Message, kind dhcpv6.MessageType) (*dhcpv6.Message, error) {
	buffer := make([]byte, maxMessage)
	for {
		n, sender, err := c.conn.ReadFromUDP(buffer)
		if err != nil {
			return nil, err
		}
		answer, err := dhcpv6.MessageFromBytes(slices.Clone(buffer[:n]))
		if err == nil && c.isAnswer(answer, message, kind) {
			c.server = sender.IP
			return answer, nil
		}
	}
}

func (c *client6) isAnswer(answer, message *dhcpv6.Message, kind dhcpv6.MessageType) bool {
	client := answer.Options.ClientID()
	if answer.MessageType != kind || answer.TransactionID != message.TransactionID || client == nil || !client.Equal(c.duid) || answer.Options.ServerID() == nil {
		return false
	}
	return kind != dhcpv6.MessageTypeAdvertise || refusal(answer) == nil
}

// terms6 parses a grant of IPv6.
func terms6(g *grant, id identity) error {
	ra := parseRA(g.RA)
	requested := id.option(dhcp4.OptionParameterRequestList)
	g.terms = terms{}
	if len(g.RA) > 0 && ra.lifetime > 0 {
		g.terms.gateway = g.Router
		g.terms.routes = []*types.Route{{Dst: net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, GW: g.Router}}
	}
	if slices.Contains(requested, byte(dhcp4.OptionInterfaceMTU)) {
		g.terms.mtu = ra.mtu
	}
	dns, search := ra.dns, ra.search
	if len(g.Message) == 0 {
		prefix := ra.autonomous()
		if g.Prefix != nil {
			prefix = ra.prefixOf(g.Prefix)
		}
		if prefix == nil || prefix.valid <= 0 {
			return fmt.Errorf("no prefix to make an address of: %w", errUnusable)
		}
		valid := prefix.valid
		if g.Valid > 0 {
			valid = g.Valid
		}
		preferred := min(prefix.preferred, valid)
		g.terms.times = times{lifetime: valid, t1: preferred / 2, t2: preferred / 10 * 8}.sane()
		g.terms.address = net.IPNet{IP: stableAddress(prefix.network, id.clientID), Mask: prefix.network.Mask}
	} else {
		reply, err := dhcpv6.MessageFromBytes(g.Message)
		if err != nil {
			return err
		}
		if err := refusal(reply); err != nil {
			return err
		}
		g.terms.addressOf(reply.Options.OneIANA(), ra)
		if servers := reply.Options.DNS(); len(servers) > 0 {
			dns = servers
		}
		if list := reply.Options.DomainSearchList(); list != nil {
			search = list.Labels
		}
	}
	g.terms.dnsOf(dns, search, requested)
	return nil
}

// addressOf takes the address of an identity association. How long its prefix
// is, routers say (RFC 5942).
func (t *terms) addressOf(ia *dhcpv6.OptIANA, ra routerAdvert) {
	granted := ia.Options.OneAddress()
	t.address = net.IPNet{IP: granted.IPv6Addr, Mask: net.CIDRMask(128, 128)}
	if prefix := ra.onLink(granted.IPv6Addr); prefix != nil {
		t.address.Mask = prefix.network.Mask
	}
	t.times = times{t1: seconds6(ia.T1), t2: seconds6(ia.T2), lifetime: seconds6(granted.ValidLifetime)}
	preferred := seconds6(granted.PreferredLifetime)
	if late := preferred / 10 * 8; t.times.t2 == 0 && late > t.times.t1 {
		t.times.t2 = late
	}
	if t.times.t1 == 0 {
		t.times.t1 = preferred / 2
	}
	t.times = t.times.sane()
}

func seconds6(d time.Duration) time.Duration {
	if d >= infinite*time.Second {
		return forever
	}
	return d
}

func (t *terms) dnsOf(servers []net.IP, search []string, requested []byte) {
	if slices.Contains(requested, byte(dhcp4.OptionDomainNameServer)) {
		for _, server := range servers {
			t.dns.Nameservers = append(t.dns.Nameservers, server.String())
		}
	}
	if slices.Contains(requested, byte(optDomainSearch)) {
		for _, domain := range search {
			if domain = domainText([]byte(domain)); domain != "" {
				t.dns.Search = append(t.dns.Search, domain)
			}
		}
	}
}

// stableAddress makes the address of a client in a prefix, always the same one
// (RFC 7217). The MAC address will not do: the interfaces of ipvlan share it.
func stableAddress(prefix net.IPNet, clientID string) net.IP {
	sum := sha256.Sum256(append(slices.Clone(prefix.IP), clientID...))
	ip := slices.Clone(prefix.IP.To16())
	binary.BigEndian.PutUint64(ip[8:], binary.BigEndian.Uint64(sum[:]))
	return ip
}
