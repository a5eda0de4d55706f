// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/conf"
)

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		configOf("1.1.0", "/d", `"subnet":"10.1.2.0/24"`),
		configOf("0.2.0", "", `"ranges":[[{"subnet":"10.1.0.0/22"},{"subnet":"10.1.2.0/24"}],[]]`, `"args":{"cni":{"ips":["10.1.2.3/24"]}}`),
		configOf("1.0.0", "", `"ranges":[[{"subnet":"::/0"}],[null]]`, `"runtimeConfig":{"ips":[null],"ipRanges":[[{"subnet":"::ffff:10.0.0.0/120"}]]}`),
		`{"ipam":null}`, `{"ipam":[]}`, `{"ipam":{"subnet":5,"routes":[{"dst":"x"}],"name":{}}}`,
	} {
		f.Add(seed, "IP=10.1.2.3/24")
	}
	f.Fuzz(func(t *testing.T, text, envArgs string) {
		c, err := decode(text, envArgs)
		_ = c.directory().path()
		if err != nil {
			return
		}
		for i, set := range c.sets {
			for _, other := range c.sets[:i] {
				if set.Overlaps(other) {
					t.Errorf("%s and %s overlap", set, other)
				}
			}
			walk(t, set)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.5", "10.0.0.9", "10.0.0.1", "10.0.0.4/30")
	f.Add("10.0.0.0/30", "", "", "", "10.0.0.4/30")
	f.Add("255.255.255.252/30", "255.255.255.254", "255.255.255.255", "::1", "255.255.255.254")
	f.Add("::/0", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "8000::/1")
	f.Add("2001:db8::/126", "2001:db8::3", "2001:db8::2", "fe80::1%x", "2001:db8::/127")
	f.Add("::ffff:10.0.0.0/120", "::ffff:10.0.0.5", "", "", "10.0.0.4/30")
	f.Fuzz(func(t *testing.T, subnet, start, end, gateway, exclude string) {
		var problems conf.Problems
		v := validation{Problems: &problems, decoded: true}
		r, ok := v.parseRange("range", RangeConfig{Subnet: subnet, RangeStart: start, RangeEnd: end, Gateway: gateway})
		if ok != (problems.Len() == 0) {
			t.Fatalf("%v, but %v", ok, problems.Err())
		}
		if !ok {
			return
		}
		if !r.Contains(r.Start) || !r.Contains(r.End) || r.size() == 0 {
			t.Errorf("%s of %s does not have its own ends", r, r.Subnet)
		}
		walk(t, RangeSet{r})
		if parts := v.exclude("exclude", []string{exclude}, r); problems.Len() == 0 {
			excluded, _ := parseExcluded(exclude)
			if parts.contains(excluded.Addr()) || parts.contains(lastAddress(excluded)) {
				t.Errorf("%s of %s has some of %s", parts, r, excluded)
			}
			walk(t, parts)
		}
	})
}

// walk makes sure that the way through a set stays in it and visits nothing
// twice.
func walk(t *testing.T, set RangeSet) {
	const steps = 300
	seen := map[netip.Addr]bool{}
	for addr, r := range set.after(set[len(set)-1].End) {
		if !r.Contains(addr) || seen[addr] {
			t.Fatalf("%s leads to %s", set, addr)
		}
		seen[addr] = true
		if len(seen) == steps {
			return
		}
	}
	if uint64(len(seen)) != set.size() {
		t.Errorf("%s has %d addresses, but %d were found", set, set.size(), len(seen))
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a b\noptions ndots:2\ndomain x\n#c\n;d\n")
	f.Add("nameserver\n\r\n \t\nsearch")
	f.Add(strings.Repeat("x", 70000))
	f.Fuzz(func(t *testing.T, text string) {
		dns, err := parseResolvConf(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, word := range slices.Concat(dns.Nameservers, dns.Search, dns.Options, []string{dns.Domain}) {
			if strings.ContainsAny(word, " \t\n") {
				t.Errorf("%q has white space in it", word)
			}
		}
	})
}

func FuzzReservation(f *testing.F) {
	for _, seed := range []string{"", "a", "a\r\neth0", "a\r\neth0\n", "\r\n", "a\neth0", "reserved for the printer", "../x\r\neth0", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		owner := strings.TrimSpace(content)
		id, ifName, ok := parseOwner(owner)
		if ok && ifName != "" && ownerOf(id, ifName) != owner || ok && ifName == "" && legacyOwner(id) != owner {
			t.Errorf("%q is taken for %q, %q", content, id, ifName)
		}
		checkStoreWith(t, "10.0.0.2", content, owner)
	})
}

// checkStoreWith makes sure that a store finds the owner of what it did not
// write itself.
func checkStoreWith(t *testing.T, name, content, owner string) {
	d := newDirectory(t.TempDir(), "net")
	if err := os.MkdirAll(d.path(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.path(), name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names, err := s.owned(owner)
	if want := content != ""; err != nil || slices.Contains(names, name) != want {
		t.Errorf("%q belongs to %q, which has %q (%v)", content, owner, names, err)
	}
}

func FuzzPointer(f *testing.F) {
	for _, seed := range []string{"", "10.0.0.1", "10.0.0.1\n", "10.0.0.900", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		last := parsePointer(content)
		if last.IsValid() && parsePointer(last.String()) != last {
			t.Errorf("%q is taken for %s", content, last)
		}
		for _, set := range []RangeSet{
			{{netip.MustParsePrefix("10.0.0.0/8"), ip("10.0.0.1"), ip("10.0.0.9"), ip("10.0.0.1")}},
			{{netip.MustParsePrefix("::/0"), ip("::1"), ip("::9"), ip("::1")}, {netip.MustParsePrefix("::/0"), ip("::20"), ip("::29"), ip("::20")}},
		} {
			count := 0
			for range set.after(last) {
				count++
			}
			if uint64(count) != set.size() {
				t.Errorf("after %q, %d of %d addresses follow", content, count, set.size())
			}
		}
	})
}
