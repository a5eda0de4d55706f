// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// nativeVLAN is the VLAN of untagged traffic on a trunk that names no other.
const nativeVLAN = 1

// vlanPlan says which VLANs a port is a member of.
type vlanPlan struct {
	pvid     int   // untagged traffic belongs to this one; 0 = nothing to set
	tagged   []int // in order
	preserve bool  // keep what the port is a member of already
}

// planVLANs returns the VLANs of the container's port, and whether there is
// anything to configure.
func planVLANs(c *Config) (vlanPlan, bool) {
	plan := vlanPlan{pvid: c.VLAN, tagged: c.trunkIDs(), preserve: c.PreserveDefaultVLAN}
	if plan.pvid == 0 && len(plan.tagged) > 0 {
		plan.pvid = nativeVLAN
	}
	return plan, plan.pvid != 0
}

// vlanRange is a run of consecutive VLAN ids, both ends included.
type vlanRange struct{ first, last uint16 }

// addTo makes port a tagged member. The kernel refuses a range of one.
func (r vlanRange) addTo(port netlink.Link) error {
	if r.first == r.last {
		return netlink.BridgeVlanAdd(port, r.first, false, false, false, true)
	}
	return netlink.BridgeVlanAddRange(port, r.first, r.last, false, false, false, true)
}

// ranges joins consecutive ids, so that a trunk of all 4094 takes one message.
func ranges(ids []int) []vlanRange {
	var list []vlanRange
	for _, id := range ids {
		if n := len(list); n > 0 && int(list[n-1].last)+1 == id {
			list[n-1].last = uint16(id)
			continue
		}
		list = append(list, vlanRange{uint16(id), uint16(id)})
	}
	return list
}

// setPortVLANs makes port a member of the planned VLANs, and of no others
// unless the plan preserves them.
func setPortVLANs(port netlink.Link, plan vlanPlan) error {
	have, err := portVLANs(port)
	if err != nil {
		return err
	}
	for _, vlan := range have {
		if plan.preserve || plan.wants(vlan) {
			continue
		}
		if err := netlink.BridgeVlanDel(port, vlan.Vid, false, false, false, true); err != nil {
			return fmt.Errorf("remove %s from VLAN %d: %w", port.Attrs().Name, vlan.Vid, err)
		}
	}
	for _, r := range ranges(plan.tagged) {
		if err := r.addTo(port); err != nil {
			return fmt.Errorf("add %s to VLANs %d-%d: %w", port.Attrs().Name, r.first, r.last, err)
		}
	}
	// Last: the id may be among the tagged ones, and is untagged all the same.
	if err := netlink.BridgeVlanAdd(port, uint16(plan.pvid), true, true, false, true); err != nil {
		return fmt.Errorf("add %s to VLAN %d: %w", port.Attrs().Name, plan.pvid, err)
	}
	return nil
}

// portVLANs lists the VLANs that port is a member of.
func portVLANs(port netlink.Link) ([]*nl.BridgeVlanInfo, error) {
	all, err := netlinksafe.BridgeVlanList()
	if err != nil {
		return nil, fmt.Errorf("list the VLANs of %s: %w", port.Attrs().Name, err)
	}
	return all[int32(port.Attrs().Index)], nil
}

// membership returns how port is a member of the VLAN with an id, or nil.
func membership(port netlink.Link, id int) (*nl.BridgeVlanInfo, error) {
	have, err := portVLANs(port)
	for _, vlan := range have {
		if int(vlan.Vid) == id {
			return vlan, nil
		}
	}
	return nil, err
}

// wants tells whether the plan has vlan just as it is.
func (p vlanPlan) wants(vlan *nl.BridgeVlanInfo) bool {
	if int(vlan.Vid) == p.pvid {
		return vlan.PortVID() && vlan.EngressUntag()
	}
	for _, id := range p.tagged {
		if int(vlan.Vid) == id {
			return !vlan.PortVID() && !vlan.EngressUntag()
		}
	}
	return false
}
