// SPDX-License-Identifier: Apache-2.0

package startup

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

// TestGrowStack looks at what all stacks together take: the compiler might find out
// that the variable on the stack is not needed.
func TestGrowStack(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	grown, end := make(chan bool), make(chan bool)
	go func() {
		growStack(false)
		grown <- true
		<-end
	}()
	<-grown
	runtime.ReadMemStats(&after)
	end <- true
	if grew := int64(after.StackInuse) - int64(before.StackInuse); grew < stackNeeded {
		t.Errorf("the stacks grew by %d bytes, expected at least %d", grew, stackNeeded)
	}
}
