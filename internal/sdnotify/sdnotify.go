// SPDX-License-Identifier: Apache-2.0

// Package sdnotify tells systemd of a service of Type=notify that it is ready
// (sd_notify(3)).
package sdnotify

import (
	"fmt"
	"io"
	"net"
	"os"
)

// Ready says that the service does its work from now on, if it is systemd's.
func Ready() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "READY=1"); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
