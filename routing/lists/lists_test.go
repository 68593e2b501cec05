package lists

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/rir"
	"github.com/provision-net/provision/routing/lists/span"
)

func TestProblems(t *testing.T) {
	good := List{Addresses: []string{"192.0.2.0/24"}}
	over, no := uint32(101), false
	for _, c := range []struct {
		what  string
		c     Config
		rules Smart
		want  []string // "path: part of the text"
	}{
		{"nothing wrong", Config{
			"china": {Countries: []string{"CN"}, Sources: []string{"https://lists.example/x", "/etc/x"}, Except: []string{"office"}, Refresh: "12h"},
			"video": {Domains: []string{"video.example", "*.CDN.example."}, Upstreams: []string{"9.9.9.9", "[2620:fe::fe]:53"}}, "office": good},
			Smart{{Lists: []string{"office"}, Uplink: Direct}, {Lists: []string{"china", "video"}, Uplink: "wg0"}, {Lists: []string{"video"}, Uplink: Block, Own: &no, Interfaces: []string{"usb*"}},
				{Uplink: "wg1", Via: []string{"10.0.0.1", "fe80::1"}}}, nil},
		{"names", Config{"Großes": good, "direct": good, "-x": good}, nil, []string{"lists.-x: no name", "lists.Großes: no name", "lists.direct: no name"}},
		{"empty", Config{"x": {}}, nil, []string{"lists.x: holds nothing"}},
		{"countries", Config{"x": {Countries: []string{"cn", "UK", "CHE"}}}, nil, []string{"countries[0]: \"cn\"", "countries[1]: the registries write GB", "countries[2]"}},
		{"sources", Config{"x": {Sources: []string{"http://a.example/", "ftp://x", "lists/x", "/a", "/a"}}}, nil,
			[]string{"sources[0]: whoever is on the way", "sources[1]: \"ftp", "sources[2]", "sources[4]: /a is there twice"}},
		{"registries alone", Config{"x": {Registries: []string{"/a"}, Addresses: good.Addresses}}, nil, []string{"registries: are read for countries only"}},
		{"addresses", Config{"x": {Addresses: []string{"192.0.2.1/24", "x", "192.0.2.9-192.0.2.1", "2001:db8::/32"}}}, nil,
			[]string{"addresses[0]: \"192.0.2.1/24\" has bits behind its length: write 192.0.2.0/24", "addresses[1]", "addresses[2]: 192.0.2.9 to 192.0.2.1 ends before"}},
		{"domains", Config{"x": {Domains: []string{"münchen.example", "192.0.2.1", "", "a..b"}}, "y": {Domains: []string{"v.example"}}, "z": {Domains: []string{"V.example."}}}, nil,
			[]string{"x.domains[0]", "x.domains[1]: \"192.0.2.1\" is an address", "x.domains[2]", "x.domains[3]", "z.domains[0]: v.example is in the list y already"}},
		{"circle", Config{"a": {Addresses: good.Addresses, Except: []string{"b"}}, "b": {Addresses: good.Addresses, Except: []string{"a", "c"}}}, nil,
			[]string{"lists.b.except[1]: there is no list", "lists.a.except: leads back", "lists.b.except: leads back"}},
		{"bounds", Config{"x": {Addresses: good.Addresses, Upstreams: []string{"1.1.1.1", "127.0.0.1", "x"}, Refresh: "1s", MaxAge: "always", Linger: "-1s", MaxEntries: 1 << 30, MaxShrink: &over}}, nil,
			[]string{"upstreams: are asked", "upstreams[1]", "upstreams[2]", "linger", "refresh", "max-age", "max-entries", "max-shrink"}},
		{"rules", Config{"x": good}, Smart{{Uplink: "wg0"}, {Lists: []string{"y", "x", "x"}, Uplink: "wg0", Fallback: Direct}, {Lists: []string{"x"}}, {Lists: []string{"x"}, Uplink: Block, Masquerade: "own"},
			{Lists: []string{"x"}, Uplink: "lo"}, {Lists: []string{"x"}, Uplink: "eth1", Via: []string{"x", "10.0.0.1", "10.0.0.2"}, Interfaces: []string{"eth1", "a/b"}, Masquerade: "some"}},
			[]string{"smart[0].lists: is every address", "smart[1].lists[0]: there is no list", "smart[1].lists[2]: x is there twice", "smart[1].uplink: wg0 has another", "smart[2].uplink: is missing",
				"smart[3].uplink: block has no device", "smart[4].uplink", "smart[5].via[0]", "smart[5].via[2]: is a second", "smart[5].interfaces[0]", "smart[5].interfaces[1]", "smart[5].masquerade"}},
	} {
		got := c.c.Problems(c.rules)
		for i := range max(len(got), len(c.want)) {
			text, want := "", "nothing"
			if i < len(got) {
				text = got[i].Path + ": " + got[i].Text
			}
			if i < len(c.want) {
				want = c.want[i]
			}
			path, part, _ := strings.Cut(want, ": ")
			if !strings.Contains(text, path) || !strings.Contains(text, part) {
				t.Errorf("%s: problem %d is %q, want %q", c.what, i, text, want)
			}
		}
	}
}

