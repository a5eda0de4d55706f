// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
)

var _ = Describe("retrying", func() {
	interruptedTimes := func(n int) (list func() ([]int, error), calls *int) {
		calls = new(int)
		return func() ([]int, error) {
			*calls++
			if *calls <= n {
				return []int{*calls}, netlink.ErrDumpInterrupted
			}
			return []int{1, 2, 3}, nil
		}, calls
	}

	DescribeTable("asks again while the list is interrupted",
		func(times int) {
			list, calls := interruptedTimes(times)
			Expect(retry("things", list)).To(Equal([]int{1, 2, 3}))
			Expect(*calls).To(Equal(times + 1))
		},
		Entry("never", 0),
		Entry("once", 1),
		Entry("until the last attempt", attempts-1),
	)

	It("gives up with a typed error and no list", func() {
		list, calls := interruptedTimes(attempts)
		found, err := retry("things", list)
		Expect(found).To(BeNil())
		Expect(*calls).To(Equal(attempts))
		Expect(err).To(MatchError(netlink.ErrDumpInterrupted))
		var interrupted *InterruptedError
		Expect(errors.As(err, &interrupted)).To(BeTrue())
		Expect(*interrupted).To(Equal(InterruptedError{What: "things", Attempts: attempts}))
	})

	It("returns any other error at once, as it is", func() {
		cause := errors.New("permission denied")
		calls := 0
		_, err := retry("things", func() (int, error) { calls++; return 0, cause })
		Expect(err).To(BeIdenticalTo(cause))
		Expect(calls).To(Equal(1))
	})

	It("adds up what interrupted attempts deleted", func() {
		left := []uint{3, 2, 0}
		calls := 0
		total, err := retryDelete(func() (uint, error) {
			calls++
			if calls < len(left) {
				return left[calls-1], netlink.ErrDumpInterrupted
			}
			return left[calls-1], nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(total).To(BeEquivalentTo(5))
	})
})
