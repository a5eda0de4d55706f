// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/testutils/killpoint"
)

// sloppy is a plugin that keeps a file for each container. What it does with it
// is made worse by the specs, which expect the matrix to find that out.
const sloppy = `#!/bin/sh
read -r config
dir=${config##*'"dataDir":"'}
dir=${dir%%'"'*}
state="$dir/$CNI_CONTAINERID"
case $CNI_COMMAND in
ADD)
	ADD
	echo '{"cniVersion": "1.1.0"}'
	;;
DEL)
	DEL
	;;
GC)
	GC
	;;
esac
`

// The right ways.
const (
	goodAdd = `echo mine >"$state"`
	goodDel = `rm -f "$state"`
	goodGC  = `for file in "$dir"/*; do case $config in *"\"${file##*/}\""*) ;; *) rm -f "$file" ;; esac; done`
)

var _ = Describe("the kill matrix", func() {
	// residue runs one aftermath over a sloppy plugin.
	residue := func(what aftermath, add, del, gc string) *tally {
		GinkgoHelper()
		testutils.Need(GinkgoT(), "root", "nft-tool")
		dir := GinkgoT().TempDir()
		script := strings.NewReplacer("\tADD\n", "\t"+add+"\n", "\tDEL\n", "\t"+del+"\n", "\tGC\n", "\t"+gc+"\n").Replace(sloppy)
		Expect(os.WriteFile(filepath.Join(dir, "sloppy"), []byte(script), 0o755)).To(Succeed())
		suite := Suite{
			Plugin: plugin.Plugin{Name: "sloppy"},
			Dir:    "sloppy",
			Config: func(h *Host) Object { return Object{"dataDir": h.DataDir} },
		}
		work := GinkgoT().TempDir()
		t := &tally{}
		k := &killer{suite: suite, what: what, tally: t, newHost: func(n int) (*Host, error) {
			return newHost(suite, binaries{dir}, filepath.Join(work, string(rune('a'+n))))
		}}
		defer func() { Expect(k.close()).To(Succeed()) }()
		Expect(k.work(1, 1)).To(Succeed())
		return t
	}
	// What a shell starts does not die with it.
	alone := []killpoint.Mode{killpoint.KillPlugin}
	tree := []killpoint.Mode{killpoint.KillTree}

	It("is content with a plugin that does it right", func() {
		for _, what := range []aftermath{
			{"", "ADD", tree, del}, {"", "ADD", tree, inTurn(vanish, del)}, {"", "ADD", tree, otherAndGC},
			{"", "ADD", alone, inTurn(del, afresh)},
			{"", "DEL", tree, del}, {"", "DEL", tree, otherAndGC}, {"", "ADD", tree, inTurn(tryAdd, del)},
		} {
			t := residue(what, goodAdd, goodDel, goodGC)
			Expect(t.failures).To(BeEmpty(), strings.Join(t.failures, "\n"))
			Expect(t.kills).To(BeNumerically(">=", 4))
		}
	})

	It("finds a file that is under another name for a moment", func() {
		t := residue(aftermath{"", "ADD", tree, del}, `echo mine >"$state.new"; mv "$state.new" "$state"`, goodDel, goodGC)
		Expect(t.failures).NotTo(BeEmpty())
		Expect(t.failures[0]).To(And(ContainSubstring("call "), ContainSubstring("victim.new"), ContainSubstring("left:")))
	})

	It("finds a DEL that has to come to its end", func() {
		t := residue(aftermath{"", "DEL", tree, del}, `mkdir "$state"; mkdir "$state/a"`, `rmdir "$state/a" && rmdir "$state" || true`, goodGC)
		Expect(t.failures).NotTo(BeEmpty())
		Expect(t.failures[0]).To(ContainSubstring("rmdir"))
	})

	It("finds what only a fresh ADD meets", func() {
		// A file where nobody looks. (Not a sysctl of net: while somebody else holds the kernel's lock, the call that writes
		// it is started again, and counted again.)
		t := residue(aftermath{"", "ADD", alone, inTurn(del, afresh)},
			`[ ! -s "$dir.on" ] || exit 1; echo 1 >"$dir.on"; `+goodAdd,
			`if [ -e "$state" ]; then rm -f "$dir.on" "$state"; fi`, goodGC)
		Expect(t.failures).To(ConsistOf(And(ContainSubstring("create"), ContainSubstring("ADD ended with status 1"))))
	})

	It("finds what is in a container, the second time too that it serves", func() {
		t := residue(aftermath{"", "ADD", tree, del},
			`echo 1 >"$state"; echo 2 >"$state"; nsenter --net="$CNI_NETNS" ip link add left type bridge`, goodDel, goodGC)
		Expect(len(t.failures)).To(And(BeNumerically(">", 0), BeNumerically("<=", t.kills-4)), "those before have left nothing")
		Expect(t.failures).To(HaveEach(ContainSubstring("+ link left type bridge")))
	})

	It("finds what GC forgets", func() {
		t := residue(aftermath{"", "ADD", tree, otherAndGC}, goodAdd, goodDel, ":")
		Expect(t.failures).NotTo(BeEmpty())
	})

	It("finds a delegate that lives on", func() {
		t := residue(aftermath{"", "ADD", alone, del}, `sh -c 'echo mine >"$1"; echo mine >>"$1"' sh "$state"`, goodDel, goodGC)
		Expect(t.failures).To(ContainElement(ContainSubstring("outlived its parent")))
	})

	It("finds a plugin that fails", func() {
		t := residue(aftermath{"", "ADD", tree, del}, goodAdd, `rm "$state" || exit 1`, goodGC)
		Expect(t.failures).To(ContainElement(ContainSubstring("DEL ended with status 1")))
	})
})

var _ = Describe("a container that is as it was made", func() {
	It("is the next one of its ID", func() {
		testutils.Need(GinkgoT(), "root")
		host, err := newHost(Suite{Plugin: plugin.Plugin{Name: "none"}}, binaries{GinkgoT().TempDir()}, GinkgoT().TempDir())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(host.close)
		first, err := host.newContainer("one")
		Expect(err).NotTo(HaveOccurred())
		host.spare(first)
		other, err := host.newContainer("two")
		Expect(err).NotTo(HaveOccurred())
		Expect(other).NotTo(BeIdenticalTo(first))
		Expect(other.Remove()).To(Succeed())
		host.spare(other)
		for id, spare := range map[string]*Container{"one": first, "two": other} {
			c, err := host.newContainer(id)
			Expect(err).NotTo(HaveOccurred())
			Expect(c == spare).To(Equal(spare == first), "one that has gone is none")
			host.spare(c)
		}
		ended := 0
		host.OnClose(func() error { ended++; return nil })
		Expect(errors.Join(host.close(), host.close())).To(Succeed())
		Expect(ended).To(Equal(1))
		Expect(first.NS.Path()).NotTo(BeAnExistingFile())
	})
})
