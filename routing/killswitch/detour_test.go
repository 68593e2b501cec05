package killswitch

import (
	"net/netip"
	"testing"
)

func TestDetours(t *testing.T) {
	for _, d := range []Detours{{}, {All: true}, {Own: true}, {All: true, Own: true, To: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}} {
		if got := DetoursOf(d.Rules()); !got.Equal(d) {
			t.Errorf("%s comes back as %s", d, got)
		}
		// Without one of its rules it is another one.
		for i := range d.Rules() {
			rules := d.Rules()
			if got := DetoursOf(append(rules[:i], rules[i+1:]...)); got.Equal(d) {
				t.Errorf("%s lacks a rule, and nobody notices", d)
			}
		}
	}
}
