package dnsdhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

// A client that gave its address back gets it again after a restart, though the link of its network turned up only later.
func TestPastLeasesAreRecalled(t *testing.T) {
	dir := t.TempDir()
	start := func() *Server {
		t.Helper()
		s, err := New(Options{Config: Config{Links: []Rule{{Match: Match{Name: "usb0"}}}, DNS: DNS{ResolvFile: "none", HostsFiles: []string{"none"}}}, Dir: dir})
		if err == nil {
			err = s.open()
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	p := netip.MustParsePrefix("10.55.0.0/24")
	tables := []lease.Network{{Name: "usb0", Prefix: p, Pools: []lease.Range{{First: p.Addr(), Last: lastOf(p)}}}}
	addr := netip.MustParseAddr("10.55.0.77")
	c := lease.Client{Key: "hlaptop", HW: lease.HW{Type: 1, Addr: "\x02\x00\x00\x00\x00\x01"}}

	s := start()
	if err := s.table.Configure(tables); err != nil {
		t.Fatal(err)
	}
	now := s.clock.Now()
	_, bound, err := s.table.Bind("usb0", c, addr, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	released, ok := s.table.Release("usb0", c.Key, addr, now)
	if !ok || released == nil {
		t.Fatal("the lease cannot be released")
	}
	done := make(chan error, 1)
	s.journal.Commit([]lease.Record{*bound, *released}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.journal.Close(); err != nil {
		t.Fatal(err)
	}

	s = start()
	defer s.journal.Close()
	s.recall(nil) // other links are there, this one is not
	if err := s.table.Configure(tables); err != nil {
		t.Fatal(err)
	}
	s.recall(tables)
	if l, ok := s.table.At(addr); !ok || l.State != lease.Released || l.Key != c.Key {
		t.Fatalf("after the restart: %+v, %v", l, ok)
	}
	now = s.clock.Now()
	if got, err := s.table.Propose("usb0", c, netip.Addr{}, now.Add(time.Minute), now); err != nil || got.Lease.Addr != addr {
		t.Errorf("offered %+v, %v", got, err)
	}
	if len(s.past) != 0 {
		t.Errorf("%d leases are kept twice", len(s.past))
	}
}
