// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
)

// watch tells attachments what happens to their links, with one socket for all
// of them. A socket in each namespace would keep that from going away; but the
// kernel also reports the links of other namespaces, as long as ours has a
// number for them (NETLINK_LISTEN_ALL_NSID, netlink(7)).
//
// It is not needed for anything to be right: a lease looks at its link whenever
// it has something to send.
type watch struct {
	log    *log.Logger
	file   *os.File // nil: there are no events
	mu     sync.Mutex
	places map[int][]*attachment // by the number of the namespace
}

// startWatch begins to watch in the namespace of the daemon, until ctx ends.
func startWatch(ctx context.Context, logger *log.Logger) *watch {
	w := &watch{log: logger, places: map[int][]*attachment{}}
	go w.mindSleep(ctx, time.NewTicker(sleepCheck).C, timeAsleep)
	file, err := subscribe()
	if err != nil {
		logger.Printf("links are only looked at when a lease is due: %v", err)
		return w
	}
	w.file = file
	context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	go w.run(ctx)
	return w
}

func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "link events")
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_LINK),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NSID),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to the events of links everywhere: %w", err), file.Close())
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) // when hundreds of containers go at once
	return file, nil
}

// add begins to tell a about its link.
func (w *watch) add(a *attachment) {
	number, err := w.numberOf(a)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.logf("its link is only looked at when a lease is due: %v", err)
	}
	a.nsid = number
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[number] = append(w.places[number], a)
}

const noNumber = -1

// numberOf returns the number that our namespace has for a's, and gives it one
// if there is none.
func (w *watch) numberOf(a *attachment) (int, error) {
	if w.file == nil {
		return noNumber, nil
	}
	netns, err := ns.GetNS(a.hostPrefix + a.place.Netns)
	if err != nil {
		return noNumber, err
	}
	defer netns.Close()
	number, err := netlinksafe.NetnsID(int(netns.Fd()))
	if err == nil && number == noNumber {
		if err = netlink.SetNetNsIdByFd(int(netns.Fd()), -1); err == nil || errors.Is(err, unix.EEXIST) {
			number, err = netlinksafe.NetnsID(int(netns.Fd()))
		}
	}
	return number, err
}

func (w *watch) remove(a *attachment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var others []*attachment
	for _, other := range w.places[a.nsid] {
		if other != a {
			others = append(others, other)
		}
	}
	if w.places[a.nsid] = others; others == nil {
		delete(w.places, a.nsid)
	}
}

func (w *watch) at(number int) []*attachment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.places[number]
}

func (w *watch) run(ctx context.Context) {
	defer w.file.Close()
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	buffer, control := make([]byte, 1<<16), make([]byte, 256)
	for ctx.Err() == nil {
		var n, oobn int
		var received error
		err := raw.Read(func(fd uintptr) bool {
			n, oobn, _, _, received = unix.Recvmsg(int(fd), buffer, control, 0)
			return !errors.Is(received, unix.EAGAIN)
		})
		switch err = errors.Join(err, received); {
		case errors.Is(err, unix.ENOBUFS):
			w.lookAgain()
		case err != nil:
			if ctx.Err() == nil {
				w.log.Printf("links are only looked at when a lease is due: %v", err)
			}
			return
		default:
			w.handle(buffer[:n], namespaceNumber(control[:oobn]))
		}
	}
}

// namespaceNumber is where an event happened.
func namespaceNumber(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return noNumber
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return noNumber
}

func (w *watch) handle(data []byte, number int) {
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_DELNSID:
			w.namespaceGone(m.Data)
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if len(m.Data) >= unix.SizeofIfInfomsg && m.Data[0] == unix.AF_UNSPEC {
				index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
				flags := binary.NativeEndian.Uint32(m.Data[8:])
				w.linkChanged(number, index, m.Header.Type == unix.RTM_DELLINK, flags)
			}
		}
	}
}

func (w *watch) linkChanged(number, index int, gone bool, flags uint32) {
	if number == noNumber {
		return
	}
	for _, a := range w.at(number) {
		switch {
		case a.place.Index != index:
		case gone:
			a.cancel(fmt.Errorf("%w: %s has been removed", errGone, a.place.IfName))
		default:
			a.noticed(isRunning(flags))
		}
	}
}

func isRunning(flags uint32) bool {
	return flags&unix.IFF_UP != 0 && flags&unix.IFF_LOWER_UP != 0
}

// namespaceGone handles the end of a number. The namespace has gone, or been
// given another one.
func (w *watch) namespaceGone(message []byte) {
	const header = 4 // struct rtgenmsg, padded
	const typeNSID = 1
	for rest := message[min(header, len(message)):]; len(rest) >= 8; {
		length := int(binary.NativeEndian.Uint16(rest))
		if binary.NativeEndian.Uint16(rest[2:]) == typeNSID {
			for _, a := range w.at(int(int32(binary.NativeEndian.Uint32(rest[4:])))) {
				a.cancel(fmt.Errorf("%w: its network namespace has been removed", errGone))
			}
		}
		if length = (length + 3) &^ 3; length < 4 || length > len(rest) {
			return
		}
		rest = rest[length:]
	}
}

// sleepCheck is how often the daemon finds out whether the machine was asleep.
const sleepCheck = 30 * time.Second

// mindSleep has every attachment look again after the machine was asleep: the
// clock of Go's timers stands still meanwhile, that of the leases does not.
func (w *watch) mindSleep(ctx context.Context, ticks <-chan time.Time, asleep func() time.Duration) {
	before := asleep()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		if now := asleep(); now-before > time.Second {
			before = now
			w.lookAgain()
		}
	}
}

// lookAgain has every attachment look at its link: events were lost.
func (w *watch) lookAgain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, attachments := range w.places {
		for _, a := range attachments {
			a.lookAgain()
		}
	}
}
