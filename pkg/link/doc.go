// SPDX-License-Identifier: Apache-2.0

// Package link finds, creates, configures, watches and deletes network
// interfaces. Its functions work in the network namespace of the calling
// thread, unless they are given another one.
//
// "There is no such link" is ErrNotFound (see IsNotFound for errors of other
// packages), "the name is taken" is an *ExistsError. Waiting is done by
// subscription, never by asking again and again, and ends with the context.
package link
