// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// LogVariable names the file that gets a line of JSON for each command. Runtimes
// hand their environment on to plugins, and plugins to their delegates.
const LogVariable = "CNI_PLUGINS_LOG"

// logEntry is such a line.
type logEntry struct {
	Time         time.Time `json:"time"` // when the command began
	Plugin       string    `json:"plugin"`
	Command      string    `json:"command"`
	Network      string    `json:"network,omitempty"`
	Container    string    `json:"container,omitempty"`
	Interface    string    `json:"interface,omitempty"`
	Netns        string    `json:"netns,omitempty"`
	Milliseconds float64   `json:"milliseconds"` // without the start of the process
	Code         uint      `json:"code,omitempty"`
	Error        string    `json:"error,omitempty"`
	// TraceParent is the runtime's span (W3C Trace Context), which libcni passes on.
	TraceParent string `json:"traceparent,omitempty"`
}

// log writes a line about a command that has ended, where that is asked for. What
// becomes of the line is no reason for a command to fail.
func log(plugin, command string, args *skel.CmdArgs, began time.Time, result error) {
	path := os.Getenv(LogVariable)
	if path == "" {
		return
	}
	if err := appendLine(path, entryOf(plugin, command, args, began, result)); err != nil {
		Logf(plugin, "%s: %v", LogVariable, err)
	}
}

func entryOf(plugin, command string, args *skel.CmdArgs, began time.Time, result error) logEntry {
	entry := logEntry{
		Time: began.UTC(), Plugin: plugin, Command: command, Container: args.ContainerID, Interface: args.IfName, Netns: args.Netns,
		Milliseconds: float64(time.Since(began).Microseconds()) / 1000, TraceParent: os.Getenv("TRACEPARENT"),
	}
	var network struct{ Name string }
	_ = json.Unmarshal(args.StdinData, &network) // what it says is the error of the command
	entry.Network = network.Name
	var coded *types.Error
	if errors.As(result, &coded) {
		entry.Code, entry.Error = coded.Code, coded.Error()
	}
	return entry
}

// appendLine writes with one call, so that lines of processes at the same time stand
// one after the other.
func appendLine(path string, entry logEntry) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no absolute path", path)
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	file, err := plainfile.Open(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640) // a pipe may have no reader
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}