func must(t testing.TB, words ...string) span.Set {
	t.Helper()
	var b span.Builder
	for _, w := range words {
		if err := plain.Entry(&b, w); err != nil {
			t.Fatal(err)
		}
	}
	return b.Set()
}

func TestCopy(t *testing.T) {
	c := Copy{Name: "x", Spec: "12", Made: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Entries: 7, Known: Validator{ETag: `"a"`}, Set: must(t, "192.0.2.1", "192.0.2.9-192.0.2.20", "2001:db8::/32")}
	text := c.Bytes()
	got, err := ParseCopy(bytes.NewReader(text), 10)
	if err != nil || !span.Equal(got.Set, c.Set) || got.Made != c.Made || got.Entries != 7 || got.Known != c.Known || got.Spec != "12" {
		t.Errorf("%+v %v\n%s", got, err, text)
	}
	for i := range text {
		if got, err := ParseCopy(bytes.NewReader(text[:i]), 10); err == nil && i < len(text)-1 {
			t.Fatalf("cut at %d it is taken as %+v", i, got)
		}
	}
	if _, err := ParseCopy(bytes.NewReader(bytes.Replace(text, []byte("192.0.2.1\n"), []byte("192.0.2.2\n"), 1)), 10); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Error("another address is taken:", err)
	}
	if _, err := ParseCopy(bytes.NewReader(text), 2); !errors.Is(err, plain.ErrTooMany) {
		t.Error(err)
	}
}

func FuzzParseCopy(f *testing.F) {
	f.Add(Copy{Name: "x", Set: must(f, "192.0.2.1", "2001:db8::/32")}.Bytes())
	f.Add([]byte(firstTag + "{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCopy(bytes.NewReader(text), 100)
		if err == nil {
			if back, err := ParseCopy(bytes.NewReader(c.Bytes()), 100); err != nil || !span.Equal(back.Set, c.Set) {
				t.Error("what was read cannot be written", err)
			}
		}
	})
}

func lines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "10.%d.%d.0/24\n", i/128, i%128*2)
	}
	return b.Bytes()
}

