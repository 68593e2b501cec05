package sit

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
)

func TestParse(t *testing.T) {
	s := Spec{Name: "he", Remote: netip.MustParseAddr("192.0.2.1"), Local: netip.MustParseAddr("10.0.0.2"), TTL: 255, Dev: "eth0", Mark: 0x2a000000}
	if got, err := parse("he", Want(s, "").Attrs); err != nil || got != s {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzParse: what is taken is in its one form.
func FuzzParse(f *testing.F) {
	f.Add("192.0.2.1", "", "255", "eth0", "0x2a")
	f.Add("192.0.2.1", "10.0.0.1", "", "", "")
	f.Fuzz(func(t *testing.T, remote, local, ttl, dev, mark string) {
		a := provision.Attrs{AttrRemote: remote, AttrLocal: local, AttrTTL: ttl, AttrDev: dev, AttrMark: mark, AttrPMTUDisc: "1", AttrOwner: Owner}
		s, err := parse("x", a)
		if err == nil && !maps.Equal(Want(s, "").Attrs, a) {
			t.Errorf("%v is read as %v", a, Want(s, "").Attrs)
		}
	})
}
