// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	"errors"
	"os/exec"
	"strings"

	"github.com/networkplumbing/go-nft/nft"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// fakeNft answers the calls of Apply and Read from lists, and keeps what it was given.
type fakeNft struct {
	applied []string
	results []error     // of Apply, by call
	echo    *nft.Config // of every Apply that succeeds
	listing *nft.Config
	readErr error
	reads   []string
}

func (f *fakeNft) Apply(config *nft.Config) (*nft.Config, error) {
	text, err := config.ToJSON()
	Expect(err).NotTo(HaveOccurred())
	f.applied = append(f.applied, string(text))
	if call := len(f.applied) - 1; call < len(f.results) && f.results[call] != nil {
		return nil, f.results[call]
	}
	return f.echo, nil
}

func (f *fakeNft) Read(filterCommands ...string) (*nft.Config, error) {
	f.reads = append(f.reads, strings.Join(filterCommands, " "))
	return f.listing, f.readErr
}

const (
	addChains = `{"nftables":[
{"table":{"family":"bridge","name":"nat"}},
{"chain":{"family":"bridge","table":"nat","name":"PREROUTING","type":"filter","hook":"prerouting","prio":-300,"policy":"accept"}},
{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1"}},
{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1-mac"}}]}`

	addRules = `{"nftables":[
{"flush":{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1"}}},
{"flush":{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1-mac"}}},
{"rule":{"family":"bridge","table":"nat","chain":"PREROUTING","expr":[
  {"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"veth0"}},{"jump":{"target":"cni-br-iface-c99-net1"}}],"comment":"macspoofchk-c99-net1"}},
{"rule":{"family":"bridge","table":"nat","chain":"cni-br-iface-c99-net1","expr":[
  {"jump":{"target":"cni-br-iface-c99-net1-mac"}}],"comment":"macspoofchk-c99-net1"}},
{"rule":{"family":"bridge","table":"nat","chain":"cni-br-iface-c99-net1-mac","expr":[
  {"match":{"op":"==","left":{"payload":{"protocol":"ether","field":"saddr"}},"right":"02:00:00:00:12:34"}},{"return":null}],"comment":"macspoofchk-c99-net1"}},
{"rule":{"family":"bridge","table":"nat","chain":"cni-br-iface-c99-net1-mac","expr":[
  {"drop":null}],"comment":"macspoofchk-c99-net1"}}]}`

	// listing is what nft lists, with a rule of ours and one of another port.
	listing = `{"nftables":[
{"chain":{"family":"bridge","table":"nat","name":"PREROUTING","handle":1}},
{"rule":{"family":"bridge","table":"nat","chain":"PREROUTING","handle":6,"comment":"macspoofchk-c98-net1","expr":[]}},
{"rule":{"family":"bridge","table":"nat","chain":"PREROUTING","handle":7,"comment":"macspoofchk-c99-net1","expr":[]}}]}`

	deleteRule = `{"nftables":[
{"delete":{"rule":{"family":"bridge","table":"nat","chain":"PREROUTING","handle":7,"comment":"macspoofchk-c99-net1"}}}]}`

	deleteChains = `{"nftables":[
{"delete":{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1"}}},
{"delete":{"chain":{"family":"bridge","table":"nat","name":"cni-br-iface-c99-net1-mac"}}}]}`
)

var _ = Describe("SpoofChecker", func() {
	var (
		configurer *fakeNft
		checker    *link.SpoofChecker
		first      = errors.New("first")
		second     = errors.New("second")
	)

	BeforeEach(func() {
		list := nft.NewConfig()
		Expect(list.FromJSON([]byte(listing))).To(Succeed())
		configurer = &fakeNft{listing: list, echo: list}
		checker = link.NewSpoofCheckerWithConfigurer("veth0", "02:00:00:00:12:34", "c99-net1", configurer)
	})

	It("sets up chains, then rules", func() {
		Expect(checker.Setup()).To(Succeed())
		Expect(configurer.applied).To(HaveExactElements(MatchJSON(addChains), MatchJSON(addRules)))
	})

	It("stops when the chains cannot be added", func() {
		configurer.results = []error{first}
		Expect(checker.Setup()).To(MatchError(first))
		Expect(configurer.applied).To(HaveLen(1))
	})

	It("reports when the rules cannot be added", func() {
		configurer.results = []error{nil, second}
		Expect(checker.Setup()).To(MatchError(second))
	})

	It("tears down what it lists", func() {
		Expect(checker.Teardown()).To(Succeed())
		Expect(configurer.reads).To(ConsistOf("chain bridge nat PREROUTING"))
		Expect(configurer.applied).To(HaveExactElements(MatchJSON(deleteRule), MatchJSON(deleteChains)))
	})

	It("tears down what it has set up without listing", func() {
		Expect(checker.Setup()).To(Succeed())
		Expect(checker.Teardown()).To(Succeed())
		Expect(configurer.reads).To(BeEmpty())
		Expect(configurer.applied[2:]).To(HaveExactElements(MatchJSON(deleteRule), MatchJSON(deleteChains)))
	})

	DescribeTable("goes on tearing down after an error",
		func(results []error, readErr error, calls int) {
			configurer.results, configurer.readErr = results, readErr
			err := checker.Teardown()
			for _, expected := range append(results, readErr) {
				if expected != nil {
					Expect(err).To(MatchError(expected))
				}
			}
			Expect(configurer.applied).To(HaveLen(calls))
			Expect(configurer.applied[calls-1]).To(MatchJSON(deleteChains))
		},
		Entry("of the rules", []error{first}, nil, 2),
		Entry("of the list", nil, first, 1),
		Entry("of the chains", []error{nil, second}, nil, 2),
		Entry("of both", []error{first, second}, nil, 2),
		Entry("of the list and the chains", []error{second}, first, 1),
	)

	It("works with nft", func() {
		testutils.Need(GinkgoT(), "root", "nftables-bridge", "nft-tool")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			checker = link.NewSpoofChecker("veth0", "02:00:00:00:12:34", "c99-net1")
			Expect(checker.Setup()).To(Succeed())
			output, err := exec.Command("nft", "list", "ruleset").Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(output)).To(Equal(`table bridge nat {
	chain PREROUTING {
		type filter hook prerouting priority dstnat; policy accept;
		iifname "veth0" jump cni-br-iface-c99-net1 comment "macspoofchk-c99-net1"
	}

	chain cni-br-iface-c99-net1 {
		jump cni-br-iface-c99-net1-mac comment "macspoofchk-c99-net1"
	}

	chain cni-br-iface-c99-net1-mac {
		ether saddr 02:00:00:00:12:34 return comment "macspoofchk-c99-net1"
		drop comment "macspoofchk-c99-net1"
	}
}
`))
			Expect(link.NewSpoofChecker("", "", "c99-net1").Teardown()).To(Succeed())
			output, err = exec.Command("nft", "list", "ruleset").Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(output)).NotTo(ContainSubstring("c99"))
		})
	})
})
