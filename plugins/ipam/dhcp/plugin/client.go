// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/d2g/dhcp4"
	"github.com/d2g/dhcp4client"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils/acd"
	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// client talks to the servers of one address family, for one exchange. All of
// its methods give up when their context ends.
type client interface {
	acquire(context.Context) (*grant, error)        // from nothing (INIT)
	renew(context.Context, *grant) (*grant, error)  // by the server that granted it
	rebind(context.Context, *grant) (*grant, error) // by any server
	release(*grant) error                           // gives it back; nobody answers
	decline(*grant) error                           // somebody else has the address
	// probe returns who else uses an address, or nil.
	probe(context.Context, net.IP) (*acd.ConflictError, error)
	Close() error
}

// Errors of a client that tell what to do next.
var (
	errRefused  = errors.New("the server refuses the address")
	errNoAnswer = errors.New("no DHCP server answered")
)

// grant is what a server has granted: its message, and what is not in there.
// What the message says is in terms, parsed anew when the grant is read from the
// journal.
type grant struct {
	Message []byte           `json:"message"`
	Since   time.Duration    `json:"since"` // bootTime of the request
	Via     net.HardwareAddr `json:"via"`   // the neighbour from whom the message came
	Server  net.IP           `json:"server"`
	Mask    net.IPMask       `json:"mask,omitempty"` // of the grant that this extends, for a message without one
	RA      []byte           `json:"ra,omitempty"`   // what a router announced, in IPv6; without Message the address is made of it
	Router  net.IP           `json:"router,omitempty"`
	Heard   time.Duration    `json:"heard,omitempty"`  // bootTime of the announcement, if it is not Since
	Prefix  net.IP           `json:"prefix,omitempty"` // of the address, if made of what a router announced; without it, the first
	Valid   time.Duration    `json:"valid,omitempty"`  // instead of what the router announced for that, if it is not to be believed

	// It is not held any more, but the link may be configured for it; without
	// Message and RA, for nothing.
	Lost bool `json:"lost,omitempty"`

	terms terms
}

// left returns how much time is left of the grant.
func (g *grant) left() time.Duration { return g.terms.times.lifetime - max(0, bootTime()-g.Since) }

// terms are what a grant says.
type terms struct {
	times   times
	address net.IPNet
	gateway net.IP
	routes  []*types.Route
	dns     types.DNS
	mtu     int
}

// identity is what servers know a client by.
type identity struct {
	clientID  string
	options   []option // of DHCPv4, in every message but RELEASE and DECLINE
	broadcast bool     // answers to the address yet to be configured would not arrive
	probe     bool     // make sure that nobody else has the address
	timeout   time.Duration
}

func (i identity) option(code dhcp4.OptionCode) []byte {
	for _, o := range i.options {
		if o.code == code {
			return o.value
		}
	}
	return nil
}

// sent returns the options to send. Without a request list, which would leave it to
// the server what to say, it has that of the reference: mask, router, domain, name
// servers. What the result has is what the configuration asks for, nevertheless.
func (i identity) sent() []option {
	if i.option(dhcp4.OptionParameterRequestList) != nil {
		return i.options
	}
	return append(slices.Clone(i.options), option{dhcp4.OptionParameterRequestList, []byte{1, 3, 15, 6}})
}

// terms4 parses a grant of DHCPv4.
func terms4(g *grant, id identity) error {
	if err := checkMessage(g.Message); err != nil {
		return err
	}
	message := dhcp4.Packet(g.Message)
	opts := parseOptions(message)
	mask := opts.mask()
	if mask == nil {
		mask = validMask(g.Mask)
	}
	if mask == nil {
		return fmt.Errorf("DHCP option Subnet Mask not found in DHCPACK of %s: %w", g.Server, errUnusable)
	}
	requested := id.option(dhcp4.OptionParameterRequestList)
	g.terms = terms{
		times:   opts.times(),
		address: net.IPNet{IP: net.IP(bytes.Clone(message.YIAddr())), Mask: mask},
		gateway: opts.address(dhcp4.OptionRouter),
		routes:  opts.routes(),
		dns:     opts.dns(requested),
		mtu:     opts.mtu(requested),
	}
	return nil
}

// times returns the times of a lease; one without a lifetime has an hour.
func (o options) times() times {
	seconds := func(code dhcp4.OptionCode, otherwise time.Duration) time.Duration {
		n, ok := o.number(code, 4)
		switch {
		case !ok || n == 0:
			return otherwise
		case n == infinite:
			return forever
		}
		return time.Duration(n) * time.Second
	}
	return times{
		lifetime: seconds(dhcp4.OptionIPAddressLeaseTime, time.Hour),
		t1:       seconds(optT1, 0),
		t2:       seconds(optT2, 0),
	}.sane()
}

