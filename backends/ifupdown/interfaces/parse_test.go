package interfaces

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus returns the files of testdata/corpus by name.
func corpus(tb testing.TB) map[string]string {
	tb.Helper()
	paths, err := filepath.Glob("testdata/corpus/*")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	out := map[string]string{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			tb.Fatal(err)
		}
		out[filepath.Base(p)] = string(b)
	}
	return out
}

func TestPrintIsInput(t *testing.T) {
	for name, text := range corpus(t) {
		if got := Parse(name, text).String(); got != text {
			t.Errorf("%s: printed %q, read %q", name, got, text)
		}
	}
}

func TestLogicalLines(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no final newline", "auto eth0", "1:auto eth0"},
		{"white space around", " \t auto \v eth0 \f\r\n", "1:auto \v eth0"},
		{"joined", "up a \\\n  b\nup c\n", "1:up a   b|3:up c"},
		{"comments are not continued", "# a \\\nup b\n", "1:# a \\|2:up b"},
		{"behind a backslash nothing is a comment", "up a \\\n# b\n", "1:up a # b"},
		{"CR stands between", "up a \\\r\nup b\r\n", "1:up a \\|2:up b"},
		{"an empty line ends it", "up a\\\n\nup b\n", "1:up a|3:up b"},
		{"unless a backslash was before", "up a\\\\\n\nup b\n", "1:up aup b"},
		{"end of file", "up a\\\\", "1:up a"},
		{"only backslashes", "\\\n\\\n\\", "1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, l := range split(c.in) {
				got = append(got, at("", l.Number, "%s", l.Text)[1:])
			}
			if g := strings.ReplaceAll(strings.Join(got, "|"), ": ", ":"); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

func TestWhereIfupdownStops(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct{ name, in, want string }{
		{"option before any stanza", "\nmetric 10\n", `f:2: misplaced option "metric": no iface or mapping stanza begins before it`},
		{"option after source", "iface a inet dhcp\nsource x\nmetric 1\n", `f:3: misplaced option "metric"`},
		{"option after auto with names", "iface a inet dhcp\nauto a\nmetric 1\n", `f:3: misplaced option "metric"`},
		{"auto without names stays in the stanza", "iface a inet dhcp\nauto\nmetric 1\n", ""},
		{"empty value", "iface a inet dhcp\n  metric   \n", `f:2: option "metric" has no value`},
		{"unknown family", "iface a inet5 dhcp\n", `f:1: unknown address family "inet5"`},
		{"unknown method", "iface a inet auto\n", `f:1: unknown method "auto" of address family inet`},
		{"no family", "iface a\n", "f:1: iface line without an address family"},
		{"no method", "iface a inet\n", "f:1: iface line without a method"},
		{"no name", "iface\n", "f:1: iface line without an interface name"},
		{"inherits nothing", "iface a inet inherits\n", "f:1: inherits without the name of an interface"},
		{"inherits a later stanza", "iface a inherits b\niface b inet dhcp\n", `f:1: cannot inherit from "b": no such stanza before this one`},
		{"inherits another family", "iface b inet6 auto\niface a inet inherits b\n", `f:2: cannot inherit from "b"`},
		{"template is no keyword", "template t\n", `f:1: misplaced option "template"`},
		{"option of a mapping", "mapping eth*\nmetric 1\n", `f:2: misplaced option "metric": a mapping has only script and map`},
		{"two scripts", "mapping eth*\nscript a\nscript b\n", "f:3: second script in one mapping"},
		{"NUL", "iface a inet dhcp\n# a\x00b\n", "f:2: NUL byte"},
		{"too large", strings.Repeat("# 0123456789\n", MaxFile/13+1), "f:1: file is larger than 1048576 bytes"},
		{"words are cut", "iface " + long + " inet manual\nauto " + long + "\n", ""},
		{"an extra word is ignored", "iface a inet dhcp please\nmetric 1\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := Resolve("/f", map[string]string{"/f": c.in}, nil).Broken()
			var got string
			if len(broken) > 0 {
				got = strings.TrimPrefix(broken[0].Error(), "/")
			}
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if len(broken) > 1 {
				t.Errorf("more than one stop: %v", broken)
			}
		})
	}
}
