// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("host-local", func() {
	var data string
	BeforeEach(func() { data = GinkgoT().TempDir() })

	config := func(subnets ...string) map[string]any {
		ranges := []any{}
		for _, subnet := range subnets {
			ranges = append(ranges, []any{map[string]any{"subnet": subnet}})
		}
		return map[string]any{
			"cniVersion": "1.1.0", "name": "net", "type": "win-bridge",
			"ipam": map[string]any{"type": "host-local", "ranges": ranges, "dataDir": windowsPath(data)},
		}
	}
	both := func() map[string]any { return config("10.1.2.0/24", "2001:db8::/64") }

	// files are the reservations and pointers, with their content.
	files := func() map[string]string {
		GinkgoHelper()
		found := map[string]string{}
		entries, err := os.ReadDir(filepath.Join(data, "net"))
		Expect(err).NotTo(HaveOccurred())
		for _, entry := range entries {
			content, err := os.ReadFile(filepath.Join(data, "net", entry.Name()))
			Expect(err).NotTo(HaveOccurred())
			found[entry.Name()] = string(content)
		}
		return found
	}
	with := func(config map[string]any, key string, value any) map[string]any {
		config[key] = value
		return config
	}

	It("reserves, checks and releases, in files that upstream's host-local.exe knows", func() {
		printed := succeed("host-local", "ADD", container("c1"), both())
		Expect(addresses(printed)).To(Equal([]string{"10.1.2.2/24", "2001:db8::2/64"}))
		Expect(files()).To(Equal(map[string]string{
			"10.1.2.2": "c1\r\neth0", "2001_db8__2": "c1\r\neth0", "lock": "",
			"last_reserved_ip.0": "10.1.2.2", "last_reserved_ip.1": "2001:db8::2",
		}))
		prev := map[string]any{"ips": []any{map[string]any{"address": "10.1.2.2/24"}, map[string]any{"address": "2001:db8::2/64"}}}
		succeed("host-local", "CHECK", container("c1"), with(both(), "prevResult", prev))
		Expect(call("host-local", "ADD", container("c1"), both()).stdout).To(ContainSubstring("duplicate allocation is not allowed"))
		succeed("host-local", "STATUS", container("c1"), both())

		succeed("host-local", "DEL", container("c1"), both())
		succeed("host-local", "DEL", container("c1"), both())
		Expect(files()).To(HaveLen(3))
		Expect(call("host-local", "CHECK", container("c1"), with(both(), "prevResult", prev)).code).NotTo(BeZero())
		Expect(addresses(succeed("host-local", "ADD", container("c1"), both()))).To(Equal([]string{"10.1.2.3/24", "2001:db8::3/64"}))
	})

	It("collects what is not valid any more", func() {
		for _, id := range []string{"a", "b", "c"} {
			succeed("host-local", "ADD", container(id), both())
		}
		valid := []any{map[string]any{"containerID": "b", "ifname": "eth0"}}
		succeed("host-local", "GC", container(""), with(both(), "cni.dev/valid-attachments", valid))
		Expect(files()).To(And(HaveLen(5), HaveKey("10.1.2.3"), HaveKey("2001_db8__3")))
	})

	It("says that the range is full: code 11, and 50 for STATUS", func() {
		small := config("10.1.2.0/30")
		Expect(addresses(succeed("host-local", "ADD", container("a"), small))).To(Equal([]string{"10.1.2.2/30"}))
		Expect(call("host-local", "ADD", container("b"), small).code).To(BeEquivalentTo(11))
		Expect(call("host-local", "STATUS", container(""), small).code).To(BeEquivalentTo(50))
	})

	It("gives no address to two, at once", func() {
		const n = 24
		each := func(fn func(a attachment)) {
			var wait sync.WaitGroup
			for i := range n {
				wait.Go(func() {
					defer GinkgoRecover()
					fn(container(fmt.Sprintf("c%d", i)))
				})
			}
			wait.Wait()
		}
		var mutex sync.Mutex
		given := map[string]string{}
		each(func(a attachment) {
			for _, address := range addresses(succeed("host-local", "ADD", a, both())) {
				mutex.Lock()
				Expect(given).NotTo(HaveKey(address))
				given[address] = a.id
				mutex.Unlock()
			}
		})
		Expect(given).To(HaveLen(2 * n))
		Expect(files()).To(HaveLen(2*n + 3))
		each(func(a attachment) { succeed("host-local", "DEL", a, both()) })
		Expect(files()).To(HaveLen(3))
	})

	It("waits for the lock", func() {
		succeed("host-local", "ADD", container("first"), both())
		// Wine passes locks of Windows on to the kernel, where others can have them, too.
		lock, err := os.OpenFile(filepath.Join(data, "net", "lock"), os.O_RDWR, 0)
		Expect(err).NotTo(HaveOccurred())
		defer lock.Close()
		Expect(unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 1})).To(Succeed())

		second, done := start("host-local", "ADD", container("second"), both()), make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			done <- second.wait()
		}()
		Consistently(done, time.Second).ShouldNot(Receive())
		Expect(files()).To(HaveLen(5))
		Expect(unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Len: 1})).To(Succeed())
		var got answer
		Eventually(done, limit).Should(Receive(&got))
		Expect(addresses(got.stdout)).To(Equal([]string{"10.1.2.3/24", "2001:db8::3/64"}))
	})

	It("shares its files with host-local.exe of another time, and with a killed one", func() {
		dir := filepath.Join(data, "net")
		Expect(os.Mkdir(dir, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "10.1.2.2"), nil, 0o600)).To(Succeed()) // killed before it wrote
		Expect(os.WriteFile(filepath.Join(dir, "10.1.2.3"), []byte("old\r\neth0"), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "2001_db8__2"), []byte("old\r\neth0"), 0o600)).To(Succeed())
		Expect(addresses(succeed("host-local", "ADD", container("a"), both()))).To(Equal([]string{"10.1.2.2/24", "2001:db8::3/64"}))
		Expect(addresses(succeed("host-local", "ADD", container("b"), both()))).To(Equal([]string{"10.1.2.4/24", "2001:db8::4/64"}))
		succeed("host-local", "DEL", container("old"), both())
		Expect(files()).NotTo(Or(HaveKey("10.1.2.3"), HaveKey("2001_db8__2")))
	})
})

