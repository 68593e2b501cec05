package ra

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

// FuzzSolicitation: nothing panics, and what we take the other implementation takes as well as far as it can read it.
func FuzzSolicitation(f *testing.F) {
	f.Add([]byte{133, 0, 0, 0, 0, 0, 0, 0}, uint8(255), true)
	f.Add([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9}, uint8(255), false)
	f.Add([]byte{133, 0, 0, 0, 0, 0, 0, 0, 14, 0, 2, 0, 0, 0, 0, 9}, uint8(255), false)
	f.Fuzz(func(t *testing.T, b []byte, hops uint8, anonymous bool) {
		src := ip("fe80::9")
		if anonymous {
			src = ip("::")
		}
		_, mac, reason := Solicitation(Packet{Data: b, Src: src, HopLimit: int(hops)})
		if reason != "" {
			return
		}
		if b[0] != 133 || b[1] != 0 || hops != 255 || anonymous && mac != nil || len(b)%8 != 0 {
			t.Fatalf("%x, %d, %v is taken", b, hops, anonymous)
		}
		for i := 8; i < len(b); i += int(b[i+1]) * 8 {
			if b[i+1] == 0 {
				t.Fatalf("%x has an option of length 0", b)
			}
		}
	})
}

// FuzzAdvertisement: nothing panics, memory is bounded, and what was read can be written and reads the same again.
func FuzzAdvertisement(f *testing.F) {
	b, err := hex.DecodeString(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:16])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, reason := Advertisement(Packet{Data: b, Src: ip("fe80::9"), HopLimit: 255})
		other, err := ndp.ParseMessage(b)
		if reason != "" {
			if !reflect.DeepEqual(m, Message{}) && reason != ReasonShort {
				t.Fatalf("%s, and yet %+v", reason, m)
			}
			return
		}
		if err == nil {
			o := other.(*ndp.RouterAdvertisement)
			if o.RouterLifetime != m.RouterLifetime || int(o.CurrentHopLimit) != int(m.HopLimit) || int(o.RouterSelectionPreference) != int(m.Preference) {
				t.Fatalf("%+v, the other %+v", m, o)
			}
			prefixes := 0
			for _, x := range o.Options {
				if p, ok := x.(*ndp.PrefixInformation); ok && p.PrefixLength <= 128 {
					prefixes++
				}
			}
			if prefixes != len(m.Prefixes) && prefixes < maxParsed {
				t.Fatalf("%d prefixes, the other %d", len(m.Prefixes), prefixes)
			}
		}
		if n := len(m.Prefixes) + len(m.DNS) + len(m.Search) + len(m.Routes) + len(m.NAT64); n > 5*maxParsed {
			t.Fatalf("%d entries", n)
		}
		compare(&m, &Message{})
		out, err := m.Payloads(1 << 20)
		if err != nil {
			return // names that nobody may have, which the watch need not mind
		}
		again, reason := Advertisement(Packet{Data: out[0], Src: ip("fe80::9"), HopLimit: 255})
		if m.RouterLifetime == 0 {
			m.Preference = Medium
		}
		if reason != "" || !reflect.DeepEqual(normal(again), normal(m)) {
			t.Fatalf("%s\nread  %+v\nagain %+v", reason, m, again)
		}
	})
}

// normal leaves out what cannot be written: an empty list is none.
func normal(m Message) Message {
	for i := range m.NAT64 {
		m.NAT64[i].Lifetime = min(m.NAT64[i].Lifetime, maxNAT64Lifetime)
	}
	return m
}

// FuzzDecode: whatever stable storage gives back, what is made of it can be used and saved again.
func FuzzDecode(f *testing.F) {
	clk := clocktest.New()
	f.Add(encode([]Saved{{Prefix: Prefix{Prefix: pfx("fd00::/64"), OnLink: true}, Left: time.Hour}}, clk.Read()))
	f.Add(encode([]Saved{{Prefix: Prefix{Prefix: pfx("fd00::/64")}, Deprecated: true, Left: time.Hour, LetGo: time.Minute}}, clk.Read()))
	f.Add([]byte(`{"version":1,"boot":"boot-1","at":-9223372036854775808,"wall":-9223372036854775808,"synced":true,"prefixes":[{"prefix":"::/0","left":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := decode(b, clk.Read())
		for _, s := range list {
			if s.Left <= 0 || s.LetGo < 0 || s.LetGo > twoHours || !isPrefix6(s.Prefix.Prefix) {
				t.Fatalf("%+v", s)
			}
		}
		w := newWorld(t)
		w.m.Restore(w.now, list)
		w.m.SetConfig(w.now, Default())
		w.m.SetLink(w.now, usb0(static))
		w.run(time.Minute)
		m := w.lastMessage()
		if len(m.Prefixes) > maxDeprecated+1 {
			t.Fatalf("%d prefixes", len(m.Prefixes))
		}
		if _, err := m.Payloads(1460); err != nil {
			t.Fatal(err)
		}
		one := encode(w.m.Saved(w.now), clk.Read())
		if len(one) > MaxSaved {
			t.Fatalf("%d bytes to save", len(one))
		}
		again, err := decode(one, clk.Read())
		if err != nil {
			t.Fatal(err)
		}
		if two := encode(again, clk.Read()); !bytes.Equal(one, two) {
			t.Fatalf("%s\n%s", one, two)
		}
	})
}
