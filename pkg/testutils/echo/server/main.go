// SPDX-License-Identifier: Apache-2.0

// Command server sends back what it gets, on a TCP and a UDP port of the same
// number, which it prints as 127.0.0.1:port once both are open. It listens on
// all addresses and runs until it is killed.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	tcp, udp, err := listen()
	if err != nil {
		return err
	}
	fmt.Printf("127.0.0.1:%d\n", tcp.Addr().(*net.TCPAddr).Port)
	failed := make(chan error)
	go func() { failed <- serveTCP(tcp) }()
	go func() { failed <- serveUDP(udp) }()
	return <-failed
}

// listen opens a TCP port the kernel chooses and the UDP port of that number,
// and chooses again when the latter is in use.
func listen() (*net.TCPListener, *net.UDPConn, error) {
	for {
		tcp, err := net.ListenTCP("tcp", nil)
		if err != nil {
			return nil, nil, err
		}
		udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: tcp.Addr().(*net.TCPAddr).Port})
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, err
		}
	}
}

func serveTCP(listener *net.TCPListener) error {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // a client that goes away is its own business
		}()
	}
}

func serveUDP(conn *net.UDPConn) error {
	buffer := make([]byte, 65536)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		_, _ = conn.WriteToUDPAddrPort(buffer[:n], client) // as above
	}
}
