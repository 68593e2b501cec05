package nft

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExpressions(t *testing.T) {
	var w encoder
	all := everyExpr()
	w.exprs(all)
	if w.err != nil {
		t.Fatal(w.err)
	}
	got, err := readExprs(w.b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if !reflect.DeepEqual(got[i], all[i]) {
			a, _ := json.Marshal(got[i])
			b, _ := json.Marshal(all[i])
			t.Errorf("%s became %s", b, a)
		}
	}
	// There is no kind that this test does not know.
	seen := reflect.ValueOf(Expr{})
	for i := range seen.NumField() {
		there := false
		for _, e := range all {
			there = there || !reflect.ValueOf(e).Field(i).IsNil()
		}
		if !there {
			t.Errorf("no %s among the expressions", seen.Type().Field(i).Name)
		}
	}
}

// What is wrong in an expression is told, not sent.
func TestWordsThatAreNone(t *testing.T) {
	for _, e := range []Expr{
		{}, {Meta: &Meta{Key: "x"}}, {Payload: &Payload{}}, {Cmp: &Cmp{Op: "="}}, {Range: &Range{}}, {Byteorder: &Byteorder{}}, {Verdict: &Verdict{Kind: "x"}},
		{Ct: &Ct{Key: "state", Dir: "x"}}, {Ct: &Ct{}}, {Fib: &Fib{}}, {Fib: &Fib{Result: "type", Flags: []string{"x"}}}, {Rt: &Rt{}}, {Exthdr: &Exthdr{}},
		{Reject: &Reject{}}, {NAT: &NAT{}}, {NAT: &NAT{Kind: "snat"}}, {Masq: &Masq{Flags: []string{"x"}}}, {DynSet: &DynSet{}},
	} {
		var w encoder
		if w.expr(&e, unix.NFTA_LIST_ELEM); w.err == nil {
			t.Errorf("%+v was encoded", e)
		}
	}
}

// Whatever the kernel sends, reading ends, and what was read says the same when it is sent back.
func FuzzRule(f *testing.F) {
	for _, e := range everyExpr() {
		var w encoder
		w.exprs([]Expr{e})
		f.Add(w.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		_, _, _, _ = new(ruleReader).read(b)
		_, _, _ = readChain("inet", b)
		_, _, _ = readSet(b)
		exprs, err := readExprs(b)
		if err != nil {
			return
		}
		var w encoder
		w.exprs(exprs)
		if w.err != nil {
			t.Fatalf("%+v: %v", exprs, w.err)
		}
		again, err := readExprs(w.b)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(canonicalExprs(exprs, nil))
		c, _ := json.Marshal(canonicalExprs(again, nil))
		if !bytes.Equal(a, c) {
			t.Fatalf("%s became %s", a, c)
		}
	})
}

func FuzzElements(f *testing.F) {
	for _, t := range samples() {
		for i := range t.Sets {
			c := &changes{table: "x", family: 1}
			if c.elements(&t.Sets[i], 0, false, t.Sets[i].Elements[:min(4, len(t.Sets[i].Elements))]) == nil && c.batch.Len() > 0 {
				_, b := c.batch.Message(0)
				f.Add(b, uint8(i))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		s := &Set{Name: "x", Key: []string{TypeIPv4}, Interval: kind&1 != 0}
		if kind&2 != 0 {
			s.Data = []string{TypeVerdict}
		}
		if kind&4 != 0 {
			s.Key = []string{TypeIPv4, TypePort}
		}
		r := &elementReader{set: s}
		if r.message(b) != nil {
			return
		}
		elems := r.elements()
		for i := 1; i < len(elems); i++ {
			if compareElements(elems[i-1], elems[i]) > 0 {
				t.Fatal("not sorted")
			}
		}
	})
}

// The elements of a set with ranges, at the edges of what there is.
func TestIntervals(t *testing.T) {
	k := func(b ...byte) []byte { return b }
	for name, elems := range map[string][]Element{
		"none":       nil,
		"everything": {{Key: k(0, 0), To: k(255, 255)}},
		"first":      {{Key: k(0, 0)}},
		"last":       {{Key: k(255, 255)}},
		"adjacent":   {{Key: k(0, 1), To: k(0, 9)}, {Key: k(0, 10)}, {Key: k(0, 11), To: k(1, 0)}},
		"carry":      {{Key: k(0, 0), To: k(0, 255)}, {Key: k(1, 1), To: k(254, 255)}, {Key: k(255, 0), To: k(255, 255)}},
		"high bytes": {{Key: k(0x80, 2), To: k(0x9f, 0xff)}},
	} {
		s := &Set{Name: "x", Key: []string{TypePort}, Interval: true}
		c := &changes{table: "x", family: 1}
		if err := c.elements(s, 0, false, elems); err != nil {
			t.Fatal(err)
		}
		for _, backwards := range []bool{false, true} {
			r := &elementReader{set: s}
			for i := range c.batch.Len() {
				_, b := c.batch.Message(i)
				if err := r.message(b); err != nil {
					t.Fatal(err)
				}
			}
			if backwards { // as older kernels list them
				reverse(r.starts)
				reverse(r.ends)
			}
			if got := r.elements(); len(got) != len(elems) || len(elems) > 0 && !reflect.DeepEqual(got, elems) {
				t.Errorf("%s: got %v, want %v", name, got, elems)
			}
		}
	}
}

func reverse[T any](s []T) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// In a constant set of nft's a range ends where the next one begins, without an end of its own.
func TestOpenIntervals(t *testing.T) {
	got := joinIntervals([]Element{{Key: []byte{5}}, {Key: []byte{9}}}, [][]byte{{0}, {12}})
	want := []Element{{Key: []byte{5}, To: []byte{8}}, {Key: []byte{9}, To: []byte{11}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// Elements of any number go into messages whose list fits a 16-bit length.
func TestChunks(t *testing.T) {
	c := &changes{table: "x", family: 1}
	s := &Set{Name: "x", Key: []string{TypeIPv4}, Interval: true}
	elems := ranges(20000, 0)
	if err := c.elements(s, 0, false, elems); err != nil {
		t.Fatal(err)
	}
	r := &elementReader{set: s}
	for i := range c.batch.Len() {
		_, b := c.batch.Message(i)
		if len(b) > 64<<10 {
			t.Errorf("message %d has %d bytes", i, len(b))
		}
		if err := r.message(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.elements(); c.batch.Len() < 10 || !reflect.DeepEqual(got, elems) {
		t.Errorf("%d messages, %d elements", c.batch.Len(), len(got))
	}
}

func TestTypes(t *testing.T) {
	for _, parts := range [][]string{{TypeIPv4}, {TypeIPv6}, {TypeIfname, TypeIPv4, TypePort}, {TypeMark}, {TypeMAC, TypeProto}} {
		n, err := typeNumber(parts)
		if err != nil {
			t.Fatal(err)
		}
		if got := typeNames(n, KeySize(parts)); !reflect.DeepEqual(got, parts) {
			t.Errorf("%v: %d is %v", parts, n, got)
		}
	}
	for _, tc := range []struct {
		number uint32
		size   int
	}{{0, 4}, {7, 16}, {63, 4}, {4<<6 | 4, 12}} {
		name := typeNames(tc.number, tc.size)
		if len(name) != 1 || TypeSize(name[0]) != tc.size {
			t.Errorf("type %d of %d bytes is %v", tc.number, tc.size, name)
		}
		if n, err := typeNumber(name); err != nil || n != tc.number {
			t.Errorf("%v: number %d, %v", name, n, err)
		}
	}
}
