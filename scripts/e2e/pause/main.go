// SPDX-License-Identifier: Apache-2.0

// Pause is the only program in the test containers. It waits to be told to end, and meanwhile greets whoever connects
// to TCP port 8080, so that tests can reach it.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	go serve()
	<-end
}

func serve() {
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		fmt.Fprintln(os.Stderr, "pause:", err)
		return
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "hello")
		conn.Close()
	}
}
