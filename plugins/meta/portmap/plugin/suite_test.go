// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
)

func TestPortmap(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/meta/portmap")
}

// lab is a host with a bridge and containers on it, and another host:
//
//	container n 10.88.0.n, fd88::n -- br0 10.88.0.1, fd88::1 host 192.0.2.1, 2001:db8::1 -- outside 192.0.2.9, 2001:db8::9
type lab struct {
	*testrig.Rig
	outside ns.NetNS
	number  map[*testrig.Container]int
}

func newLab() *lab {
	GinkgoHelper()
	l := &lab{Rig: testrig.New(Plugin, ""), number: map[*testrig.Container]int{}}
	l.outside = l.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
	l.sh(`ip link add br0 address 02:00:00:00:00:01 type bridge mcast_snooping 0; ip addr add 10.88.0.1/16 dev br0; ip addr add fd88::1/64 dev br0 nodad; ip link set br0 up
		echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`)
	meet(l.Host, l.outside, "2001:db8::9")
	return l
}

// attach makes a container and does what the plugin before portmap does.
func (l *lab) attach(id string) *testrig.Container {
	GinkgoHelper()
	c := l.Container(id)
	n := len(l.number) + 2
	l.number[c] = n
	link := fmt.Sprintf("veth%d", n)
	c.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: link, PeerNamespace: netlink.NsFd(l.Host.Fd())})).To(Succeed())
	})
	l.sh("ip link set " + link + " master br0 up; ip link set " + link + " type bridge_slave hairpin on") // as bridge does with hairpinMode
	c.Do(func() {
		sh(fmt.Sprintf(`ip addr add 10.88.0.%d/16 dev eth0; ip addr add fd88::%d/64 dev eth0 nodad; ip link set eth0 up
			ip route add default via 10.88.0.1; ip -6 route add default via fd88::1`, n, n))
	})
	meet(l.Host, c.Netns, l.v6(c))
	return c
}

// alias is a container that is there for the plugin only: it has the namespace of
// another, and addresses that nobody has.
func (l *lab) alias(c *testrig.Container, id string) *testrig.Container {
	other := *c
	other.ID = id
	l.number[&other] = 100 + len(l.number)
	return &other
}

// meet waits until neighbours have found each other, which IPv6 takes its time
// for.
func meet(from, to ns.NetNS, address string) {
	GinkgoHelper()
	Eventually(func() error {
		_, err := testrig.Reach(from, to, address)
		return err
	}).WithTimeout(20 * time.Second).Should(Succeed())
}

func (l *lab) v4(c *testrig.Container) string { return fmt.Sprintf("10.88.0.%d", l.number[c]) }
func (l *lab) v6(c *testrig.Container) string { return fmt.Sprintf("fd88::%d", l.number[c]) }

// config is a configuration with a prevResult for the container, and the rest of
// its keys.
func (l *lab) config(c *testrig.Container, mappings string, rest string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"test","type":"portmap","capabilities":{"portMappings":true},"runtimeConfig":{"portMappings":[%s]}%s,
		"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"br0"},{"name":"veth%d"},{"name":"eth0","sandbox":%q}],
		"ips":[{"address":"10.88.0.1/16","interface":0},{"address":"%s/16","interface":2},{"address":"%s/64","interface":2}]}}`,
		mappings, rest, l.number[c], c.Path, l.v4(c), l.v6(c))
}

func mapping(hostPort, containerPort int, protocol string, rest ...string) string {
	return fmt.Sprintf(`{"hostPort":%d,"containerPort":%d,"protocol":%q%s}`, hostPort, containerPort, protocol, strings.Join(rest, ""))
}

// add is ADD, which must succeed and pass the result on.
func (l *lab) add(c *testrig.Container, config string) {
	GinkgoHelper()
	result := l.Add(c, config)
	Expect(result.IPs).To(HaveLen(3))
}

func (l *lab) check(c *testrig.Container, config string) error {
	GinkgoHelper()
	_, err := l.Call("CHECK", c, config)
	return err
}

// sh runs a script on the host and returns what it prints.
func (l *lab) sh(script string) string {
	GinkgoHelper()
	var output string
	l.OnHost(func() { output = sh(script) })
	return output
}

func sh(script string) string {
	GinkgoHelper()
	output, err := exec.Command("/bin/sh", "-e", "-c", script).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", script, output)
	return string(output)
}

// serve lets a container answer on a port, until the spec ends, with the address
// that it sees the client at.
func serve(in ns.NetNS, network string, port int) {
	GinkgoHelper()
	Expect(in.Do(func(ns.NetNS) error {
		if strings.HasPrefix(network, "udp") {
			conn, err := net.ListenPacket(network, ":"+strconv.Itoa(port))
			if err != nil {
				return err
			}
			DeferCleanup(conn.Close)
			go answerDatagrams(conn)
			return nil
		}
		listener, err := net.Listen(network, ":"+strconv.Itoa(port))
		if err != nil {
			return err
		}
		DeferCleanup(listener.Close)
		go answerConnections(listener)
		return nil
	})).To(Succeed())
}

func answerDatagrams(conn net.PacketConn) {
	buffer := make([]byte, 100)
	for {
		_, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo([]byte(hostOf(from)), from)
	}
}

func answerConnections(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, hostOf(conn.RemoteAddr()))
		_ = conn.Close()
	}
}

func hostOf(addr net.Addr) string {
	host, _, _ := net.SplitHostPort(addr.String())
	return host
}

// reach connects to an address and port from a namespace, and returns as whom it
// was seen.
func reach(from ns.NetNS, network, address string, port int) (string, error) {
	conn, err := ns.Call(from, func() (net.Conn, error) {
		return net.DialTimeout(network, net.JoinHostPort(address, strconv.Itoa(port)), time.Second)
	})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return hear(conn)
}

// hear returns what the other side says; the first datagrams may get lost.
func hear(conn net.Conn) (string, error) {
	var last error
	for range 5 {
		if strings.HasPrefix(conn.RemoteAddr().Network(), "udp") {
			_, _ = conn.Write([]byte("hello"))
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return "", err
		}
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		if err == nil && n > 0 {
			return string(buffer[:n]), nil
		}
		if last = errors.Join(errors.New("no answer"), err); errors.Is(err, io.EOF) {
			break
		}
	}
	return "", last
}
