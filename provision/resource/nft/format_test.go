package nft

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host"
)

func TestFormat(t *testing.T) {
	for i, table := range samples() {
		text := Format(table)
		read, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if again := Format(read); again != text {
			t.Errorf("sample %d: read and written again it differs", i)
		}
		if table.Problems() != nil {
			t.Errorf("sample %d: %v", i, table.Problems())
		}
	}
	text := Format(samples()[0])
	if n := strings.Count(text, "\n"); n > 30 || !strings.Contains(text, `"count":1500,"sha256":"`) {
		t.Errorf("a large set is written out: %d lines", n)
	}
	if d, err := Digests(text); err != nil || len(d) != 1 || len(d[0]) != 64 {
		t.Errorf("digests %v, %v", d, err)
	}
}

// The short way of writing a rule is that of encoding/json.
func TestFormatRule(t *testing.T) {
	all := append(everyExpr(), Expr{Cmp: &Cmp{Op: "==", Reg: 1}}, Expr{Cmp: &Cmp{Op: "<", Reg: 1, Data: []byte{}}}, Expr{Immediate: &Immediate{}},
		Expr{Verdict: &Verdict{Kind: "jump", Chain: "A\"<x>"}}, Expr{Meta: &Meta{Key: "\xff"}}, Expr{})
	for _, r := range []Rule{{Exprs: all, Comment: "a \"quoted\" <b> \u2028"}, {Exprs: []Expr{}}} {
		want, err := marshal(line{Rule: &r})
		if err != nil {
			t.Fatal(err)
		}
		var got jsonText
		if err := got.rule(&r); err != nil || string(got) != string(want)+"\n" {
			t.Errorf("got  %s\nwant %s, %v", got, want, err)
		}
	}
}

