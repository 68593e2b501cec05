package facts

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAnonymiseMachines(t *testing.T) {
	for _, dir := range machines(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f, _ := gatherCaptured(t, dir)
			g := Anonymise(f, "salt")
			var text bytes.Buffer
			if err := g.WriteJSON(&text); err != nil {
				t.Fatal(err)
			}
			for _, l := range f.Links {
				if l.MAC != "" && l.MAC != "00:00:00:00:00:00" && strings.Contains(text.String(), l.MAC) {
					t.Errorf("MAC %s of %s survives", l.MAC, l.Name)
				}
			}
			for _, s := range []string{"Attic", "Home Network", "hv1", "node7", "fritz.box", "ip-10-20-5-10", "eu-west-1", "correct horse", "battery", "3f5e0f3bd1b4a1e7"} {
				if strings.Contains(text.String(), s) {
					t.Errorf("%q survives", s)
				}
			}
			for _, a := range f.Addrs {
				if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsGlobalUnicast() && !a.Prefix.Addr().IsPrivate() && strings.Contains(text.String(), a.Prefix.Addr().String()) && a.Prefix.Addr() != g.Addrs[0].Prefix.Addr() {
					if !sameSmall(a.Prefix.Addr()) {
						t.Errorf("address %s survives", a.Prefix)
					}
				}
			}
			loaded, err := Load(bytes.NewReader(text.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(loaded, g) {
				t.Error("anonymised facts do not load as they are")
			}
			// What planners look at: which routes are default ones, which gateway
			// is on which network, which names belong together.
			for i, r := range f.Routes {
				q := g.Routes[i]
				if r.Default() != q.Default() || r.Dst.Bits() != q.Dst.Bits() || r.Metric != q.Metric {
					t.Errorf("route %v became %v", r, q)
				}
				for j, a := range f.Addrs {
					if a.Prefix.Masked().Contains(r.Gateway) != g.Addrs[j].Prefix.Masked().Contains(q.Gateway) {
						t.Errorf("gateway %s is on %s, %s is not on %s, or the other way round", r.Gateway, a.Prefix, q.Gateway, g.Addrs[j].Prefix)
					}
				}
			}
			for i := range f.Links {
				if (f.Links[i].PermMAC == f.Links[i].MAC) != (g.Links[i].PermMAC == g.Links[i].MAC) {
					t.Errorf("addresses of %s: %+v became %+v", f.Links[i].Name, f.Links[i], g.Links[i])
				}
			}
			if again := Anonymise(f, "salt"); !reflect.DeepEqual(again, g) {
				t.Error("the same salt gives other pseudonyms")
			}
			if len(f.Links) > 1 {
				if other := Anonymise(f, "pepper"); other.Links[len(f.Links)-1].MAC == g.Links[len(f.Links)-1].MAC && g.Links[len(f.Links)-1].MAC != "" {
					t.Error("another salt gives the same pseudonyms")
				}
			}
		})
	}
}

// sameSmall: addresses like 2001:db8:20::20 may become themselves by chance of
// allotment only in the part that is the documentation's own.
func sameSmall(a netip.Addr) bool { return netip.MustParsePrefix("2001:db8::/32").Contains(a) }

