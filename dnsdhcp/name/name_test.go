package name

import (
	"strconv"
	"strings"
	"testing"
)

func TestLabel(t *testing.T) {
	long := strings.Repeat("a", MaxLabel)
	for raw, want := range map[string]string{
		"alpha":                "alpha",
		"DESKTOP-1234\x00":     "desktop-1234",
		"pc\x00rest":           "pc",
		"host.example.org.":    "host",
		"host.":                "host",
		"Ann's iPad_2":         "anns-ipad-2",
		"Ann\u2019s  iPad":     "anns-ipad",
		"PC - Lab":             "pc-lab",
		"a--b":                 "a--b",
		"--a--":                "a",
		" a ":                  "a",
		"3com":                 "3com",
		"10-0-0-5":             "10-0-0-5",
		long:                   long,
		long + "-":             long,
		"router":               "router",
		"0x":                   "0x",
		long + "a":             "",
		long + "-a":            "",
		"":                     "",
		"\x00":                 "",
		".":                    "",
		".a":                   "",
		"-":                    "",
		"192.168.1.1":          "",
		"010":                  "",
		"0x7f000001":           "",
		"0xG":                  "0xg",
		"m\u00fcller":          "",
		"m\xfcller":            "",
		"xn--mller-kva":        "",
		"XN--mller-kva":        "",
		"wpad":                 "",
		"WPAD.lan":             "",
		"_gateway":             "",
		"isatap":               "",
		"localhost":            "",
		"local":                "",
		"a/b":                  "",
		"a\tb":                 "",
		"\x1b[2Jpwn":           "",
		"mine":                 "",
		"Mi'ne":                "",
		"$(reboot)":            "",
		"a;b":                  "",
		"fe80::1":              "",
		"ends-with-newline\n":  "ends-with-newline",
		"two\nlines":           "",
		"\u202ecod":            "",
		"host name.domain.lan": "host-name",
	} {
		got, ok := Label(raw, func(l string) bool { return l == "mine" })
		if got != want || ok != (want != "") {
			t.Errorf("Label(%q) = %q, %v, want %q", raw, got, ok, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain-1.2 x'":   "plain-1.2 x'",
		"\x1b[31m":       `\x1b[31m`,
		"a\"b\\c\nd":     `a\"b\\c\nd`,
		"m\u00fc\u202e":  `m\u00fc\u202e`,
		"\xff\x00\x7f":   `\xff\x00\x7f`,
		"\u200b":         `\u200b`,
		"tab\tseparated": `tab\tseparated`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"alpha", "Ann's iPad", "a_-b", "wp_ad", "w'pad", "-xn--a", "x'n--a", "0_x1", "host\x00", "\xe2\x80\x99", strings.Repeat("-a", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, ok := Label(raw, nil)
		if !ok {
			if got != "" {
				t.Fatalf("Label(%q) refused but gave %q", raw, got)
			}
			return
		}
		if len(got) == 0 || len(got) > MaxLabel || got[0] == '-' || got[len(got)-1] == '-' {
			t.Fatalf("Label(%q) = %q", raw, got)
		}
		if strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(got, "0123456789") == "" || Reserved(got) {
			t.Fatalf("Label(%q) = %q", raw, got)
		}
		for i := 0; i < len(got); i++ {
			if strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789-", got[i]) < 0 {
				t.Fatalf("Label(%q) = %q", raw, got)
			}
		}
		if again, ok := Label(got, nil); !ok || again != got {
			t.Fatalf("Label(%q) = %q, again %q, %v", raw, got, again, ok)
		}
		if !Valid(got) {
			t.Fatalf("%q is not valid", got)
		}
	})
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"plain", "\x1b]0;x\a", "\"", "\\", "\xff", "\u202e", "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := Quote(s)
		for i := 0; i < len(q); i++ {
			if q[i] < ' ' || q[i] > '~' {
				t.Fatalf("Quote(%q) = %q", s, q)
			}
		}
		if back, err := strconv.Unquote(`"` + q + `"`); err != nil || back != s {
			t.Fatalf("Quote(%q) = %q, back %q: %v", s, q, back, err)
		}
	})
}

func BenchmarkLabel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Label("DESKTOP-12AB34.example.org", nil); !ok {
			b.Fatal("refused")
		}
	}
}
