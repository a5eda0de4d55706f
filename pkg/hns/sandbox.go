// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"fmt"
	"regexp"
	"strings"
)

// Sandbox is what CNI_NETNS means on Windows.
type Sandbox struct {
	// ID is the container that the endpoint is for. Its name begins with it.
	ID string
	// Shared is set if that is another container, whose endpoint this one is to
	// use too.
	Shared bool
	netns  string
}

// SandboxOf reads CNI_NETNS:
//
//	container:<id>   Docker: the container shares the sandbox of another one
//	none             Docker: the container is a sandbox (a pod's "pause")
//	<GUID>           containerd: a namespace of HCN
func SandboxOf(netns, containerID string) Sandbox {
	if _, other, found := strings.Cut(netns, ":"); found {
		return Sandbox{ID: other, Shared: true, netns: netns}
	}
	return Sandbox{ID: containerID, netns: netns}
}

// Target returns what an endpoint is to be attached to: the container (V1), the
// namespace (V2). It fails if CNI_NETNS does not fit the interface.
func (s Sandbox) Target(api API, containerID string) (string, error) {
	switch {
	case api == V1 && (s.Shared || s.netns == "none"):
		return containerID, nil
	case api == V2 && isGUID(s.netns):
		return s.netns, nil
	case api == V1 && isGUID(s.netns):
		return "", fmt.Errorf("CNI_NETNS: %q is a namespace, and the configuration has no \"apiVersion\": 2, without which only "+
			"\"none\" and \"container:<id>\" are known", s.netns)
	case api == V1:
		return "", fmt.Errorf("CNI_NETNS: %q is neither \"none\" nor \"container:<id>\"", s.netns)
	}
	return "", fmt.Errorf("CNI_NETNS: %q is not the GUID of a namespace, which \"apiVersion\": 2 needs", s.netns)
}

// EndpointName returns the name of a sandbox's endpoint in a network.
func EndpointName(sandboxID, network string) string { return sandboxID + nameSuffix(network) }

// SandboxIn returns the sandbox that an endpoint's name says it is for, if it is
// one for the network.
func SandboxIn(endpointName, network string) (sandboxID string, ok bool) {
	sandboxID, ok = strings.CutSuffix(endpointName, nameSuffix(network))
	return sandboxID, ok && sandboxID != ""
}

func nameSuffix(network string) string { return "_" + network }

func isGUID(text string) bool {
	matched, _ := regexp.MatchString(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`, text)
	return matched
}
