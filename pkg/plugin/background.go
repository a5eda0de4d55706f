// SPDX-License-Identifier: Apache-2.0

package plugin

// Background starts fn and returns a function that waits for its end and
// returns its error; a panic is one too. It is for work that has nothing to do
// with what the caller does meanwhile, such as removing rules while the kernel
// takes its time to delete a link.
func Background(fn func() error) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- protect(fn) }()
	return func() error { return <-done }
}
