// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"fmt"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// ExpectProbed expects an ADD with "probe" to take an address (with its length)
// that nobody has, and not the taken ones, of which nothing is left. rest is the
// configuration without the address.
func (r *Rig) ExpectProbed(c *Container, rest, free string, taken ...string) {
	ginkgo.GinkgoHelper()
	config := func(addr string) string {
		return fmt.Sprintf(`{%s,"probe":true,"ipam":{"type":"static","addresses":[{"address":%q}]}}`, rest, addr)
	}
	expectSame := r.Remember(c)
	for _, addr := range taken {
		_, err := r.Call("ADD", c, config(addr))
		ip, _, _ := strings.Cut(addr, "/")
		Expect(err).To(MatchError(ContainSubstring(ip+" is in use by somebody else")), addr)
	}
	expectSame()
	result := r.Add(c, config(free))
	Expect(r.Check(c, config(free), result)).To(Succeed())
	r.Del(c, config(free))
	expectSame()
}
