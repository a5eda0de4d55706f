// SPDX-License-Identifier: Apache-2.0

package netlinksafe_test

import (
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

var _ = Describe("a socket that is to be closed later", func() {
	It("is closed by the kernel", func() {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})).To(Succeed())
		addr, err := unix.Getsockname(fd)
		Expect(err).NotTo(HaveOccurred())
		port := addr.(*unix.SockaddrNetlink).Pid

		Expect(netlinksafe.CloseLater(fd, func() error {
			defer func() { Expect(isOpen(port)).To(BeTrue(), "after closing the descriptor") }()
			return unix.Close(fd)
		})).To(Succeed())
		Eventually(func() bool { return isOpen(port) }, "10s").Should(BeFalse())
	})

	It("leaves no descriptors behind, even if it cannot be sent, and says what closing says", func() {
		before := descriptors()
		Expect(netlinksafe.CloseLater(-1, func() error { return unix.EIO })).To(MatchError(unix.EIO))
		Expect(descriptors()).To(Equal(before))
	})
})

func descriptors() []string {
	GinkgoHelper()
	open, err := os.ReadDir("/proc/self/fd")
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, fd := range open {
		target, _ := os.Readlink("/proc/self/fd/" + fd.Name()) // gone: the directory that was listed
		names = append(names, fd.Name()+" "+target)
	}
	return names
}

// isOpen tells whether there is a socket of NETLINK_NETFILTER with an address.
func isOpen(port uint32) bool {
	GinkgoHelper()
	sockets, err := os.ReadFile("/proc/thread-self/net/netlink") // sk Eth Pid ...
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(sockets)) {
		fields := strings.Fields(line)
		if fields[1] == fmt.Sprint(unix.NETLINK_NETFILTER) && fields[2] == fmt.Sprint(port) {
			return true
		}
	}
	return false
}
