// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/conf"
)

// PortMapping is an entry of the capability "portMappings".
type PortMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

// Validate notes what is wrong with the entry. A host port of 0 leaves the
// choice to the service.
func (m PortMapping) Validate(p *conf.Problems, path string) {
	p.Range(path+".hostPort", m.HostPort, 0, 65535)
	p.Range(path+".containerPort", m.ContainerPort, 1, 65535)
	if _, ok := m.protocol(); !ok {
		p.Add(path+".protocol", "%q is neither tcp, udp, icmpv4, icmpv6 or igmp nor a protocol number from 1 to 255", m.Protocol)
	}
	if m.HostIP != "" && net.ParseIP(m.HostIP) == nil {
		p.Add(path+".hostIP", "%q is not an IP address", m.HostIP)
	}
}

// protocol returns the number of the protocol.
func (m PortMapping) protocol() (uint8, bool) {
	switch strings.ToLower(m.Protocol) {
	case "icmpv4":
		return 1, true
	case "igmp":
		return 2, true
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "icmpv6":
		return 58, true
	}
	number, err := strconv.ParseUint(m.Protocol, 0, 8)
	return uint8(number), err == nil && number > 0
}

// String says what the entry brings about, without the address of the host.
func (m PortMapping) String() string {
	number, _ := m.protocol()
	return fmt.Sprintf("the mapping of port %d to %d of protocol %d", m.HostPort, m.ContainerPort, number)
}
