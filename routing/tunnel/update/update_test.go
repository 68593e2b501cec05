package update

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

func conf() Config {
	return Config{ID: "123456", User: "me", KeyFile: "/etc/provision/he.key"}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		kind   Kind
		addr   string
		text   string
	}{
		{200, "good 198.51.100.7\n", Good, "198.51.100.7", ""},
		{200, "good", Good, "", ""},
		{200, "nochg 198.51.100.7", Same, "198.51.100.7", ""},
		{200, "good 127.0.0.1", Abuse, "127.0.0.1", "abuse"},
		{200, "abuse", Abuse, "", "too many"},
		{200, "badauth", Refused, "", "user and key-file"},
		{401, "badauth\n", Refused, "", "user and key-file"},
		{401, "<html>", Refused, "", "status 401"},
		{200, "nohost", Refused, "", "id has to be"},
		{200, "!yours", Refused, "", "id has to be"},
		{200, "badagent", Refused, "", "of this kind"},
		{200, "911", Trouble, "", "in trouble"},
		{503, "", Trouble, "", "status 503"},
		{429, "slow down", Abuse, "", "too often"},
		{200, "-ERROR: IP is not ICMP pingable. Please make sure ICMP is not blocked.", Trouble, "", "let ICMP in"},
		{200, "", Trouble, "", "no answer of the protocol"},
		{200, "<html>\x1b[2J", Trouble, "", "<html>?[2J"},
	} {
		a := Parse(tc.status, tc.body)
		var addr netip.Addr
		if tc.addr != "" {
			addr = netip.MustParseAddr(tc.addr)
		}
		if a.Kind != tc.kind || a.Addr != addr || !strings.Contains(a.Text, tc.text) {
			t.Errorf("%d %q: %+v", tc.status, tc.body, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(200, "good 198.51.100.7")
	f.Add(401, "badauth\r\n")
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := Parse(status, body)
		if a.Kind == "" || len(a.Text) > 300 || strings.ContainsFunc(a.Text, func(r rune) bool { return r < ' ' || r > '~' }) || a.Kind != Good && a.Kind != Same && a.Text == "" {
			t.Errorf("%d %q: %+v", status, body, a)
		}
	})
}

// A year of a tunnel: what is sent when, and what is not.
func TestDue(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	public, other, private := Way{"eth0", netip.MustParseAddr("203.0.113.7")}, Way{"eth0", netip.MustParseAddr("203.0.113.8")}, Way{"eth0", netip.MustParseAddr("192.168.1.2")}
	often := conf()
	often.Every = "20m"
	after := func(s State, w Way, kind Kind, pause time.Duration) State {
		return s.After(conf(), "k", w, Answer{Kind: kind, Addr: w.Addr, After: pause}, now)
	}
	many := func(kind Kind, n int) State {
		var s State
		for range n {
			s = after(s, public, kind, 0)
		}
		return s
	}
	never := time.Duration(-1)
	for _, tc := range []struct {
		name string
		s    State
		c    Config
		key  string
		w    Way
		want time.Duration // since now
	}{
		{"the first time", State{}, conf(), "k", public, settle},
		{"not configured", State{}, Config{}, "k", public, never},
		{"no way out", State{}, conf(), "k", Way{Device: "eth0"}, never},
		{"good, and the same", after(State{}, public, Good, 0), conf(), "k", public, never},
		{"good, and another", after(State{}, public, Good, 0), conf(), "k", other, settle},
		{"good, and asked for", after(State{}, public, Good, 0), often, "k", public, 20 * time.Minute},
		{"behind a router", after(State{}, private, Good, 0), conf(), "k", private, time.Hour},
		{"unchanged, and another", after(State{}, public, Same, 0), conf(), "k", other, samePause},
		{"refused", after(State{}, public, Refused, 0), conf(), "k", other, never},
		{"refused, and another key", after(State{}, public, Refused, 0), conf(), "k2", public, settle},
		{"locked out", after(State{}, public, Abuse, 0), conf(), "k", other, abuseWait},
		{"locked out again", many(Abuse, 2), conf(), "k", public, 2 * abuseWait},
		{"locked out for good", many(Abuse, 20), conf(), "k", public, mostAbuse},
		{"trouble", after(State{}, public, Trouble, 0), conf(), "k", public, troubleWait},
		{"trouble, five times", many(Trouble, 5), conf(), "k", public, 16 * troubleWait},
		{"trouble for days", many(Trouble, 200), conf(), "k", public, mostTrouble},
		{"trouble, and another way", after(State{}, public, Trouble, 0), conf(), "k", other, settle},
		{"trouble by all ways", many(Trouble, 4), conf(), "k", other, 8 * troubleWait},
		{"911, and another way", after(State{}, public, Trouble, 30*time.Minute), conf(), "k", other, 30 * time.Minute},
	} {
		got := tc.s.Due(tc.c, tc.key, tc.w, now)
		if tc.want == never && !got.IsZero() || tc.want != never && !got.Equal(now.Add(tc.want)) {
			t.Errorf("%s: %v, want %v", tc.name, got.Sub(now), tc.want)
		}
	}
}

