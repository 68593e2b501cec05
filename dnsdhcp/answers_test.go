package dnsdhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

// What is asked about a lease that has not ended is answered with what the client was told, not with how far storage has
// run ahead.
func TestHistoryOfAHeldLease(t *testing.T) {
	s, err := New(Options{Config: Config{Links: []Rule{{Match: Match{Name: "usb0"}}}, DNS: DNS{ResolvFile: "none", HostsFiles: []string{"none"}}}, Dir: t.TempDir()})
	if err == nil {
		err = s.open()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.journal.Close()
	p := netip.MustParsePrefix("10.55.0.0/24")
	if err := s.table.Configure([]lease.Network{{Name: "usb0", Prefix: p, Pools: []lease.Range{{First: p.Addr(), Last: lastOf(p)}}}}); err != nil {
		t.Fatal(err)
	}
	now := s.clock.Now()
	c := lease.Client{Key: "hlaptop", HW: lease.HW{Type: 1, Addr: "\x02\x00\x00\x00\x00\x01"}, Hostname: "laptop"}
	_, rec, err := s.table.Bind("usb0", c, netip.MustParseAddr("10.55.0.9"), now.Add(time.Hour), now)
	if err != nil || rec == nil {
		t.Fatal(rec, err)
	}
	done := make(chan error, 1)
	s.journal.Commit([]lease.Record{*rec}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.table.Written(*rec)
	held := s.leases("laptop", false)
	for _, query := range []string{"10.55.0.9", "laptop", "laptop.lan", "02:00:00:00:00:01"} {
		h := s.history(query, time.Time{})
		if len(h) != 1 || len(held) != 1 || h[0].State != "held" || h[0].Until != held[0].Expires || h[0].Until == h[0].Since {
			t.Errorf("%s: history %+v, lease %+v", query, h, held)
		}
	}
	if h := s.history("10.55.0.9", time.Now().Add(-time.Hour)); len(h) != 0 {
		t.Errorf("an hour ago: %+v", h)
	}
	if h := s.history("10.55.0.9", time.Now().Add(time.Minute)); len(h) != 1 {
		t.Errorf("in a minute: %+v", h)
	}
}
