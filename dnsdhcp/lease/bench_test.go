package lease

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

// full returns a table with n live leases in a pool of 131,072 addresses.
func full(tb testing.TB, n int) *Table {
	t := NewTable(Options{Clock: clocktest.New(), Slack: DefaultSlack})
	net := Network{Name: "lan", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Pools: []Range{{ip("10.0.0.0"), ip("10.1.255.255")}}}
	if err := t.Configure([]Network{net}); err != nil {
		tb.Fatal(err)
	}
	for i := range n {
		c := client(i)
		c.Hostname = fmt.Sprintf("host-%d", i)
		give(tb, t, c, minute)
	}
	return t
}

func give(tb testing.TB, t *Table, c Client, now clock.Instant) Lease {
	p, err := t.Propose("lan", c, netip.Addr{}, now+minute, now)
	if err != nil {
		tb.Fatal(err)
	}
	l, r, err := t.Bind("lan", c, p.Lease.Addr, now+60*minute, now)
	if err != nil {
		tb.Fatal(err)
	}
	if r != nil {
		t.Written(*r)
	}
	return l
}

// BenchmarkNew is DISCOVER and REQUEST of a client that was never here, and its RELEASE, so that the table stays as it is.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{50, 5_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := full(b, n)
			var fresh []Client
			for i := range 1024 {
				fresh = append(fresh, client(1<<20+i))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c := fresh[i%len(fresh)]
				l := give(b, t, c, minute)
				t.Release("lan", c.Key, l.Addr, minute)
				i++
			}
		})
	}
}

// BenchmarkRenew is a REQUEST that storage covers.
func BenchmarkRenew(b *testing.B) {
	for _, n := range []int{50, 5_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := full(b, n)
			all := t.All()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l := &all[i%len(all)]
				if _, _, err := t.Bind("lan", l.Client, l.Addr, 61*minute, minute+1); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkNames(b *testing.B) {
	t := full(b, 5_000)
	var to [4]netip.Addr
	b.ReportAllocs()
	for b.Loop() {
		if len(t.AppendAddrs(to[:0], "host-77")) != 1 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	const n = 50_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		t := full(b, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/lease")
		runtime.KeepAlive(t)
	}
}

// Operations must not take longer the more leases there are: a scan of 50,000 would take 100 times as long as what is
// allowed here.
func TestScale(t *testing.T) {
	tab := full(t, 50_000)
	start := time.Now()
	for i := range 1000 {
		c := client(1<<20 + i)
		l := give(t, tab, c, minute)
		tab.Release("lan", c.Key, l.Addr, minute)
		tab.Advance(minute)
	}
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("1,000 new leases beside 50,000 took %v", d)
	}
}