func TestNamed(t *testing.T) {
	never := conf()
	never.MyIP = "never"
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "192.168.1.2": "", "10.0.0.1": "", "172.31.0.1": "", "100.64.3.4": "", "169.254.1.1": "", "127.0.0.1": "", "198.18.0.1": "", "240.0.0.1": "", "0.1.2.3": "",
	} {
		got := Named(conf(), Way{"eth0", netip.MustParseAddr(text)})
		if want == "" && got.IsValid() || want != "" && got.String() != want {
			t.Errorf("%s: %s is named, want %q", text, got, want)
		}
		if got := Named(never, Way{"eth0", netip.MustParseAddr(text)}); got.IsValid() {
			t.Errorf("%s is named though it must not be", text)
		}
	}
	if q := conf().Query(netip.MustParseAddr("203.0.113.7")); q != DefaultURL+"?hostname=123456&myip=203.0.113.7" {
		t.Error(q)
	}
	if q := conf().Query(netip.Addr{}); q != DefaultURL+"?hostname=123456" {
		t.Error(q)
	}
}

func TestUplink(t *testing.T) {
	p := netip.MustParsePrefix
	links := []facts.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "eth0"}, {Index: 3, Name: "wlan0"}}
	addrs := []facts.Address{{Link: 2, Prefix: p("169.254.1.1/16"), Scope: "link"}, {Link: 2, Prefix: p("203.0.113.7/24"), Scope: "global"}, {Link: 3, Prefix: p("192.168.1.2/24"), Scope: "global"}}
	any := p("0.0.0.0/0")
	routes := []facts.Route{{Dst: any, Link: 3, Metric: 600, Table: 254}, {Dst: any, Link: 2, Metric: 100, Table: 254}, {Dst: any, Link: 3, Table: 100}, {Dst: p("::/0"), Link: 3, Table: 254}}
	for _, tc := range []struct {
		device string
		routes []facts.Route
		want   Way
	}{
		{"", routes, Way{"eth0", netip.MustParseAddr("203.0.113.7")}},
		{"", routes[:1], Way{"wlan0", netip.MustParseAddr("192.168.1.2")}},
		{"", nil, Way{}},
		{"wlan0", nil, Way{"wlan0", netip.MustParseAddr("192.168.1.2")}},
		{"ppp0", routes, Way{}},
	} {
		if got := Uplink(links, addrs, tc.routes, tc.device); got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.device, got, tc.want)
		}
	}
}

func TestProblems(t *testing.T) {
	if p := conf().Problems(); len(p) > 0 {
		t.Error(p)
	}
	for path, change := range map[string]func(*Config){
		"url":          func(c *Config) { c.URL = "http://u:secret@x/" },
		"id":           func(c *Config) { c.ID = "" },
		"user":         func(c *Config) { c.User = "a:b" },
		"key-file":     func(c *Config) { c.KeyFile = "he.key" },
		"myip":         func(c *Config) { c.MyIP = "yes" },
		"every":        func(c *Config) { c.Every = "1m" },
		"ping-from[0]": func(c *Config) { c.Pings = []string{"2001:db8::1"} },
	} {
		c := conf()
		change(&c)
		p := c.Problems()
		if len(p) != 1 || p[0].Path != path || strings.Contains(p[0].Text, "secret") {
			t.Errorf("%s: %v", path, p)
		}
	}
}
