// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"fmt"
	"io"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// CmdAdd calls f, a plugin's ADD, in the environment a runtime would give it.
// It returns the result f printed, in the version conf asks for, and its text.
func CmdAdd(cniNetns, cniContainerID, cniIfname string, conf []byte, f func() error) (types.Result, []byte, error) {
	var printed []byte
	err := inEnvironment("ADD", cniNetns, cniContainerID, cniIfname, func() (err error) {
		printed, err = captureStdout(f)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	result, err := parseResult(conf, printed)
	if err != nil {
		return nil, nil, err
	}
	return result, printed, nil
}

// CmdAddWithArgs is CmdAdd with what args says.
func CmdAddWithArgs(args *skel.CmdArgs, f func() error) (types.Result, []byte, error) {
	return CmdAdd(args.Netns, args.ContainerID, args.IfName, args.StdinData, f)
}

// CmdCheck calls f, a plugin's CHECK, in the environment a runtime would give it.
func CmdCheck(cniNetns, cniContainerID, cniIfname string, f func() error) error {
	return inEnvironment("CHECK", cniNetns, cniContainerID, cniIfname, f)
}

// CmdCheckWithArgs is CmdCheck with what args says.
func CmdCheckWithArgs(args *skel.CmdArgs, f func() error) error {
	return CmdCheck(args.Netns, args.ContainerID, args.IfName, f)
}

// CmdDel calls f, a plugin's DEL, in the environment a runtime would give it.
func CmdDel(cniNetns, cniContainerID, cniIfname string, f func() error) error {
	return inEnvironment("DEL", cniNetns, cniContainerID, cniIfname, f)
}

// CmdDelWithArgs is CmdDel with what args says.
func CmdDelWithArgs(args *skel.CmdArgs, f func() error) error {
	return CmdDel(args.Netns, args.ContainerID, args.IfName, f)
}

// CmdStatus calls f, a plugin's STATUS, in the environment a runtime would give
// it.
func CmdStatus(f func() error) error {
	return withEnv([]envVar{
		{"CNI_COMMAND", "STATUS"},
		{"CNI_PATH", os.Getenv("PATH")},
		{"CNI_NETNS_OVERRIDE", "1"},
	}, f)
}

// inEnvironment runs f with the variables of the protocol set. The delegates of
// a plugin under test are looked up in PATH; the override lets it be called in
// the namespace it works on.
func inEnvironment(command, netns, containerID, ifName string, f func() error) error {
	return withEnv([]envVar{
		{"CNI_COMMAND", command},
		{"CNI_PATH", os.Getenv("PATH")},
		{"CNI_NETNS", netns},
		{"CNI_IFNAME", ifName},
		{"CNI_CONTAINERID", containerID},
		{"CNI_NETNS_OVERRIDE", "1"},
	}, f)
}

type envVar struct{ name, value string }

// withEnv runs f with vars set and puts the environment back afterwards.
func withEnv(vars []envVar, f func() error) error {
	for _, v := range vars {
		restore, err := setenv(v)
		if err != nil {
			return err
		}
		defer restore()
	}
	return f()
}

func setenv(v envVar) (restore func(), err error) {
	before, wasSet := os.LookupEnv(v.name)
	if err := os.Setenv(v.name, v.value); err != nil {
		return nil, fmt.Errorf("set %s: %w", v.name, err)
	}
	return func() {
		if wasSet {
			os.Setenv(v.name, before)
		} else {
			os.Unsetenv(v.name)
		}
	}, nil
}

// captureStdout returns what f prints. It is read while f runs, so that f may
// print more than a pipe holds.
func captureStdout(f func() error) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for standard output: %w", err)
	}
	defer r.Close()
	printed := make(chan captured, 1)
	go func() {
		text, err := io.ReadAll(r)
		printed <- captured{text, err}
	}()
	err = withStdout(w, f)
	all := <-printed
	if err == nil {
		err = all.err
	}
	return all.text, err // the very one that f returned
}

type captured struct {
	text []byte
	err  error
}

// withStdout runs f with w in place of the standard output and closes w.
func withStdout(w *os.File, f func() error) error {
	before := os.Stdout
	os.Stdout = w
	defer func() {
		os.Stdout = before
		w.Close()
	}()
	return f()
}

func parseResult(conf, printed []byte) (types.Result, error) {
	wanted, err := (&version.ConfigDecoder{}).Decode(conf)
	if err != nil {
		return nil, fmt.Errorf("version of the configuration: %w", err)
	}
	result, err := version.NewResult(wanted, printed)
	if err != nil {
		return nil, fmt.Errorf("result %q: %w", printed, err)
	}
	return result, nil
}
