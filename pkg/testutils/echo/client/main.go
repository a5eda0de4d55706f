// SPDX-License-Identifier: Apache-2.0

// Command client sends a message to an echo server and prints the reply.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// udpSource is the client's port with UDP. It is always the same, so that a
// second call belongs to the connection the kernel tracks for the first.
const udpSource = 54321

// patience is how long the client waits for a connection and for a reply.
const patience = 5 * time.Second

func main() {
	target := flag.String("target", "", "the server's `address:port`")
	message := flag.String("message", "", "what to send")
	protocol := flag.String("protocol", "tcp", "tcp or udp")
	flag.Parse()

	reply, err := exchange(*protocol, *target, *message)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(reply)
}

// exchange sends message and returns the reply, which has its length.
func exchange(protocol, target, message string) (string, error) {
	conn, err := dial(protocol, target)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, message); err != nil {
		return "", err
	}
	reply := make([]byte, len(message))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return "", fmt.Errorf("read reply of %s: %w", target, err)
	}
	return string(reply), nil
}

func dial(protocol, target string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	switch protocol {
	case "tcp":
	case "udp":
		dialer.LocalAddr = &net.UDPAddr{Port: udpSource}
	default:
		return nil, fmt.Errorf("protocol %q is neither tcp nor udp", protocol)
	}
	return dialer.Dial(protocol, target)
}
