// SPDX-License-Identifier: Apache-2.0

// Package e2e lets real clients drive the built plugins, unmodified: cnitool, containerd's go-cni, containerd through
// its CRI, and podman with its CNI backend.
//
// It is a module of its own, so that the clients' dependencies stay out of the product's go.mod. Run it as root:
//
//	./build_linux.sh && cd scripts/e2e && go test ./...
//
// The tests run in mount, network and process namespaces made for them; containers, bridges, rules and files go with
// those. CNI_PATH names other plugins to test (default: bin/ of this checkout).
package e2e
