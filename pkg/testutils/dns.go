// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// TmpResolvConf writes dnsConf to a temporary file in the format of
// resolv.conf(5) and returns its path. The caller removes the file.
func TmpResolvConf(dnsConf types.DNS) (string, error) {
	file, err := os.CreateTemp("", "cni_dns")
	if err != nil {
		return "", fmt.Errorf("temporary resolv.conf: %w", err)
	}
	defer file.Close()
	if _, err := file.WriteString(resolvConf(dnsConf)); err != nil {
		os.Remove(file.Name())
		return "", fmt.Errorf("temporary resolv.conf: %w", err)
	}
	return file.Name(), nil
}

func resolvConf(conf types.DNS) string {
	var text strings.Builder
	for _, server := range conf.Nameservers {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	if conf.Domain != "" {
		fmt.Fprintf(&text, "domain %s\n", conf.Domain)
	}
	if len(conf.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(conf.Search, " "))
	}
	if len(conf.Options) > 0 {
		fmt.Fprintf(&text, "options %s\n", strings.Join(conf.Options, " "))
	}
	return text.String()
}
