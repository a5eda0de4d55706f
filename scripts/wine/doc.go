// SPDX-License-Identifier: Apache-2.0

// Package wine runs the executables for Windows, as build_windows.sh makes them, under Wine: what they do with files,
// locks and other processes is what these tests look at. Networks of Windows are not to be had there.
package wine
