package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

func TestRebind(t *testing.T) {
	exempt, err := zone.NewRoutes(map[string]zone.Group{"corp.example": ""})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	c.Rebind = &zone.Rebind{Exempt: exempt}
	up := records("a.example. 60 IN A 192.168.1.1", "mapped.example. 60 IN AAAA ::ffff:192.168.1.1", "nat64.example. 60 IN AAAA 64:ff9b::c0a8:101",
		"hint.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1", "lo.example. 60 IN A 127.0.0.1", "x.corp.example. 60 IN A 10.1.2.3",
		"ok.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=203.0.114.1")
	bubble(t, c, up, func(t *testing.T, r *rig) {
		for range 2 { // the second time nothing must come from the cache either
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"a.example.", miekg.TypeA}, {"mapped.example.", miekg.TypeAAAA}, {"nat64.example.", miekg.TypeAAAA}, {"hint.example.", miekg.TypeHTTPS}, {"lo.example.", miekg.TypeA}} {
				m := r.ask(q.name, q.qtype, edns(1232, false))
				if m.Rcode != miekg.RcodeRefused || len(m.Answer) != 0 || r.notes.last().Reason != ReasonRebind || r.notes.last().Name != q.name {
					t.Errorf("%v", m)
				}
			}
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"x.corp.example.", miekg.TypeA}, {"ok.example.", miekg.TypeHTTPS}} {
				if m := r.ask(q.name, q.qtype, nil); len(m.Answer) != 1 {
					t.Errorf("%v", m)
				}
			}
		}
	})
}

func TestFilterPerLink(t *testing.T) {
	c := testConfig(t)
	c.Links = append(c.Links, Link{Name: "usb1", Prefixes: c.Links[0].Prefixes, Filter: []uint16{miekg.TypeAAAA}})
	bubble(t, c, records("w.example. 60 IN AAAA 2606:4700::1", "w.example. 60 IN A 203.0.114.1"), func(t *testing.T, r *rig) {
		other := Peer{Addr: client, Link: r.Link("usb1")}
		if m := r.ask("w.example.", miekg.TypeAAAA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		m := r.asked(query("w.example.", miekg.TypeAAAA, edns(1232, false)), other)
		if m.Rcode != 0 || len(m.Answer) != 0 || ede(m) != wire.EDEFiltered {
			t.Errorf("%v", m)
		}
		if m := r.asked(query("w.example.", miekg.TypeA, nil), other); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		c.Local = nil
		r.Configure(c)
		other.Link = r.Link("usb1")
		if m := r.asked(query("w.example.", miekg.TypeAAAA, edns(1232, false)), other); len(m.Answer) != 0 || ede(m) != wire.EDEFiltered {
			t.Errorf("without a zone: %v", m)
		}
	})
}

func TestRecursionNotDesired(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		off := func(m *miekg.Msg) { m.RecursionDesired = false }
		r.ask("world.example.", miekg.TypeA, nil)
		if m := r.ask("world.example.", miekg.TypeA, off); m.Rcode != 5 || len(m.Answer) != 0 {
			t.Errorf("the cache can be snooped: %v", m)
		}
		if m := r.ask("pc.lab.lan.", miekg.TypeA, off); len(m.Answer) != 1 || !m.Authoritative {
			t.Errorf("%v", m)
		}
	})
}

func TestRateLimit(t *testing.T) {
	c := testConfig(t)
	c.Rate = Rate{PerSecond: 10, Burst: 20, Clients: 100}
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		burst := func(from Peer) (n int) {
			for range 100 {
				if r.asked(query("pc.lab.lan.", miekg.TypeA, nil), from) != nil {
					n++
				}
			}
			return n
		}
		if n := burst(r.peer()); n != 20 || r.notes.last().Reason != ReasonRate {
			t.Errorf("%d of 100", n)
		}
		other := r.peer()
		other.Addr = netip.MustParseAddrPort("10.0.7.21:4000")
		if n := burst(other); n != 20 {
			t.Errorf("another client: %d of 100", n)
		}
		time.Sleep(time.Second)
		if n := burst(r.peer()); n != 10 {
			t.Errorf("a second later: %d", n)
		}
		tcp := r.peer()
		tcp.TCP = true
		if m := r.asked(query("pc.lab.lan.", miekg.TypeA, nil), tcp); m == nil || m.Rcode != 5 {
			t.Errorf("over TCP: %v", m)
		}
	})
}

// TestRateTableIsBounded: many strangers do not lock anybody out, and the busiest is not forgotten.
func TestRateTableIsBounded(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 1, Burst: 2, Clients: 16})
	now := bubbleClock{time.Now()}.Now()
	a := netip.MustParseAddr("10.0.0.1")
	for l.allow(a, now) {
		now += 1000
	}
	for i := range 10000 {
		if !l.allow(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), now) {
			t.Fatal("a new client is refused")
		}
	}
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	l.allow(one, now)
	l.allow(two, now)
	if l.allow(one, now) {
		t.Error("a /64 is more than one client")
	}
}