// checkMessage makes sure that a message can be read.
func checkMessage(message []byte) error {
	const fixed = 240
	cookie := []byte{99, 130, 83, 99}
	if len(message) < fixed || !bytes.Equal(dhcp4.Packet(message).Cookie(), cookie) {
		return errors.New("not a DHCP message")
	}
	return nil
}

// client4 is the client of DHCPv4.
type client4 struct {
	identity
	library *dhcp4client.Client
	wire    *wire
	arp     *packetsocket.Socket // nil unless the address is to be probed
}

// newClient4 opens a client in the network namespace of the calling thread.
func newClient4(at station, id identity) (client, error) {
	if len(at.MAC) != 6 {
		return nil, fmt.Errorf("%s has the hardware address %q, DHCP is done with those of Ethernet: %w", at.IfName, at.MAC, errUnusable)
	}
	socket, err := openFiltered(at.Index, unix.ETH_P_IP, dhcpFilter(at.MAC))
	if err != nil {
		return nil, err
	}
	c := &client4{identity: id, wire: newWire(socket, at.MAC)}
	if id.probe {
		c.arp, err = packetsocket.Open(at.Index, unix.ETH_P_ARP, nil)
	}
	if err == nil {
		c.library, err = newLibrary(at.MAC, id, c.wire)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newLibrary(mac net.HardwareAddr, id identity, conn dhcp4client.ConnectionInt) (*dhcp4client.Client, error) {
	return dhcp4client.New(
		dhcp4client.HardwareAddr(mac),
		dhcp4client.Broadcast(id.broadcast),
		dhcp4client.Connection(conn),
		dhcp4client.GenerateXID(func(xid []byte) { rand.Read(xid) }),
	)
}

func (c *client4) Close() error {
	if c.arp != nil {
		return errors.Join(c.arp.Close(), c.wire.Close())
	}
	return c.wire.Close()
}

// acquire is DISCOVER, OFFER, REQUEST, ACK.
func (c *client4) acquire(ctx context.Context) (*grant, error) {
	c.wire.toAll(net.IPv4zero)
	offer, err := c.ask(ctx, c.library.DiscoverPacket(), c.library.GetOffer, dhcp4.Offer)
	if err != nil {
		return nil, err
	}
	request := c.library.RequestPacket(&offer)
	request.SetCIAddr(net.IPv4zero) // the library copies what only the server may fill in
	request.SetSIAddr(net.IPv4zero)
	c.wire.server = parseOptions(offer).address(dhcp4.OptionServerIdentifier)
	g, err := c.request(ctx, request, nil)
	if errors.Is(err, errUnusable) {
		return nil, errors.Join(err, c.release(g))
	}
	return g, err
}

// renew asks the server that granted g, and nobody else.
func (c *client4) renew(ctx context.Context, g *grant) (*grant, error) {
	c.wire.to(g)
	c.wire.server = g.Server
	return c.request(ctx, c.renewal(g), g.terms.address.Mask)
}

// rebind asks all servers.
func (c *client4) rebind(ctx context.Context, g *grant) (*grant, error) {
	c.wire.toAll(dhcp4.Packet(g.Message).YIAddr())
	return c.request(ctx, c.renewal(g), g.terms.address.Mask)
}

// renewal is a REQUEST for more time. The library's names address and server in
// options, which RFC 2131, 4.3.6 forbids here; some servers then do not answer.
func (c *client4) renewal(g *grant) dhcp4.Packet {
	granted := dhcp4.Packet(g.Message)
	request := c.library.RenewalRequestPacket(&granted)
	request.StripOptions()
	request.SetSIAddr(net.IPv4zero)
	request.SetBroadcast(false) // the address is configured
	request.AddOption(dhcp4.OptionDHCPMessageType, []byte{byte(dhcp4.Request)})
	return request
}

// request sends a REQUEST and waits for the ACK. Some servers do not say the mask
// again to who has it. An ACK that is of no use comes with its error.
func (c *client4) request(ctx context.Context, request dhcp4.Packet, mask net.IPMask) (*grant, error) {
	since := bootTime()
	ack, err := c.ask(ctx, request, c.library.GetAcknowledgement, dhcp4.ACK, dhcp4.NAK)
	if err != nil {
		return nil, err
	}
	opts := parseOptions(ack)
	if opts.messageType() == dhcp4.NAK {
		return nil, fmt.Errorf("%w: %s says NAK %s", errRefused, c.wire.sender, domainText(opts[dhcp4.OptionMessage]))
	}
	g := &grant{Message: ack, Since: since, Via: c.wire.via, Server: opts.address(dhcp4.OptionServerIdentifier), Mask: mask}
	return g, terms4(g, c.identity)
}

// probe asks by ARP who has an address (RFC 5227).
func (c *client4) probe(ctx context.Context, ip net.IP) (*acd.ConflictError, error) {
	return acd.AskByARP(ctx, c.arp, c.wire.mac, ip)
}

// release sends its message to the server itself: a dnsmasq on another
// address than the one it is sent to does not take it. Nobody answers; so it sends
// another to everybody, for a server that has another MAC address by now, or is
// behind a relay that is no router.
func (c *client4) release(g *grant) error {
	c.wire.to(g)
	err := c.sendRelease(g)
	c.wire.toAll(c.wire.src)
	return errors.Join(err, c.sendRelease(g))
}

func (c *client4) sendRelease(g *grant) error {
	granted := dhcp4.Packet(g.Message)
	return c.send(c.library.ReleasePacket(&granted), option{optClientID, c.option(optClientID)})
}

func (c *client4) decline(g *grant) error {
	granted := dhcp4.Packet(g.Message)
	c.wire.toAll(net.IPv4zero)
	return c.send(c.library.DeclinePacket(&granted), option{optClientID, c.option(optClientID)})
}

func (c *client4) send(message dhcp4.Packet, options ...option) error {
	for _, o := range options {
		message.AddOption(o.code, o.value)
	}
	message.PadToMinSize()
	return c.library.SendPacket(message)
}

// releaseFromHost gives a lease back whose interface is gone or down, from where
// the daemon is: the server only looks at what the message says. It may be out of
// reach from there; then the lease runs out.
func (f family) releaseFromHost(g *grant, id identity) error {
	if f == inet6 {
		return nil // DHCPv6 is done on the link itself
	}
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: g.Server, Port: serverPort})
	if err != nil {
		return fmt.Errorf("release %s from the host: %w", &g.terms.address, err)
	}
	c := &client4{identity: id, wire: &wire{host: conn}}
	if c.library, err = newLibrary(dhcp4.Packet(g.Message).CHAddr(), id, c.wire); err == nil {
		err = c.sendRelease(g)
	}
	return errors.Join(err, conn.Close())
}