func TestAnonymiseTexts(t *testing.T) {
	f := &Facts{
		Schema:  SchemaVersion,
		Machine: Machine{Hostname: "gate.smith.example.org", MachineID: "0123456789abcdef", BootID: "b"},
		Links: []Link{
			{Index: 2, Name: "enxb827eb010203", MAC: "b8:27:eb:01:02:03", PermMAC: "b8:27:eb:01:02:03"},
			{Index: 3, Name: "eth0", MAC: "08:00:27:aa:bb:cc", PermMAC: "08:00:27:aa:bb:cc"},
		},
		Addrs: []Address{
			{Link: 2, Prefix: netip.MustParsePrefix("84.20.17.5/20")},
			{Link: 2, Prefix: netip.MustParsePrefix("2a02:810d:1:2:ba27:ebff:fe01:203/64")},
			{Link: 2, Prefix: netip.MustParsePrefix("2a02:810d:1:2:8c3e:11aa:9f00:1234/64")},
			{Link: 3, Prefix: netip.MustParsePrefix("192.168.1.5/24")},
		},
		Routes: []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("84.20.16.1"), Link: 2}, {Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("fe80::ba27:ebff:fe01:299"), Link: 2}},
		DNS:    DNS{Search: []string{"smith.example.org"}},
		Files: map[string]File{
			"/etc/netplan/a.yaml": {Text: "network:\n  wifis:\n    wlan0:\n      access-points:\n        \"Smith's \\u00e9 home\":\n          password: hunter22\n        plain: {}\n"},
			"/etc/NetworkManager/system-connections/Villa 7.nmconnection": {Text: "[connection]\nid=Villa 7\ntype=wifi\n[wifi]\nssid=86;105;108;108;97;32;55;\nbssid=B8:27:EB:01:02:99\n"},
			"/etc/network/interfaces":                                     {Text: "iface eth0 inet static\n  address 84.20.17.5/20\n  gateway 84.20.16.1\n  hwaddress b8-27-eb-01-02-03\n  wpa-ssid \"Villa 7\"\n  up ip -6 route add 2a02:810d:1:2::/64 dev eth0 # gate\n  dns 1.1.1.1 255.255.255.0 10.0.2.3\n"},
			"/etc/dhcp/dhclient.conf":                                     {Text: "send dhcp-client-identifier 1:b8:27:eb:01:02:03;\n"},
			"/etc/resolv.conf":                                            {Text: "search smith.example.org\nnameserver 84.20.16.1\nnameserver ::1\n"},
			"/run/systemd/network/10-netplan-enxb827eb010203.network":     {Text: "[Match]\nMACAddress=b8:27:eb:01:02:03\n"},
		},
		NM:         NM{Profiles: []NMProfile{{ID: "Villa 7", Type: "wifi", Path: "/etc/NetworkManager/system-connections/Villa 7.nmconnection"}}},
		Unreadable: []Problem{{Source: "/etc/NetworkManager/system-connections/Cafe Central.nmconnection", Reason: "permission denied"}},
	}
	g := Anonymise(f, "s")
	var b bytes.Buffer
	if err := g.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, s := range []string{"smith", "# gate", "Villa", "86;105", "Cafe", "hunter22", "84.20.", "810d", "2a02", "1.1.1.1", "eb:01", "EB:01", "eb-01", "eb010203", "ba27:ebff", "11aa:9f00", "0123456789abcdef", "u00e9", "é"} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Errorf("%q survives in\n%s", s, text)
		}
	}
	for _, s := range []string{"08:00:27:", "255.255.255.0", "10.0.2.3", "192.168.1.5/24", "nameserver ::1", "dhcp-client-identifier 1:"} {
		if !strings.Contains(text, s) {
			t.Errorf("%q is gone from\n%s", s, text)
		}
	}
	// The name of the link, of its file and of its udev selector are one.
	l := g.Links[0]
	if _, ok := g.Files["/run/systemd/network/10-netplan-"+l.Name+".network"]; !ok {
		t.Errorf("no file for %s in %v", l.Name, g.Files)
	}
	if want := "enx" + strings.ReplaceAll(l.MAC, ":", ""); l.Name != want {
		t.Errorf("link is called %s, its address says %s", l.Name, want)
	}
	// An address made of a MAC address is made of its pseudonym.
	hw := strings.Split(l.MAC, ":")
	eui := g.Addrs[1].Prefix.Addr().As16()
	if eui[15] != hexByte(hw[5]) || eui[13] != hexByte(hw[3]) || eui[11] != 0xff || eui[12] != 0xfe {
		t.Errorf("address %s is not made of %s", g.Addrs[1].Prefix, l.MAC)
	}
	if !g.Addrs[0].Prefix.Masked().Contains(g.Routes[0].Gateway) {
		t.Errorf("gateway %s is not on %s", g.Routes[0].Gateway, g.Addrs[0].Prefix)
	}
	if g.Addrs[1].Prefix.Masked() != g.Addrs[2].Prefix.Masked() {
		t.Errorf("%s and %s were on one network", g.Addrs[1].Prefix, g.Addrs[2].Prefix)
	}
	if f.Files["/etc/resolv.conf"].Text != "search smith.example.org\nnameserver 84.20.16.1\nnameserver ::1\n" {
		t.Error("the original facts were changed")
	}
}

func hexByte(s string) byte {
	const digits = "0123456789abcdef"
	return byte(strings.IndexByte(digits, s[0])<<4 | strings.IndexByte(digits, s[1]))
}
