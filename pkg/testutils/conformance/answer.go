// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Answer is how a command ended.
type Answer struct {
	Status         int // exit status; -1 if a signal ended it
	Stdout, Stderr []byte

	verb    string
	failure error // it could not even be run
}

// Result returns the result of an ADD that succeeded as it has to: with one
// JSON object on standard output and nothing on standard error.
func (a Answer) Result() (Object, error) {
	if err := a.success(); err != nil {
		return nil, err
	}
	var result Object
	if err := onlyJSON(a.Stdout, &result); err != nil {
		return nil, a.errorf("printed no result: %w", err)
	}
	if len(a.Stderr) > 0 {
		return nil, a.errorf("wrote to standard error: %s", a.Stderr)
	}
	return result, nil
}

// Refusal returns the error of a command that failed as it has to: with exit
// status 1 and one JSON object on standard output.
func (a Answer) Refusal() (*types.Error, error) {
	if a.failure != nil {
		return nil, a.failure
	}
	var refusal types.Error
	if a.Status == 0 {
		return nil, a.errorf("succeeded, an error was expected; it printed %q", a.Stdout)
	}
	if a.Status != 1 {
		return nil, a.errorf("ended with status %d, an error has 1; stdout %q, stderr %q", a.Status, a.Stdout, a.Stderr)
	}
	if err := onlyJSON(a.Stdout, &refusal); err != nil {
		return nil, a.errorf("printed no error object: %w; stdout %q, stderr %q", err, a.Stdout, a.Stderr)
	}
	if refusal.Code == 0 || refusal.Msg == "" {
		return nil, a.errorf("printed an error without code or message: %q", a.Stdout)
	}
	if refusal.Code == types.ErrInternal && strings.Contains(refusal.Msg, "internal error") {
		return nil, a.errorf("ran into a bug of its own: %s", refusal.Msg)
	}
	return &refusal, a.noTrace()
}

// proper tells whether the command ended in one of the ways there are.
func (a Answer) proper() error {
	if a.Status == 0 {
		return errors.Join(a.failure, a.noTrace())
	}
	_, err := a.Refusal()
	return err
}

// silentSuccess is how CHECK, DEL, STATUS and GC succeed.
func (a Answer) silentSuccess() error {
	if err := a.success(); err != nil {
		return err
	}
	if len(a.Stdout) > 0 {
		return a.errorf("printed %q, only ADD and VERSION print", a.Stdout)
	}
	return nil
}

func (a Answer) success() error {
	if a.failure != nil {
		return a.failure
	}
	if a.Status != 0 {
		return a.errorf("ended with status %d: %s%s", a.Status, compact(a.Stdout), a.Stderr)
	}
	return a.noTrace()
}

// noTrace makes sure that nobody gets to see a stack trace.
func (a Answer) noTrace() error {
	for _, sign := range []string{"panic:", "goroutine ", "fatal error:"} {
		if bytes.Contains(a.Stderr, []byte(sign)) || bytes.Contains(a.Stdout, []byte(sign)) {
			return a.errorf("ended in a stack trace: %s", a.Stderr)
		}
	}
	return nil
}

func (a Answer) errorf(format string, args ...any) error {
	return fmt.Errorf(a.verb+" "+format, args...)
}

// onlyJSON decodes data, which has to hold one JSON value and nothing else.
func onlyJSON(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// compact puts the JSON in data on one line, if that is what it is.
func compact(data []byte) string {
	var line bytes.Buffer
	if json.Compact(&line, data) != nil {
		return string(data)
	}
	return line.String()
}
