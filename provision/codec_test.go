package provision

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestStateSurvivesAnyBytes(t *testing.T) {
	odd := []string{"", "plain", "\x00", "\xff\xfe\x00", "\x00YWJj", "a:b", ":", "ünï \u2028 <&>", strings.Repeat("\xc3", 9)}
	attrs := Attrs{}
	for _, k := range odd {
		attrs[k] = k + "\x80"
	}
	snap := &snapshot{Seq: 7, Time: time.Unix(1, 0).UTC(), Prev: &ledger{Seq: 6, Key: []byte{1}, Refs: []ledgerRef{}}}
	for i, s := range odd {
		r := Ref{Kind: s, Name: odd[len(odd)-1-i]}
		snap.Entries = append(snap.Entries, entry{Ref: toWireRef(r), Value: wireAttrs(attrs), Keys: []text{text(s)}},
			entry{Ref: toWireRef(Ref{s, "absent"})}, entry{Ref: toWireRef(Ref{s, "empty"}), Value: wireAttrs{}})
		snap.Triggers = append(snap.Triggers, toWireTriggers([]Trigger{{Name: s, On: []Ref{r}, Do: Action{s, attrs}, Why: s}})...)
		snap.Holds = append(snap.Holds, toWireHolds([]Hold{{r, attrs, []Ref{r}}})...)
	}
	data, err := encodeState("snapshot", snap)
	if err != nil {
		t.Fatal(err)
	}
	rec := record{Late: &entry{Ref: toWireRef(Ref{"\xff", ":"}), Value: wireAttrs(attrs)}}
	line, err := encodeLine(rec)
	if err != nil {
		t.Fatal(err)
	}
	var back snapshot
	tail, err := decodeState("x", "snapshot", append(data, line...), &back)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(snap, &back) {
		t.Errorf("is %+v\nwas %+v", &back, snap)
	}
	recs, whole, err := decodeLines("x", tail)
	if err != nil || whole != len(line) || !reflect.DeepEqual(recs, []record{rec}) {
		t.Errorf("record is %+v, %v", recs, err)
	}
	if back.Entries[1].Value != nil || back.Entries[2].Value == nil {
		t.Error("absent and empty are the same")
	}
}

// Each bit of a state file counts, and what is cut off is never taken for whole.
func TestDamageIsSeen(t *testing.T) {
	data, err := encodeState("ledger", &ledger{Seq: 3, Refs: []ledgerRef{{Ref: toWireRef(Ref{"k", "n"})}}})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		var l ledger
		_, err := decodeState("x", "ledger", b, &l)
		var corrupt *CorruptError
		var version *VersionError
		if !errors.As(err, &corrupt) && !errors.As(err, &version) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range data {
		for bit := range 8 {
			b := append([]byte(nil), data...)
			b[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), b)
		}
		check(fmt.Sprintf("cut at %d", i), data[:i])
	}
}

func TestTornJournal(t *testing.T) {
	a, _ := encodeLine(record{Dirty: []int{0}})
	b, _ := encodeLine(record{Clean: []int{0}})
	for n := range b {
		for _, end := range [][]byte{b[:n], append(append([]byte(nil), b[:n]...), make([]byte, 20)...)} {
			recs, whole, err := decodeLines("x", append(append([]byte(nil), a...), end...))
			if err != nil || len(recs) != 1 || whole != len(a) {
				t.Fatalf("torn after %d: %v %d %v", n, recs, whole, err)
			}
		}
	}
	if _, _, err := decodeLines("x", append([]byte("00000000 {}\n"), a...)); err == nil {
		t.Error("damage in the middle was not seen")
	}
}

func FuzzStateFiles(f *testing.F) {
	good, err := encodeState("snapshot", &snapshot{Seq: 1, Entries: []entry{{Ref: toWireRef(Ref{"k", "n"}), Value: wireAttrs{"a": "b"}}},
		Triggers: toWireTriggers([]Trigger{{Name: "t"}})})
	if err != nil {
		f.Fatal(err)
	}
	line, _ := encodeLine(record{Dirty: []int{0}})
	f.Add("snapshot-000001", append(good, line...))
	led, _ := encodeState("ledger", &ledger{Seq: 1, Refs: []ledgerRef{{Ref: toWireRef(Ref{"k", "n"})}}})
	f.Add("ledger", led)
	first, _ := encodeState("first", firstFile{Seen: []seen{{Ref: toWireRef(Ref{"k", "n"})}}})
	f.Add("first", first)
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		files := one{name: data}
		s, _ := Open("", WithFiles(files))
		e := &Engine{Store: s}
		// Whatever a file holds, nothing panics and nothing is written.
		e.Status(t.Context())
		e.Plan(t.Context(), Desired{})
		s.readFirst()
	})
}

// FuzzBody reaches the types behind the checksum.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"seq":1,"entries":[{"ref":"k:n","value":["a","b"],"keys":["a"]}],"prev":null}`), []byte(`{"dirty":[0]}`))
	f.Add([]byte(`{"refs":[{"ref":"k:n","last":null}],"triggers":[{"name":"t","on":["k:n"]}]}`), []byte(`{"confirm":{"boot":"b"}}`))
	f.Fuzz(func(t *testing.T, body, rec []byte) {
		for _, kind := range []string{"snapshot", "ledger", "first"} {
			name := map[string]string{"snapshot": snapshotName(1), "ledger": ledgerName, "first": firstName}[kind]
			data, err := encodeState(kind, raw(body))
			if err != nil {
				return // not JSON
			}
			line := fmt.Appendf(nil, "%08x %s\n", crc(rec), rec)
			s, _ := Open("", WithFiles(one{name: append(data, line...)}))
			e := &Engine{Clock: &leap{}, Store: s, Resources: map[string]Resource{"k": nothing{}}, Actors: map[string]Actor{}}
			e.Status(t.Context())
			e.Plan(t.Context(), Desired{})
			s.readFirst()
			e.Recover(t.Context())
		}
	})
}

func TestDigestsAreKeyed(t *testing.T) {
	r := Ref{"k", "n"}
	seen := map[string]bool{}
	for _, d := range []string{digest([]byte{1}, r, "a", "v"), digest([]byte{2}, r, "a", "v"), digest([]byte{1}, Ref{"k", "m"}, "a", "v"),
		digest([]byte{1}, r, "b", "v"), digest([]byte{1}, r, "a", "w"), digest([]byte{1}, Ref{"k", "na"}, "", "v")} {
		if seen[d] {
			t.Error("two digests are equal")
		}
		seen[d] = true
	}
}

func TestArmourIsReversible(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, rnd.IntN(12))
		for i := range b {
			b[i] = byte(rnd.IntN(256))
		}
		if s, err := unarmour(armour(string(b))); err != nil || s != string(b) {
			t.Fatalf("%q became %q, %v", b, s, err)
		}
		r, back := wireRef{string(b), string(b)}, wireRef{}
		m, _ := r.MarshalText()
		if err := back.UnmarshalText(m); err != nil || back != r {
			t.Fatalf("%q became %q, %v", r, back, err)
		}
	}
}

func TestMaskKeepsOtherAttributes(t *testing.T) {
	a := Attrs{"x": "1"}
	if m := classesOf(nil).mask(a); !maps.Equal(m, a) {
		t.Errorf("masked to %v", m)
	}
}
