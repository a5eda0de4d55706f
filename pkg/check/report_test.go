// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/check"
)

var _ = Describe("Report", func() {
	It("is no error when nothing differs", func() {
		var report check.Report
		report.Equal("eth0", "mtu", 1500, 1500)
		report.Equal("eth0", "type", "veth", "veth")
		report.Fail("eth0", nil)
		Expect(report.Err()).To(Succeed())
	})

	It("lists everything that differs, in order", func() {
		var report check.Report
		report.Equal("eth0", "mtu", 1500, 1400)
		report.Addf("%s: is %d", "eth1", 7)
		report.Fail("eth2", errors.New("permission denied"))
		Expect(report.Err()).To(MatchError("eth0: mtu is 1400, expected 1500; eth1: is 7; eth2: permission denied"))
	})
})
