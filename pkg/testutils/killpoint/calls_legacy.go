// SPDX-License-Identifier: Apache-2.0

//go:build linux && (386 || amd64 || arm || mips64le || ppc64le || s390x)

package killpoint

import "golang.org/x/sys/unix"

// addLegacyCalls adds the calls that newer architectures do without.
func addLegacyCalls(calls map[uint64]describer) {
	calls[unix.SYS_OPEN] = func(c call) string { return c.open(c.args[0], c.args[1]) }
	calls[unix.SYS_CREAT] = paths("create", 0)
	calls[unix.SYS_LINK] = paths("link", 0, 1)
	calls[unix.SYS_SYMLINK] = paths("symlink", 0, 1)
	calls[unix.SYS_UNLINK] = paths("unlink", 0)
	calls[unix.SYS_RENAME] = paths("rename", 0, 1)
	calls[unix.SYS_RENAMEAT] = paths("rename", 1, 3)
	calls[unix.SYS_MKDIR] = paths("mkdir", 0)
	calls[unix.SYS_RMDIR] = paths("rmdir", 0)
	calls[unix.SYS_MKNOD] = paths("mknod", 0)
	calls[unix.SYS_CHMOD] = paths("chmod", 0)
	calls[unix.SYS_CHOWN] = paths("chown", 0)
	calls[unix.SYS_LCHOWN] = paths("chown", 0)
	calls[unix.SYS_UTIMES] = paths("utimes", 0)
	calls[unix.SYS_FORK] = func(call) string { return "fork" }
	addVfork(calls)
}
