package facts

import "testing"

// NetworkManager marks both the profile it makes by itself for a NIC without one and its record of what others configured as
// generated; only the latter is no ownership.
func TestAutoDefaultProfileIsNotExternal(t *testing.T) {
	for text, want := range map[string]bool{
		"[connection]\nid=Wired connection 1\ntype=ethernet\n[.nmmeta]\nnm-generated=true\n":               false,
		"[connection]\nid=lo\ntype=loopback\n[.nmmeta]\nnm-generated=true\nvolatile=true\nexternal=true\n": true,
		"[connection]\nid=office\ntype=ethernet\n":                                                         false,
	} {
		p, ok := parseProfile(text)
		if !ok || p.external != want {
			t.Errorf("external = %v, want %v:\n%s", p.external, want, text)
		}
	}
}
