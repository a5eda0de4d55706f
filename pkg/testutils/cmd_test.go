// SPDX-License-Identifier: Apache-2.0

package testutils_test

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types020 "github.com/containernetworking/cni/pkg/types/020"
	current "github.com/containernetworking/cni/pkg/types/100"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("calling commands", func() {
	environment := func() map[string]string {
		vars := map[string]string{}
		for _, line := range os.Environ() {
			if name, value, _ := strings.Cut(line, "="); strings.HasPrefix(name, "CNI_") && name != "CNI_TEST_NO_SKIP" {
				vars[name] = value
			}
		}
		return vars
	}
	expected := func(command string) map[string]string {
		return map[string]string{
			"CNI_COMMAND":        command,
			"CNI_PATH":           os.Getenv("PATH"),
			"CNI_NETNS":          "/some/netns",
			"CNI_CONTAINERID":    "some-id",
			"CNI_IFNAME":         "eth7",
			"CNI_NETNS_OVERRIDE": "1",
		}
	}
	args := &skel.CmdArgs{
		Netns: "/some/netns", ContainerID: "some-id", IfName: "eth7",
		StdinData: []byte(`{"cniVersion": "1.0.0"}`),
	}

	It("gives ADD its environment and parses what it prints", func() {
		before := environment()
		result, text, err := testutils.CmdAddWithArgs(args, func() error {
			Expect(environment()).To(Equal(expected("ADD")))
			fmt.Print(`{"cniVersion": "1.0.0", "interfaces": [{"name": "eth7"}]}`)
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.(*current.Result).Interfaces).To(HaveLen(1))
		Expect(string(text)).To(ContainSubstring("eth7"))
		Expect(environment()).To(Equal(before))
	})

	It("returns a result of the configuration's version", func() {
		result, _, err := testutils.CmdAdd("", "", "", []byte(`{"cniVersion": "0.2.0"}`), func() error {
			fmt.Print(`{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}}`)
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(result).To(BeAssignableToTypeOf(&types020.Result{}))
	})

	It("takes more output than a pipe holds", func() {
		_, text, err := testutils.CmdAddWithArgs(args, func() error {
			fmt.Print(`{"cniVersion": "1.0.0"}`, strings.Repeat(" ", 1<<20))
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(len(text)).To(BeNumerically(">", 1<<20))
	})

	It("returns the command's error as it is, and puts stdout back", func() {
		stdout := os.Stdout
		cause := &types.Error{Code: 11, Msg: "try again"}
		_, _, err := testutils.CmdAddWithArgs(args, func() error { return cause })
		Expect(err).To(BeIdenticalTo(cause))
		Expect(os.Stdout).To(BeIdenticalTo(stdout))
	})

	It("puts everything back when the command panics", func() {
		stdout, before := os.Stdout, environment()
		Expect(func() {
			_, _, _ = testutils.CmdAddWithArgs(args, func() error { panic("boom") })
		}).To(PanicWith("boom"))
		Expect(os.Stdout).To(BeIdenticalTo(stdout))
		Expect(environment()).To(Equal(before))
	})

	It("says what was printed when it is no result", func() {
		_, _, err := testutils.CmdAddWithArgs(args, func() error { fmt.Print("oops"); return nil })
		Expect(err).To(MatchError(ContainSubstring(`"oops"`)))
	})

	It("gives CHECK, DEL and STATUS their environment", func() {
		cause := errors.New("potato")
		Expect(testutils.CmdCheckWithArgs(args, func() error {
			Expect(environment()).To(Equal(expected("CHECK")))
			return cause
		})).To(BeIdenticalTo(cause))
		Expect(testutils.CmdDelWithArgs(args, func() error {
			Expect(environment()).To(Equal(expected("DEL")))
			return nil
		})).To(Succeed())
		Expect(testutils.CmdStatus(func() error {
			Expect(os.Getenv("CNI_COMMAND")).To(Equal("STATUS"))
			return nil
		})).To(Succeed())
	})
})

var _ = Describe("odds and ends", func() {
	DescribeTable("versions have features",
		func(ver string, chaining, ipVersion, check, status bool) {
			Expect(testutils.SpecVersionHasChaining(ver)).To(Equal(chaining))
			Expect(testutils.SpecVersionHasMultipleIPs(ver)).To(Equal(chaining))
			Expect(testutils.SpecVersionHasIPVersion(ver)).To(Equal(ipVersion))
			Expect(testutils.SpecVersionHasCHECK(ver)).To(Equal(check))
			Expect(testutils.SpecVersionHasSTATUS(ver)).To(Equal(status))
			if ver != "none" {
				Expect(testutils.AllSpecVersions).To(ContainElement(ver))
			}
		},
		Entry(nil, "none", false, false, false, false),
		Entry(nil, "0.1.0", false, false, false, false),
		Entry(nil, "0.2.0", false, false, false, false),
		Entry(nil, "0.3.0", true, true, false, false),
		Entry(nil, "0.3.1", true, true, false, false),
		Entry(nil, "0.4.0", true, true, true, false),
		Entry(nil, "1.0.0", true, false, true, false),
		Entry(nil, "1.1.0", true, false, true, true),
	)

	It("writes a resolv.conf", func() {
		path, err := testutils.TmpResolvConf(types.DNS{
			Nameservers: []string{"192.0.2.1", "2001:db8::1"},
			Domain:      "example.com",
			Search:      []string{"a.example.com", "b.example.com"},
			Options:     []string{"ndots:1", "rotate"},
		})
		Expect(err).NotTo(HaveOccurred())
		defer os.Remove(path)
		Expect(os.ReadFile(path)).To(BeEquivalentTo(
			"nameserver 192.0.2.1\nnameserver 2001:db8::1\ndomain example.com\n" +
				"search a.example.com b.example.com\noptions ndots:1 rotate\n"))
	})

	It("writes an empty resolv.conf", func() {
		path, err := testutils.TmpResolvConf(types.DNS{})
		Expect(err).NotTo(HaveOccurred())
		defer os.Remove(path)
		Expect(os.ReadFile(path)).To(BeEmpty())
	})

	It("has a reader that cannot be read", func() {
		cause := errors.New("banana")
		_, err := (&testutils.BadReader{Error: cause}).Read(nil)
		Expect(err).To(BeIdenticalTo(cause))
		_, err = (&testutils.BadReader{}).Read(nil)
		Expect(err).To(HaveOccurred())
		Expect((&testutils.BadReader{}).Close()).To(Succeed())
	})
})