func TestGather(t *testing.T) {
	c := Config{"x": {Sources: []string{"/x"}}, "both": {Sources: []string{"/x", "/y"}}, "inline": {Addresses: []string{"192.0.2.1"}}, "small": {Sources: []string{"/x"}, MaxEntries: 50}}
	src := &documents{texts: map[string][]byte{"/x": lines(100), "/y": []byte("2001:db8::/32\nwhat\n2001:db9::/32\n2001:dba::/32\n2001:dbb::/32\n2001:dbc::/32\n2001:dbd::/32\n2001:dbe::/32\n2001:dbf::/32\n2001:dc0::/32\n2001:dc1::/32\n")}, etag: "1"}
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	gather := func(old map[string]Copy, force bool) map[string]Outcome {
		src.reads = 0
		now = now.Add(time.Hour)
		return c.Gather(t.Context(), c.Names(), old, src, now, force)
	}
	got := gather(nil, false)
	old := map[string]Copy{"x": got["x"].Copy, "both": got["both"].Copy}
	if len(got) != 3 || src.reads != 2 || got["x"].Err != nil || old["x"].Entries != 100 || old["both"].Set.Runs(4)+old["both"].Set.Runs(6) != 101 || !strings.Contains(got["both"].Note, "line 2") {
		t.Errorf("%d reads, %+v", src.reads, got)
	}
	if err := got["small"].Err; !errors.Is(err, plain.ErrTooMany) || !strings.Contains(err.Error(), "more than 50") {
		t.Error(err)
	}
	delete(c, "small")

	// A list of one source is not read again when it is the same.
	delete(c, "both")
	if got := gather(old, false); got["x"].Err != nil || got["x"].Copy.Made != now || !span.Equal(got["x"].Copy.Set, old["x"].Set) {
		t.Errorf("%+v", got["x"])
	}
	c["both"] = List{Sources: []string{"/x", "/y"}}

	// Dead, or cut: the last copy stays.
	src.err = errors.New("no route to host")
	if got := gather(old, false); got["x"].Err == nil || !span.Equal(got["x"].Copy.Set, old["x"].Set) || !span.Equal(got["both"].Copy.Set, old["both"].Set) || src.reads != 1 {
		t.Errorf("%+v", got)
	}
	src.err, src.etag = nil, "2"

	// It has lost 31 of 100; 30 are still taken.
	src.texts["/x"] = lines(69)
	got = gather(old, false)
	if err := got["x"].Err; !errors.Is(err, ErrShrunk) || !strings.Contains(err.Error(), "31 percent of its IPv4") || !span.Equal(got["x"].Copy.Set, old["x"].Set) {
		t.Error(err)
	}
	if got := gather(old, true)["x"]; got.Err != nil || got.Copy.Entries != 69 {
		t.Error(got.Err)
	}
	src.texts["/x"] = lines(70)
	if got := gather(old, false)["x"]; got.Err != nil || got.Copy.Entries != 70 {
		t.Error(got.Err)
	}
	// Other sources are another list: it may be of any size.
	c["x"] = List{Sources: []string{"/y"}}
	if got := gather(old, false)["x"]; got.Err != nil || got.Copy.Spec == old["x"].Spec {
		t.Error(got.Err)
	}
	src.texts["/y"] = []byte("<html>\n<p>who are you?\n")
	if err := gather(old, false)["x"].Err; !errors.Is(err, plain.ErrForm) || !strings.Contains(err.Error(), "list x: /y:") {
		t.Error(err)
	}
	c["x"] = List{Countries: []string{"XX"}, Registries: []string{"/r"}}
	src.texts["/r"] = registryFiles(1, 100)["apnic"]
	if err := gather(old, false)["x"].Err; err == nil || !strings.Contains(err.Error(), "nothing is in it") {
		t.Error(err)
	}
	src.texts["/r"] = src.texts["/r"][:len(src.texts["/r"])/2]
	if err := gather(old, false)["x"].Err; !errors.Is(err, rir.ErrForm) || !strings.Contains(err.Error(), "it was cut") {
		t.Error(err)
	}
}

func TestSets(t *testing.T) {
	c := Config{
		"all":   {Addresses: []string{"0.0.0.0/0", "::/0"}, Except: []string{"near"}},
		"near":  {Sources: []string{"/x"}, Addresses: []string{"198.51.100.0/24"}},
		"stale": {Sources: []string{"/y"}},
	}
	copies := map[string]Copy{"near": {Spec: c["near"].Spec(), Set: must(t, "192.0.2.0/24", "224.0.0.1")}, "stale": {Spec: "of another source", Set: must(t, "192.0.2.0/24")}}
	sets := c.Sets(copies)
	for a, want := range map[string][]string{
		"192.0.2.1": {"near"}, "198.51.100.1": {"near"}, "203.0.113.1": {"all"}, "224.0.0.1": nil, "127.0.0.1": nil, "169.254.1.1": nil,
		"0.0.0.0": nil, "255.255.255.255": nil, "::1": nil, "fe80::1": nil, "ff02::1": nil, "2001:db8::1": {"all"}, "10.0.0.1": {"all"},
	} {
		var in []string
		for _, n := range c.Names() {
			if sets[n].Has(netip.MustParseAddr(a)) {
				in = append(in, n)
			}
		}
		if !slices.Equal(in, want) {
			t.Errorf("%s is in %v, want %v", a, in, want)
		}
	}
}
