package pseudonym

import (
	"net/netip"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	n := New("salt")
	n.Name("host", "gate")
	n.Name("host", "gate2")
	const text = "gate gate2 gateway x.gate.y 84.1.2.3/24 84.1.2.4, 84.1.3.4 10.0.0.1 v1.2.3.4.5 12:34:56 8c:16:45:01:02:03 8C-16-45-01-02-03 0x8c1645010203 enx8c1645010203 ff:ff:ff:ff:ff:ff 2a02:1:2:3::1 fe80::8e16:45ff:fe01:203%eth0 ::"
	n.Scan(text)
	got := n.Text(text)
	for _, s := range []string{"84.1.", "16:45", "16-45", "enx8c16", "2a02", "8e16:45ff", " gate ", ".gate."} {
		if strings.Contains(got, s) {
			t.Errorf("%q survives in %s", s, got)
		}
	}
	for _, s := range []string{"gateway", "10.0.0.1", "v1.2.3.4.5", "12:34:56", "ff:ff:ff:ff:ff:ff", "%eth0", " ::"} {
		if !strings.Contains(got, s) {
			t.Errorf("%q is gone from %s", s, got)
		}
	}
	f := strings.Fields(got)
	if p := netip.MustParsePrefix(f[4]); !p.Masked().Contains(netip.MustParseAddr(strings.TrimSuffix(f[5], ","))) || p.Masked().Contains(netip.MustParseAddr(f[6])) {
		t.Errorf("networks are mixed up in %s", got)
	}
	if strings.ToUpper(strings.ReplaceAll(f[10], ":", "-")) != f[11] {
		t.Errorf("one address, two pseudonyms: %s and %s", f[10], f[11])
	}
}

// More networks than there are ranges for documentation must stay apart.
func TestManyNetworks(t *testing.T) {
	n := New("salt")
	var all []netip.Addr
	for i := range 200 {
		all = append(all, netip.AddrFrom4([4]byte{80, byte(i), 3, 7}), netip.AddrFrom16([16]byte{0x2a, 2, 0, byte(i), 0, 1, 15: 1}))
	}
	n.Prefix(netip.MustParsePrefix("81.0.0.0/12"))
	n.Prefix(netip.MustParsePrefix("81.3.0.0/20"))
	for _, a := range all {
		n.Prefix(netip.PrefixFrom(a, a.BitLen()))
	}
	seen := map[netip.Addr]netip.Addr{}
	for _, a := range all {
		b := n.Addr(a)
		if other, ok := seen[b]; ok {
			t.Fatalf("%s and %s both became %s", a, other, b)
		}
		seen[b] = a
	}
	if p := n.Network(netip.MustParsePrefix("81.3.16.0/20")); !n.Network(netip.MustParsePrefix("81.0.0.0/12")).Contains(p.Addr()) {
		t.Errorf("%s left its network", p)
	}
}

// FuzzText: whatever stands around them, MAC addresses and public addresses that
// stand alone do not survive, and the same text gives the same.
func FuzzText(f *testing.F) {
	f.Add("address ", "/24 gateway 84.1.2.1\n", uint32(84<<24|1<<16|2<<8|3))
	f.Add("[", "]:22", uint32(8<<24|8<<16|8<<8|8))
	f.Fuzz(func(t *testing.T, before, after string, bits uint32) {
		a := netip.AddrFrom4([4]byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)})
		if !public(a) || before != "" && !strings.ContainsAny(before[len(before)-1:], " \t\n\"'[,=") || after != "" && !strings.ContainsAny(after[:1], " \t\n\"'],") {
			return
		}
		text := before + a.String() + after
		n := New("s")
		n.Scan(text)
		got := n.Text(text)
		b := n.Addr(a)
		if a == b {
			return // a range for documentation may become itself
		}
		if !strings.Contains(got, b.String()) {
			t.Errorf("%q became %q, without %s", text, got, b)
		}
		m := New("s")
		m.Scan(text)
		if again := m.Text(text); again != got {
			t.Errorf("%q became %q and %q", text, got, again)
		}
	})
}
