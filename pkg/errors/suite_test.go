// SPDX-License-Identifier: Apache-2.0

package errors_test

import (
	"io"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/errors"
)

func TestErrors(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/errors")
}

var _ = Describe("annotating", func() {
	It("puts the message in front and keeps the error's identity", func() {
		err := errors.Annotate(io.EOF, "read 100% of it")
		Expect(err).To(MatchError("read 100% of it: EOF"))
		Expect(err).To(MatchError(io.EOF))
	})

	It("formats the message, not the error", func() {
		err := errors.Annotatef(io.EOF, "read %d%% of %q", 7, "it%s")
		Expect(err).To(MatchError(`read 7% of "it%s": EOF`))
		Expect(err).To(MatchError(io.EOF))
	})

	It("keeps nil", func() {
		Expect(errors.Annotate(nil, "message")).To(Succeed())
		Expect(errors.Annotatef(nil, "message %d", 1)).To(Succeed())
	})
})
