package plain

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/routing/lists/span"
)

func read(text string, most int) (Result, string, error) {
	var b span.Builder
	r, err := Add(&b, strings.NewReader(text), most)
	var out []string
	for _, p := range b.Set().Prefixes() {
		out = append(out, p.String())
	}
	return r, strings.Join(out, " "), err
}

func TestAdd(t *testing.T) {
	text := "\xef\xbb\xbf; Spamhaus DROP List\n192.0.2.0/25 ; SBL1\n\n192.0.2.128-192.0.2.255\r\n198.51.100.1 - 198.51.100.2 # two\n" +
		"2001:db8::/33\n2001:db8:8000::/33,comment\n203.0.113.7\n"
	r, got, err := read(text, 100)
	if want := "192.0.2.0/24 198.51.100.1/32 198.51.100.2/32 203.0.113.7/32 2001:db8::/32"; err != nil || got != want || r.Taken != 6 || r.Odd != 0 {
		t.Errorf("%+v %q %v", r, got, err)
	}
	r, _, err = read(strings.Repeat("192.0.2.1\n", 20)+"192.0.2.1/24\n", 100)
	if err != nil || r.Odd != 1 || !strings.Contains(r.First, "line 21") || !strings.Contains(r.First, "write 192.0.2.0/24") {
		t.Errorf("%+v %v", r, err)
	}
}

func TestBad(t *testing.T) {
	for what, text := range map[string]string{
		"nothing":   "# only words\n",
		"a page":    "<!doctype html>\n<html>\n" + strings.Repeat("<p>no</p>\n", 100),
		"long line": strings.Repeat("1", maxLine+1),
		"mixed":     "192.0.2.1\n192.0.2.9-192.0.2.1\nfe80::1%eth0\n::ffff:192.0.2.0/120\n",
	} {
		if _, _, err := read(text, 100); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := read("192.0.2.1\n192.0.2.3\n192.0.2.5\n", 2); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("192.0.2.0/24\n2001:db8::1 - 2001:db8::9 # x\n10.0.0.1-10.0.0.9;y")
	f.Add("::ffff:1.2.3.4-1.2.3.5\n-\n - \n1-")
	f.Fuzz(func(t *testing.T, text string) {
		var b span.Builder
		r, err := Add(&b, strings.NewReader(text), 1000)
		if err == nil && (r.Taken == 0 || b.Len() != r.Taken) {
			t.Errorf("%+v, %d runs", r, b.Len())
		}
		s := b.Set()
		if back, err := span.Of(s.Prefixes()...); err != nil || !span.Equal(back, s) {
			t.Error("its prefixes are another set", err)
		}
	})
}
