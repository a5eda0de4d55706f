// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command chain is a list of plugins that is called as one: it does for a list
// what a runtime does, so that what is asked of one plugin can be asked of
// several in a row.
//
// Its configuration has the list in "plugins"; the first gets its "ipam". The
// text "OWN-PORT" in it stands for a port number that the container has alone.
// The plugins die with it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

type object = map[string]any

func main() {
	runtime.LockOSThread() // the parent-death signal is the thread's
	answer, err := run(os.Getenv("CNI_COMMAND"))
	if err != nil {
		answer = []byte(err.Error())
	}
	if _, printErr := os.Stdout.Write(answer); err != nil || printErr != nil {
		os.Exit(1)
	}
}

func run(verb string) ([]byte, error) {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, refusal(err)
	}
	var config object
	if err := json.Unmarshal(ownPort(input), &config); err != nil {
		return nil, refusal(err)
	}
	plugins, _ := config["plugins"].([]any)
	switch verb {
	case "ADD":
		return add(config, plugins)
	case "DEL":
		return nil, each(verb, config, reversed(plugins))
	}
	return nil, each(verb, config, plugins)
}

// ownPort puts a number for OWN-PORT that follows from the container.
func ownPort(input []byte) []byte {
	hash := fnv.New32()
	_, _ = hash.Write([]byte(os.Getenv("CNI_CONTAINERID")))
	return bytes.ReplaceAll(input, []byte(`"OWN-PORT"`), fmt.Appendf(nil, "%d", 10000+hash.Sum32()%50000))
}

func reversed(plugins []any) []any {
	back := slices.Clone(plugins)
	slices.Reverse(back)
	return back
}

// add gives each plugin the result of the one before. After an error it detaches
// the container, as runtimes do.
func add(config object, plugins []any) (answer []byte, err error) {
	for _, p := range plugins {
		if answer, err = call("ADD", config, p); err != nil {
			_ = each("DEL", config, reversed(plugins))
			return nil, err
		}
		config["prevResult"] = json.RawMessage(answer)
	}
	return answer, nil
}

// each calls all plugins and returns the first error.
func each(verb string, config object, plugins []any) error {
	var errs []error
	for _, p := range plugins {
		_, err := call(verb, config, p)
		errs = append(errs, err)
	}
	if errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// call runs one plugin with its part of the configuration.
func call(verb string, config object, p any) ([]byte, error) {
	own, _ := p.(object)
	part := object{}
	for _, key := range []string{"cniVersion", "name", "prevResult", "cni.dev/valid-attachments"} {
		if value, ok := config[key]; ok {
			part[key] = value
		}
	}
	for key, value := range own {
		part[key] = value
	}
	if part["type"] == "bridge" {
		part["ipam"] = config["ipam"]
	}
	input, err := json.Marshal(part)
	if err != nil {
		return nil, refusal(err)
	}
	cmd := exec.Command(filepath.Join(os.Getenv("CNI_PATH"), fmt.Sprint(part["type"])))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CNI_COMMAND=") }), "CNI_COMMAND="+verb)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() && len(output) > 0 {
		return nil, errors.New(string(output))
	}
	return output, refusal(err)
}

// refusal is an error as a plugin prints it.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	text, _ := json.Marshal(object{"cniVersion": "1.1.0", "code": 999, "msg": "chain: " + err.Error()})
	return errors.New(string(text))
}
