// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"fmt"

	"github.com/containernetworking/plugins/pkg/conf"
)

// Modes are the values of the key "mode" and what the kernel calls them. The
// first one is the default.
type Modes[M comparable] []Mode[M]

// Mode is one of Modes.
type Mode[M comparable] struct {
	Name  string
	Value M
}

// Validate notes a mode that is not among them.
func (m Modes[M]) Validate(p *conf.Problems, name string) {
	names := make([]string, len(m))
	for i, mode := range m {
		names[i] = mode.Name
	}
	if name != "" {
		p.OneOf("mode", name, names...)
	}
}

// Value returns the kernel's value of the mode called name; empty stands for
// the default.
func (m Modes[M]) Value(name string) M {
	for _, mode := range m {
		if mode.Name == name {
			return mode.Value
		}
	}
	return m[0].Value
}

// Name returns the name of one of the kernel's modes, for a message.
func (m Modes[M]) Name(value M) string {
	for _, mode := range m {
		if mode.Value == value {
			return mode.Name
		}
	}
	return fmt.Sprintf("number %v", value)
}
