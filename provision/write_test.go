package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// bodies are what a state file may hold, with s wherever a resource or a planner may fill it in.
func bodies(s string, n uint64) []any {
	ref, attrs := Ref{s, s + "name"}, Attrs{s: s + "\x80", "plain": s, "": ""}
	l := &ledger{Seq: n, Time: time.Unix(int64(n>>1), int64(n%1e9)).UTC(), Key: []byte(s), Refs: []ledgerRef{{Ref: toWireRef(ref), Last: wireAttrs(attrs)}, {Ref: toWireRef(ref), Lent: true}}}
	bare := *l
	l.Triggers = toWireTriggers([]Trigger{{Name: s, On: []Ref{ref}, Do: Action{s, attrs}}})
	l.Holds = toWireHolds([]Hold{{ref, attrs, []Ref{ref}}})
	held := *l
	held.Triggers = nil
	seen := []seen{{toWireRef(ref), wireAttrs(attrs)}, {Ref: toWireRef(ref)}, {toWireRef(ref), wireAttrs{}}}
	entries := []entry{{Ref: toWireRef(ref), Value: wireAttrs(attrs), Keys: []text{text(s), ""}, Delete: true, Mode: IfPresent, Why: text(s)}, {Ref: toWireRef(ref), Held: true}}
	return []any{l, &bare, &held, &ledger{}, &ledger{Key: []byte{}, Refs: []ledgerRef{}}, firstFile{}, firstFile{Seen: seen}, &snapshot{}, &snapshot{Seq: n, Entries: entries, Triggers: l.Triggers,
		Holds: l.Holds, Settle: time.Duration(n), Prev: l, Given: seen}, &snapshot{Entries: []entry{}, Prev: &ledger{}, Settle: -1}}
}

// FuzzWritten: what is written is what encoding/json writes, and read back as it reads it.
func FuzzWritten(f *testing.F) {
	for _, s := range []string{"", "wg0", "\x00", "\xff", "\x00YWJj", "a:b", `"\`, "ünï \u2028 <&>", "\n\t\r\b\x7f", "tab\there", "é"} {
		f.Add(s, uint64(7))
	}
	f.Add("x", uint64(1)<<63)
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		for i, body := range bodies(s, n) {
			want, err1 := json.Marshal(body)
			got, err2 := marshal(nil, body)
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("body %d: %v, encoding/json %v", i, err2, err1)
			}
			if err1 == nil && !bytes.Equal(got, want) {
				t.Fatalf("body %d:\n%s\nencoding/json:\n%s", i, got, want)
			}
			if err1 == nil {
				sameRead(t, got)
			}
		}
	})
}

// sameRead: a text is read as encoding/json reads it, whatever it is.
func sameRead(t *testing.T, js []byte) {
	t.Helper()
	for _, pair := range [][2]any{{&ledger{}, &ledger{}}, {&firstFile{}, &firstFile{}}} {
		err1, err2 := json.Unmarshal(js, pair[0]), unmarshal(js, pair[1])
		if (err1 == nil) != (err2 == nil) || err1 == nil && !reflect.DeepEqual(pair[0], pair[1]) {
			t.Fatalf("%s\nis read as %+v, %v\nencoding/json %+v, %v", js, pair[1], err2, pair[0], err1)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, b := range bodies("wg0", 7) {
		js, _ := marshal(nil, b)
		f.Add(js)
	}
	for _, s := range []string{"", "{}", "null", `{"seq":1,"time":"2026-01-01T00:00:00Z","key":"","refs":[],"refs":[{"ref":"a:b"}]}`, `{"seq":01,"time":"2026-01-01T00:00:00Z","key":null,"refs":[]}`,
		`{"seq":1,"time":"2026-01-01T00:00:00Z","key":null,"refs":[{"ref":"a:b","last":["x"]}]}`, `{"seq":1,"time":"2026-01-01T00:00:00Z","key":null,"refs":[,{"ref":"a:b","last":null}]}`,
		`{"seq":1,"time":"2026-01-01T00:00:00Z","key":null,"refs":[],"Seq":2,"key":"AQ=="}`, `{"seq":1,"time":"2026-01-01T00:00:00Z","key":null,"refs":[]} `, `{"seen":[]}}`, `{"seen":[{"ref":"a","value":null}]}`,
		`{"seen":[{"ref":"a:b","value":["x","1","x","2"]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(sameRead)
}

// What this program writes of plain text takes the short way: a thousand references are read for each that changes.
func TestScanned(t *testing.T) {
	plain := &ledger{Seq: 1, Key: []byte{1}, Refs: []ledgerRef{{Ref: wireRef{"wireguard-peer", "wg0 x="}, Last: wireAttrs{"allowed-ips": "00ff"}}}}
	js, _ := marshal(nil, plain)
	if got := new(ledger); !got.scan(string(js)) || !reflect.DeepEqual(got, plain) {
		t.Errorf("%s is not scanned: %+v", js, got)
	}
	first := firstFile{Seen: []seen{{Ref: wireRef{"wireguard-peer", "wg0 x="}}, {wireRef{"sysctl", "net"}, wireAttrs{"value": "1"}}}}
	js, _ = marshal(nil, first)
	if got := new(firstFile); !got.scan(string(js)) || !reflect.DeepEqual(*got, first) {
		t.Errorf("%s is not scanned: %+v", js, got)
	}
}

// A ledger of a thousand references, as a change of one of them reads and writes it.
func BenchmarkLedger(b *testing.B) {
	l := &ledger{Seq: 7, Time: time.Unix(1, 0).UTC(), Key: make([]byte, 32)}
	for i := range 1000 {
		r := Ref{"wireguard-peer", fmt.Sprintf("wg0 %043d=", i)}
		l.Refs = append(l.Refs, ledgerRef{Ref: toWireRef(r), Last: wireAttrs{}})
		for _, a := range []string{"allowed-ips", "persistent-keepalive", "preshared-key", "endpoint"} {
			l.Refs[i].Last[a] = digest(l.Key, r, a, "x")
		}
	}
	data, err := encodeState("ledger", l)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := encodeState("ledger", l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := decodeState("x", "ledger", data, &ledger{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Whoever has the first-seen values may do with them what he likes: the next one has what the file says.
func TestFirstSeenValuesAreEachOnesOwn(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ref := Ref{Kind: "link", Name: "eth0"}
	if err := s.writeFirst(map[Ref]Attrs{ref: {"mtu": "1500"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		first, err := s.readFirst()
		if err != nil || len(first) != 1 || first[ref]["mtu"] != "1500" {
			t.Fatalf("%v, %v", first, err)
		}
		delete(first, ref)
	}
}
