// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
)

// theirs is the bandwidth plugin of Debian's containernetworking-plugins.
const theirs = "/usr/lib/cni/bandwidth"

// addByUpstream runs its ADD, which has to succeed.
func addByUpstream(rig *testrig.Rig, c *testrig.Container, config string) {
	GinkgoHelper()
	add := exec.Command(theirs)
	add.Env = []string{"CNI_COMMAND=ADD", "CNI_CONTAINERID=" + c.ID, "CNI_NETNS=" + c.Path, "CNI_IFNAME=" + c.IfName, "CNI_PATH=/usr/lib/cni"}
	add.Stdin = strings.NewReader(strings.ReplaceAll(config, `"1.1.0"`, `"1.0.0"`))
	output, err := ns.Call(rig.Host, add.CombinedOutput)
	Expect(err).NotTo(HaveOccurred(), "%s", output)
}
