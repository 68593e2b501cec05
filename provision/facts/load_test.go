package facts

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() *Facts {
	return &Facts{
		Schema:  SchemaVersion,
		Machine: Machine{Hostname: "box", OS: "debian", OSVersion: "12", Init: "systemd"},
		Links:   []Link{{Index: 1, Name: "lo", ARPHRD: 772, Up: true}, {Index: 2, Name: "on", MAC: "08:00:27:01:02:03", PermMAC: "08:00:27:01:02:03", ARPHRD: 1, Sysctl: map[string]string{"ipv6.accept_ra": "1"}}},
		Addrs:   []Address{{Link: 2, Prefix: netip.MustParsePrefix("10.0.2.15/24"), Scope: "global", Dynamic: true, Valid: 86000 * time.Second}},
		Routes:  []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.2.2"), Link: 2, Proto: ProtoDHCP, Table: 254, Type: "unicast", Scope: "global"}},
		Rules:   []Rule{{Family: 4, Priority: 32766, Table: 254, Action: "lookup", Suppresses: true}},
		Networkd: Networkd{Daemon: Daemon{Installed: true, Running: true, PID: 300, Version: "252"}, Links: map[int]NetworkdLink{
			2: {Admin: "configured", Network: "/run/systemd/network/10-netplan-on.network"}}},
		NM:          NM{Profiles: []NMProfile{{ID: "Wired connection 1", UUID: "u", Type: "ethernet", Path: "/run/x"}}},
		SSH:         []Session{{Local: netip.MustParseAddrPort("10.0.2.15:22"), Remote: netip.MustParseAddrPort("10.0.2.2:50000"), Mine: true}},
		DHCPSockets: []DHCPSocket{{Local: netip.MustParseAddrPort("[fe80::1%on]:546"), Link: 2, UID: 998}},
		DNS:         DNS{Owner: "file", Servers: []string{"10.0.2.3"}},
		Files: map[string]File{
			"/etc/netplan/50.yaml":      {Mode: 0o600, Text: "network:\n  version: 2\n"},
			"/etc/network/interfaces":   {Mode: 0o644, Text: "auto lo\n\n  \ttrailing \t\r\nno newline"},
			"/etc/latin1":               {Text: "caf\xe9 \x00 \x01\n"},
			"/etc/empty":                {},
			"/etc/blank":                {Text: "\n\n"},
			"/etc/lead":                 {Text: " lead\n  two\n"},
			"/etc/unicode":              {Text: "\u2028 \ufeff 😀 \u0085\n<a&b>\n"},
			"/etc/words":                {Text: "yes"},
			"/etc/number":               {Text: "0x10", Link: "123"},
			"/etc/# odd: name - [key]?": {Text: "---\n...\n"},
		},
		Unreadable: []Problem{{Source: "/etc/netplan/90.yaml", Reason: "permission denied"}},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, write := range map[string]func(*Facts, *bytes.Buffer) error{
		"json": func(f *Facts, b *bytes.Buffer) error { return f.WriteJSON(b) },
		"yaml": func(f *Facts, b *bytes.Buffer) error { return f.WriteYAML(b) },
	} {
		t.Run(name, func(t *testing.T) {
			f := sample()
			var buf bytes.Buffer
			if err := write(f, &buf); err != nil {
				t.Fatal(err)
			}
			text := buf.String()
			got, err := Load(&buf)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if !reflect.DeepEqual(got, f) {
				t.Errorf("loaded facts differ\ngot  %+v\nwant %+v\n%s", got, f, text)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "neither a JSON object nor a YAML mapping"},
		{"- a\n", "neither a JSON object nor a YAML mapping"},
		{"{}", "no schema version"},
		{`{"schema": 2}`, "schema version 2, this program knows 1"},
		{`{"schema": "1"}`, "cannot unmarshal string"},
		{`{"schema": 1, "linsk": []}`, `unknown field "linsk"`},
		{`{"schema": 1} {"schema": 1}`, "after top-level value"},
		{`{"schema": 1, "links": [{"index": 0, "name": "a"}, {"index": 2, "name": "b"}, {"index": 2, "name": "c"}, {"index": 3}]}`, `link "a" has index 0`},
		{`{"schema": 1, "links": [{"index": 2, "name": "b"}, {"index": 2, "name": "c"}]}`, `links "b" and "c" have the same index 2`},
		{`{"schema": 1, "routes": [{"metric": 1}]}`, "route 1 has no destination"},
		{`{"schema": 1, "files": {"etc/x": {"mode": 1}}}`, `file "etc/x" is no absolute path`},
		{"schema: 1\nschema: 1\n", "twice"},
		{"schema: 1\nmachine: &a {os: debian}\ndns: *a\n", "anchors and aliases"},
		{"schema: 1\n? [a]\n: b\n", "a key must be a word"},
		{"schema: 1\nlinks: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested too deeply"},
	} {
		_, err := Load(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load(%.60q) says %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	var j, y bytes.Buffer
	if err := sample().WriteJSON(&j); err != nil {
		f.Fatal(err)
	}
	if err := sample().WriteYAML(&y); err != nil {
		f.Fatal(err)
	}
	f.Add(j.Bytes())
	f.Add(y.Bytes())
	f.Add([]byte(`{"schema":1,"links":[{"index":1,"name":"a","altnames":[]}],"files":{"/a":{"base64":"/w=="}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Load(bytes.NewReader(b))
		if err != nil {
			return
		}
		var first, second, third bytes.Buffer
		if err := got.WriteJSON(&first); err != nil {
			t.Fatal(err)
		}
		if err := got.WriteYAML(&second); err != nil {
			t.Fatal(err)
		}
		for _, text := range []*bytes.Buffer{&first, &second} {
			again, err := Load(bytes.NewReader(text.Bytes()))
			if err != nil {
				t.Fatalf("what was printed does not load: %v\n%s", err, text)
			}
			third.Reset()
			if err := again.WriteJSON(&third); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Bytes(), third.Bytes()) {
				t.Fatalf("printed, loaded and printed again:\n%s\n%s", first.Bytes(), third.Bytes())
			}
		}
	})
}
