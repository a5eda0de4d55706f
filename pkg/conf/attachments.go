// SPDX-License-Identifier: Apache-2.0

package conf

import "fmt"

const (
	// validAttachmentsKey is the key of Common.ValidAttachments.
	validAttachmentsKey = "cni.dev/valid-attachments"

	// oldAttachmentsKey is that of Common.OldAttachments, see
	// containernetworking/cni#1101. libcni sends the list under both.
	oldAttachmentsKey = "cni.dev/attachments"
)

// findAttachments makes the list of valid attachments the one with the old name
// where there is no other.
func (c *Common) findAttachments(met *Problems) {
	if c.ValidAttachments == nil && met.within(validAttachmentsKey).Len() == 0 {
		c.ValidAttachments, c.attachmentsKey = c.OldAttachments, oldAttachmentsKey
	} else {
		c.attachmentsKey = validAttachmentsKey
	}
}

// ValidAttachmentsErr returns what is wrong with the list of valid attachments,
// given the problems that decoding has met. That there is none is right: then
// nothing is valid.
func (c *Common) ValidAttachmentsErr(met *Problems) error {
	problems := met.within(c.attachmentsKey)
	if problems.Len() == 0 {
		c.requireNames(problems)
	}
	return problems.Err()
}

// requireNames notes valid attachments that do not say which they are.
func (c *Common) requireNames(p *Problems) {
	for i, attachment := range c.ValidAttachments {
		path := fmt.Sprintf("%s[%d]", c.attachmentsKey, i)
		if attachment.ContainerID == "" {
			p.Add(path+".containerID", "missing, GC could remove what it has to spare")
		}
		if attachment.IfName == "" {
			p.Add(path+".ifname", "missing, GC could remove what it has to spare")
		}
	}
}
