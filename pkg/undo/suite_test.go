// SPDX-License-Identifier: Apache-2.0

package undo_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/undo"
)

func TestUndo(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/undo")
}

func ExampleStack() {
	var stack undo.Stack
	stack.Push("reservation", func() error { fmt.Println("release the address"); return nil })
	stack.Push("veth pair", func() error { fmt.Println("delete the veth"); return errors.New("device busy") })
	fmt.Println(stack.Unwind())
	// Output:
	// delete the veth
	// release the address
	// undo veth pair: device busy
}

var _ = Describe("Stack", func() {
	It("runs steps newest first, once", func() {
		var order []string
		stack := undo.New(context.Background())
		for _, name := range []string{"a", "b", "c"} {
			stack.Push(name, func() error { order = append(order, name); return nil })
		}
		Expect(stack.Unwind()).To(Succeed())
		Expect(stack.Unwind()).To(Succeed())
		Expect(order).To(Equal([]string{"c", "b", "a"}))
	})

	It("goes on past failures and panics and reports them all", func() {
		cause := errors.New("busy")
		ran := false
		var stack undo.Stack
		stack.Push("first", func() error { ran = true; return nil })
		stack.Push("second", func() error { return cause })
		stack.Push("third", func() error { panic("boom") })
		err := stack.Unwind()
		Expect(err).To(MatchError(cause))
		Expect(err).To(MatchError(ContainSubstring("undo third: panic: boom")))
		Expect(ran).To(BeTrue())
	})

	It("trips at the asked push, with the step already on the stack", func() {
		fault := &undo.Fault{At: 2}
		stack := undo.New(undo.WithFault(context.Background(), fault))
		undone := 0
		step := func() error { undone++; return nil }
		stack.Push("one", step)
		Expect(func() { stack.Push("two", step) }).To(PanicWith(undo.Tripped{What: "two"}))
		Expect(fault.Fired).To(Equal("two"))
		Expect(stack.Unwind()).To(Succeed())
		Expect(undone).To(Equal(2))
	})
})
