// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"encoding/json"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Kept is a store of which all intents contain a T.
type Kept[T any] struct{ Store }

// KeptBy returns the store of a plugin, as Of.
func KeptBy[T any](plugin string) Kept[T] { return Kept[T]{Of(plugin)} }

// Remember keeps content for the attachment of a request. What it is about works
// without it: a failure is said, with what is so then, and no reason to fail.
func (k Kept[T]) Remember(req *plugin.Request, content T, without string) {
	i, err := New(req, content)
	if err == nil {
		err = k.Put(i)
	}
	if err != nil {
		plugin.Logf(req.Plugin, "%s: %v", without, err)
	}
}

// Recall returns what Remember has kept for an owner. It may be retired.
func (k Kept[T]) Recall(owner plugin.Owner) (content T, remembered bool) {
	i := k.Left(owner)
	if i == nil {
		return content, false
	}
	return k.Decode(*i), true
}

// Decode returns what an intent contains. Whoever wrote something else gets nothing
// back.
func (k Kept[T]) Decode(i Intent) T {
	content, _ := k.Content(i)
	return content
}

// Content returns what an intent contains, or that it is something else.
func (Kept[T]) Content(i Intent) (content T, err error) {
	err = json.Unmarshal(i.Content, &content)
	return content, err
}