var _ = Describe("static", func() {
	config := func(address string) map[string]any {
		addresses := []any{map[string]any{"address": address, "gateway": "10.9.0.1"}}
		return map[string]any{"cniVersion": "1.1.0", "name": "net", "type": "win-bridge", "ipam": map[string]any{"type": "static", "addresses": addresses}}
	}

	It("assigns, checks and releases", func() {
		printed := succeed("static", "ADD", container("c"), config("10.9.0.7/24"))
		Expect(addresses(printed)).To(Equal([]string{"10.9.0.7/24"}))
		checked := config("10.9.0.7/24")
		checked["prevResult"] = json.RawMessage(printed)
		succeed("static", "CHECK", container("c"), checked)
		checked["prevResult"] = map[string]any{"ips": []any{map[string]any{"address": "10.9.0.8/24"}}}
		Expect(call("static", "CHECK", container("c"), checked).code).NotTo(BeZero())
		for _, verb := range []string{"DEL", "DEL", "STATUS", "GC"} {
			succeed("static", verb, container("c"), config("10.9.0.7/24"))
		}
		got := call("static", "ADD", container("c"), config("10.9.0.256/24"))
		Expect(got.code).To(BeEquivalentTo(7))
		Expect(got.stdout).To(ContainSubstring("ipam.addresses[0].address"))
	})
})

var _ = Describe("win-bridge and win-overlay", func() {
	for _, tried := range []struct {
		plugin, library string
		api             int
	}{{"win-bridge", "computenetwork.dll", 2}, {"win-overlay", "vmcompute.dll", 1}} {
		It("say that Windows lacks its networking service, and release addresses all the same: "+tried.plugin, func() {
			data := GinkgoT().TempDir()
			config := map[string]any{
				"cniVersion": "1.1.0", "name": "net", "type": tried.plugin, "apiVersion": tried.api,
				"ipam": map[string]any{"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": windowsPath(data)},
			}
			got := call(tried.plugin, "STATUS", container("c"), config)
			Expect(got.code).To(BeEquivalentTo(50))
			Expect(got.stdout).To(ContainSubstring(`the Windows feature \"Containers\"`))

			succeed("host-local", "ADD", container("c"), config)
			Expect(filepath.Join(data, "net", "10.1.2.2")).To(BeARegularFile())
			got = call(tried.plugin, "DEL", container("c"), config)
			Expect(got.stdout).To(ContainSubstring(tried.library))
			Expect(filepath.Join(data, "net", "10.1.2.2")).NotTo(BeAnExistingFile())
		})
	}
})

var _ = Describe("flannel", func() {
	It("configures its delegate as Windows needs it", func() {
		state := GinkgoT().TempDir()
		subnets := filepath.Join(state, "subnet.env")
		env := "FLANNEL_NETWORK=10.244.0.0/16\r\nFLANNEL_SUBNET=10.244.3.1/24\r\nFLANNEL_MTU=1450\r\nFLANNEL_IPMASQ=true\r\n"
		Expect(os.WriteFile(subnets, []byte(env), 0o644)).To(Succeed())
		config := map[string]any{
			"cniVersion": "1.0.0", "name": "net", "type": "flannel",
			"subnetFile": windowsPath(subnets), "dataDir": windowsPath(filepath.Join(state, "flannel")),
			"delegate": map[string]any{"type": "host-local", "apiVersion": 2}, // prints what it gets an address from
		}
		Expect(addresses(succeed("flannel", "ADD", container("c"), config))).To(Equal([]string{"10.244.3.2/24"}))
		recorded, err := exec.Command("sh", "-c", "cat "+filepath.Join(state, "flannel", "*")).Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(recorded)).To(And(
			ContainSubstring(`"ipMasqNetwork":"10.244.0.0/16"`), ContainSubstring(`"ipMasq":true`), ContainSubstring(`"apiVersion":2`),
			ContainSubstring(`"subnet":"10.244.3.0/24"`), Not(ContainSubstring(`"mtu"`)), Not(ContainSubstring(`"isGateway"`))))
		succeed("flannel", "DEL", container("c"), config)
		Expect(filepath.Glob(filepath.Join(state, "flannel", "*"))).To(BeEmpty())
	})
})
