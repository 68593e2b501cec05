package delegate

import (
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func sample() Message {
	return Message{Type: 3, XID: [3]byte{1, 2, 3}, Client: DUID(net.HardwareAddr{2, 0, 0, 0, 0, 1}), Server: DUID(net.HardwareAddr{2, 0, 0, 0, 0, 2}), IAID: 7, HasIA: true,
		Prefixes: []Prefix{{netip.MustParsePrefix("2001:db8:100::/56"), time.Hour, 2 * time.Hour}}}
}

func TestRoundTrip(t *testing.T) {
	b, err := Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b, 7)
	if want := sample(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := Decode(b, 8); err != nil || got.HasIA || got.Prefixes != nil {
		t.Errorf("another's association: %+v %v", got, err)
	}
	hint := sample()
	hint.Prefixes, hint.Length = nil, 60
	if b, err = Encode(hint); err != nil {
		t.Fatal(err)
	}
	if got, _ := Decode(b, 7); len(got.Prefixes) != 1 || got.Prefixes[0].Prefix.String() != "::/60" {
		t.Errorf("a wish: %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b, 7)
		if err != nil {
			return
		}
		for _, p := range m.Prefixes {
			if !p.Prefix.IsValid() || p.Prefix.Addr().Is4() {
				t.Errorf("%v", p)
			}
		}
	})
}
