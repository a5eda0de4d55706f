// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// toyVariable makes the test binary, run again, the plugin.
const toyVariable = "PLUGIN_TEST_TOY"

func TestMain(m *testing.M) {
	if os.Getenv(toyVariable) != "" {
		plugin.Main(plugin.New(newToy().Definition))
		return
	}
	os.Exit(m.Run())
}

var _ = Describe("the log of commands", func() {
	var path string

	BeforeEach(func() {
		path = filepath.Join(GinkgoT().TempDir(), "cni.log")
		GinkgoT().Setenv(plugin.LogVariable, path)
	})

	call := func(verb, container, config string) error {
		args := &skel.CmdArgs{ContainerID: container, IfName: "eth0", StdinData: []byte(config)}
		return plugin.New(newToy().Definition).Call(context.Background(), verb, args, &bytes.Buffer{})
	}

	// lines returns what the log has, decoded.
	lines := func() []map[string]any {
		GinkgoHelper()
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		var all []map[string]any
		for line := range strings.Lines(string(text)) {
			var one map[string]any
			Expect(json.Unmarshal([]byte(line), &one)).To(Succeed(), line)
			all = append(all, one)
		}
		return all
	}

	It("has a line for each, with what it was about", func() {
		GinkgoT().Setenv("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		before := time.Now()
		Expect(call("DEL", "c1", `{"cniVersion":"1.0.0","name":"pods"}`)).To(Succeed())
		Expect(lines()).To(ConsistOf(And(
			HaveKeyWithValue("plugin", "toy"), HaveKeyWithValue("command", "DEL"), HaveKeyWithValue("network", "pods"),
			HaveKeyWithValue("container", "c1"), HaveKeyWithValue("interface", "eth0"),
			HaveKeyWithValue("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
			Not(HaveKey("code")), Not(HaveKey("error")), Not(HaveKey("netns")),
		)))
		line := lines()[0]
		began, err := time.Parse(time.RFC3339Nano, line["time"].(string))
		Expect(err).NotTo(HaveOccurred())
		Expect(began).To(BeTemporally("~", before, time.Minute))
		Expect(line["milliseconds"]).To(And(BeNumerically(">=", 0), BeNumerically("<", 60000)))
	})

	It("has the code and the words of an error", func() {
		Expect(call("ADD", "c1", `{"cniVersion":"1.0.0","name":"pods","size":11}`)).NotTo(Succeed())
		Expect(lines()).To(ConsistOf(And(
			HaveKeyWithValue("code", BeEquivalentTo(types.ErrInvalidNetworkConfig)),
			HaveKeyWithValue("error", ContainSubstring("size: 11 is outside 1-10")),
		)))
	})

	It("is no reason to wait when it is a pipe that nobody reads", func() {
		Expect(syscall.Mkfifo(path, 0o600)).To(Succeed())
		done := make(chan error, 1)
		go func() { done <- call("DEL", "c1", `{"cniVersion":"1.0.0","name":"pods"}`) }()
		Eventually(done, 10).Should(Receive(BeNil()))
	})

	It("has a line even for what is no configuration", func() {
		Expect(call("ADD", "c1", `{`)).NotTo(Succeed())
		Expect(lines()).To(ConsistOf(And(Not(HaveKey("network")), HaveKeyWithValue("code", BeEquivalentTo(types.ErrDecodingFailure)))))
	})

	DescribeTable("has a line for what is refused before the plugin is asked",
		func(verb, ifName, config string, code uint, text string) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{toyVariable + "=1", plugin.LogVariable + "=" + path, "TRACEPARENT=00-x",
				"CNI_COMMAND=" + verb, "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/c1", "CNI_IFNAME=" + ifName, "CNI_PATH=/bin"}
			cmd.Stdin = strings.NewReader(config)
			Expect(cmd.Run()).To(MatchError("exit status 1"))
			Expect(lines()).To(ConsistOf(And(
				HaveKeyWithValue("plugin", "toy"), HaveKeyWithValue("command", verb), HaveKeyWithValue("container", "c1"),
				HaveKeyWithValue("interface", ifName), HaveKeyWithValue("netns", "/run/netns/c1"), HaveKeyWithValue("traceparent", "00-x"),
				HaveKeyWithValue("code", BeEquivalentTo(code)), HaveKeyWithValue("error", ContainSubstring(text)),
			)))
		},
		Entry("a version", "ADD", "eth0", `{"cniVersion":"9.9","name":"n"}`, types.ErrIncompatibleCNIVersion, "incompatible CNI versions"),
		Entry("no name", "ADD", "eth0", `{"cniVersion":"1.0.0"}`, types.ErrInvalidNetworkConfig, "missing network name"),
		Entry("half of a configuration", "DEL", "eth0", `{"cniVersion":"1.0.0"`, types.ErrDecodingFailure, "unexpected end of JSON input"),
		Entry("the name of an interface", "ADD", "abcdefghijklmnopq", `{"cniVersion":"1.0.0","name":"n"}`, types.ErrInvalidEnvironmentVariables, "interface name"),
		Entry("a command that the version does not have", "STATUS", "eth0", `{"cniVersion":"1.0.0","name":"n"}`, types.ErrIncompatibleCNIVersion, "does not allow STATUS"),
		Entry("a command that there is not", "LIST", "eth0", `{"cniVersion":"1.0.0","name":"n"}`, types.ErrInvalidEnvironmentVariables, "LIST"),
		Entry("a mistake that the plugin finds, once", "ADD", "eth0", `{"cniVersion":"1.0.0","name":"n","size":11}`, types.ErrInvalidNetworkConfig, "toy: size: 11"),
	)

	It("keeps lines apart that are written at the same time", func() {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				defer GinkgoRecover()
				Expect(call("DEL", fmt.Sprint("c", i), `{"cniVersion":"1.0.0","name":"pods"}`)).To(Succeed())
			})
		}
		all.Wait()
		Expect(lines()).To(HaveLen(50))
	})

	DescribeTable("fails no command where it cannot be written",
		func(elsewhere string) {
			GinkgoT().Setenv(plugin.LogVariable, elsewhere)
			Expect(call("DEL", "c1", `{"cniVersion":"1.0.0","name":"pods"}`)).To(Succeed())
		},
		Entry("in no directory", "/nonexistent/cni.log"),
		Entry("in a directory's place", "/"),
		Entry("in a place that depends on where the runtime was started", "cni.log"),
	)

	It("is not written without being asked for", func() {
		GinkgoT().Setenv(plugin.LogVariable, "")
		Expect(call("DEL", "c1", `{"cniVersion":"1.0.0","name":"pods"}`)).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})
})
