package nfnl

import (
	"bytes"
	"testing"
)

// Whatever arrives, reading ends with messages or an error.
func FuzzNext(f *testing.F) {
	b := &Batch{}
	b.Add(1, Create, 2, PutString(nil, 1, "x"))
	f.Add(b.seal(1, 2))
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 20, 0, 0, 0, 0, 10, 1, 0, 0, 0, 0, 0, 8, 0, 2, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := next(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("it does not get shorter")
			}
			var tb [20][]byte
			_ = Fill(tb[:], m.Attrs)
			b = rest
		}
	})
}

func TestAttributes(t *testing.T) {
	b, at := Open(nil, 7)
	b = Put8(b, 1, 9)
	b = Put16(b, 2, 0x0102)
	b = Put32(b, 3, 0x01020304)
	b = Put64(b, 4, 5)
	b = PutString(b, 5, "abc")
	b = Close(b, at)
	b = Put(b, 8, []byte{1, 2, 3})
	var outer, inner [9][]byte
	if err := Fill(outer[:], b); err != nil {
		t.Fatal(err)
	}
	if err := Fill(inner[:], outer[7]); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{nil, {9}, {1, 2}, {1, 2, 3, 4}, {0, 0, 0, 0, 0, 0, 0, 5}, []byte("abc\x00")} {
		if !bytes.Equal(inner[i], want) {
			t.Errorf("attribute %d is %v, want %v", i, inner[i], want)
		}
	}
	if !bytes.Equal(outer[8], []byte{1, 2, 3}) {
		t.Errorf("got %v", outer[8])
	}
	for _, bad := range [][]byte{{1}, {3, 0, 0, 0}, {9, 0, 0, 0, 1}} {
		if Fill(outer[:], bad) == nil {
			t.Errorf("%v was read", bad)
		}
	}
}
