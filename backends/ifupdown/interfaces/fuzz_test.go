package interfaces

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add([]byte(text), uint8(0))
	}
	f.Add([]byte("source /*\nsource ./f\nsource-directory /\n"), uint8(1))
	f.Add([]byte("iface a inet dhcp\n\x00\xff\\"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		text := string(data)
		file := Parse("/f", text)
		if file.String() != text {
			t.Fatalf("printed %q", file.String())
		}
		half := len(text) / 2
		cfg := Resolve("/f", map[string]string{"/f": text, "/d/a": text[:half], "/d/b": text[half:]}, map[string]string{"/d/c": "denied"})
		for _, s := range cfg.Stanzas {
			cfg.Heirs(s)
			break
		}
		cfg.Covering("/d/provision-eth0")
		for _, e := range cfg.Entries {
			_, _ = Targets(e.Name, []Device{{"eth0", "08:00:27:aa:bb:cc"}, {"eth1", ""}})
		}
		if len(cfg.Stanzas) == 0 {
			return
		}
		s := cfg.Stanzas[int(which)%len(cfg.Stanzas)]
		edited, err := SetOption(s, "metric", "4711")
		if err != nil {
			return
		}
		// An edit adds or changes one line and nothing else.
		before, after := s.File(), Parse(s.Place.File, edited)
		if added := len(after.Lines) - len(before.Lines); added < 0 || added > 1 {
			t.Fatalf("%d lines more in %q", added, edited)
		}
		again := Parse(s.Place.File, edited)
		if again.String() != edited {
			t.Fatalf("edited text prints as %q", again.String())
		}
		if n := strings.Count(edited, "4711"); n < 1 {
			t.Fatalf("the value is not in %q", edited)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("eth*", "eth0")
	f.Add("[!a-c]?[[:alpha:]]\\*", "dxy*")
	f.Add("*a*a*a*a*a*a*b", strings.Repeat("a", 200))
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 2000 {
			return
		}
		match(pattern, s, true)
		if !strings.ContainsAny(pattern, `*?[\`) && match(pattern, s, false) != (pattern == s) {
			t.Fatalf("%q matches %q", pattern, s)
		}
		if !match("*"+strings.Repeat("?", len(s)), s, false) {
			t.Fatalf("as many ? as bytes do not match %q", s)
		}
	})
}
