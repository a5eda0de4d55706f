// SPDX-License-Identifier: Apache-2.0

//go:build linux

package winbridge

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/hnsendpoint"
	"github.com/containernetworking/plugins/internal/hnstest"
	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func TestWinBridge(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/windows/win-bridge")
}

func at(service hns.Service) plugin.Plugin {
	return plugin.New(hnsendpoint.Definition(name, service, (*Config).spec))
}

var suite = hnstest.Suite{
	Plugin:  at,
	Network: hnstest.Network{Name: "pods", Type: "L2Bridge", Subnet: "10.1.2.0/24", Gateway: "10.1.2.1"},
	Config: map[string]any{
		"loopbackDSR":   true,
		"ipMasqNetwork": "10.1.0.0/16",
		"runtimeConfig": map[string]any{"portMappings": []any{
			map[string]any{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
		}},
	},
}

var _ = hnstest.Run(suite)
