// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import "golang.org/x/sys/unix"

// CloseLater calls closeSocket, which closes the socket fd, so that the caller
// does not wait for the end of the socket. It is for those of NETLINK_NETFILTER,
// which wait until nf_tables has freed what has been deleted lately, by whomever:
// an RCU grace period, some ten milliseconds (nft_rcv_nl_event in the kernel).
// Otherwise a process waits for that at its own end at the latest.
//
// The kernel ends a socket when nobody has it any more. Here a message still has
// it, which waits in another socket (unix(7), SCM_RIGHTS) that nothing but this
// very message has, too. Such sockets are found and ended by the kernel's garbage
// collector, which has a thread of its own since Linux 6.9. With an older kernel,
// or where the message may not be sent, the caller waits as ever.
func CloseLater(fd int, closeSocket func() error) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return closeSocket()
	}
	_ = unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd, pair[1]), nil, 0)
	err = closeSocket() // before the collector can find it
	_ = unix.Close(pair[1])
	_ = unix.Close(pair[0]) // the last: the end of a socket of this kind wakes the collector
	return err
}
