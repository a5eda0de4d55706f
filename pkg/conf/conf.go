// SPDX-License-Identifier: Apache-2.0

// Package conf decodes and validates the configuration of a plugin.
//
// Decoding follows encoding/json as users know it from CNI plugins - keys match
// without regard to case, unknown keys are tolerated, null means absent - but
// reports every value of a wrong type, each with its JSON path, instead of the
// first, and knows which keys nobody has asked for.
package conf

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Common holds the keys that every plugin's configuration has. Embed it by
// value. (types.PluginConf must not be embedded: its MarshalJSON is promoted
// and drops the plugin's own fields.)
type Common struct {
	CNIVersion       string               `json:"cniVersion,omitempty"`
	Name             string               `json:"name,omitempty"`
	Type             string               `json:"type,omitempty"`
	Capabilities     map[string]bool      `json:"capabilities,omitempty"`
	IPAM             IPAM                 `json:"ipam"`
	DNS              types.DNS            `json:"dns"`
	PrevResult       json.RawMessage      `json:"prevResult,omitempty"`
	ValidAttachments []types.GCAttachment `json:"cni.dev/valid-attachments,omitempty"`
	OldAttachments   []types.GCAttachment `json:"cni.dev/attachments,omitempty"` // decoded into ValidAttachments, too, if that has none

	attachmentsKey string // that ValidAttachments come from
}

// IPAM holds what an interface plugin reads of the "ipam" object; the rest is
// for the IPAM plugin.
type IPAM struct {
	Type string `json:"type,omitempty"`
}

// validate notes a plugin's name that is a path: it is one of a file in CNI_PATH.
func (i IPAM) validate(p *Problems) {
	if strings.ContainsRune(i.Type, '/') || strings.ContainsRune(i.Type, os.PathSeparator) {
		p.Add("ipam.type", "%q is not the name of a plugin: it must not contain a slash", i.Type)
	}
}

// Base returns the common part of a configuration that embeds it.
func (c *Common) Base() *Common { return c }

// HasDNS tells whether the configuration has any DNS setting. An empty list
// counts: it overrides what the IPAM plugin says.
func (c *Common) HasDNS() bool {
	d := c.DNS
	return d.Nameservers != nil || d.Search != nil || d.Options != nil || d.Domain != ""
}

// OneAddressPerFamily tells whether results of the configuration's version hold at
// most one address per family, and no interfaces.
func (c *Common) OneAddressPerFamily() bool {
	return c.CNIVersion == "" || c.CNIVersion == "0.1.0" || c.CNIVersion == "0.2.0"
}

// LimitFamilies notes that v4 and v6 addresses, which the value at path asks for, do
// not fit into the results of the configuration's version.
func (c *Common) LimitFamilies(p *Problems, path string, v4, v6 int) {
	if c.OneAddressPerFamily() && max(v4, v6) > 1 {
		p.Add(path, "CNI version %s does not support more than 1 address per family", c.CNIVersion)
	}
}

// Validator is a configuration that can say what is wrong with it. Validate
// looks at nothing but the configuration and its arguments; args are those of
// CNI_ARGS that the plugin declared.
type Validator interface {
	Validate(problems *Problems, args EnvArgs)
}

// Defaulter is a configuration whose keys have defaults other than zero.
// Default sets them before the configuration is decoded.
type Defaulter interface {
	Default()
}
