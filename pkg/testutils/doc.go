// SPDX-License-Identifier: Apache-2.0

// Package testutils has what tests of plugins need: network namespaces of
// their own, in-process calls of a plugin's commands, questions about the
// kernel's features, frames and pings on a link, and a text of everything
// a namespace contains to compare before and after.
//
// Its functions are for tests only. Some change the environment and the
// standard output of the process while they run, so specs that use them must
// not run in parallel within one process.
package testutils
