// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("watch", func() {
	var rig *testrig.Rig
	var c *testrig.Container
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables-bridge", "nft-tool")
		rig = testrig.New(plugins()["bridge"], testrig.BuildIPAM())
		Expect(os.MkdirAll("/run/cni", 0o755)).To(Succeed())
		c = rig.Container("c1")
	})

	attach := func(bridge, portmap, firewall string) {
		GinkgoHelper()
		prev := rig.Add(c, `{"type":"bridge","isGateway":true,"ipMasq":true,"macspoofchk":true,"ipMasqBackend":"`+bridge+`",`+rig.HostLocal("", "10.1.2.0/24")+`}`)
		for name, config := range map[string]string{
			"portmap":  `{"type":"portmap","backend":"` + portmap + `","runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}}`,
			"firewall": `{"type":"firewall","backend":"` + firewall + `"}`,
		} {
			rig.Plugin = plugins()[name]
			rig.Add(c, testrig.WithPrev(config, prev))
		}
	}
	// rules are without counters, in any order.
	rules := func() []string {
		GinkgoHelper()
		text, err := testrig.Run(rig.Host, "nft", "--stateless", "list", "ruleset")
		Expect(err).NotTo(HaveOccurred())
		return strings.Split(text, "\n")
	}
	start := func() (said *gbytes.Buffer, end func() int) {
		GinkgoHelper()
		ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(GinkgoT().TempDir(), "notify"), Net: "unixgram"})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(ready.Close)
		GinkgoT().Setenv("NOTIFY_SOCKET", ready.LocalAddr().String())
		ctx, cancel := context.WithCancel(context.Background())
		said, ended := gbytes.NewBuffer(), make(chan int, 1)
		go rig.OnHost(func() { ended <- watch(ctx, said, said) })
		DeferCleanup(cancel)
		Expect(ready.SetReadDeadline(time.Now().Add(10 * time.Second))).To(Succeed())
		_, err = ready.Read(make([]byte, 100))
		Expect(err).NotTo(HaveOccurred())
		return said, func() int {
			cancel()
			return <-ended
		}
	}

	for backends, flush := range map[[3]string]string{
		{"nftables", "nftables", "nftables"}: "nft flush ruleset",
		{"iptables", "iptables", "iptables"}: "iptables-nft -F; iptables-nft -t nat -F; iptables-nft -t nat -X; nft flush table bridge cni_spoofcheck",
		{"nftables", "iptables", "nftables"}: "nft delete table ip nat; nft delete table ip cni_masquerade",
	} {
		It("puts back within a second what somebody flushes: "+flush, func() {
			testutils.Need(GinkgoT(), "iptables")
			attach(backends[0], backends[1], backends[2])
			complete := rules()
			_, end := start()
			for range 2 {
				_, err := testrig.Run(rig.Host, "sh", "-ec", flush)
				Expect(err).NotTo(HaveOccurred())
				flushed := time.Now()
				Expect(rules()).NotTo(ConsistOf(complete))
				Eventually(rules, "5s", "20ms").Should(ConsistOf(complete))
				AddReportEntry("healed after", time.Since(flushed))
			}
			Expect(end()).To(BeZero())
		})
	}

	It("puts back what firewalld loses when it reloads", func() {
		rig.StartFirewalld("nftables")
		attach("nftables", "nftables", "firewalld")
		sources := func() (string, error) {
			return testrig.Run(rig.Host, "firewall-cmd", "--zone=trusted", "--list-sources")
		}
		Expect(sources()).To(ContainSubstring("10.1.2.2"))
		_, end := start()
		_, err := testrig.Run(rig.Host, "firewall-cmd", "--reload")
		Expect(err).NotTo(HaveOccurred())
		reloaded := time.Now()
		Eventually(sources, "5s", "20ms").Should(ContainSubstring("10.1.2.2"))
		AddReportEntry("healed after", time.Since(reloaded))
		Expect(end()).To(BeZero())
	})

	It("puts back at its start what is missing, and says so", func() {
		attach("nftables", "nftables", "nftables")
		complete := rules()
		_, err := testrig.Run(rig.Host, "nft", "flush", "ruleset")
		Expect(err).NotTo(HaveOccurred())
		said, end := start()
		Expect(rules()).To(ConsistOf(complete))
		Expect(said).To(gbytes.Say("portmap: put back the rules of test/c1/eth0\n"))
		Expect(end()).To(BeZero())
	})
})

