// SPDX-License-Identifier: Apache-2.0

package conf

import "net"

// MACSettings are the places where somebody may ask for the MAC address of the
// container's interface. Embed it by value.
type MACSettings struct {
	MAC  string `json:"mac,omitempty"`
	Args struct {
		CNI struct {
			MAC string `json:"mac,omitempty"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		MAC string `json:"mac,omitempty"`
	} `json:"runtimeConfig"`
}

// ValidateMAC notes what is wrong in any of the places.
func (s *MACSettings) ValidateMAC(p *Problems, args EnvArgs) {
	MAC(p, "mac", s.MAC)
	MAC(p, args.Path("MAC"), args["MAC"])
	MAC(p, "args.cni.mac", s.Args.CNI.MAC)
	MAC(p, "runtimeConfig.mac", s.RuntimeConfig.MAC)
}

// ContainerMAC returns the MAC address asked for, or nil. The runtime's word
// counts most (runtimeConfig, then args.cni, then CNI_ARGS), the
// configuration's own least.
func (s *MACSettings) ContainerMAC(args EnvArgs) net.HardwareAddr {
	for _, text := range []string{s.RuntimeConfig.MAC, s.Args.CNI.MAC, args["MAC"], s.MAC} {
		if text != "" {
			mac, _ := net.ParseMAC(text) // ValidateMAC has seen it
			return mac
		}
	}
	return nil
}
