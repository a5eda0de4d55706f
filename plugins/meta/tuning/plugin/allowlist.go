// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// allowListFile is where the node's administrator says which parameters may be
// set.
const allowListFile = "/etc/cni/tuning/allowlist.conf"

// checkAllowed returns an error unless the administrator allows all parameters.
// Without a file, everything is allowed.
func checkAllowed(parameters []parameter) error {
	if len(parameters) == 0 {
		return nil
	}
	text, err := os.ReadFile(allowListFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return plugin.Errorf(types.ErrIOFailure, "read the list of allowed parameters: %w", err)
	}
	list, err := parseAllowList(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", allowListFile, err)
	}
	return list.check(parameters)
}

// allowList are regular expressions for keys as configurations have them.
type allowList []*regexp.Regexp

// parseAllowList takes a regular expression from each line that is not blank.
func parseAllowList(text string) (allowList, error) {
	list := allowList{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		expression, err := regexp.Compile(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		list = append(list, expression)
	}
	return list, nil
}

func (l allowList) check(parameters []parameter) error {
	var problems conf.Problems
	for _, param := range parameters {
		if !l.allows(param.key) {
			problems.Add(param.path, "not allowed by %s, which has %q", allowListFile, l)
		}
	}
	return problems.Err()
}

func (l allowList) allows(key string) bool {
	for _, expression := range l {
		if expression.MatchString(key) {
			return true
		}
	}
	return false
}
