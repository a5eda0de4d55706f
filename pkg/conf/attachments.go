// SPDX-License-Identifier: Apache-2.0

package conf

import "fmt"

// validAttachmentsKey is the key of Common.ValidAttachments.
const validAttachmentsKey = "cni.dev/valid-attachments"

// ValidAttachmentsErr returns what is wrong with the list of valid attachments,
// given the problems that decoding has met. That there is none is right: then
// nothing is valid.
func (c *Common) ValidAttachmentsErr(met *Problems) error {
	problems := met.within(validAttachmentsKey)
	if problems.Len() == 0 {
		c.requireNames(problems)
	}
	return problems.Err()
}

// requireNames notes valid attachments that do not say which they are.
func (c *Common) requireNames(p *Problems) {
	for i, attachment := range c.ValidAttachments {
		path := fmt.Sprintf("%s[%d]", validAttachmentsKey, i)
		if attachment.ContainerID == "" {
			p.Add(path+".containerID", "missing, GC could remove what it has to spare")
		}
		if attachment.IfName == "" {
			p.Add(path+".ifname", "missing, GC could remove what it has to spare")
		}
	}
}
