package nft

import "testing"

// What Get tells without making rules is what it would tell of the rules that Dump makes, of
// tables of ours and of others'.
func TestGetIsDump(t *testing.T) {
	r := network(t)
	tool(t, "add table ip x; add chain ip x a { type filter hook input priority 0; }; add chain ip x b; "+
		"add rule ip x b ip saddr { 192.0.2.1, 192.0.2.7 } counter log level info comment \"a ü\"; add rule ip x a tcp dport != { 22, 80-90 } jump b; "+
		"add rule ip x a icmp type echo-request limit rate 1/second reject", "-f", "-")
	tool(t, "add table ip y; add chain ip y a { type nat hook postrouting priority 100; }; add chain ip y b; "+
		"add rule ip y b meta mark set 7 counter; add rule ip y b ct mark set mark return; add rule ip y a snat to 192.0.2.1-192.0.2.9 random,persistent comment \"b\"", "-f", "-")
	own := thousand()
	if err := r.Set(t.Context(), "inet provision", nil, Own(own, "").Attrs); err != nil {
		t.Fatal(err)
	}
	for _, name := range [][2]string{{"ip", "x"}, {"ip", "y"}, {"inet", "provision"}} {
		r.seen = nil
		got, err := r.Get(t.Context(), name[0]+" "+name[1])
		if err != nil {
			t.Fatal(err)
		}
		if want := Format(mustDump(t, name[0], name[1])); got[AttrTable] != want {
			t.Errorf("table %s: %s", name[1], firstDifference(got[AttrTable], want))
		}
	}
}
