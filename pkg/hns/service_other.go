// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package hns

import (
	"encoding/json"
	"errors"
)

// Host returns the service of this machine, which fails: it is not Windows.
func Host() Service { return absent{} }

type absent struct{}

var errNotWindows = errors.New("the host networking service is a part of Windows")

func (absent) Features() (Features, error)              { return Features{}, errNotWindows }
func (absent) Networks(API) ([]json.RawMessage, error)  { return nil, errNotWindows }
func (absent) Endpoints(API) ([]json.RawMessage, error) { return nil, errNotWindows }
func (absent) CreateEndpoint(API, json.RawMessage) (json.RawMessage, error) {
	return nil, errNotWindows
}
func (absent) DeleteEndpoint(API, string) error { return errNotWindows }
func (absent) Attach(API, string, string) error { return errNotWindows }
func (absent) Detach(API, string, string) error { return errNotWindows }
func (absent) Unshare(string, string) error     { return errNotWindows }
