package option

import (
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		code   uint8
		want   string // hex, or the error
	}{
		{"router", []string{"10.0.0.1"}, 3, "0a000001"},
		{"gateway", []string{"10.0.0.1"}, 3, "0a000001"},
		{"3", []string{"10.0.0.1"}, 3, "0a000001"},
		{"option:router", []string{"10.0.0.1"}, 3, "0a000001"},
		{"dns-server", []string{"10.0.0.1", "10.0.0.2"}, 6, "0a0000010a000002"},
		{"dns-server", []string{"10.0.0.1, 10.0.0.2"}, 6, "0a0000010a000002"},
		{"domain-name", []string{"lan"}, 15, "6c616e"},
		{"domain-search", []string{"eng.apple.com", "marketing.apple.com"}, 119, "03656e67056170706c6503636f6d00096d61726b6574696e67c004"}, // RFC 3397
		{"mtu", []string{"1400"}, 26, "0578"},
		{"mtu!", []string{"1400"}, 26, "0578"},
		{"time-offset", []string{"-3600"}, 2, "fffff1f0"},
		{"ip-forward-enable", []string{"yes"}, 19, "01"},
		{"arp-timeout", []string{"0x10"}, 35, "00000010"},
		{"captive-portal", []string{"https://a/"}, 114, "68747470733a2f2f612f"},
		{"captive-portal", []string{"urn:ietf:params:capport:unrestricted"}, 114, hex.EncodeToString([]byte("urn:ietf:params:capport:unrestricted"))},
		{"posix-timezone", []string{"EST5EDT4,M3.2.0/02:00,M11.1.0/02:00"}, 100, hex.EncodeToString([]byte("EST5EDT4,M3.2.0/02:00,M11.1.0/02:00"))},
		{"static-route", []string{"10.1.0.1,10.0.0.1"}, 33, "0a0100010a000001"},
		{"classless-static-route", []string{"10.8.0.0/16 via 10.0.0.1", "default via 10.0.0.2"}, 121, "100a080a000001" + "000a000002"},
		{"classless-static-route", []string{"10.8.0.0/16,10.0.0.1,10.9.0.1,10.0.0.1"}, 121, "100a080a000001" + "200a0900010a000001"},
		{"121", []string{"192.168.7.128/25 via 0.0.0.0"}, 121, "19c0a8078000000000"},
		{"vendor-encap", []string{"hex:01:02 0a"}, 43, "01020a"},
		{"224", []string{"hex:ff"}, 224, "ff"},
		{"224", []string{"text"}, 224, "74657874"},
		{"router", []string{"hex:"}, 3, ""},
		{"vendor-class", []string{"PXEClient"}, 60, "505845436c69656e74"},
		{"ipv6-only", []string{"300"}, 108, "0000012c"},
		{"client-arch", []string{"0,7"}, 93, "00000007"},

		{"rooter", []string{"x"}, 0, `no option is called "rooter": use its number, or a name such as router or ntp-server`},
		{"256", []string{"x"}, 0, `no option is called "256"`},
		{"0", []string{"hex:00"}, 0, "option 0 cannot be set: it has no value"},
		{"53", []string{"1"}, 53, "option message-type cannot be set: it is the protocol's own"},
		{"lease-time", []string{"1"}, 51, "option lease-time cannot be set: use lease-time"},
		{"router", []string{"fe80::1"}, 3, `option router: "fe80::1" is not an IPv4 address`},
		{"router", []string{"10.0.0.256"}, 3, `option router: "10.0.0.256" is not an IPv4 address`},
		{"netmask", []string{"255.0.0.0", "255.0.0.0"}, 1, "option netmask: it takes one address, not 2"},
		{"static-route", []string{"10.0.0.1"}, 33, "option static-route: it takes pairs of addresses"},
		{"mtu", []string{"67"}, 26, "option mtu: 67 is too small: at least 68"},
		{"mtu", []string{"65536"}, 26, "option mtu: 65536 does not fit into 16 bits"},
		{"mtu", []string{"big"}, 26, `option mtu: "big" is not a number`},
		{"mtu", []string{"1", "2"}, 26, "option mtu: it takes one number, not 2"},
		{"ipv6-only", []string{"299"}, 108, "option ipv6-only: 299 is too small: at least 300"},
		{"ip-forward-enable", []string{"maybe"}, 19, `option ip-forward-enable: "maybe" is neither true nor false`},
		{"captive-portal", []string{"http://a/"}, 114, `option captive-portal: "http://a/": only https is allowed`},
		{"captive-portal", []string{"a"}, 114, `option captive-portal: "a" is not a URI`},
		{"domain-search", []string{strings.Repeat("a", 64) + ".lan"}, 119, "a label has 64 characters, at most 63 are allowed"},
		{"domain-search", []string{"a..b"}, 119, `option domain-search: "a..b" has an empty label`},
		{"domain-search", []string{"."}, 119, `option domain-search: "." is not a domain name`},
		{"domain-search", []string{strings.Repeat("abcdefg.", 32) + "lan"}, 119, "is longer than 253 characters"},
		{"domain-name", []string{"a b"}, 15, `option domain-name: "a b": ' ' does not belong into a domain name`},
		{"vendor-encap", []string{"text"}, 43, `option vendor-encap: "text": its value is bytes, written as hex:01ff`},
		{"43", []string{"hex:0"}, 43, `option vendor-encap: "0" is not hexadecimal`},
		{"root-path", []string{"a\x00b"}, 17, "option root-path: text cannot hold a NUL"},
		{"root-path", []string{""}, 17, "option root-path: it needs a value"},
		{"root-path", []string{"a", "b"}, 17, "option root-path: it takes one value, not 2"},
		{"root-path", []string{strings.Repeat("a", 256)}, 17, "option root-path: 256 bytes are too long: at most 255"},
		{"121", []string{"10.8.0.0/16"}, 121, `option classless-static-route: "10.8.0.0/16" has no router: write 10.8.0.0/16 via 10.0.0.1`},
		{"121", []string{"10.8.0.1/16 via 10.0.0.1"}, 121, "option classless-static-route: 10.8.0.1/16 has bits behind its prefix: do you mean 10.8.0.0/16?"},
		{"121", []string{"lan via 10.0.0.1"}, 121, `option classless-static-route: "lan" is not an IPv4 network`},
	} {
		t.Run(fmt.Sprint(tt.name, tt.values), func(t *testing.T) {
			o, err := Parse(tt.name, tt.values)
			if o.Code != tt.code || o.Forced != strings.HasSuffix(tt.name, "!") || o.Off {
				t.Errorf("%+v", o)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) || tt.want == "" {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if got := hex.EncodeToString(o.Data); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			// What is printed reads back.
			back, err := Parse(fmt.Sprint(o.Code), Values(o.Code, o.Data))
			if err != nil || string(back.Data) != string(o.Data) {
				t.Errorf("%v reads back to %x, %v", Values(o.Code, o.Data), back.Data, err)
			}
		})
	}
}

