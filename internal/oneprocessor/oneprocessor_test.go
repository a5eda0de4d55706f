// SPDX-License-Identifier: Apache-2.0

package oneprocessor

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
)

// TestProcessors starts itself with an environment of each kind.
func TestProcessors(t *testing.T) {
	if want, err := strconv.Atoi(os.Getenv("WANT_PROCESSORS")); err == nil {
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%d processors, expected %d", got, want)
		}
		return
	}
	for _, env := range [][]string{
		{"WANT_PROCESSORS=1"},
		{"WANT_PROCESSORS=3", "GOMAXPROCS=3"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcessors$")
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", env, err, out)
		}
	}
}
