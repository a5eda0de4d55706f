// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"bytes"
	"errors"
	"net"
	"os"
	"runtime"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

var (
	guestMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
	guestIP  = net.IPv4(10, 0, 0, 77).To4()
	kernelIP = net.IPv4(10, 0, 0, 5).To4()
)

// expectPing plays a virtual machine behind an open tap interface: it asks the
// kernel for the MAC address of 10.0.0.5, and expects to be sent the answer.
func expectPing(file *os.File) {
	GinkgoHelper()
	question := arp(1, guestMAC, guestIP, make(net.HardwareAddr, 6), kernelIP, net.HardwareAddr{255, 255, 255, 255, 255, 255})
	isAnswer := func(frame []byte) bool {
		return len(frame) >= 42 && bytes.Equal(frame[:6], guestMAC) && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 &&
			bytes.Equal(frame[28:32], kernelIP)
	}
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) { // a bridge may still be taking the port into use
		_, err := unix.Write(int(file.Fd()), question)
		Expect(err).NotTo(HaveOccurred())
		for frame := read(file); frame != nil; frame = read(file) {
			if isAnswer(frame) {
				return
			}
		}
	}
	Fail("the reader of the tap interface has not got an answer")
}

// read returns the next frame, nil if there is none for a while.
func read(file *os.File) []byte {
	GinkgoHelper()
	poll := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 200); n == 0 || err != nil {
		return nil
	}
	frame := make([]byte, 2000)
	n, err := unix.Read(int(file.Fd()), frame)
	Expect(err).NotTo(HaveOccurred())
	return frame[:n]
}

// arp is an Ethernet frame with an ARP packet.
func arp(operation byte, senderMAC net.HardwareAddr, senderIP net.IP, targetMAC net.HardwareAddr, targetIP net.IP, to net.HardwareAddr) []byte {
	var frame []byte
	frame = append(frame, to...)
	frame = append(frame, senderMAC...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation)
	frame = append(frame, senderMAC...)
	frame = append(frame, senderIP...)
	frame = append(frame, targetMAC...)
	return append(frame, targetIP...)
}

// openAs opens eth0 as a user without privileges. The thread that becomes one
// ends with it.
func openAs(netns ns.NetNS, uid, gid uintptr) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock
		done <- func() error {
			if err := netns.Set(); err != nil {
				return err
			}
			file, err := openDevice() // which nobody but root may in some places
			if err != nil {
				return err
			}
			defer file.Close()
			return errors.Join(becomeUser(uid, gid), take(file, "eth0", 0))
		}()
	}()
	return <-done
}

// becomeUser changes the calling thread alone. The functions of package unix
// change all threads.
func becomeUser(uid, gid uintptr) error {
	for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETRESGID, gid, gid, gid}, {unix.SYS_SETRESUID, uid, uid, uid}} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}
	return nil
}
