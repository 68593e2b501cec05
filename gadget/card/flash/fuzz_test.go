package flash

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// FuzzXZIndex: whatever the end of a file says, blocks are inside it, follow each other, and nothing is asked for that is not there.
func FuzzXZIndex(f *testing.F) {
	whole, err := os.ReadFile(packed(f, XZ, noise(3000, 1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(append(bytes.Clone(whole), 0, 0, 0, 0), whole...))
	f.Add(whole[:len(whole)-4])
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := xzIndex(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		at := int64(0)
		for _, x := range blocks {
			if x.at < at+xzEnds && at == 0 || x.at < at || x.at+x.padded() > int64(len(b)) || x.size < 0 {
				t.Fatalf("%+v after %d of %d", x, at, len(b))
			}
			at = x.at + x.padded()
			if x.size > 1<<20 {
				continue
			}
			// Unpacked alone or not at all: what comes out has the length that the index says.
			if got, err := xzUnpack(bytes.NewReader(b), x, make([]byte, x.size)); err == nil && int64(len(got)) != x.size {
				t.Fatal("another length")
			}
		}
	})
}

// FuzzXZ: what comes out of blocks side by side is what a reader of the whole stream gives.
func FuzzXZ(f *testing.F) {
	f.Add([]byte("hello"), uint16(3), true)
	f.Add(noise(5000, 2), uint16(700), false)
	f.Fuzz(func(t *testing.T, data []byte, block uint16, twice bool) {
		if len(data) == 0 || block == 0 || len(data)/int(block) > 50 {
			return
		}
		var b bytes.Buffer
		for n := 0; n == 0 || n == 1 && twice; n++ {
			w, err := xz.WriterConfig{BlockSize: int64(block)}.NewWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			b.Write(make([]byte, 8)) // padding of the stream
		}
		blocks, err := xzIndex(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		x := newXZBlocks(bytes.NewReader(b.Bytes()), blocks, 3)
		defer x.stop()
		got, err := io.ReadAll(x)
		want := data
		if twice {
			want = append(bytes.Clone(data), data...)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d: %v", len(got), len(want), err)
		}
	})
}

// FuzzSum: a checksum that is found has 64 digits, and is in the text.
func FuzzSum(f *testing.F) {
	sum := strings.Repeat("0f", 32)
	f.Add(sum+"  a.img\n", "a.img")
	f.Add("SHA256 (a.img) = "+sum, "a.img")
	f.Fuzz(func(t *testing.T, text, name string) {
		got, err := ParseSum(text, name)
		if err == nil && (len(got) != 64 || !strings.Contains(strings.ToLower(text), got)) {
			t.Errorf("%q in %q", got, text)
		}
	})
}

// FuzzNote: only what was written as a note is one, and a state that is believed says where to go on.
func FuzzNote(f *testing.F) {
	f.Add(Note{strings.Repeat("0a", 16), "x.img"}.Bytes())
	f.Add([]byte(`{"token":"ab","written_bytes":4194304,"device_bytes":8388608,"prefix_sha256":"` + strings.Repeat("0", 64) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := zstdSize(b); n < 0 {
			t.Errorf("%d bytes", n)
		}
		if n, ok := ParseNote(b); ok {
			if again, ok := ParseNote(n.Bytes()); !ok || again.Token != n.Token {
				t.Errorf("%+v, %+v", n, again)
			}
		}
		if s, err := parseState(b); err == nil && (s.Written < Piece || s.Written%Piece != 0 || len(s.Prefix) != 64) {
			t.Errorf("%+v", s)
		}
	})
}
