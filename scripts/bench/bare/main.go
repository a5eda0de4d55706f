// SPDX-License-Identifier: Apache-2.0

// Bare is a Go program that does nothing: what a process costs.
package main

func main() {}
