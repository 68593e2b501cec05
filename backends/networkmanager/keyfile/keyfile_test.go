package keyfile

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int // of the error, 0 none
	}{
		{"plain", "# c\n\n[a]\nk=v\n", 0},
		{"semicolon is no comment", "[a]\n; c\n", 2},
		{"key before a group", "k=v\n", 1},
		{"line without =", "[a]\nfoo\n", 2},
		{"empty key", "[a]\n=v\n", 2},
		{"blanks behind a group", "[a] \t\nk=v\n", 0},
		{"text behind a group", "[a] x\n", 1},
		{"group not closed", "[a\n", 1},
		{"bracket in a group", "[a[b]\n", 1},
		{"indented comment and key", "[a]\n  # c\n  k = v\n", 0},
		{"NUL", "[a]\nk=\x00\n", 2},
		{"no line end", "[a]\nk=v", 0},
		{"empty", "", 0},
	} {
		_, err := Parse([]byte(c.text))
		var at *Error
		switch {
		case c.line == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.line != 0 && (!errors.As(err, &at) || at.Line != c.line):
			t.Errorf("%s: got %v, want an error in line %d", c.name, err, c.line)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); err == nil {
		t.Error("a file beyond the bound was parsed")
	}
}

func TestGet(t *testing.T) {
	f, err := Parse([]byte("[a]\nk=1\n[b]\nk=2\n[a]\n k \t= 3 \n"))
	if err != nil {
		t.Fatal(err)
	}
	if v, line, ok := f.Get("a", "k"); !ok || v != "3 " || line != 6 {
		t.Errorf("got %q in line %d", v, line)
	}
	names, lines := f.Groups()
	if strings.Join(names, ",") != "a,b" || lines[0] != 1 || lines[1] != 3 {
		t.Errorf("groups %v %v", names, lines)
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"changed in place", "[ipv4]\n# c\n  route-metric = 5  \nx=1\n", "[ipv4]\n# c\n  route-metric = 10\nx=1\n"},
		{"the line that counts", "[ipv4]\nroute-metric=1\nroute-metric=2\n", "[ipv4]\nroute-metric=1\nroute-metric=10\n"},
		{"behind the last key of the group", "[ipv4]\nmethod=auto\n\n# about v6\n[ipv6]\nmethod=auto\n", "[ipv4]\nmethod=auto\nroute-metric=10\n\n# about v6\n[ipv6]\nmethod=auto\n"},
		{"into an empty group", "[ipv4]\n\n[ipv6]\n", "[ipv4]\nroute-metric=10\n\n[ipv6]\n"},
		{"a new group", "[connection]\nid=x\n", "[connection]\nid=x\n\n[ipv4]\nroute-metric=10\n"},
		{"a new group behind a last line without end", "[connection]\nid=x", "[connection]\nid=x\n\n[ipv4]\nroute-metric=10\n"},
		{"the last line without end", "[ipv4]\nmethod=auto", "[ipv4]\nmethod=auto\nroute-metric=10"},
		{"CRLF", "[ipv4]\r\nmethod=auto\r\n[ipv6]\r\n", "[ipv4]\r\nmethod=auto\r\nroute-metric=10\r\n[ipv6]\r\n"},
		{"CRLF in place", "[ipv4]\r\nroute-metric=5\r\n", "[ipv4]\r\nroute-metric=10\r\n"},
		{"empty file", "", "[ipv4]\nroute-metric=10\n"},
		{"a group that comes twice", "[ipv4]\nmethod=auto\n[x]\n[ipv4]\n[y]\n", "[ipv4]\nmethod=auto\n[x]\n[ipv4]\nroute-metric=10\n[y]\n"},
	} {
		f, err := Parse([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, err := f.Set("ipv4", "route-metric", "10")
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, got, err, c.want)
		}
		if string(f.Bytes()) != c.text {
			t.Errorf("%s: Set changed the file that it was asked of", c.name)
		}
	}
	f, _ := Parse(nil)
	for _, bad := range [][3]string{{"a]", "k", "v"}, {"a", "k=", "v"}, {"a", "k", "v\n[x]"}, {"a", "", "v"}, {"a", "k", " v"}} {
		if got, err := f.Set(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q was written: %q", bad, got)
		}
	}
}

// FuzzKeyfile: what was set is read back, nothing else changes.
func FuzzKeyfile(f *testing.F) {
	for _, s := range []string{"[ipv4]\nmethod=auto\n", "[ipv4]\r\n route-metric = 5\r\n[ipv6]", "# c\n[a]\nk=v\n[ipv4]\n[a]\nx=[\n", "[a=b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := Parse(data)
		if err != nil {
			return
		}
		if string(k.Bytes()) != string(data) {
			t.Fatalf("bytes changed: %q", k.Bytes())
		}
		out, err := k.Set("ipv4", "route-metric", "1234")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("the edit broke the file: %v\n%q", err, out)
		}
		if v, _, ok := again.Get("ipv4", "route-metric"); !ok || v != "1234" {
			t.Fatalf("read back %q from %q", v, out)
		}
		other := func(k *File) (out []string) {
			for _, e := range k.Keys {
				if e.Group != "ipv4" || e.Key != "route-metric" {
					out = append(out, e.Group+"\x00"+e.Key+"\x00"+e.Value)
				}
			}
			return out
		}
		if a, b := strings.Join(other(k), "\n"), strings.Join(other(again), "\n"); a != b {
			t.Fatalf("other keys changed:\n%q\n%q", a, b)
		}
		twice, err := again.Set("ipv4", "route-metric", "1234")
		if err != nil || string(twice) != string(out) {
			t.Fatalf("setting the same again changes bytes: %q, %q", out, twice)
		}
	})
}
