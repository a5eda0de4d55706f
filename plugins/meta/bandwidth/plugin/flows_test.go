// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"net"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ns"
)

const (
	payload   = 1372 // bytes of a datagram
	warmUp    = 500 * time.Millisecond
	measuring = 3 * time.Second
)

// flow is a stream of datagrams from one namespace to an address in another.
type flow struct {
	from, to ns.NetNS
	target   string
}

// overhead is what a datagram has on the wire beside its payload: Ethernet, IP,
// UDP.
func (f flow) overhead() float64 {
	if strings.Contains(f.target, ":") {
		return 14 + 40 + 8
	}
	return 14 + 20 + 8
}

// measure runs flows at once, each offering so many bits per second, and returns
// the rates on the wire at which they arrive. It leaves out the beginning, where
// bursts are allowed.
func measure(g Gomega, offered float64, flows ...flow) []float64 {
	rates := make([]float64, len(flows))
	errs := make([]error, len(flows))
	var all sync.WaitGroup
	for i, f := range flows {
		all.Go(func() { rates[i], errs[i] = f.run(offered) })
	}
	all.Wait()
	for _, err := range errs {
		g.Expect(err).NotTo(HaveOccurred())
	}
	return rates
}

func (f flow) run(offered float64) (float64, error) {
	server, err := ns.Call(f.to, func() (net.PacketConn, error) { return net.ListenPacket("udp", net.JoinHostPort(f.target, "0")) })
	if err != nil {
		return 0, err
	}
	defer server.Close()
	client, err := ns.Call(f.from, func() (net.Conn, error) { return net.Dial("udp", server.LocalAddr().String()) })
	if err != nil {
		return 0, err
	}
	defer client.Close()
	stop := make(chan struct{})
	defer close(stop)
	go send(client, offered/8/(payload+f.overhead()), stop)
	packets, err := receive(server)
	return float64(packets) * (payload + f.overhead()) * 8 / measuring.Seconds(), err
}

// send sends datagrams at a rate, catching up whenever it had to wait for the
// processor.
func send(client net.Conn, perSecond float64, stop <-chan struct{}) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	start, sent := time.Now(), 0
	for {
		for due := int(time.Since(start).Seconds() * perSecond); sent < due; sent++ {
			_, _ = client.Write(make([]byte, payload)) // what is dropped is an error, too
		}
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

// receive counts the datagrams that come while we measure.
func receive(server net.PacketConn) (packets int, err error) {
	if err := server.(*net.UDPConn).SetReadBuffer(8 << 20); err != nil {
		return 0, err
	}
	begin := time.Now().Add(warmUp)
	end := begin.Add(measuring)
	if err := server.SetReadDeadline(end); err != nil {
		return 0, err
	}
	buffer := make([]byte, payload)
	for {
		if _, _, err := server.ReadFrom(buffer); err != nil {
			return packets, ignoreTimeout(err)
		}
		if time.Now().After(begin) {
			packets++
		}
	}
}

func ignoreTimeout(err error) error {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return nil
	}
	return err
}
