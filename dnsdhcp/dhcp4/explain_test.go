package dhcp4

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

func TestExplain(t *testing.T) {
	n := lab()
	w := newWorld(t, n)
	a := w.lease(ether(1), opts(61, "\xffsystem", 12, "box"))
	n.Probe = true
	w.configure(n)
	scratch := func() *lease.Table {
		s := lease.NewTable(lease.Options{Clock: w.clk})
		if err := s.Configure([]lease.Network{{Name: "lab", Prefix: n.Prefix, Pools: pools("10.0.0.100", "10.0.0.103")}}); err != nil {
			t.Fatal(err)
		}
		s.Restore(w.table.All(), w.clk.Now())
		return s
	}
	s := NewServer(Options{Table: w.table, Commit: &disk{}, Clock: w.clk}, w.rules)
	before := w.table.All()
	for _, tt := range []struct {
		q    Query
		want []string
	}{
		{Query{HW: ether(1)}, []string{"OFFER (offered-known), frame to 52:54:00:00:00:01 for " + a.String() + ":68", "client-id hex:ff73797374656d", "hostname box"}},
		{Query{HW: ether(2), Requests: []uint8{1}}, []string{"OFFER (offered)", "after an ARP probe for 10.0.0.10"}},
		{Query{HW: ether(2), Type: request, Addr: a}, []string{"NAK (address-taken), broadcast"}},
		{Query{HW: ether(2), Relay: addr("10.9.0.1")}, []string{"no answer: no-network"}},
		{Query{HW: ether(2), VendorClass: "PXEClient", Arch: []uint16{7}, UserClass: "iPXE", Hostname: "x", Type: inform, Addr: addr("10.0.0.9")}, []string{"ACK (informed)"}},
	} {
		got, err := s.Explain(&w.link, scratch(), tt.q)
		if err != nil {
			t.Error(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.Text, want) {
				t.Errorf("no %q in\n%s", want, got.Text)
			}
		}
	}
	after := w.table.All()
	if len(before) != len(after) || before[0] != after[0] {
		t.Errorf("%v became %v", before, after)
	}
}
