// SPDX-License-Identifier: Apache-2.0

//go:build linux

package nftcomment_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

func TestNFTComment(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/utils/nftcomment")
}

var _ = DescribeTable("The comment in user data",
	func(data, want string) { Expect(nftcomment.Of([]byte(data))).To(Equal(want)) },
	Entry("is what was written", string(nftcomment.UserData("net/c1/eth0")), "net/c1/eth0"),
	Entry("comes after others", "\x01\x02ab"+string(nftcomment.UserData("x")), "x"),
	Entry("need not end with a zero", "\x00\x01x", "x"),
	Entry("is none in the text of a program that has a format of its own", "my rule", ""),
	Entry("is none if it ends too early", "\x00\x09net/c1", ""),
	Entry("is none in nothing", "", ""),
)
