// SPDX-License-Identifier: Apache-2.0

// Package flannel is the flannel plugin. It makes a configuration for another
// plugin, the delegate, out of its own and of what flanneld says about this
// node's subnet, and has the delegate do the work.
//
// # On disk
//
// What the delegate was configured with at ADD is what it has to be given at
// DEL, whatever flanneld and the configuration say then. It is the only thing
// that an attachment owns here, its record:
//
//	<dataDir>/<container id>@<interface>@<network>.json   the configuration of the delegate
//	<dataDir>/<container id>                              a symbolic link to it, if the name was free
//
// A record is written whole before the delegate runs, and removed when the
// delegate's DEL has succeeded: in between, there may be something to remove.
//
// The name with nothing but the container id is that of flannel's own plugin
// (flannel-io/cni-plugin up to 1.9), which knows one interface of a container
// only. A file, rather than a link, of that name is one that it has written. The
// link is there for it, should a node go back to it.
package flannel
