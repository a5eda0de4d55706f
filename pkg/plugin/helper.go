// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// helperCommand in CNI_COMMAND has an executable do its plugin's Helper. No
// runtime says that.
const helperCommand = "(helper)"

// isHelper tells whether RunHelper has started this process.
func (p Plugin) isHelper() bool { return p.helper != nil && os.Getenv("CNI_COMMAND") == helperCommand }

// RunHelper starts the running executable once more, to do its plugin's Helper,
// and waits for it. It is for what a process can be only from its start, such as
// labelled by SELinux, and has to be set up by the calling thread. The helper
// gets the environment env and, as descriptor 3, file.
func RunHelper(file *os.File, env ...string) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args[:1]
	cmd.Env = append(env, "CNI_COMMAND="+helperCommand)
	cmd.ExtraFiles = []*os.File{file}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(out) > 0 {
		return errors.New(strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("start a helper: %w", err)
	}
	return nil
}
