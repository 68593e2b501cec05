package journal

import (
	"hash/crc32"
	"testing"
)

// Both tables give the sums of RFC 3720 appendix B.4, whichever comes first.
func TestSums(t *testing.T) {
	ascending := make([]byte, 32)
	for i := range ascending {
		ascending[i] = byte(i)
	}
	for _, c := range []struct {
		text []byte
		want uint32
	}{{make([]byte, 32), 0x8a9136aa}, {ascending, 0x46dd794e}, {[]byte("123456789"), 0xe3069283}} {
		for name, table := range map[string]*crc32.Table{"plain": plain(), "the processor's": castagnoli()} {
			if got := crc32.Checksum(c.text, table); got != c.want {
				t.Errorf("%s: the sum of %x is %#08x, want %#08x", name, c.text, got, c.want)
			}
		}
	}
	frame, err := appendFrame(nil, func(b []byte) []byte { return append(b, "a record"...) })
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, slowly} {
		summed.Store(n)
		if payload, _ := next(frame); string(payload) != "a record" {
			t.Errorf("after %d bytes: %q", n, payload)
		}
	}
}
