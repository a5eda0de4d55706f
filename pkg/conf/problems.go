// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Problems collects everything that is wrong with a configuration, so that the
// person who wrote it hears all of it at once.
type Problems struct {
	list []problem
}

type problem struct {
	path, text string
	undecoded  bool // the value at path does not fit its field
}

// isWithin tells whether the problem is of the value at path or of what is in it.
func (p problem) isWithin(path string) bool {
	if len(p.path) < len(path) || !strings.EqualFold(p.path[:len(path)], path) {
		return false
	}
	rest := p.path[len(path):]
	return rest == "" || rest[0] == '.' || rest[0] == '['
}

// Add notes a problem. path is where it is, as the configuration spells it
// ("vlanTrunk[2].maxID"); the text says what is wrong and what would be right.
func (p *Problems) Add(path, format string, args ...any) {
	p.list = append(p.list, problem{path: path, text: fmt.Sprintf(format, args...)})
}

// Move has the problems so far be of values where those of a configuration stand from
// which this one was made.
func (p *Problems) Move(origin func(path string) string) {
	for i := range p.list {
		p.list[i].path = origin(p.list[i].path)
	}
}

// Len returns the number of problems noted so far.
func (p *Problems) Len() int { return len(p.list) }

// within returns the problems of the value at path and of what is in it.
func (p *Problems) within(path string) *Problems {
	var found Problems
	for _, problem := range p.list {
		if problem.isWithin(path) {
			found.list = append(found.list, problem)
		}
	}
	return &found
}

// setUndecoded marks the problems after the first ones as those of Decode.
func (p *Problems) setUndecoded(first int) {
	for i := first; i < len(p.list); i++ {
		p.list[i].undecoded = true
	}
}

// follows tells whether a problem is with a value that is only missing because it
// could not be decoded, which has been said.
func (p *Problems) follows(one problem) bool {
	return !one.undecoded && slices.ContainsFunc(p.list, func(other problem) bool {
		return other.undecoded && one.isWithin(other.path)
	})
}

// Err returns nil if there is no problem, else one CNI error that lists them
// all: code 4 if every one is about the environment (CNI_ARGS, CNI_IFNAME), code 7
// (invalid network configuration) otherwise.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	code := types.ErrInvalidEnvironmentVariables
	var lines []string
	for _, problem := range p.list {
		if p.follows(problem) {
			continue
		}
		lines = append(lines, problem.path+": "+problem.text)
		if !strings.HasPrefix(problem.path, envPath) {
			code = types.ErrInvalidNetworkConfig
		}
	}
	return types.NewError(code, strings.Join(lines, "; "), "")
}

// Range notes a problem if value is outside min-max.
func (p *Problems) Range(path string, value, min, max int) {
	if value < min || value > max {
		p.Add(path, "%d is outside %d-%d", value, min, max)
	}
}

// OneOf notes a problem if value is not among allowed.
func (p *Problems) OneOf(path, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	p.Add(path, "%q is not one of %s", value, strings.Join(allowed, ", "))
}
