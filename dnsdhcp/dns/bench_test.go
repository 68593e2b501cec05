package dns

import (
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
)

func benchHandler(b *testing.B) (*Handler, Peer, bubbleClock) {
	c := testConfig(b)
	c.Rate.PerSecond = 1e6 // the limiter works, and lets all pass: the clock moves a microsecond a question
	clk := bubbleClock{time.Now()}
	h := NewHandler(c, forward.New(c.Forward, forward.Options{Clock: clk, Dialer: world{}}), nil)
	return h, Peer{Addr: client, Link: h.Link("usb0")}, clk
}

func BenchmarkHit(b *testing.B) {
	h, from, clk := benchHandler(b)
	q := query("WWW.world.example.", miekg.TypeA, edns(1232, false))
	var m miekg.Msg
	m.Unpack(q)
	up, _ := records("www.world.example. 86400 IN A 203.0.114.1", "www.world.example. 86400 IN A 203.0.114.2")(&m, false).Pack()
	var w Scratch
	_, miss := h.Serve(&w, q, from, clk.Now(), nil)
	cut, rcode, _ := forward.Accepted(up)
	h.settle(miss, &forward.Result{Msg: cut, Rcode: rcode}, clk.Now())
	out := make([]byte, 0, 4096)
	now := clk.Now()
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		out, miss = h.Serve(&w, q, from, now, out[:0])
	}
	if len(out) == 0 || miss != nil {
		b.Fatal("not a hit")
	}
}

func BenchmarkZone(b *testing.B) {
	h, from, clk := benchHandler(b)
	q := query("pc.lab.lan.", miekg.TypeA, edns(1232, false))
	var w Scratch
	out := make([]byte, 0, 4096)
	now := clk.Now()
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		out, _ = h.Serve(&w, q, from, now, out[:0])
	}
}

// BenchmarkLibrary is what the hit costs when it is unpacked, built and packed with miekg/dns.
func BenchmarkLibrary(b *testing.B) {
	q := query("WWW.world.example.", miekg.TypeA, edns(1232, false))
	rrs := []miekg.RR{mustRR("www.world.example. 86400 IN A 203.0.114.1"), mustRR("www.world.example. 86400 IN A 203.0.114.2")}
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		var m, r miekg.Msg
		if m.Unpack(q) != nil {
			b.Fatal()
		}
		r.SetReply(&m)
		r.Compress = true
		for _, rr := range rrs {
			rr = miekg.Copy(rr)
			rr.Header().Ttl--
			r.Answer = append(r.Answer, rr)
		}
		r.SetEdns0(1232, false)
		if _, err := r.PackBuffer(buf); err != nil {
			b.Fatal(err)
		}
	}
}
