// SPDX-License-Identifier: Apache-2.0

package ns_test

import (
	"runtime"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The main thread stays the main goroutine's. Some specs leave a thread in another
// namespace, which Go ends with its goroutine, but for this one: it would be found
// there for ever.
func init() { runtime.LockOSThread() }

func TestNS(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/ns")
}
