// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestIntent(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/intent")
}

// request is a request of a container whose namespace is the test's own.
func request(network, container, ifname string) *plugin.Request {
	GinkgoHelper()
	ref, err := ns.OpenRef("/proc/self/ns/net")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(ref.Close)
	return &plugin.Request{Plugin: "ptp", Network: network, ContainerID: container, IfName: ifname, Netns: ref}
}

var _ = Describe("a store", func() {
	var s Store
	BeforeEach(func() { s = Store{root: filepath.Join(GinkgoT().TempDir(), "cni", "intent"), plugin: "portmap"} })

	put := func(network, container, ifname, content string) Intent {
		GinkgoHelper()
		i, err := New(request(network, container, ifname), content)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Put(i)).To(Succeed())
		return i
	}
	owner := func(network, container, ifname string) plugin.Owner {
		return plugin.Owner{Network: network, ContainerID: container, IfName: ifname}
	}

	It("keeps one intent for each attachment", func() {
		put("net", "c1", "eth0", "old")
		want := put("net", "c1", "eth0", "new")
		put("net", "c1", "eth1", "x")
		put("net", "c10", "eth0", "x")
		Expect(s.Get(owner("net", "c1", "eth0"))).To(HaveValue(Equal(want)))
		Expect(string(want.Content)).To(Equal(`"new"`))
		Expect(s.OfContainer("net", "c1")).To(HaveLen(2))
		put("c1", "c2", "eth0", "x")
		elsewhere := put("other", "c1", "eth0", "x")
		Expect(s.OfContainerAnywhere("c1")).To(HaveLen(3))
		Expect(s.OfContainerAnywhere("c1")).To(ContainElement(elsewhere))
		Expect(s.Delete(elsewhere.Owner())).To(Succeed())
		Expect(s.Delete(owner("c1", "c2", "eth0"))).To(Succeed())
		Expect(s.List()).To(HaveLen(3))
		Expect(s.Delete(owner("net", "c1", "eth0"))).To(Succeed())
		Expect(s.Delete(owner("net", "c1", "eth0"))).To(Succeed(), "gone already")
		Expect(s.Get(owner("net", "c1", "eth0"))).To(BeNil())
		Expect(s.List()).To(HaveLen(2))
	})

	It("belongs to one host", func() {
		testutils.Need(GinkgoT(), "root")
		put("net", "c1", "eth0", "x")
		pinned := s.Pinned()
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			Expect(s.List()).To(BeEmpty())
			Expect(s.Get(owner("net", "c1", "eth0"))).To(BeNil())
			Expect(pinned.Get(owner("net", "c1", "eth0"))).NotTo(BeNil())
		})
	})

	It("tells which namespace it is about", func() {
		i := put("net", "c1", "eth0", "x")
		req := request("net", "c1", "eth0")
		Expect(i.Enters(req)).To(BeTrue())
		Expect(i.Enters(&plugin.Request{})).To(BeFalse(), "no namespace")
		reborn, rebooted := i, i
		reborn.Inode++
		rebooted.Boot = "another"
		Expect([]bool{reborn.Enters(req), rebooted.Enters(req)}).To(Equal([]bool{false, false}))
		unknown := i
		unknown.ID = 0 // as before Linux 6.18
		Expect(unknown.Enters(req)).To(BeTrue())
		if i.ID != 0 {
			replaced := i
			replaced.ID++
			Expect(replaced.Enters(req)).To(BeFalse(), "the number was free again")
		}
	})

	It("finds the namespace from any directory", func() {
		GinkgoT().Chdir("/proc/self/ns")
		ref, err := ns.OpenRef("net")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(ref.Close)
		i, err := New(&plugin.Request{Network: "net", ContainerID: "c1", IfName: "eth0", Netns: ref}, "x")
		Expect(err).NotTo(HaveOccurred())
		GinkgoT().Chdir("/")
		Expect(i.Gone()).To(BeFalse())
		Expect(filepath.IsAbs(i.Netns)).To(BeTrue())
	})

	It("tells who is gone", func() {
		alive := put("net", "c1", "eth0", "x")
		Expect(alive.Gone()).To(BeFalse())
		Expect(s.Gone("net/c1/eth0")).To(BeFalse())
		Expect(s.Gone("net/unknown/eth0")).To(BeFalse(), "no proof")
		Expect(s.ContainerGone("net", "unknown")).To(BeFalse(), "no proof")

		rebooted := alive
		rebooted.Boot = "another"
		Expect(rebooted.Gone()).To(BeTrue())
		reborn := alive
		reborn.Inode++
		Expect(reborn.Gone()).To(BeTrue())
		if alive.ID != 0 { // Linux 6.18
			replaced := alive
			replaced.ID++
			Expect(replaced.Gone()).To(BeTrue(), "the number was free again")
		}
		older := alive
		older.ID = 0
		Expect(older.Gone()).To(BeFalse())
		vanished := alive
		vanished.Netns = filepath.Join(GinkgoT().TempDir(), "none")
		Expect(vanished.Gone()).To(BeTrue())
		unknown := alive
		unknown.Netns, unknown.Inode = "", 0
		Expect(unknown.Gone()).To(BeFalse())

		Expect(s.Put(vanished)).To(Succeed())
		for range 2 {
			Expect(s.Gone("net/c1/eth0")).To(BeTrue())
			Expect(s.ContainerGone("net", "c1")).To(BeTrue())
			Expect(s.Retire(vanished.Owner())).To(Succeed())
		}
		put("net", "c1", "eth1", "x")
		Expect(s.ContainerGone("net", "c1")).To(BeFalse())
	})

	It("tells who is lost, wherever the namespace was", func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
		alter := func(container string, change func(*Intent)) Intent {
			GinkgoHelper()
			i := put("net", container, "eth0", "x")
			change(&i)
			Expect(s.Put(i)).To(Succeed())
			return i
		}
		put("net", "alive", "eth0", "x")
		alter("elsewhere", func(i *Intent) { i.Netns = filepath.Join(GinkgoT().TempDir(), "none") })
		alter("unknown", func(i *Intent) { i.Inode = 0 })
		Expect(s.Lost()).To(BeEmpty())
		gone := alter("gone", func(i *Intent) { i.Inode = 1 })
		lost := []Intent{gone, alter("rebooted", func(i *Intent) { i.Boot = "another" })}
		if gone.ID != 0 { // Linux 6.18
			lost = append(lost, alter("replaced", func(i *Intent) { i.ID++ }))
		}
		Expect(s.Lost()).To(Equal(lost))
		Expect(s.Retire(gone.Owner())).To(Succeed())
		lost[0].Retired = true
		Expect(s.Lost()).To(ConsistOf(lost))
		Expect(s.TakeBack(func(Intent) error { return os.ErrPermission })).Error().To(MatchError(os.ErrPermission))
		Expect(s.Put(gone)).To(Succeed())
		Expect(s.Has(gone)).To(BeTrue())
		put("net", "gone", "eth0", "x")
		Expect(s.Has(gone)).To(BeFalse())
	})

	It("keeps a container that is started again waiting while it takes back what that had left", func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace")
		gone := put("net", "again", "eth0", "before")
		gone.Boot = "another"
		Expect(s.Put(gone)).To(Succeed())
		again, err := New(request("net", "again", "eth0"), "after")
		Expect(err).NotTo(HaveOccurred())
		started := make(chan error)
		Expect(s.TakeBack(func(i Intent) error {
			go func() { started <- s.Put(again) }()
			Consistently(started, 50*time.Millisecond).ShouldNot(Receive())
			return s.Remove(i.Owner(), func() error { return nil }) // as its DEL does
		})).To(ConsistOf(gone.Owner()))
		Eventually(started).Should(Receive(BeNil()))
		Expect(s.Holds(again)).To(BeTrue())
	})

	It("takes nobody for lost whose link is there: a socket may keep the namespace", func() {
		testutils.Need(GinkgoT(), "root", "initial-pid-namespace", "veth")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			gone := put("net", "gone", "eth0", "x")
			gone.Inode = 1
			Expect(s.Put(gone)).To(Succeed())
			Expect(s.Lost()).To(HaveLen(1))
			attrs := netlink.NewLinkAttrs()
			attrs.Name = gone.Owner().HostLink()
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "other"})).To(Succeed())
			Expect(s.Lost()).To(BeEmpty())
			Expect(netlink.LinkDel(&netlink.Veth{LinkAttrs: attrs})).To(Succeed())
			Expect(s.Lost()).To(HaveLen(1))
		})
	})

	It("tells whether what was listed holds", func() {
		listed := put("net", "c1", "eth0", "old")
		Expect(s.Holds(s.List()[0])).To(BeTrue())
		put("net", "c1", "eth0", "new")
		Expect(s.Holds(listed)).To(BeFalse(), "attached anew")
		vanished := listed
		vanished.Netns = filepath.Join(GinkgoT().TempDir(), "none")
		Expect(s.Put(vanished)).To(Succeed())
		Expect(s.Holds(vanished)).To(BeFalse(), "gone")
		Expect(s.Delete(listed.Owner())).To(Succeed())
		Expect(s.Holds(listed)).To(BeFalse(), "removed")
	})

	It("collects what is not valid, once the rules are gone", func() {
		put("net", "c1", "eth0", "x")
		put("net", "c2", "eth0", "x")
		put("other", "c1", "eth0", "x")
		Expect(os.WriteFile(wholefile.Aside(s.file("net/c3/eth0")), []byte("half"), 0o600)).To(Succeed())
		var removed []plugin.Owner
		valid := plugin.NewAttachments("net", []types.GCAttachment{{ContainerID: "c2", IfName: "eth0"}})
		Expect(s.Collect(valid, func(plugin.Owner) error { return os.ErrPermission })).To(MatchError(os.ErrPermission))
		Expect(s.Left(owner("net", "c1", "eth0"))).NotTo(BeNil())
		Expect(s.Collect(valid, func(o plugin.Owner) error {
			removed = append(removed, o)
			Expect(s.Get(o)).To(BeNil(), "others must not put anything back")
			return nil
		})).To(Succeed())
		Expect(removed).To(Equal([]plugin.Owner{owner("net", "c1", "eth0")}))
		Expect(s.List()).To(HaveLen(2))
		Expect(s.names("net/c1")).To(BeEmpty())
		Expect(s.names("net/c3")).To(BeEmpty())
	})

	It("has what is being removed for none, and for left", func() {
		was := put("net", "c1", "eth0", "x")
		retired := was
		retired.Retired = true
		Expect(s.Remove(was.Owner(), func() error {
			Expect(s.Holds(was)).To(BeFalse())
			Expect(s.Get(was.Owner())).To(BeNil())
			Expect(s.List()).To(BeEmpty())
			Expect(s.OfContainer("net", "c1")).To(BeEmpty())
			Expect(s.Left(was.Owner())).To(HaveValue(Equal(retired)))
			return os.ErrPermission
		})).To(MatchError(os.ErrPermission))
		Expect(s.Retire(was.Owner())).To(Succeed(), "again")
		Expect(s.Left(was.Owner())).To(HaveValue(Equal(retired)))
		now := put("net", "c1", "eth0", "y")
		Expect(s.Left(was.Owner())).To(HaveValue(Equal(now)))
		Expect(s.Remove(was.Owner(), func() error { return nil })).To(Succeed())
		Expect(s.names("")).To(BeEmpty())
		Expect(s.Remove(was.Owner(), func() error { return nil })).To(Succeed(), "gone already")
	})

	It("collects once what a kill has left twice", func() {
		i := put("net", "c1", "eth0", "x")
		Expect(s.Retire(i.Owner())).To(Succeed())
		Expect(s.Put(i)).To(Succeed())
		Expect(s.names("")).To(HaveLen(2))
		Expect(s.Collect(plugin.NewAttachments("net", nil), func(plugin.Owner) error { return nil })).To(Succeed())
		Expect(s.names("")).To(BeEmpty())
	})

	It("takes a file that is none of its own for nothing", func() {
		i := put("net", "c1", "eth0", "x")
		for _, content := range []string{"", "{", `{"version":99}`, "null"} {
			Expect(os.WriteFile(s.file(i.Owner().Comment()), []byte(content), 0o600)).To(Succeed())
			Expect(s.Get(i.Owner())).To(BeNil())
			Expect(s.List()).To(BeEmpty())
		}
		Expect(s.Collect(plugin.NewAttachments("net", nil), nil)).To(Succeed())
		Expect(s.names("")).To(BeEmpty())
	})
})

// FuzzIntent wants no file to end in a panic, or to be another's than it says.
func FuzzIntent(f *testing.F) {
	f.Add([]byte(`{"version":1,"network":"net","container":"c1","interface":"eth0","netns":"/run/netns/c1","inode":4026531833,"boot":"x","content":{"backend":"nftables"}}`))
	f.Add([]byte(`{"version":1,"network":"../..","container":"a/b:c","netns":"/dev/null","content":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		i := parse(content)
		if i == nil {
			return
		}
		i.Gone()
		s := Of("portmap")
		if file := s.file(i.Owner().Comment()); filepath.Dir(file) != s.dir() {
			t.Errorf("%s is not in %s", file, s.dir())
		}
	})
}
