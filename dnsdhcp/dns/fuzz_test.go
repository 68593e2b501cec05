package dns

import (
	"bytes"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// FuzzServe: whatever comes in, a reply is a reply to it, within the client's size, and the library can read it. Where
// an upstream is needed, its answer is fuzzed too.
func FuzzServe(f *testing.F) {
	answer := func(rrs ...string) []byte {
		q := new(miekg.Msg)
		q.SetQuestion("world.example.", miekg.TypeA)
		b, _ := records(rrs...)(q, false).Pack()
		return b
	}
	f.Add(query("pc.lab.lan.", miekg.TypeA, nil), answer(), false)
	f.Add(query("world.example.", miekg.TypeA, edns(1232, true)), answer("world.example. 5 IN A 203.0.114.1"), false)
	f.Add(query("world.example.", miekg.TypeHTTPS, edns(512, true)), answer("world.example. 5 IN HTTPS 1 . ipv4hint=10.0.0.1"), true)
	f.Add(query("www.lab.lan.", miekg.TypeA, nil), answer("world.example. 5 IN A 203.0.114.1"), false)
	f.Add(query("lab.lan.", miekg.TypeANY, edns(4096, false)), answer(), false)
	f.Add(query("1.7.0.10.in-addr.arpa.", miekg.TypePTR, nil), answer(), false)
	c := testConfig(f)
	c.Rate.PerSecond = 0
	clk := bubbleClock{time.Now()}
	fw := forward.New(c.Forward, forward.Options{Clock: clk, Dialer: world{}})
	h := NewHandler(c, fw, nil)
	h.LogQueries(true)
	var w Scratch
	f.Fuzz(func(t *testing.T, q, upstream []byte, tcp bool) {
		h.Flush()
		from := Peer{Addr: client, TCP: tcp, Link: h.Link("usb0")}
		check := func(reply []byte) {
			if len(reply) == 0 {
				return
			}
			var parsed wire.Query
			fault := parsed.Parse(q)
			limit := parsed.Limit(1232)
			if !tcp && len(reply) > limit || len(reply) > 0xffff {
				t.Fatalf("%d bytes for a limit of %d", len(reply), limit)
			}
			if wire.ID(reply) != wire.ID(q) || wire.Flags(reply)&wire.QR == 0 {
				t.Fatal("not a reply to this query")
			}
			if (fault == wire.OK || fault == wire.Version) && !bytes.Equal(reply[12:12+len(parsed.Question)], parsed.Question) {
				t.Fatal("another question")
			}
			var m miekg.Msg
			if err := m.Unpack(reply); err != nil {
				t.Fatalf("%v: %x", err, reply)
			}
			if fault == wire.OK && parsed.EDNS != (m.IsEdns0() != nil) {
				t.Fatal("EDNS")
			}
			if wire.Flags(q)&wire.QR != 0 {
				t.Fatal("a reply to a response")
			}
		}
		now := clk.Now()
		reply, miss := h.Serve(&w, q, from, now, nil)
		check(reply)
		if miss == nil {
			return
		}
		res := &forward.Result{Failure: forward.Timeout}
		if len(upstream) >= wire.HeaderLen {
			// As if it had answered just this question.
			msg := append(bytes.Clone(upstream[:wire.HeaderLen]), miss.ask.Wire...)
			if at := wire.QuestionEnd(upstream); at > 0 {
				msg = append(msg, upstream[at:]...)
			}
			wire.SetCount(msg, 0, 1)
			wire.PutU16(msg[2:], wire.Flags(msg)|wire.QR)
			if cut, rcode, ok := forward.Accepted(msg); ok && (rcode == wire.NoError || rcode == wire.NXDomain) {
				res = &forward.Result{Msg: cut, Rcode: rcode}
			}
		}
		h.settle(miss, res, now)
		check(h.reply(miss, res, now))
		reply, _ = h.Serve(&w, q, from, now+clockSecond, nil) // from the cache, or what has failed
		check(reply)
	})
}

const clockSecond = 1e9
