package networkd

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
)

// Tried: 252 gives a DHCPv6 lease up when it stops, 257 keeps it. Single addresses of others do not count.
func TestGapOfDHCPv6(t *testing.T) {
	const file = "/run/systemd/network/10-netplan-eth0.network"
	for _, c := range []struct {
		version, address string
		dynamic          bool
		gap              string
	}{
		{"252.39-1~deb12u2", "2001:db8::101/128", true, "2001:db8::101"},
		{"257.13-1~deb13u1", "2001:db8::101/128", true, ""},
		{"252.39-1~deb12u2", "2001:db8::a00:27ff:fe00:7610/64", true, ""},
		{"252.39-1~deb12u2", "2001:db8::1/128", false, ""},
	} {
		f := machine(c.version, map[string]string{}, map[int]string{2: file})
		f.Addrs = append(f.Addrs, facts.Address{Link: 2, Prefix: netip.MustParsePrefix(c.address), Scope: "global", Dynamic: c.dynamic})
		act := Activate(f, TriggerName, nil, []backends.NIC{{Link: f.Links[1]}})
		if act.Trigger == nil {
			t.Fatalf("%+v: no trigger: %s", c, act.Note)
		}
		if got := act.Trigger.Gap; c.gap == "" && got != "" || !strings.Contains(got, c.gap) {
			t.Errorf("%+v: gap %q", c, got)
		}
	}
}
