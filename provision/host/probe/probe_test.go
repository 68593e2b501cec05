package probe

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func TestEchoed(t *testing.T) {
	nonce := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	reply := func(v4 bool, change func([]byte)) []byte {
		b := echo(v4, 7, 9, nonce)
		b[0] = 129
		if v4 {
			b[0] = 0
		}
		change(b)
		if v4 {
			b[2], b[3] = 0, 0
			binary.BigEndian.PutUint16(b[2:], checksum(b))
		}
		return b
	}
	for _, v4 := range []bool{true, false} {
		for _, tt := range []struct {
			name   string
			change func([]byte)
			want   bool
		}{
			{"the answer", func([]byte) {}, true},
			{"another id", func(b []byte) { b[5]++ }, false},
			{"another sequence", func(b []byte) { b[7]++ }, false},
			{"another content", func(b []byte) { b[15]++ }, false},
			{"a request", func(b []byte) { b[0] = 8 }, false},
			{"another code", func(b []byte) { b[1] = 1 }, false},
		} {
			if got := echoed(v4, reply(v4, tt.change), 0, 7, 9, nonce); got != tt.want {
				t.Errorf("%s (IPv4 %v): %v", tt.name, v4, got)
			}
		}
	}
	b := reply(true, func([]byte) {})
	b[2]++
	if echoed(true, b, 0, 7, 9, nonce) {
		t.Error("a wrong checksum is taken")
	}
}

func TestAnswered(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func([]byte)
		done   bool
		good   bool
	}{
		{"the answer", func([]byte) {}, true, true},
		{"refused", func(b []byte) { b[3] |= 5 }, true, true},
		{"failed", func(b []byte) { b[3] |= 2 }, true, false},
		{"not understood", func(b []byte) { b[3] |= 1 }, true, false},
		{"the question itself", func(b []byte) { b[2] &^= 0x80 }, false, true},
		{"another id", func(b []byte) { b[0]++ }, false, true},
		{"another question", func(b []byte) { b[14]++ }, false, true},
	} {
		b := query(0x1234)
		b[2] |= 0x80
		tt.change(b)
		done, err := answered(b, 0x1234)
		if done != tt.done || (err == nil) != tt.good {
			t.Errorf("%s: %v, %v", tt.name, done, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(query(1), uint16(1))
	f.Add([]byte{0x45, 19: 9, 20: 0, 35: 1}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, id uint16) {
		if done, _ := answered(b, id); done && len(b) < 17 {
			t.Errorf("%x is taken", b)
		}
		if p, ok := payload4(b, netip.AddrFrom4([4]byte{0, 0, 0, 9})); ok {
			b = p
		}
		for _, v4 := range []bool{true, false} {
			if echoed(v4, b, 0, id, id, [8]byte{}) && len(b) != 16 {
				t.Errorf("%x is taken", b)
			}
		}
	})
}
