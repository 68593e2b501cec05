package policy

import (
	"strings"
	"testing"
)

// An address that DHCP changes: the plan says so beforehand, and the next one has the new address, the
// same table and nothing of the old address.
func TestLentAddress(t *testing.T) {
	in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true}}
	for i, a := range in.Facts.Addrs {
		in.Facts.Addrs[i].Dynamic = a.Link != 4 && a.Scope == "global"
	}
	n := allocated(t, in)
	d, err := Plan(in, n)
	if err != nil || strings.Count(textOf(d), "lent by DHCP") != 1 || !strings.Contains(textOf(d), "IPv4 addresses of eth1 are lent") {
		t.Errorf("%v\n%s", err, textOf(d))
	}
	for i, a := range in.Facts.Addrs {
		if a.Prefix == pfx("198.51.100.7/24") {
			in.Facts.Addrs[i].Prefix = pfx("198.51.100.77/24")
		}
	}
	in.Memory = n.Memory
	again, err := Plan(in, allocated(t, in))
	if err != nil || textOf(again) != strings.ReplaceAll(moved(textOf(d)), "198.51.100.7/32", "198.51.100.77/32") {
		t.Errorf("%v\n%s\nwas\n%s", err, textOf(again), textOf(d))
	}
}

// moved is text with the rule of the changed address at its new place in the order.
func moved(text string) string {
	const seven, eight = "rule inet 25200 from 198.51.100.7/32 table 15800\n", "rule inet 25200 from 198.51.100.8/32 table 15800\n"
	return strings.Replace(text, seven+eight, eight+seven, 1)
}
