// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startSlack is what a plugin may need to start and answer beyond a Go program that does nothing.
const startSlack = 400 * time.Microsecond

// startUps compares the answers to VERSION with a Go program that does nothing at all.
func startUps(s settings) ([]row, error) {
	plugins, err := os.ReadDir(s.ours)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, entry := range plugins {
		name := entry.Name() + " VERSION"
		if !s.only.MatchString(name) || entry.Name() == "cni-plugins" {
			continue
		}
		measured, err := startUp(s, entry.Name())
		if err != nil {
			return nil, err
		}
		ours, theirs, bare := measured[0], measured[1], measured[2]
		rows = append(rows, row{name: name + " / bare Go program", ours: ours, theirs: bare, slack: startSlack})
		if len(theirs.times) > 0 {
			rows = append(rows, row{name: name, ours: ours, theirs: theirs})
		}
	}
	return rows, nil
}

// startUp times our plugin, theirs if there is one, and the bare program.
func startUp(s settings, plugin string) (measured [3]samples, err error) {
	programs := [3]string{filepath.Join(s.ours, plugin), filepath.Join(s.theirs, plugin), s.bare}
	if _, err := os.Stat(programs[1]); err != nil {
		programs[1] = ""
	}
	for range s.runs {
		for i, program := range programs {
			if program == "" {
				continue
			}
			cmd := exec.Command(program)
			cmd.Env = []string{"CNI_COMMAND=VERSION"}
			elapsed, err := timed(cmd)
			if err != nil {
				return measured, fmt.Errorf("%s: %w", program, err)
			}
			measured[i].add(elapsed)
		}
	}
	return measured, nil
}
