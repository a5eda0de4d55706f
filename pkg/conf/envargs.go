// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"fmt"
	"slices"
	"strings"
)

const (
	envPath     = "CNI_"
	envArgsPath = envPath + "ARGS"
)

// EnvArgs are the pairs of the environment variable CNI_ARGS that a plugin
// knows, by key. Keys are case-sensitive.
type EnvArgs map[string]string

// ParseEnvArgs parses "K=V;K2=V2" and keeps the known keys. A pair without
// exactly one "=" is a problem; so is an unknown key, unless the pair
// IgnoreUnknown=1 (or true) is there too, as runtimes send it.
func ParseEnvArgs(text string, known []string, problems *Problems) EnvArgs {
	args := EnvArgs{}
	if text == "" {
		return args
	}
	var unknown []string
	ignoreUnknown := false
	for _, pair := range strings.Split(text, ";") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || strings.Contains(value, "="):
			problems.Add(envArgsPath, "ARGS: invalid pair %q, KEY=VALUE is expected", pair)
		case key == "IgnoreUnknown":
			ignoreUnknown = parseBool(value, problems)
		case slices.Contains(known, key):
			args[key] = value
		default:
			unknown = append(unknown, pair)
		}
	}
	if len(unknown) > 0 && !ignoreUnknown {
		problems.Add(envArgsPath, "ARGS: unknown args %q; add IgnoreUnknown=1 to have them ignored, the known ones are %s",
			unknown, strings.Join(known, ", "))
	}
	return args
}

func parseBool(value string, problems *Problems) bool {
	switch strings.ToLower(value) {
	case "1", "true":
		return true
	case "0", "false":
		return false
	}
	problems.Add(envArgsPath+".IgnoreUnknown", "%q is not one of 1, 0, true, false", value)
	return false
}

// Path returns the name under which a problem with the value of key is
// reported.
func (EnvArgs) Path(key string) string { return fmt.Sprintf("%s.%s", envArgsPath, key) }
