// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"encoding/json"
	"errors"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// shaped names the host's end of an attachment that has no device: nothing in the
// kernel says whose its shaper is.
type shaped struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
}

func store() intent.Store { return intent.Of("bandwidth") }

// remember keeps which link is about to be shaped. Without it, only the way
// through the container leads there: that is said, and no reason to fail.
func remember(req *plugin.Request, host netlink.Link) {
	kept, err := intent.New(req, shaped{host.Attrs().Index, host.Attrs().Name})
	if err == nil {
		err = store().Put(kept)
	}
	if err != nil {
		plugin.Logf("bandwidth", "the limit of %s will not be found without its network namespace: %v", req.Owner().Comment(), err)
	}
	req.Undo.Push("record of "+host.Attrs().Name, func() error { return store().Delete(req.Owner()) })
}

// release removes the shaper from the link that was kept, should that be there
// still, and then the record.
func release(owner plugin.Owner) error {
	if err := unshapeRemembered(owner); err != nil {
		return err
	}
	return store().Delete(owner)
}

func unshapeRemembered(owner plugin.Owner) error {
	kept := store().Get(owner)
	if kept == nil {
		return nil
	}
	var was shaped
	if json.Unmarshal(kept.Content, &was) != nil {
		return nil // nobody knows what that is about
	}
	host, err := link.FindByIndex(was.Index)
	if errors.Is(err, link.ErrNotFound) || err == nil && host.Attrs().Name != was.Name {
		return nil
	}
	if err != nil {
		return err
	}
	return unshape(host)
}

// unshapeLeft removes the shaper from a host's end that is found without the
// namespace: upstream keeps no records.
func unshapeLeft(req *plugin.Request) error {
	host, err := vethpair.HostEndLeft(req)
	if err != nil || host == nil {
		return err
	}
	return unshape(host)
}
