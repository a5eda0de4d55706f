// SPDX-License-Identifier: Apache-2.0

package echo_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestEcho(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/testutils/echo")
}

var _ = Describe("echo server and client", func() {
	var client, address string

	build := func(name string) string {
		GinkgoHelper()
		path := filepath.Join(GinkgoT().TempDir(), name)
		out, err := exec.Command("go", "build", "-o", path, "./"+name).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		return path
	}

	BeforeEach(func() {
		client = build("client")
		server := exec.Command(build("server"))
		out, err := server.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(server.Start()).To(Succeed())
		DeferCleanup(func() {
			Expect(server.Process.Kill()).To(Succeed())
			_ = server.Wait()
		})
		line, err := bufio.NewReader(out).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		Expect(line).To(MatchRegexp(`^127\.0\.0\.1:[0-9]+\n$`))
		address = strings.TrimSpace(line)
	})

	call := func(target, protocol, message string) (string, error) {
		out, err := exec.Command(client, "--target", target, "--protocol", protocol, "--message", message).CombinedOutput()
		return string(out), err
	}

	It("echo over TCP and UDP, more than once", func() {
		for range 2 {
			Expect(call(address, "tcp", "hello")).To(Equal("hello"))
			Expect(call(address, "udp", "world")).To(Equal("world"))
		}
		Expect(call(strings.Replace(address, "127.0.0.1", "[::1]", 1), "tcp", "six")).To(Equal("six"))
	})

	It("the client fails when nobody answers, or with a protocol it does not know", func() {
		_, err := call("127.0.0.1:1", "tcp", "hello")
		Expect(err).To(HaveOccurred())
		out, err := call(address, "sctp", "hello")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("neither tcp nor udp"))
	})
})