// firstResend is when a message is sent again that nobody has answered. The
// wait doubles each time. RFC 2131, 4.1 begins with four seconds; but what is
// sent at once gets lost in a bridge whose port is not forwarding yet.
const firstResend = 300 * time.Millisecond

// ask sends a message, more than once if it has to, and waits for an answer of
// one of the kinds. It gives up after the client's timeout.
func (c *client4) ask(ctx context.Context, message dhcp4.Packet, get func(*dhcp4.Packet) (dhcp4.Packet, error), kinds ...dhcp4.MessageType) (dhcp4.Packet, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.wire.expect(ctx, message.XId(), kinds)
	start, bare := time.Now(), len(message)
	for wait := firstResend; ; wait *= 2 {
		seconds := uint16(time.Since(start) / time.Second)
		message.SetSecs(binary.BigEndian.AppendUint16(nil, seconds))
		message = append(message[:bare-1], byte(dhcp4.End)) // without the options of the last time
		if err := c.send(message, c.sent()...); err != nil {
			return nil, fmt.Errorf("send a DHCP message: %w", err)
		}
		if err := c.library.SetOption(dhcp4client.Timeout(jitter(wait))); err != nil {
			return nil, err
		}
		answer, err := get(&message)
		var timeout *dhcp4client.TimeoutError
		switch {
		case !errors.As(err, &timeout):
			return answer, err
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, fmt.Errorf("%w within %v", errNoAnswer, c.timeout)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		c.wire.doubt()
	}
}

// wire carries messages between the library and a packet socket. It shows the
// library nothing but answers to what was asked.
type wire struct {
	host     net.Conn // instead of socket, to send only
	socket   *packetsocket.Socket
	others   []*packetsocket.Socket // on which answers may arrive, too
	arrivals chan arrival           // from all of them
	closed   chan struct{}
	mac      net.HardwareAddr

	src, dst  net.IP
	neighbour net.HardwareAddr
	doubtful  bool // whether it is still the way to dst

	ctx      context.Context
	xid      []byte
	kinds    []dhcp4.MessageType
	server   net.IP    // nil: any
	deadline time.Time // for an answer

	sender net.IP // of the last message
	via    net.HardwareAddr
}

// arrival is a packet that a socket has received, or why there are no more.
type arrival struct {
	packet []byte
	from   net.HardwareAddr
	err    error
}

func newWire(socket *packetsocket.Socket, mac net.HardwareAddr) *wire {
	w := &wire{socket: socket, arrivals: make(chan arrival), closed: make(chan struct{}), mac: mac}
	go w.collect(socket)
	return w
}

// listenOn has answers accepted that arrive on another socket, which is the
// wire's from then on.
func (w *wire) listenOn(other *packetsocket.Socket) {
	w.others = append(w.others, other)
	go w.collect(other)
}

// collect passes on what a socket receives, until it is closed.
func (w *wire) collect(socket *packetsocket.Socket) {
	for {
		packet, from, err := socket.Receive()
		if errors.Is(err, unix.ENETDOWN) {
			continue // noted once by the kernel; the link may come back
		}
		select {
		case w.arrivals <- arrival{packet, from, err}:
		case <-w.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

var _ dhcp4client.ConnectionInt = (*wire)(nil)

// toAll has messages sent to everybody on the link.
func (w *wire) toAll(src net.IP) {
	w.src, w.dst, w.neighbour, w.doubtful = src, net.IPv4bcast, broadcastMAC(), false
}

// to has messages sent to the server of a grant, through the neighbour that its
// message came from: the server itself, a relay, or a router.
func (w *wire) to(g *grant) {
	w.src, w.dst, w.neighbour, w.doubtful = dhcp4.Packet(g.Message).YIAddr(), g.Server, g.Via, false
	if len(w.neighbour) != 6 {
		w.neighbour = broadcastMAC()
	}
}

// doubt has messages to one server sent to everybody on the link, too: it may have
// another MAC address by now. A router would not pass these on.
func (w *wire) doubt() { w.doubtful = !w.dst.Equal(net.IPv4bcast) }

func broadcastMAC() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// expect says which messages are answers, until ctx ends.
func (w *wire) expect(ctx context.Context, xid []byte, kinds []dhcp4.MessageType) {
	w.ctx, w.xid, w.kinds = ctx, bytes.Clone(xid), kinds
}

// Write implements dhcp4client.ConnectionInt.
func (w *wire) Write(message []byte) error {
	if w.host != nil {
		_, err := w.host.Write(message)
		return err
	}
	packet := udpPacket{w.src, w.dst, message}.marshal()
	err := w.socket.Send(packet, w.neighbour)
	if w.doubtful {
		err = errors.Join(err, w.socket.Send(packet, broadcastMAC()))
	}
	return err
}

// ReadFrom implements dhcp4client.ConnectionInt. The library takes EAGAIN for
// the end of the time it has set.
func (w *wire) ReadFrom() ([]byte, net.IP, error) {
	deadline := time.NewTimer(time.Until(w.deadline))
	defer deadline.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return nil, nil, syscall.EAGAIN
		case <-deadline.C:
			return nil, nil, syscall.EAGAIN
		case got := <-w.arrivals:
			if got.err != nil {
				return nil, nil, got.err
			}
			datagram, ok := parseUDP(got.packet)
			if ok && w.isAnswer(datagram.payload) {
				w.sender, w.via = datagram.src, got.from
				return datagram.payload, datagram.src, nil
			}
		}
	}
}

func (w *wire) isAnswer(message dhcp4.Packet) bool {
	if checkMessage(message) != nil || message.OpCode() != dhcp4.BootReply {
		return false
	}
	if !bytes.Equal(message.XId(), w.xid) || !bytes.Equal(message.CHAddr(), w.mac) {
		return false
	}
	opts := parseOptions(message)
	server := opts.address(dhcp4.OptionServerIdentifier)
	if server == nil || w.server != nil && !server.Equal(w.server) {
		return false
	}
	kind := opts.messageType()
	for _, wanted := range w.kinds {
		if kind == wanted {
			return kind == dhcp4.NAK || !message.YIAddr().Equal(net.IPv4zero)
		}
	}
	return false
}

// SetReadTimeout implements dhcp4client.ConnectionInt.
func (w *wire) SetReadTimeout(t time.Duration) error {
	w.deadline = time.Now().Add(t)
	return nil
}

// Close implements dhcp4client.ConnectionInt.
func (w *wire) Close() error {
	close(w.closed)
	err := w.socket.Close()
	for _, other := range w.others {
		err = errors.Join(err, other.Close())
	}
	return err
}
