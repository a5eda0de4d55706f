// SPDX-License-Identifier: Apache-2.0

// Package presubmit holds the house rules as tests: whoever breaks one reads
// the rule and its reason in the failure. It has no code of its own.
//
// A rule that looks at Go source is an entry of rules (rules_test.go) with an
// offender in offenders_test.go that proves it can fail. An exception is an
// entry of exempt (exempt_test.go) with a reason; one that nothing needs any
// more is a failure, too.
package presubmit
