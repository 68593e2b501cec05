package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

func pack(t testing.TB, m *miekg.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func query(t testing.TB, name string, qtype uint16, change func(*miekg.Msg)) []byte {
	m := new(miekg.Msg)
	m.SetQuestion(name, qtype)
	m.Id = 0x1234
	if change != nil {
		change(m)
	}
	return pack(t, m)
}

func TestParseFaults(t *testing.T) {
	good := query(t, "www.example.org.", miekg.TypeA, nil)
	edit := func(f func([]byte) []byte) []byte { return f(bytes.Clone(good)) }
	edns := func(f func(*miekg.OPT)) []byte {
		return query(t, "www.example.org.", miekg.TypeA, func(m *miekg.Msg) {
			m.SetEdns0(4096, true)
			f(m.IsEdns0())
		})
	}
	two := pack(t, func() *miekg.Msg {
		m := new(miekg.Msg)
		m.SetQuestion("a.", miekg.TypeA)
		m.SetEdns0(1232, false)
		m.Extra = append(m.Extra, m.Extra[0])
		return m
	}())
	for _, c := range []struct {
		name string
		msg  []byte
		want Fault
	}{
		{"plain", good, OK},
		{"empty", nil, Short},
		{"11 bytes", good[:11], Short},
		{"response", edit(func(b []byte) []byte { b[2] |= 0x80; return b }), Response},
		{"notify", edit(func(b []byte) []byte { b[2] |= 4 << 3; return b }), Opcode},
		{"update", edit(func(b []byte) []byte { b[2] |= 5 << 3; return b }), Opcode},
		{"no question", edit(func(b []byte) []byte { b[5] = 0; return b[:12] }), Count1},
		{"two questions", edit(func(b []byte) []byte { b[5] = 2; return append(b, b[12:]...) }), Count1},
		{"an answer", edit(func(b []byte) []byte { b[7] = 1; return b }), Count1},
		{"header only", good[:12], Malformed},
		{"name cut", good[:17], Malformed},
		{"no class", good[:len(good)-2], Malformed},
		{"pointer", edit(func(b []byte) []byte { b[12], b[13] = 0xc0, 12; return b }), Compressed},
		{"label of type 01", edit(func(b []byte) []byte { b[12] = 0x41; return b }), Malformed},
		{"announced OPT missing", edit(func(b []byte) []byte { b[11] = 1; return b }), Malformed},
		{"edns", edns(func(*miekg.OPT) {}), OK},
		{"edns 1", edns(func(o *miekg.OPT) { o.SetVersion(1) }), Version},
		{"two OPT", two, TwoOPT},
		{"unknown option", edns(func(o *miekg.OPT) {
			o.Option = append(o.Option, &miekg.EDNS0_LOCAL{Code: 65001, Data: []byte("abc")})
		}), OK},
		{"option longer than its record", func() []byte {
			b := edns(func(o *miekg.OPT) { o.Option = append(o.Option, &miekg.EDNS0_LOCAL{Code: 65001, Data: []byte("abc")}) })
			b[len(b)-4] = 9
			return b
		}(), Malformed},
		{"tsig", query(t, "a.", miekg.TypeA, func(m *miekg.Msg) {
			m.Extra = append(m.Extra, &miekg.TSIG{Hdr: miekg.RR_Header{Name: "k.", Rrtype: miekg.TypeTSIG, Class: miekg.ClassANY},
				Algorithm: miekg.HmacSHA256, OrigId: 1})
		}), Signed},
		{"trailing bytes", append(bytes.Clone(good), 1, 2, 3), OK},
	} {
		var q Query
		if got := q.Parse(c.msg); got != c.want {
			t.Errorf("%s: fault %d, want %d", c.name, got, c.want)
		}
	}
}

func TestParseFields(t *testing.T) {
	var q Query
	msg := query(t, "WwW.ExAmPlE.oRg.", miekg.TypeHTTPS, func(m *miekg.Msg) { m.SetEdns0(1400, true); m.CheckingDisabled = true })
	if f := q.Parse(msg); f != OK {
		t.Fatal(f)
	}
	if got := Text(q.Name); got != "www.example.org." {
		t.Errorf("name %s", got)
	}
	if q.ID != 0x1234 || q.Type != TypeHTTPS || q.Class != ClassIN || !q.EDNS || !q.DO || !q.CD() || q.Size != 1400 {
		t.Errorf("%+v", q)
	}
	if !bytes.Contains(q.Question, []byte("ExAmPlE")) {
		t.Error("the question as sent has lost its case")
	}
	key := bytes.Clone(q.Key(7))
	for _, other := range [][]byte{
		query(t, "www.example.org.", miekg.TypeHTTPS, func(m *miekg.Msg) { m.SetEdns0(1400, false); m.CheckingDisabled = true }),
		query(t, "www.example.org.", miekg.TypeHTTPS, func(m *miekg.Msg) { m.SetEdns0(1400, true) }),
		query(t, "www.example.org.", miekg.TypeA, func(m *miekg.Msg) { m.SetEdns0(1400, true); m.CheckingDisabled = true }),
	} {
		var o Query
		o.Parse(other)
		if bytes.Equal(o.Key(7), key) {
			t.Error("questions for different data have one key")
		}
	}
	if bytes.Equal(q.Key(8), key) {
		t.Error("views share a key")
	}
}

// TestText: the zone is built from names as miekg/dns writes them.
func TestText(t *testing.T) {
	for c := range 256 {
		wire := []byte{3, 'a', byte(c), 'b', 3, 'o', 'r', 'g', 0}
		want, _, err := miekg.UnpackDomainName(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := Text(wire); got != want {
			t.Errorf("octet %d: %q, want %q", c, got, want)
		}
	}
}

func TestTruncateWholeSets(t *testing.T) {
	m := new(miekg.Msg)
	m.SetQuestion("many.example.", miekg.TypeANY)
	m.Response = true
	for set := range 6 {
		for i := range 8 {
			s := fmt.Sprintf("many.example. 60 IN %s", [...]string{"A 192.0.2.%d", "AAAA 2001:db8::%d", `TXT "t%d"`, "MX %d m.", "NS n%d.", "PTR p%d."}[set])
			rr, err := miekg.NewRR(fmt.Sprintf(s, i+1))
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
	}
	whole := pack(t, m)
	for size := 30; size <= len(whole)+3; size++ {
		got := Truncate(bytes.Clone(whole), size)
		if len(got) > size {
			t.Fatalf("size %d: %d bytes", size, len(got))
		}
		var r miekg.Msg
		if err := r.Unpack(got); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if r.Truncated != (len(whole) > size) {
			t.Fatalf("size %d: TC %v", size, r.Truncated)
		}
		if len(r.Answer)%8 != 0 {
			t.Fatalf("size %d: %d records: a set was cut", size, len(r.Answer))
		}
		if size >= len(whole)/2+100 && len(r.Answer) == 0 {
			t.Fatalf("size %d: nothing left, though sets fit", size)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(query(f, "www.example.org.", miekg.TypeA, nil))
	f.Add(query(f, "a.", miekg.TypeAAAA, func(m *miekg.Msg) { m.SetEdns0(1232, true) }))
	f.Add(query(f, ".", miekg.TypeNS, nil))
	f.Add(query(f, strings.Repeat("abcdefghi.", 25), miekg.TypeA, nil))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q Query
		fault := q.Parse(msg)
		if fault != OK {
			return
		}
		var m miekg.Msg
		if err := m.Unpack(msg); err != nil {
			// What the library is stricter about are options and records that nobody here looks into.
			if U16(msg[10:]) == 0 && len(msg) == QuestionEnd(msg) {
				t.Fatalf("accepted, but the library says: %v", err)
			}
			return
		}
		if len(m.Question) != 1 || miekg.CanonicalName(m.Question[0].Name) != Text(q.Name) || m.Question[0].Qtype != q.Type || m.Question[0].Qclass != q.Class {
			t.Fatalf("%v against %s %d", m.Question, Text(q.Name), q.Type)
		}
		if (m.IsEdns0() != nil) != q.EDNS {
			t.Fatal("EDNS")
		}
		out := q.AppendHeader(nil, RA)
		out = q.AppendOPT(out, 0, 1232, NoError, EDEStale)
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(out)-HeaderLen-len(q.Question) != q.OPTRoom(EDEStale) {
			t.Fatal("room for OPT")
		}
	})
}

func FuzzTruncate(f *testing.F) {
	m := new(miekg.Msg)
	m.SetQuestion("a.b.", miekg.TypeTXT)
	for i := range 5 {
		rr, _ := miekg.NewRR(fmt.Sprintf(`a.b. 1 IN TXT "%d"`, i))
		m.Answer = append(m.Answer, rr)
	}
	f.Add(pack(f, m), 60)
	f.Fuzz(func(t *testing.T, msg []byte, size int) {
		end := QuestionEnd(msg)
		if end < 0 || size < end || size > 65535 {
			return
		}
		if got := Truncate(bytes.Clone(msg), size); len(got) > size {
			t.Fatalf("%d bytes for %d", len(got), size)
		} else if _, err := Walk(got, func(Record) bool { return true }); err != nil && len(msg) > size {
			t.Fatal("cut to what cannot be read")
		}
	})
}

func FuzzAppendName(f *testing.F) {
	f.Add([]byte("0123456789ab\x03www\x07example\x00\x01a\xc0\x10"), 25)
	f.Fuzz(func(t *testing.T, msg []byte, off int) {
		if off < HeaderLen || off > len(msg) {
			return
		}
		name, next, ok := AppendName(nil, msg, off)
		if !ok {
			return
		}
		if next <= off || next > len(msg) || len(name) > MaxName || name[len(name)-1] != 0 {
			t.Fatalf("%q ends at %d", name, next)
		}
		want, _, err := miekg.UnpackDomainName(msg, off)
		if err == nil && Text(name) != miekg.CanonicalName(want) {
			t.Fatalf("%q, the library says %q", Text(name), want)
		}
	})
}