// What has no order, and what the kernel fills in, makes no difference.
func TestCanonical(t *testing.T) {
	level := uint32(4)
	a := Table{Family: "inet", Name: "x",
		Sets: []Set{{Name: "b", Key: []string{TypePort}, Elements: []Element{{Key: []byte{0, 2}, To: []byte{0, 2}}, {Key: []byte{0, 1}}}}, {Name: "a", Key: []string{TypePort}, Learnt: true, Elements: []Element{{Key: []byte{0, 1}}}}},
		Chains: []Chain{{Name: "z"}, {Name: "o", Base: filter("output", 0, "accept")}, {Name: "i", Base: filter("input", 5, "accept"), Rules: []Rule{
			{Handle: 7, Exprs: []Expr{{Log: &Log{Level: &level}}, {Reject: &Reject{Type: "icmpv6", Code: 4}}, {Limit: &Limit{Rate: 1, Per: 1}}, {Meta: &Meta{Key: "mark", Reg: 12}},
				{NAT: &NAT{Kind: "snat", Family: "ip", AddrMin: 8, AddrMax: 1, Flags: []string{"persistent", "random"}}}, {Counter: &Counter{Packets: 9}}}},
		}}},
	}
	b := Table{Family: "inet", Name: "x",
		Sets: []Set{{Name: "a", Key: []string{TypePort}, Learnt: true, Size: 65535}, {Name: "b", Key: []string{TypePort}, Elements: []Element{{Key: []byte{0, 1}}, {Key: []byte{0, 2}}}}},
		Chains: []Chain{{Name: "i", Base: filter("input", 5, "accept"), Rules: []Rule{
			{Exprs: []Expr{{Log: &Log{}}, {Reject: &Reject{Type: "icmp", Code: 4}}, {Limit: &Limit{Rate: 1, Per: 1, Burst: 5}}, {Meta: &Meta{Key: "mark", Reg: 2}},
				{NAT: &NAT{Kind: "snat", Family: "ip", AddrMin: 1, Flags: []string{"random", "persistent"}}}, {Counter: &Counter{}}}},
		}}, {Name: "o", Base: filter("output", 0, "accept")}, {Name: "z"}},
	}
	if x, y := Format(a), Format(b); x != y {
		t.Errorf("\n%s\n%s", x, y)
	}
	if a.Chains[0].Name != "z" || a.Sets[1].Elements == nil || a.Chains[2].Rules[0].Handle != 7 {
		t.Error("the table given was changed")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "x", "{}", `{"set":{"name":"x"}}`, `{"table":{"family":"inet","name":"x","chains":[]}}`, `{"table":{"family":"inet","name":"x"},"chain":{}}`,
		"{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{}", "{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"rule\":{\"exprs\":[]}}",
		"{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"element\":{\"key\":\"\"}}", "{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"chain\":{\"name\":\"c\"}}\n{\"rule\":{\"exprs\":[{}]}}",
		"{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"chain\":{\"name\":\"c\"}}\n{\"rule\":{\"exprs\":[{\"notrack\":{},\"counter\":{}}]}}",
		"{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"chain\":{\"name\":\"c\",\"colour\":1}}",
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, t := range samples()[:2] {
		sets, chains := t.Sets, t.Chains
		for i := range chains { // small seeds: mutating large ones takes all the time
			t.Sets, t.Chains = sets[i:i+1], chains[i:i+1]
			f.Add(Format(t))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse(text)
		if err != nil {
			return
		}
		_ = table.Problems()
		first := Format(table)
		again, err := Parse(first)
		if err != nil || Format(again) != first {
			t.Fatalf("%q, then %v", first, err)
		}
	})
}

func FuzzBlob(f *testing.F) {
	for _, t := range samples() {
		for _, s := range t.Sets {
			var b strings.Builder
			_ = writeElements(&b, s.Elements[:min(3, len(s.Elements))])
			f.Add([]byte(b.String()))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		elems, err := readElements(b)
		if err != nil {
			return
		}
		var again strings.Builder
		_ = writeElements(&again, elems)
		more, err := readElements([]byte(again.String()))
		if err != nil || digest(more) != digest(elems) {
			t.Fatalf("%v, then %v, %v", elems, more, err)
		}
	})
}

func TestBlobs(t *testing.T) {
	fake := host.NewFake(t)
	b := Blobs{Files: fake, Dir: "/blobs"}
	table := samples()[0]
	text := Format(table)
	read, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Load(&read); err == nil {
		t.Error("elements that nobody kept were read")
	}
	if err := b.Save(table); err != nil {
		t.Fatal(err)
	}
	if err := b.Load(&read); err != nil || Format(read) != text || len(read.Sets[1].Elements) != 1500 {
		t.Errorf("%v", err)
	}
	sums, _ := Digests(text)
	name := b.path(sums[0])
	if info, err := fake.Lstat(name); err != nil || info.Mode.Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode, err)
	}
	// A file that is not what its name says is refused.
	was, v, err := fake.Load(name, MaxBlob)
	if err != nil {
		t.Fatal(err)
	}
	damaged := was
	damaged.Data = append([]byte{}, was.Data...)
	damaged.Data[40] ^= 1
	if err := fake.Write(name, damaged, v); err != nil {
		t.Fatal(err)
	}
	read, _ = Parse(text)
	if err := b.Load(&read); err == nil || !strings.Contains(err.Error(), "not what its name says") {
		t.Errorf("%v", err)
	}
	found := map[string]bool{}
	DigestsIn([]byte(`{"attrs":"{\"sha256\":\"`+sums[0]+`\"}"} `+sums[0][1:]+" "+sums[0]+"0"), found)
	if len(found) != 1 || !found[sums[0]] {
		t.Errorf("found %v", found)
	}
	later := time.Now().Add(time.Hour)
	if n, err := b.Sweep(func(d string) bool { return found[d] }, later); n != 0 || err != nil {
		t.Errorf("what is needed: %d, %v", n, err)
	}
	if n, err := b.Sweep(func(string) bool { return false }, time.Time{}); n != 0 || err != nil {
		t.Errorf("what is new: %d, %v", n, err)
	}
	if n, err := b.Sweep(func(string) bool { return false }, later); n != 1 || err != nil {
		t.Errorf("what nobody needs: %d, %v", n, err)
	}
}
