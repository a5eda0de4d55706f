// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// readResolvConf returns the DNS settings in the resolv.conf(5) file at path;
// none, if there is no path.
func readResolvConf(path string) (types.DNS, error) {
	if path == "" {
		return types.DNS{}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return types.DNS{}, fmt.Errorf("ipam.resolvConf: %w", err)
	}
	defer file.Close()
	dns, err := parseResolvConf(file)
	if err != nil {
		return types.DNS{}, fmt.Errorf("ipam.resolvConf: read %s: %w", path, err)
	}
	return dns, nil
}

// parseResolvConf reads the lines it knows and passes over the others, as
// resolvers do. Values are handed on as they are.
func parseResolvConf(r io.Reader) (types.DNS, error) {
	var dns types.DNS
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		addResolvConfLine(&dns, lines.Text())
	}
	return dns, lines.Err()
}

func addResolvConfLine(dns *types.DNS, line string) {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0][0] == '#' || fields[0][0] == ';' {
		return
	}
	switch fields[0] {
	case "nameserver":
		dns.Nameservers = append(dns.Nameservers, fields[1])
	case "domain":
		dns.Domain = fields[1]
	case "search":
		dns.Search = append(dns.Search, fields[1:]...)
	case "options":
		dns.Options = append(dns.Options, fields[1:]...)
	}
}
