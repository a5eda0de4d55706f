// SPDX-License-Identifier: Apache-2.0

// Command fakeipam is an IPAM plugin for tests: it does what its configuration
// says and writes down how it was called.
//
// For every command it leaves the files COMMAND.stdin, COMMAND.env (entries end
// with a zero byte) and, last, COMMAND.pid in the directory "records".
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type config struct {
	IPAM struct {
		Records  string              `json:"records"`
		Commands map[string]reaction `json:"commands"`
	} `json:"ipam"`
}

// reaction is what the plugin does when it is called with a command.
type reaction struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Exit   int    `json:"exit"`
	Hang   bool   `json:"hang"`
}

func main() {
	stdin, err := io.ReadAll(os.Stdin)
	giveUpIf(err)
	var conf config
	giveUpIf(json.Unmarshal(stdin, &conf))
	command := os.Getenv("CNI_COMMAND")
	record(filepath.Join(conf.IPAM.Records, command), stdin)
	react(conf.IPAM.Commands[command])
}

func giveUpIf(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakeipam:", err)
		os.Exit(99)
	}
}

func record(base string, stdin []byte) {
	giveUpIf(os.WriteFile(base+".stdin", stdin, 0o644))
	giveUpIf(os.WriteFile(base+".env", []byte(strings.Join(os.Environ(), "\x00")+"\x00"), 0o644))
	giveUpIf(os.WriteFile(base+".tmp", []byte(strconv.Itoa(os.Getpid())), 0o644))
	giveUpIf(os.Rename(base+".tmp", base+".pid"))
}

func react(r reaction) {
	_, err := os.NewFile(1, "stdout").WriteString(r.Stdout)
	giveUpIf(err)
	_, err = os.Stderr.WriteString(r.Stderr)
	giveUpIf(err)
	if r.Hang {
		giveUpIf(unix.Pause())
	}
	os.Exit(r.Exit)
}
