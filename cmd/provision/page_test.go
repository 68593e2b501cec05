package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/facts"
)

// hostile is what a file name, an SSID or a file's content may hold: a terminal
// command, a C1 control, a line break, a mark that turns text around, broken UTF-8.
const hostile = "a\x1b[2J\x1b]0;pwned\x07b\u009b31m\r\nc\u202ed\x7f\xff\x80\U000e0001e"

func plain(s string) painted { return painted(visible(s)) }

func newPage(width int) *page {
	return &page{width: width, bold: plain, red: plain, green: plain, yellow: plain, dim: plain}
}

// commands are the bytes and characters that a terminal may act on.
func commands(text string) []string {
	var out []string
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t':
		case r < 0x20, r == 0x7f, r >= 0x80 && r <= 0x9f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			out = append(out, fmt.Sprintf("%U at %d", r, i))
		case r == 0xfffd && !strings.HasPrefix(text[i:], "\ufffd"):
			out = append(out, fmt.Sprintf("byte %#x at %d", text[i], i))
		}
	}
	return out
}

func TestNothingReachesTheTerminalRaw(t *testing.T) {
	p := newPage(60)
	p.title(hostile)
	p.line("%s %v %s %s", hostile, errors.New(hostile), facts.Role(hostile), p.dim(hostile))
	p.verbatim("%s", hostile)
	p.rows([][]string{{"A", "B"}, {hostile, "tab\there"}})
	text := p.buf.String()
	if bad := commands(text); len(bad) > 0 {
		t.Errorf("%v in %q", bad, text)
	}
	for _, want := range []string{`a\x1b[2J\x1b]0;pwned\x07b\u009b31m\x0d\nc\u202ed\x7f\xff\x80\U000e0001e`, `tab\there`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not written out in %q", want, text)
		}
	}

	var errs bytes.Buffer
	g := &globals{stderr: &errs}
	g.finish("provision", fmt.Errorf("cannot read %s\nand more", hostile))
	if bad := commands(errs.String()); len(bad) > 0 {
		t.Errorf("standard error: %v in %q", bad, errs.String())
	}

	for _, format := range []string{"json", "yaml"} {
		var out bytes.Buffer
		g := &globals{stdout: &out, output: format}
		if err := g.emit(map[string]string{"ssid": hostile + "😀"}, nil); err != nil {
			t.Fatal(err)
		}
		if bad := commands(out.String()); len(bad) > 0 {
			t.Errorf("%s: %v in %q", format, bad, out.String())
		}
		raw, err := json.Marshal(hostile + "😀")
		if err != nil {
			t.Fatal(err)
		}
		var want string
		var back map[string]string
		read := map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal}[format]
		if err := errors.Join(json.Unmarshal(raw, &want), read(out.Bytes(), &back)); err != nil || back["ssid"] != want {
			t.Errorf("%s does not say the same any more: %q, want %q (%v)", format, back["ssid"], want, err)
		}
	}
}

func TestLinesWrapAtTheTerminal(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 40))
	p := newPage(50)
	p.line("  %s", long)
	p.verbatim("+ %s", long)
	lines := strings.Split(strings.TrimSuffix(p.buf.String(), "\n"), "\n")
	last := len(lines) - 1
	for i, l := range lines[:last] {
		if len(l) > 50 || !strings.HasPrefix(l, "  word") && !strings.HasPrefix(l, "      word") || i > 0 && !strings.HasPrefix(l, "      word") {
			t.Errorf("line %d: %q", i, l)
		}
	}
	if got := strings.Join(strings.Fields(strings.Join(lines[:last], " ")), " "); got != long {
		t.Errorf("words were lost: %q", got)
	}
	if lines[last] != "+ "+long {
		t.Errorf("a verbatim line was broken: %q", lines[last])
	}
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 0, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"a \x1b[31mred\x1b[0m word", 10, "a \x1b[31mred\x1b[0m word"}, // colours take no room
		{"unbreakablewordthatislong x", 10, "unbreakablewordthatislong\n    x"},
		{"äöü äöü äöü", 8, "äöü äöü\n    äöü"},
	} {
		if got := wrap(tt.in, tt.width); got != tt.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

func TestColours(t *testing.T) {
	for _, tt := range []struct {
		color, noColor string
		want           bool
	}{{"auto", "", false}, {"always", "", true}, {"always", "1", true}, {"never", "", false}, {"auto", "1", false}} {
		t.Setenv("NO_COLOR", tt.noColor)
		var out bytes.Buffer
		code := run(t.Context(), []string{"detect", "--color", tt.color}, &out, &bytes.Buffer{})
		if got := strings.Contains(out.String(), "\x1b["); code != 0 || got != tt.want {
			t.Errorf("--color %s, NO_COLOR=%q: status %d, colours %v, want %v", tt.color, tt.noColor, code, got, tt.want)
		}
	}
}

func TestLineDiff(t *testing.T) {
	text := func(edits []edit) string {
		var b strings.Builder
		for _, e := range edits {
			b.WriteString(string(e.op) + e.line + " ")
		}
		return strings.TrimSpace(b.String())
	}
	for _, tt := range []struct{ a, b, want string }{
		{"", "", ""},
		{"", "x", "+x"},
		{"x", "", "-x"},
		{"a b c", "a b c", "a  b  c"},
		{"a b c", "a x b c y", "a +x  b  c +y"},
		{"a b c d", "a c d", "a -b  c  d"},
		{"a b", "c d", "-a -b +c +d"},
	} {
		got := text(lineDiff(strings.Fields(tt.a), strings.Fields(tt.b)))
		if got != tt.want {
			t.Errorf("%q to %q: %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

// Applying a difference to the old text gives the new one.
func FuzzLineDiff(f *testing.F) {
	f.Add("a\nb\nc", "a\nc\nd")
	f.Add("", "x\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		old, wanted := splitLines(a), splitLines(b)
		var from, to []string
		for _, e := range lineDiff(old, wanted) {
			if e.op != '+' {
				from = append(from, e.line)
			}
			if e.op != '-' {
				to = append(to, e.line)
			}
		}
		if !reflect.DeepEqual(from, old) || !reflect.DeepEqual(to, wanted) {
			t.Errorf("%q to %q: from %q, to %q", old, wanted, from, to)
		}
	})
}
