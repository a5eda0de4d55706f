// SPDX-License-Identifier: Apache-2.0

// Package static is the static IPAM plugin. It assigns the addresses that the
// configuration or the runtime names. It keeps no state: nobody notices an
// address that is assigned twice, and there is nothing to release.
package static