func TestString(t *testing.T) {
	for _, tt := range []struct {
		o    Option
		want string
	}{
		{Option{Code: 3, Data: []byte{10, 0, 0, 1, 10, 0, 0, 2}}, "router 10.0.0.1, 10.0.0.2"},
		{Option{Code: 3, Data: []byte{10, 0, 0}}, "router hex:0a0000"},
		{Option{Code: 3, Off: true}, "router (off)"},
		{Option{Code: 15, Data: []byte("a\x1b[2J"), Forced: true}, "domain-name! hex:611b5b324a"},
		{Option{Code: 15, Data: []byte("lan")}, "domain-name lan"},
		{Option{Code: 51, Data: []byte{255, 255, 255, 255}}, "lease-time infinite"},
		{Option{Code: 224, Data: []byte("x y")}, "224 x y"},
		{Option{Code: 80}, "rapid-commit"},
		{Option{Code: 119, Data: []byte{0xc0, 0}}, "domain-search hex:c000"},
		{Option{Code: 119, Data: []byte("\x01a\x00\xc0\x00")}, "domain-search a, a"},
		{Option{Code: 101, Data: []byte(`a"b`)}, `tzdb-timezone "a\"b"`},
	} {
		if got := tt.o.String(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestOff(t *testing.T) {
	if o, err := Parse("router", nil); err != nil || !o.Off || o.Code != 3 {
		t.Errorf("%+v %v", o, err)
	}
}

func TestCode(t *testing.T) {
	for name, want := range map[string]uint8{"ntp-server": 42, "option:42": 42, " 250 ": 250, "search": 119} {
		if got, err := Code(name); got != want || err != nil {
			t.Errorf("%s: %d %v", name, got, err)
		}
	}
	for _, name := range []string{"x", "256", "0", "255", ""} {
		if _, err := Code(name); err == nil {
			t.Errorf("%q is an option", name)
		}
	}
}

func TestTable(t *testing.T) {
	names := map[string]bool{}
	last := uint8(0)
	for _, i := range table {
		if i.code <= last && last != 0 || names[i.name] {
			t.Errorf("%d %s is there twice or out of order", i.code, i.name)
		}
		last, names[i.name] = i.code, true
	}
	for n, c := range aliases {
		if names[n] || known(c).name == "" {
			t.Errorf("alias %s", n)
		}
	}
}

// FuzzValues: bytes of any kind print, and what is printed reads back to them.
func FuzzValues(f *testing.F) {
	f.Add(uint8(119), []byte("\x03lan\x00\x03lab\xc0\x00"))
	f.Add(uint8(121), []byte("\x10\x0a\x08\x0a\x00\x00\x01"))
	f.Add(uint8(12), []byte("hex:"))
	f.Fuzz(func(t *testing.T, code uint8, data []byte) {
		if len(data) > 255 {
			return
		}
		v := Values(code, data)
		for _, s := range v {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q", s)
			}
		}
		if own(code) != "" {
			return
		}
		o, err := Parse(fmt.Sprint(code), v)
		if err != nil || string(o.Data) != string(data) {
			t.Errorf("%d %x prints as %q, reads back to %x, %v", code, data, v, o.Data, err)
		}
	})
}

// FuzzDomains and FuzzRoutes: what we write the library reads.
func FuzzDomains(f *testing.F) {
	f.Add("lan,lab.lan,a.lab.lan")
	f.Add("lan..")
	f.Fuzz(func(t *testing.T, list string) {
		names := strings.Split(list, ",")
		b, err := EncodeDomains(names)
		if err != nil {
			return
		}
		for i := range names {
			names[i] = strings.TrimSuffix(names[i], ".")
		}
		got, ok := decodeDomains(b)
		if !ok || !slices.EqualFunc(got, names, strings.EqualFold) {
			t.Fatalf("%q reads back to %q", names, got)
		}
		d := dhcpv4.DHCPv4{Options: dhcpv4.Options{119: b}}
		if l := d.DomainSearch(); l != nil && !slices.EqualFunc(l.Labels, names, strings.EqualFold) {
			t.Errorf("the library reads %q, want %q", l.Labels, names)
		}
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add([]byte("\x10\x0a\x08\x0a\x00\x00\x01\x00\x0a\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, ok := DecodeRoutes(raw)
		if !ok {
			return
		}
		b := AppendRoutes(nil, r)
		d := dhcpv4.DHCPv4{Options: dhcpv4.Options{121: b}}
		lib := d.ClasslessStaticRoute()
		if len(lib) != len(r) {
			t.Fatalf("the library reads %d routes of %d", len(lib), len(r))
		}
		for i := range r {
			ones, _ := lib[i].Dest.Mask.Size()
			if ones != r[i].Dest.Bits() || !lib[i].Router.Equal(net.IP(r[i].Via.AsSlice())) || !lib[i].Dest.IP.Equal(net.IP(r[i].Dest.Masked().Addr().AsSlice())) {
				t.Errorf("%v, library %v", r[i], lib[i])
			}
		}
	})
}
