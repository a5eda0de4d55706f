// SPDX-License-Identifier: Apache-2.0

package oneprocessor

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// TestOneProcessor starts itself as on a host that has set GOMAXPROCS.
func TestOneProcessor(t *testing.T) {
	if os.Getenv("GOMAXPROCS") == "3" {
		if got := runtime.GOMAXPROCS(0); got != 1 {
			t.Errorf("%d processors, expected 1", got)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcessor$")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=3")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
