package rir

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/span"
)

const good = `2|apnic|20240105|9|19830613|20240104|+1000
# a comment
apnic|*|asn|*|1|summary
apnic|*|ipv4|*|5|summary
apnic|*|ipv6|*|2|summary
apnic|JP|asn|173|1|20020801|allocated|A91A7381
apnic|CN|ipv4|1.0.1.0|1536|20110414|allocated|A92E1062
apnic|CN|ipv4|1.0.8.0|256|20110412|assigned|A92319D5
apnic|CN|ipv4|1.0.16.0|256|20110412|reserved|A92319D5
apnic||ipv4|1.0.32.0|256||available|
apnic|AU|ipv4|1.0.4.0|1024|20110412|allocated|A9192210
apnic|CN|ipv6|2001:250::|31|20000426|allocated|A92E1063|e-stats
apnic|AU|ipv6|2001:360::|32||assigned|A9192210
`

func read(text string, most int) (File, string, error) {
	var cn, both span.Builder
	f, err := Add(strings.NewReader(text), Wanted{"CN": {&cn, &both}, "AU": {&both}}, most)
	var b strings.Builder
	for _, s := range []span.Set{cn.Set(), both.Set()} {
		for _, p := range s.Prefixes() {
			b.WriteString(p.String() + " ")
		}
		b.WriteString("| ")
	}
	return f, b.String(), err
}

func TestAdd(t *testing.T) {
	f, got, err := read(good, 10)
	want := "1.0.1.0/24 1.0.2.0/23 1.0.4.0/23 1.0.6.0/24 1.0.8.0/24 2001:250::/31 | " +
		"1.0.1.0/24 1.0.2.0/23 1.0.4.0/22 1.0.8.0/24 2001:250::/31 2001:360::/32 | "
	// 1.0.1.0 and 1536 addresses end at 1.0.6.255; 1.0.4.0/22 of the other country overlaps it.
	if err != nil || got != want || f.Registry != "apnic" || f.Date.Format("2006-01-02") != "2024-01-04" || f.Lines != 7 || f.Taken != 5 {
		t.Errorf("%+v %q %v", f, got, err)
	}
	if _, _, err := read(strings.ReplaceAll(good, "\n", "\r\n"), 10); err != nil {
		t.Error("with the line ends of others:", err)
	}
}

func TestBad(t *testing.T) {
	for what, text := range map[string]string{
		"empty":                 "",
		"a page":                "<html><body>not found</body></html>\n",
		"cut in the middle":     good[:strings.Index(good, "apnic|AU|ipv4")],
		"cut inside of a line":  good[:strings.Index(good, "|20110412|assigned")],
		"a size that is none":   strings.Replace(good, "|1536|", "|many|", 1),
		"no addresses at all":   strings.Replace(good, "|1536|", "|0|", 1),
		"beyond the last one":   strings.Replace(good, "1.0.1.0|1536", "255.255.255.0|257", 1),
		"another family":        strings.Replace(good, "1.0.1.0|1536", "2001:db8::|32", 1),
		"a length beyond 128":   strings.Replace(good, "2001:250::|31", "2001:250::|129", 1),
		"bits behind the end":   strings.Replace(good, "2001:250::|31", "2001:251::|31", 1),
		"another registry":      strings.Replace(good, "apnic|CN|ipv4|1.0.8.0", "evil|CN|ipv4|1.0.8.0", 1),
		"a header of version 3": "3" + good[1:],
	} {
		if _, _, err := read(text, 10); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := read(good, 2); !errors.Is(err, plain.ErrTooMany) {
		t.Error("more than there may be:", err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(good)
	f.Add("2|arin|1|2|3|4|5\narin|US|ipv4|3.0.0.0|16777216|19880223|assigned|x|y\n")
	f.Add("2.3|ripencc|1|0|19700101|20240101|+0000\nripencc|*|ipv6|*|0|summary\n")
	f.Fuzz(func(t *testing.T, text string) {
		var b span.Builder
		got, err := Add(strings.NewReader(text), Wanted{"CN": {&b}, "US": {&b}}, 1000)
		if err == nil && (got.Taken > got.Lines || b.Len() != got.Taken) {
			t.Errorf("%+v, %d runs", got, b.Len())
		}
		s := b.Set()
		if back, err := span.Of(s.Prefixes()...); err != nil || !span.Equal(back, s) {
			t.Error("its prefixes are another set", err)
		}
	})
}
