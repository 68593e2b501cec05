package address

import (
	"net/netip"
	"testing"
)

func TestParse(t *testing.T) {
	for _, ok := range []string{"mac:02:00:00:00:00:01 192.0.2.1/24", "name:br-usb fe80::1/64", "name:a 0.0.0.1/0"} {
		if s, a, err := Parse(ok); err != nil || Ref(s, a).Name != ok {
			t.Errorf("%q: %q %v %v", ok, s, a, err)
		}
	}
	for _, bad := range []string{"", " ", "name:a", "name:a ", " 192.0.2.1/24", "name:a 192.0.2.1", "name:a 192.0.2.01/24", "name:a  192.0.2.1/24", "name:a FE80::1/64",
		"name:a fe80::1%eth0/64", "name:a ::ffff:192.0.2.1/120", "name:a 0.0.0.0/0", "name:a ff02::1/128", "name:a 255.255.255.255/32", "name:a 192.0.2.1/33"} {
		if _, _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("mac:02:00:00:00:00:01 192.0.2.1/24")
	f.Add("name:br-usb fe80::1/64")
	f.Fuzz(func(t *testing.T, name string) {
		s, a, err := Parse(name)
		if err == nil && (Ref(s, a).Name != name || !a.IsValid() || a.Addr() == (netip.Addr{})) {
			t.Errorf("%q is read as %q %s", name, s, a)
		}
	})
}
