// SPDX-License-Identifier: Apache-2.0

// Package stdio writes to standard output and standard error of a process that
// goes on when nobody reads them any more.
package stdio
