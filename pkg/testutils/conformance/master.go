// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// MasterName is the link of the host on top of which plugins put theirs.
const MasterName = "master0"

const masterPeer = MasterName + "p"

// OnMaster completes the suite of a plugin whose interface is all inside the
// container and sits on top of MasterName, a link of the host.
func OnMaster(s Suite) Suite {
	s.Inside, s.onMaster = true, true
	s.Prepare = func(*Host) error { return makeMaster() }
	s.Vanish = func(*Host) error { return OnLink(MasterName, netlink.LinkDel) }
	return s
}

// OnInnerMaster is OnMaster with a link that each container has.
func OnInnerMaster(s Suite) Suite {
	s.Inside = true
	s.Furnish = func(*Container) error { return makeMaster() }
	return s
}

// makeMaster makes the master. It is up and has no carrier: where nobody can
// answer, no plugin waits for duplicate address detection. It is the same
// everywhere, so that containers look alike.
func makeMaster() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = MasterName, net.HardwareAddr{2, 0, 0, 0, 1, 1}
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: masterPeer, PeerHardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, 2}}
	if err := netlink.LinkAdd(pair); err != nil {
		return err
	}
	return OnLink(MasterName, netlink.LinkSetUp)
}

// RenewMaster is a breakage's Do that gives the master's name to another link.
func RenewMaster(a Attachment) error {
	return a.Host.Do(func() error {
		for _, name := range []string{MasterName, masterPeer} {
			if err := OnLink(name, setAside); err != nil {
				return err
			}
		}
		return makeMaster()
	})
}

// setAside renames a link, which older kernels do only while it is down.
func setAside(l netlink.Link) error {
	if err := netlink.LinkSetDown(l); err != nil {
		return err
	}
	return netlink.LinkSetName(l, "old-"+l.Attrs().Name)
}

// masters declares what a plugin says about a master that is missing.
func (m *matrix) masters() {
	It("says that the master is missing", func() {
		config := m.config("1.1.0")
		Expect(m.host.Do(func() error { return m.suite.Vanish(m.host) })).To(Succeed())
		m.hostClean = snapshot(m.host)
		want := `master: there is no interface "` + MasterName + `" on the host`
		expectRefusal(m.call("STATUS", nil, config), plugin.ErrNotAvailable, want)
		c := m.container("c1")
		expectRefusal(m.call("ADD", c, config), types.ErrInvalidNetworkConfig, want)
		m.delete(c, config)
		m.expectNothingLeft(c)
	})
}
