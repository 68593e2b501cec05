package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// answer is a reply to the first name with these records; those after "--" are authority.
func answer(t testing.TB, name string, qtype uint16, rcode int, rrs ...string) []byte {
	t.Helper()
	m := new(miekg.Msg)
	m.SetQuestion(name, qtype)
	m.Response, m.Rcode, m.Compress = true, rcode, true
	to := &m.Answer
	for _, s := range rrs {
		if s == "--" {
			to = &m.Ns
			continue
		}
		rr, err := miekg.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		*to = append(*to, rr)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(t testing.TB, msg []byte) []byte {
	var q wire.Query
	m := bytes.Clone(msg)
	m[2] &^= 0x80
	clear(m[6:12])
	if f := q.Parse(m); f != wire.OK {
		t.Fatal("fault", f)
	}
	return q.Key(1)
}

func unpack(t testing.TB, b []byte) *miekg.Msg {
	t.Helper()
	m := new(miekg.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return m
}

const start = clock.Instant(1000 * time.Second)

func at(seconds float64) clock.Instant {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func TestLife(t *testing.T) {
	soa := "example. 900 IN SOA ns. mail. 1 2 3 4 60"
	for _, c := range []struct {
		name   string
		msg    []byte
		want   time.Duration
		change func(*Config)
	}{
		{"one record", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 300 IN A 192.0.2.1"), 300 * time.Second, nil},
		{"the least counts", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 300 IN CNAME b.", "b. 20 IN A 192.0.2.1"), 20 * time.Second, nil},
		{"TTL 0", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 0 IN A 192.0.2.1"), 0, nil},
		{"TTL 0 is not raised", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 0 IN A 192.0.2.1"), 0, func(c *Config) { c.MinTTL = time.Minute }},
		{"raised", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 5 IN A 192.0.2.1"), time.Minute, func(c *Config) { c.MinTTL = time.Minute }},
		{"lowered", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 864000 IN A 192.0.2.1"), 24 * time.Hour, nil},
		{"top bit", answer(t, "a.example.", miekg.TypeA, 0, "a.example. 2147483648 IN A 192.0.2.1"), 0, nil},
		{"nxdomain: minimum of the SOA", answer(t, "a.example.", miekg.TypeA, 3, "--", soa), time.Minute, nil},
		{"nxdomain: TTL of the SOA", answer(t, "a.example.", miekg.TypeA, 3, "--", "example. 9 IN SOA ns. mail. 1 2 3 4 60"), 9 * time.Second, nil},
		{"nodata", answer(t, "a.example.", miekg.TypeAAAA, 0, "--", soa), time.Minute, nil},
		{"nodata behind an alias", answer(t, "a.example.", miekg.TypeAAAA, 0, "a.example. 1000 IN CNAME b.example.", "--", soa), time.Minute, nil},
		{"negative bound", answer(t, "a.example.", miekg.TypeAAAA, 0, "--", "example. 9000 IN SOA ns. mail. 1 2 3 4 9000"), time.Hour, nil},
		{"negative without SOA", answer(t, "a.example.", miekg.TypeAAAA, 3), 0, nil},
		{"servfail", answer(t, "a.example.", miekg.TypeA, 2), 0, nil},
		{"truncated", func() []byte {
			b := answer(t, "a.example.", miekg.TypeA, 0, "a.example. 300 IN A 192.0.2.1")
			b[2] |= 2
			return b
		}(), 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Defaults()
			if c.change != nil {
				c.change(&cfg)
			}
			k := New(cfg)
			key := keyOf(t, c.msg)
			if got := k.Put(key, c.msg, start); got != c.want {
				t.Fatalf("kept for %v, want %v", got, c.want)
			}
			if c.want == 0 {
				if _, hit := k.Get(key, start, nil); hit.State != Miss {
					t.Fatal("it is there")
				}
				return
			}
			last := start.Add(c.want - time.Millisecond)
			got, hit := k.Get(key, last, nil)
			if hit.State != Fresh {
				t.Fatal("gone before its end")
			}
			m := unpack(t, got)
			for _, rr := range append(m.Answer, m.Ns...) {
				if ttl := rr.Header().Ttl; ttl < 1 || ttl > uint32(cfg.MaxTTL/time.Second) {
					t.Errorf("TTL of %v just before the end", rr)
				}
			}
			if _, hit := k.Get(key, start.Add(c.want), nil); hit.State != Miss || !hit.HasStale {
				t.Fatalf("at its end: %+v", hit)
			}
		})
	}
}

func TestAgeing(t *testing.T) {
	k := New(Defaults())
	msg := answer(t, "a.example.", miekg.TypeA, 0, "a.example. 300 IN CNAME b.example.", "b.example. 100 IN A 192.0.2.1")
	key := keyOf(t, msg)
	k.Put(key, msg, start)
	for _, c := range []struct {
		s    float64
		want [2]uint32
	}{{0, [2]uint32{300, 100}}, {0.9, [2]uint32{300, 100}}, {1, [2]uint32{299, 99}}, {99.5, [2]uint32{201, 1}}} {
		got, hit := k.Get(key, at(c.s), []byte("before"))
		if hit.State != Fresh || string(got[:6]) != "before" {
			t.Fatalf("after %vs: %+v", c.s, hit)
		}
		m := unpack(t, got[6:])
		if ttl := [2]uint32{m.Answer[0].Header().Ttl, m.Answer[1].Header().Ttl}; ttl != c.want {
			t.Errorf("after %vs: TTLs %v, want %v", c.s, ttl, c.want)
		}
	}
}

func TestStaleAndFailures(t *testing.T) {
	cfg := Defaults()
	cfg.StaleFor = time.Hour
	k := New(cfg)
	msg := answer(t, "a.example.", miekg.TypeA, 0, "a.example. 10 IN A 192.0.2.1")
	key := keyOf(t, msg)
	k.Put(key, msg, start)
	if _, hit := k.Get(key, at(11), nil); hit.State != Miss || !hit.HasStale {
		t.Fatalf("%+v", hit)
	}
	if d := k.Fail(key, at(11)); d != time.Second {
		t.Fatal(d)
	}
	got, hit := k.Get(key, at(11.5), nil)
	if hit.State != Stale {
		t.Fatalf("%+v", hit)
	}
	if ttl := unpack(t, got).Answer[0].Header().Ttl; ttl != 30 {
		t.Errorf("stale TTL %d", ttl)
	}
	if _, hit = k.Get(key, at(12.5), nil); hit.State != Miss {
		t.Error("the failure has no end")
	}
	for i, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
		if d := k.Fail(key, at(13)); d != want*time.Second {
			t.Errorf("failure %d: %v", i+2, d)
		}
	}
	k.ForgetFailures()
	if _, hit = k.Get(key, at(14), nil); hit.State != Miss {
		t.Error("the failure outlives the change of the network")
	}
	if d := k.Fail(key, at(14)); d != time.Second {
		t.Error("failures of another network are counted on:", d)
	}
	if _, ok := k.Stale(key, at(10+3599), nil); !ok {
		t.Error("stale answer gone too early")
	}
	if _, ok := k.Stale(key, at(10+3600), nil); ok {
		t.Error("stale answer too old")
	}
	other := keyOf(t, answer(t, "b.example.", miekg.TypeA, 0))
	k.Fail(other, at(0))
	if _, hit := k.Get(other, at(0.5), nil); hit.State != Failed {
		t.Errorf("%+v", hit)
	}
	if _, ok := k.Stale(other, at(0.5), nil); ok {
		t.Error("a stale answer out of nothing")
	}
	fresh := answer(t, "b.example.", miekg.TypeA, 0, "b.example. 10 IN A 192.0.2.1")
	k.Put(other, fresh, at(0.6))
	if _, hit := k.Get(other, at(0.7), nil); hit.State != Fresh {
		t.Error("an answer does not end the failure")
	}
}

func TestPrefetch(t *testing.T) {
	k := New(Defaults())
	msg := answer(t, "a.example.", miekg.TypeA, 0, "a.example. 100 IN A 192.0.2.1")
	key := keyOf(t, msg)
	k.Put(key, msg, start)
	for i, c := range []struct {
		s    float64
		want bool
	}{{1, false}, {2, false}, {50, false}, {89, false}, {91, true}, {92, false}} {
		if _, hit := k.Get(key, at(c.s), nil); hit.Refresh != c.want {
			t.Errorf("hit %d after %vs: refresh %v", i, c.s, hit.Refresh)
		}
	}
	rare := answer(t, "b.example.", miekg.TypeA, 0, "b.example. 100 IN A 192.0.2.1")
	key = keyOf(t, rare)
	k.Put(key, rare, start)
	if _, hit := k.Get(key, at(95), nil); hit.Refresh {
		t.Error("what is asked once is refreshed")
	}
}

// TestBounded: whatever goes in, the memory stays within its bound, the ring stays whole, and what is used survives.
func TestBounded(t *testing.T) {
	cfg := Defaults()
	cfg.Bytes = 256 << 10
	k := New(cfg)
	rnd := rand.New(rand.NewPCG(1, 2))
	hot := answer(t, "hot.example.", miekg.TypeA, 0, "hot.example. 86400 IN A 192.0.2.1")
	hotKey := bytes.Clone(keyOf(t, hot))
	k.Put(hotKey, hot, start)
	for i := range 20000 {
		name := fmt.Sprintf("n%d.example.", rnd.IntN(5000))
		var rrs []string
		for j := range rnd.IntN(20) + 1 {
			rrs = append(rrs, fmt.Sprintf("%s %d IN A 192.0.2.%d", name, rnd.IntN(1000), j))
		}
		msg := answer(t, name, miekg.TypeA, 0, rrs...)
		key := keyOf(t, msg)
		now := at(float64(i) / 100)
		switch rnd.IntN(10) {
		case 0:
			k.Fail(key, now)
		default:
			k.Put(key, msg, now)
		}
		if _, hit := k.Get(hotKey, now, nil); hit.State != Fresh {
			t.Fatalf("after %d insertions what is asked all the time is gone", i)
		}
		if i%500 == 0 {
			check(t, k)
		}
	}
	if s := k.Stats(); s.Evicted == 0 || s.Used > s.Bytes || s.Entries < 100 {
		t.Errorf("%+v", s)
	}
}

// check walks each ring and compares it with its index.
func check(t *testing.T, k *Cache) {
	t.Helper()
	for i := range k.shards {
		s := &k.shards[i]
		n, used := 0, 0
		for off, left := s.r, s.used; left > 0; {
			size := int(le.Uint32(s.arena[off:]))
			if size < 8 || size%8 != 0 || off+size > len(s.arena) {
				t.Fatalf("entry of %d bytes at %d", size, off)
			}
			if e := s.at(off); !e.isPad() && !e.has(flagDead) {
				if at, ok := s.index[e.hash()]; !ok || int(at) != off {
					t.Fatalf("entry at %d: the index says %d, %v", off, at, ok)
				}
				n++
			}
			used += size
			left -= size
			if off += size; off == len(s.arena) {
				off = 0
			}
		}
		if n != len(s.index) || used != s.used {
			t.Fatalf("%d entries of %d, %d bytes of %d", n, len(s.index), used, s.used)
		}
	}
}

func TestFlush(t *testing.T) {
	k := New(Defaults())
	put := func(name string) []byte {
		msg := answer(t, name, miekg.TypeA, 0, name+" 100 IN A 192.0.2.1")
		key := bytes.Clone(keyOf(t, msg))
		k.Put(key, msg, start)
		return key
	}
	has := func(key []byte) bool { _, hit := k.Get(key, start, nil); return hit.State == Fresh }
	a, b, c := put("a.example."), put("x.a.example."), put("xa.example.")
	name := []byte("\x01a\x07example\x00")
	if n := k.FlushName(name, false); n != 1 || has(a) || !has(b) || !has(c) {
		t.Errorf("one name: %d", n)
	}
	a = put("a.example.")
	if n := k.FlushName(name, true); n != 2 || has(a) || has(b) || !has(c) {
		t.Errorf("with names below: %d", n)
	}
	k.Flush()
	if has(c) || k.Stats().Entries != 0 {
		t.Error("flushed, and still there")
	}
	put("a.example.")
	check(t, k)
}

func TestLargeAndNone(t *testing.T) {
	cfg := Defaults()
	cfg.Bytes = 64 << 10
	k := New(cfg)
	var rrs []string
	for i := range 900 {
		rrs = append(rrs, fmt.Sprintf("a.example. 100 IN AAAA 2001:db8::%x", i))
	}
	msg := answer(t, "a.example.", miekg.TypeAAAA, 0, rrs...)
	if d := k.Put(keyOf(t, msg), msg, start); d != 0 || k.Stats().TooLarge != 1 {
		t.Error("a quarter of the cache for one answer")
	}
	cfg.Bytes = 0
	k = New(cfg)
	k.Put(keyOf(t, msg), msg, start)
	k.Fail(keyOf(t, msg), start)
	if _, hit := k.Get(keyOf(t, msg), start, nil); hit != (Hit{}) {
		t.Error("a cache of nothing has something")
	}
	k.Flush()
}

func TestValidate(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{Bytes: 1, MaxNeg: -1, StaleFor: 1}).Validate(); err == nil {
		t.Error("nonsense is valid")
	}
}

// FuzzPut: whatever is kept comes back as what was put in, with TTLs that do not grow, and can be read.
func FuzzPut(f *testing.F) {
	f.Add(answer(f, "a.example.", miekg.TypeA, 0, "a.example. 300 IN CNAME b.", "b. 20 IN A 192.0.2.1"), uint16(7))
	f.Add(answer(f, "a.example.", miekg.TypeAAAA, 3, "--", "example. 9 IN SOA ns. mail. 1 2 3 4 60"), uint16(8))
	f.Fuzz(func(t *testing.T, msg []byte, age uint16) {
		cfg := Defaults()
		cfg.Bytes = 64 << 10
		k := New(cfg)
		key := []byte("key")
		var before miekg.Msg
		readable := before.Unpack(bytes.Clone(msg)) == nil
		life := k.Put(key, msg, start)
		now := start.Add(time.Duration(age) * time.Second)
		got, hit := k.Get(key, now, nil)
		if (hit.State == Fresh) != (now.Sub(start) < life) {
			t.Fatalf("kept for %v, %v later: %+v", life, now.Sub(start), hit)
		}
		if hit.State != Fresh {
			return
		}
		if len(got) != len(msg) {
			t.Fatal("another length")
		}
		if !readable {
			return
		}
		m := unpack(t, got)
		if len(m.Answer) != len(before.Answer) {
			t.Fatal("another number of records")
		}
		for i, rr := range m.Answer {
			if was := before.Answer[i].Header().Ttl; rr.Header().Ttl+uint32(age) > was && was < 1<<31 {
				t.Fatalf("TTL %d after %ds, was %d", rr.Header().Ttl, age, was)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	k := New(Defaults())
	msg := answer(b, "www.example.org.", miekg.TypeA, 0, "www.example.org. 86400 IN A 192.0.2.1", "www.example.org. 86400 IN A 192.0.2.2")
	key := keyOf(b, msg)
	k.Put(key, msg, start)
	out := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		out, _ = k.Get(key, start, out[:0])
	}
}