var _ = Describe("the units", func() {
	const service, timer = "cni-plugins-watch.service", "cni-plugins-gc.timer"
	It("watch, and gc from time to time", func() {
		testutils.Need(GinkgoT(), "root", "nftables", "nft-tool")
		executable := filepath.Join(GinkgoT().TempDir(), own)
		out, err := exec.Command("../../build_linux.sh", "--single", "-o", filepath.Dir(executable)).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		m := testrig.StartSystemd(testutils.TempNS(GinkgoT()), "systemd", executable, service)
		m.ExpectGoodUnits(service, timer, "cni-plugins-gc.service")
		pid := m.Must("show", "--value", "--property=MainPID", service)
		m.Must("kill", "--signal=KILL", service)
		Eventually(func() string { return m.Must("show", "--value", "--property=MainPID,ActiveState", service) }).
			Should(And(HaveSuffix("\nactive"), Not(HavePrefix(pid+"\n")), Not(HavePrefix("0\n"))))
		m.Must("start", timer)
		Expect(m.Must("show", "--value", "--property=Unit,ActiveState", timer)).To(Equal("cni-plugins-gc.service\nactive"))
		m.Must("start", "cni-plugins-gc.service")
		m.Must("stop", service)
		Expect(m.Must("show", "--value", "--property=Result,ExecMainStatus", service)).To(Equal("success\n0"), "SIGTERM ends it")
	})
})

// TestKeepHealed lets minutes pass at once.
func TestKeepHealed(t *testing.T) {
	// healings returns when it heals, from the beginning, until it is given no more losses.
	healings := func(t *testing.T, lose func(lost chan<- error), healed func() bool) (at []time.Duration, err error) {
		began, lost := time.Now(), make(chan error, 1)
		go lose(lost)
		err = keepHealed(t.Context(), lost, func() bool {
			at = append(at, time.Since(began))
			return healed()
		})
		return at, err
	}
	end := errors.New("no more is told")

	t.Run("soon after a loss, and once a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			at, err := healings(t, func(lost chan<- error) {
				<-time.After(5 * time.Second)
				lost <- nil
				<-time.After(2 * time.Minute)
				lost <- end
			}, func() bool { return false })
			if want := []time.Duration{5200 * time.Millisecond, 65200 * time.Millisecond}; !slices.Equal(at, want) || !errors.Is(err, end) {
				t.Errorf("healed after %v, expected %v; %v", at, want, err)
			}
		})
	})
	t.Run("ever later against somebody who takes all away each time, until that is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			again := make(chan struct{}, 20)
			fight := 12
			at, err := healings(t, func(lost chan<- error) {
				lost <- nil
				for range again {
					lost <- nil
				}
				lost <- end
			}, func() bool {
				if fight--; fight == -2 {
					close(again)
				} else {
					again <- struct{}{}
				}
				return fight >= 0
			})
			var pauses []float64
			for n := range at {
				pauses = append(pauses, (at[n] - append([]time.Duration{0}, at...)[n]).Seconds())
			}
			if want := []float64{0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60, 60, 60, 0.2}; !slices.Equal(pauses, want) || !errors.Is(err, end) {
				t.Errorf("healed after %v s each, expected %v; %v", pauses, want, err)
			}
		})
	})
	t.Run("at once after each of those who come now and then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			at, err := healings(t, func(lost chan<- error) {
				for range 3 {
					<-time.After(15 * time.Second)
					lost <- nil
				}
				<-time.After(15 * time.Second)
				lost <- end
			}, func() bool { return true })
			if want := []time.Duration{15200 * time.Millisecond, 30200 * time.Millisecond, 45200 * time.Millisecond}; !slices.Equal(at, want) || !errors.Is(err, end) {
				t.Errorf("healed after %v, expected %v; %v", at, want, err)
			}
		})
	})
	t.Run("until it is stopped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			lost := make(chan error, 1)
			lost <- nil
			time.AfterFunc(settle/2, cancel)
			if err := keepHealed(ctx, lost, func() bool { t.Error("healed"); return false }); err != nil {
				t.Error(err)
			}
		})
	})
}