func TestRoutes(t *testing.T) {
	routes, err := zone.NewRoutes(map[string]zone.Group{"corp.example": "corp", "10.in-addr.arpa": "corp"})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	c.Routes, c.Rebind = routes, nil
	c.Local = testZone(t, func(z *zone.Config) { z.Routes = routes })
	corp := netip.MustParseAddrPort("192.0.2.99:53")
	c.Forward.Groups = append(c.Forward.Groups, forward.Group{Name: "corp", Upstreams: []forward.Upstream{{Addr: corp}}})
	synctest.Test(t, func(t *testing.T) {
		inside := &upstream{f: records("x.corp.example. 60 IN A 10.1.2.3", "3.2.1.10.in-addr.arpa. 60 IN PTR x.corp.example.")}
		r := newRig(t, c, someRecords, world{corp: inside})
		defer r.stop()
		for name, qtype := range map[string]uint16{"x.corp.example.": miekg.TypeA, "3.2.1.10.in-addr.arpa.": miekg.TypePTR} {
			if m := r.ask(name, qtype, nil); len(m.Answer) != 1 {
				t.Errorf("%v", m)
			}
		}
		if m := r.ask("world.example.", miekg.TypeA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		// A reverse name in no route and of no network of ours stays here.
		if m := r.ask("1.1.168.192.in-addr.arpa.", miekg.TypePTR, nil); m.Rcode != 3 {
			t.Errorf("%v", m)
		}
		if n := inside.count(); n != 3 { // with the loop probe
			t.Errorf("the inner server was asked %d times", n)
		}
	})
}

func TestNoUpstreamAndBusy(t *testing.T) {
	c := testConfig(t)
	c.Forward.Groups = nil
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		if m := r.ask("world.example.", miekg.TypeA, edns(1232, false)); m.Rcode != 5 || ede(m) != wire.EDENotAuth {
			t.Errorf("%v", m)
		}
		if m := r.ask("pc.lab.lan.", miekg.TypeA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
	})
	c = testConfig(t)
	c.Forward.MaxBytes = 16 * forward.FlightBytes
	bubble(t, c, func(*miekg.Msg, bool) *miekg.Msg { return nil }, func(t *testing.T, r *rig) {
		busy, ch := 0, make(chan []byte, 40)
		for i := range 40 {
			q := query(fmt.Sprintf("n%d.example.", i), miekg.TypeA, nil)
			_, miss := r.Serve(&r.w, q, r.peer(), r.clock.Now(), nil)
			r.Resolve(miss, r.clock, func(b []byte) { ch <- b })
			if r.notes.last().Reason == ReasonBusy {
				busy++
			}
		}
		if busy < 20 || busy > 30 {
			t.Errorf("%d of 40 refused", busy)
		}
		for range 40 {
			if b := <-ch; wire.Flags(b)&15 != 2 {
				t.Errorf("%x", b)
			}
		}
	})
}

func TestQueryLog(t *testing.T) {
	c := testConfig(t)
	c.Log = 3
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		r.ask("pc.lab.lan.", miekg.TypeA, nil)
		if r.Queries() != nil {
			t.Error("it logs without being told to")
		}
		r.LogQueries(true)
		r.ask("world.example.", miekg.TypeA, nil)
		r.ask("world.example.", miekg.TypeA, nil)
		r.ask("pc.lab.lan.", miekg.TypeAAAA, nil)
		r.ask("evil\\027name.lab.lan.", miekg.TypeA, nil)
		var got []string
		for _, l := range r.Queries() {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", l.Link, l.Client.Addr(), l.Name, l.Type, l.Rcode, l.Outcome))
		}
		want := "usb0 10.0.7.20 world.example. A NOERROR cached\nusb0 10.0.7.20 pc.lab.lan. AAAA NOERROR local\nusb0 10.0.7.20 evil\\027name.lab.lan. A NXDOMAIN local"
		if strings.Join(got, "\n") != want {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
		r.LogQueries(false)
		if r.Queries() != nil {
			t.Error("it does not forget")
		}
	})
}

func TestConfigValidate(t *testing.T) {
	for name, f := range map[string]func(*Config){
		"link twice": func(c *Config) { c.Links = append(c.Links, c.Links[0]) },
		"no group":   func(c *Config) { c.Links[0].Group = "none" },
		"size":       func(c *Config) { c.UDPSize = 100 },
		"rate":       func(c *Config) { c.Rate.Burst = 0 },
		"tcp":        func(c *Config) { c.TCP.Pipeline = 0 },
		"log":        func(c *Config) { c.Log = 0 },
		"stale":      func(c *Config) { c.StaleAfter = 0 },
	} {
		c := testConfig(t)
		f(&c)
		if c.Validate() == nil {
			t.Error(name, "is valid")
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}
