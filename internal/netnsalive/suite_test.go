// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netnsalive

import (
	"fmt"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestNetnsAlive(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/netnsalive")
}

// What keeps a namespace is tried with host-local: processes, threads, descriptors
// and mounts, here and in other mount namespaces.
var _ = Describe("Gone", func() {
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root")
		if err := CanTell(); err != nil {
			Skip("needs to see all processes: " + err.Error())
		}
	})

	It("returns those whose namespace does not exist, sorted", func() {
		mounted, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(testutils.UnmountNS(mounted)).To(Succeed()) })
		own, other := ns.InodeAt("/proc/self/ns/net"), ns.InodeAt(mounted.Path())
		Expect(mounted.Close()).To(Succeed())
		const none = 1
		asked := map[string]uint64{"b": none, "own": own, "mounted": other, "a": none, "c": ns.InodeAt("/proc/self/ns/uts") + 1<<32}
		Expect(Gone(asked)).To(Equal([]string{"a", "b", "c"}))
		Expect(asked).To(HaveLen(5), "what was asked is not changed")
	})

	It("returns nobody where nobody is gone", func() {
		Expect(Gone(map[int]uint64{7: ns.InodeAt("/proc/self/ns/net")})).To(BeEmpty())
		Expect(Gone(map[int]uint64{})).To(BeEmpty())
	})
})

var _ = DescribeTable("Number",
	func(text string, expected uint64) { Expect(Number(text)).To(Equal(expected)) },
	Entry("of a namespace", fmt.Sprintf("net:[%d]", 4026532281), uint64(4026532281)),
	Entry("of another kind", "uts:[4026531838]", uint64(0)),
	Entry("that is not closed", "net:[4026531838", uint64(0)),
	Entry("that is none", "net:[]", uint64(0)),
	Entry("that is negative", "net:[-1]", uint64(0)),
	Entry("of a directory", "/", uint64(0)),
)
