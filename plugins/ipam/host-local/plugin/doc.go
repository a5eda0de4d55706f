// SPDX-License-Identifier: Apache-2.0

// Package hostlocal is the host-local IPAM plugin. It assigns addresses from
// ranges and remembers on the host's own disk which are taken.
//
// # On disk
//
// Every network has a directory, <dataDir>/<network>. The format is an interface:
// older releases, other programs and administrators read and change it.
//
//	<ip>                  the reservation of an address: "<container id>\r\n<interface>"
//	last_reserved_ip.<n>  the address that range set n gave out last
//	lock                  locked with flock(2) by whoever changes anything
//
// A reservation appears with all of its content or not at all (O_TMPFILE and
// linkat(2)), so that a process killed at any moment leaves nothing that cannot
// be attributed. Where that does not work, a reservation may be found empty; it
// is seen under the lock, so nobody is about to write it, and free again.
//
// # The index
//
// Looking for the reservations of a container would mean reading every file. An
// index beside the directories, <dataDir>/.cni-index/<network>, has a symbolic
// link for each owner whose target is a list of that owner's files. It is a
// cache that is checked, never believed blindly:
//
// After a command has changed a network's directory and its index, it sets the
// modification time of both to the same moment, a little in the past. Whoever
// else changes the directory makes the kernel set both its modification and its
// status change time to the present, so that the modification time differs from
// the index's and equals the status change time. The index then is rebuilt from
// the files, as it is after a process was killed half-way. And what the index
// says about an owner is verified in the files that it names. What it does not
// say is not looked for: an owner who was written into an existing file is found
// when something else makes the index be rebuilt, as every GC does. Only reading
// all files would show it, for each container that is new.
//
// # Containers without a DEL
//
// ADD notes which namespace CNI_NETNS is (netnsalive.ID) and the boot id in the owner's
// link, in front of the files. Only what was noted in this boot, that is, on this
// machine, counts. When there is no other address, those of owners whose namespace is
// gone are freed: one in which no thread of the machine is, which no
// process can see mounted or has a descriptor of. Before Linux 6.18, only
// the inode number is known, which may be used again. Then it is alive, as far as can
// be told, and the addresses stay. A reservation that is younger than the link is not
// what the link is about. An owner that has addresses from a namespace that is gone
// begins anew with another ADD, and gets the same ones where it can.
//
// # Cooldown
//
// With "cooldown", an address that DEL or GC has released is not assigned again for
// a while. An empty file, <dataDir>/.cni-cooldown/<network>/<ip>, has the time of
// the release as its modification time. It goes when the address is assigned, and
// with the GC after the cooldown.
//
// # Restarts
//
// No network namespace survives a restart of the machine, so reservations do
// not either. The symbolic link "boot" in the index says in which boot the index
// was last changed. The first command that finds another boot id there, but the
// same machine id, frees what is left of earlier boots. If the index is in
// order, nobody has reserved anything since, and that is everything. If not, it
// is what the index lists and nobody has written again, and what was written
// before the machine started. Without an index, as in the directory of an older
// release, it is the latter. Another machine's id, or none, frees nothing.
//
// What is not a container's for certain stays: any other text, and the single
// word that releases before 0.8.0 wrote, which may as well be somebody's way to
// keep an address out of use. GC, which knows the containers that there are, takes
// it for one's if it has 32 hexadecimal digits or more, and nothing else but dashes.
package hostlocal
