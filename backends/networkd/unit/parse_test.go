package unit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func flat(u File) string {
	var b strings.Builder
	for _, e := range u.Entries {
		fmt.Fprintf(&b, "%d/%d [%s] %s=%q\n", e.Line, e.Block, e.Section, e.Key, e.Value)
	}
	for _, p := range u.Problems {
		fmt.Fprintf(&b, "! %v\n", p)
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":        {"[Match]\nName=eth0\n\n[Network]\nDHCP = yes \n", "2/1 [Match] Name=\"eth0\"\n5/2 [Network] DHCP=\"yes\"\n"},
		"comments":     {"# c\n; c\n[Match] \n  # c\nName=eth0 # kept\n", "5/1 [Match] Name=\"eth0 # kept\"\n"},
		"continuation": {"[Match]\nName=eth0 \\\n  # between\n\teth1\\\n eth2\nType=ether", "2/1 [Match] Name=\"eth0  eth1 eth2\"\n6/1 [Match] Type=\"ether\"\n"},
		"repeated":     {"[Route]\nGateway=1.2.3.4\n[Route]\nGateway=1.2.3.5\n", "2/1 [Route] Gateway=\"1.2.3.4\"\n4/2 [Route] Gateway=\"1.2.3.5\"\n"},
		"reset":        {"[Match]\nName=\n", "2/1 [Match] Name=\"\"\n"},
		"endings":      {"\ufeff[Match]\r\nName=eth0\rType=ether\x00Driver=x", "2/1 [Match] Name=\"eth0\"\n3/1 [Match] Type=\"ether\"\n4/1 [Match] Driver=\"x\"\n"},
		"escaped":      {"[Match]\nName=a\\\\\nType=x\\", "2/1 [Match] Name=\"a\\\\\\\\\"\n3/1 [Match] Type=\"x\"\n"},
		"ignored": {"A=1\n[Match]\nnothing\n=x\nName=\xff\nName=e\n",
			"6/1 [Match] Name=\"e\"\n! f:1: assignment \"A=1\" stands before the first section and is ignored\n! f:3: line \"nothing\" has no \"=\" and is ignored\n" +
				"! f:4: line \"=x\" has no key and is ignored\n! f:5: line is not UTF-8 and is ignored\n"},
		"broken": {"[Match]\nName=a\n[Network\nDHCP=yes\n",
			"2/1 [Match] Name=\"a\"\n! f:3: section header \"[Network\" has no closing bracket: networkd refuses the file\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := flat(Parse("f", c.text)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
	if u := Parse("f", strings.Repeat("x", maxFile+1)); !u.Broken || len(u.Problems) != 1 {
		t.Errorf("a file beyond the bound: %+v", u)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[Match]\nName=eth0 \\\n#c\n eth1\n[Route]\nGateway=1.2.3.4\n[Route]\n")
	f.Add("\ufeff[A]\r\nb=c\\\\\\\n\x00;\n[B\n")
	f.Fuzz(func(t *testing.T, text string) {
		u := Parse("f", text)
		ReadMatch(u.Entries)
		if u.Broken {
			return
		}
		again := Parse("f", Render(u.Entries))
		same := func(a, b Entry) bool { return a.Section == b.Section && a.Key == b.Key && a.Value == b.Value }
		if !slices.EqualFunc(u.Entries, again.Entries, same) {
			t.Fatalf("rendered text says something else:\n%s\n%s", flat(u), flat(again))
		}
		for i := range again.Entries {
			for j := range i {
				if (u.Entries[i].Block == u.Entries[j].Block) != (again.Entries[i].Block == again.Entries[j].Block) {
					t.Fatalf("rendering joined or split sections:\n%s\n%s", flat(u), flat(again))
				}
			}
		}
	})
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"eth0", "eth0", true}, {"eth0", "eth01", false}, {"e*", "eth0", true}, {"*", "", true}, {"?", "", false},
		{"en*s?", "enp0s3", true}, {"en*s?", "enp0s", false}, {"*a*b*c", "xxaxxbxxbxc", true}, {"pci-*", "pci-0000:00/x", true},
		{"eth[0-3]", "eth2", true}, {"eth[!0-3]", "eth2", false}, {"eth[^0-3]", "eth4", true}, {"eth[]x]", "eth]", true},
		{"eth[[:digit:]]", "eth7", true}, {"eth[[:alpha:]]", "eth7", false}, {"eth[0", "eth[0", true}, {`eth\*`, "eth*", true}, {`eth\*`, "etha", false},
		{`[\]]`, "]", true}, {"[a-]", "-", true}, {"[!-a]", "b", true}, {`x\`, "x", false}, {"", "", true}, {"", "a", false}, {"ü?", "üö", true},
	} {
		if got := Glob(c.pattern, c.s); got != c.want {
			t.Errorf("Glob(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("e*[!a-c]?\\*", "ethx*")
	f.Add("[[:digit:]]", "1")
	f.Add("********************a", strings.Repeat("b", 100))
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 200 {
			t.Skip("longer than any name")
		}
		Glob(pattern, s)
		if !strings.ContainsAny(pattern, `*?[\`) && Glob(pattern, s) != (pattern == s) {
			t.Fatalf("Glob(%q, %q) differs from equality", pattern, s)
		}
		if ascii := strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0; ascii && !Glob(Quote(s), s) {
			t.Fatalf("quoted %q does not fit itself", s)
		}
	})
}
