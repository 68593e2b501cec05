package sit

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
)

// FuzzDecode: whatever comes, decoding ends, and what was composed is read back.
func FuzzDecode(f *testing.F) {
	w := Want(Spec{Name: "he", Remote: netip.MustParseAddr("192.0.2.1"), TTL: 255, Mark: 5}, "")
	asked, err := parse("he", w.Attrs)
	if err != nil {
		f.Fatal(err)
	}
	body, err := compose(asked, state{}, false, w.Attrs, nil)
	if err != nil {
		f.Fatal(err)
	}
	s, err := decode(body)
	if err != nil || s.remote != asked.Remote || s.ttl != 255 || s.mark != 5 || !s.pmtudisc || s.name != "he" {
		f.Fatalf("%+v, %v", s, err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if s, err := decode(msg); err == nil && s.kind == "sit" {
			if a := s.attrs(); len(a) != 7 || !(Resource{}).Wrote(provision.Attrs{AttrOwner: Owner}) {
				t.Errorf("%v", a)
			}
		}
	})
}
