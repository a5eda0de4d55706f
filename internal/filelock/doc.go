// SPDX-License-Identifier: Apache-2.0

// Package filelock keeps processes out of one another's way by a lock on a file
// (flock(2)). The lock goes with the process, however that ends.
package filelock
