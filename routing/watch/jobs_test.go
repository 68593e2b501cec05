package watch

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

func TestRPFilter(t *testing.T) {
	for _, tt := range []struct{ name, state, want string }{
		{"its own is strict", "all rp 0\nlink eni1 up rp 1", "net.ipv4.conf.eni1.rp_filter=2"},
		{"all is strict", "all rp 1\nlink eni1 up rp 0", "net.ipv4.conf.eni1.rp_filter=2"},
		{"off stays off", "all rp 0\nlink eni1 up rp 0", ""},
		{"loose by all", "all rp 2\nlink eni1 up rp 1", ""},
		{"loose", "all rp 1\nlink eni1 up rp 2", ""},
		{"not asked for", "all rp 1\nlink eth1 up rp 1", ""},
		{"loopback", "all rp 1\nlink eni up rp 1 arphrd 772", ""},
		{"not known", "all rp -1\nlink eni1 up rp 1", ""},
		{"several", "all rp 0\nlink eni1 up rp 1\nlink eni2 up\nlink eni3 rp 1", "net.ipv4.conf.eni1.rp_filter=2\nnet.ipv4.conf.eni3.rp_filter=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.state)
			j := &RPFilter{Interfaces: []string{"eni*"}}
			got := j.Look(s)
			if text(s, got) != tt.want {
				t.Errorf("got %q, want %q", text(s, got), tt.want)
			}
			for _, r := range got {
				if !strings.Contains(r.Why, "even the loose filter") {
					t.Errorf("no word of the missing address: %s", r.Why)
				}
			}
		})
	}
	// Old values come back, after a restart as well.
	j := &RPFilter{Interfaces: []string{"eni*"}}
	j.Look(parse(t, "all rp 1\nlink eni1 up rp 0\nlink eni2 up rp 1"))
	state, changed := j.Remember()
	kept, err := json.Marshal(state)
	if err != nil || !changed {
		t.Fatal(err, changed)
	}
	m := &inMemory{}
	if Loosened(m, "this") {
		t.Error("nothing is remembered, and something is loosened")
	}
	m.text = []byte(`{"version":1,"boot":"this","jobs":{"rp-filter":{"state":` + string(kept) + `}}}`)
	if !Loosened(m, "this") || Loosened(m, "another") {
		t.Error("it is of this boot, and of no other")
	}
	again := &RPFilter{Interfaces: []string{"eni1"}}
	if err := again.Recall(kept); err != nil {
		t.Fatal(err)
	}
	// Only what is not asked for any more, and what still has our value.
	s := parse(t, "all rp 1\nlink eni1 up rp 2\nlink eni2 up rp 2")
	if got := text(s, again.Look(s)); got != "net.ipv4.conf.eni2.rp_filter=1" {
		t.Errorf("eni1 stays loose: %q", got)
	}
	again.Interfaces = nil
	if again.Needs().Parts == 0 {
		t.Error("it does not look")
	}
	s = parse(t, "all rp 1\nlink eni1 up rp 2\nlink eni2 up rp 0")
	if got := text(s, again.Look(s)); got != "net.ipv4.conf.eni1.rp_filter=0" {
		t.Errorf("restored %q", got)
	}
	s = parse(t, "all rp 1\nlink eni1 up rp 0\nlink eni2 up rp 0")
	if got := again.Look(s); len(got) != 0 {
		t.Errorf("once more: %q", text(s, got))
	}
	if state, changed := again.Remember(); !changed || len(state.(map[string]int32)) != 0 {
		t.Errorf("it remembers %v", state)
	}
	if n := again.Needs(); n.Parts != 0 {
		t.Errorf("it still looks: %+v", n)
	}
}

func TestMartians(t *testing.T) {
	j := &MartianJob{NameThem: true}
	at := time.Unix(1000, 0)
	look := func(m Martians) []Repair {
		at = at.Add(10 * time.Second)
		return j.Look(&State{Now: at, Martians: m})
	}
	if got := look(Martians{ReversePath: 5, Source: 9}); got != nil {
		t.Errorf("the first look tells %v", got)
	}
	if got := look(Martians{ReversePath: 5, Source: 9}); got != nil {
		t.Errorf("nothing new is told: %v", got)
	}
	got := look(Martians{ReversePath: 8, Source: 13, Destination: 2})
	if len(got) != 2 || got[0].Why != "the kernel has dropped martians: 3 by the reverse path filter, 1 with another impossible source, 2 with an impossible destination" || got[1].Sample == nil {
		t.Errorf("got %+v", got)
	}
	if got := look(Martians{ReversePath: 9, Source: 14, Destination: 2}); len(got) != 1 || got[0].Sample != nil {
		t.Errorf("a sample too soon: %+v", got)
	}
	at = at.Add(5 * time.Minute)
	if got := look(Martians{ReversePath: 10, Source: 15, Destination: 2}); len(got) != 2 {
		t.Errorf("no sample: %+v", got)
	}
	if got := look(Martians{}); got != nil {
		t.Errorf("counters that fell: %+v", got)
	}
}

func TestProxy(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	j := &ProxyJob{Links: []ProxyLink{{Interface: "lan0", All: true, Addresses: []netip.Addr{four, six}}}}
	for _, tt := range []struct {
		name, state, want string
		have              []Neighbour
	}{
		{"all of it", "link lan0 up", "net.ipv4.conf.lan0.proxy_arp=1\nnet.ipv6.conf.lan0.proxy_ndp=1\nanswer for 192.0.2.7 on lan0\nanswer for 2001:db8::7 on lan0", nil},
		{"half of it", "link lan0 up proxyarp 1", "net.ipv6.conf.lan0.proxy_ndp=1\nanswer for 2001:db8::7 on lan0", []Neighbour{{1, four}, {2, six}}},
		{"done", "link lan0 up proxyarp 1 proxyndp 1", "", []Neighbour{{1, four}, {1, six}}},
		{"down", "link lan0", "", nil},
		{"absent", "link eth0 up", "", nil},
		{"a tunnel", "link lan0 up arphrd 65534 kind wireguard", "note proxy on lan0: lan0 has no neighbours to be answered (a tunnel): name the interface of the LAN in watch.proxy", nil},
		{"no forwarding", "link lan0 up proxyarp 1 proxyndp 1 forwarding 0", "note proxy on lan0: forwarding: lan0 answers for others only while the machine forwards: set routing.forwarding", []Neighbour{{1, four}, {1, six}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.state+"\nall forwarding 1")
			s.Proxies = tt.have
			if got := text(s, j.Look(s)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	ref := func(kind string) provision.Ref { return provision.Ref{Kind: kind, Name: "x"} }
	k := &Keep{
		Wants: []provision.Want{
			{Ref: ref("nft"), Attrs: provision.Attrs{"table": "T", "note": "n"}, Why: "firewall"},
			{Ref: ref("route"), Attrs: provision.Attrs{"gateway": "g"}, Mode: provision.IfPresent},
			{Ref: ref("rule")},
			{Ref: ref("sysctl"), Attrs: provision.Attrs{"value": "1"}, Mode: provision.Report},
		},
		Class: func(kind, attr string) provision.Class {
			if attr == "note" {
				return provision.Initial
			}
			return provision.Exact
		},
	}
	if got := k.Needs().Refs; !slices.Equal(got, []provision.Ref{ref("nft"), ref("route"), ref("rule")}) {
		t.Errorf("needs %v", got)
	}
	for _, tt := range []struct {
		name string
		have map[provision.Ref]provision.Attrs
		want string
	}{
		{"nothing was read", nil, ""},
		{"as it should be", map[provision.Ref]provision.Attrs{ref("nft"): {"table": "T", "more": "m"}, ref("route"): nil, ref("rule"): nil}, ""},
		{"gone", map[provision.Ref]provision.Attrs{ref("nft"): nil}, "nft:x is gone (firewall)"},
		{"changed", map[provision.Ref]provision.Attrs{ref("nft"): {"table": "U"}}, "nft:x was changed (table) (firewall)"},
		{"another gateway", map[provision.Ref]provision.Attrs{ref("route"): {"gateway": "h"}}, "route:x was changed (gateway)"},
		{"there again", map[provision.Ref]provision.Attrs{ref("rule"): {}}, "rule:x is there again"},
		{"told only", map[provision.Ref]provision.Attrs{ref("sysctl"): {"value": "0"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := k.Look(&State{Have: tt.have})
			switch {
			case tt.want == "" && got != nil, tt.want != "" && (len(got) != 1 || got[0].Why != tt.want):
				t.Errorf("got %+v, want %q", got, tt.want)
			case got != nil && (got[0].Set == nil || got[0].Set.Want.Ref.String() != got[0].Key):
				t.Errorf("sets %+v", got[0].Set)
			}
		})
	}
}

func TestReaction(t *testing.T) {
	at := time.Unix(1000, 0)
	look := func(j *Reaction, after time.Duration, state string) string {
		t.Helper()
		at = at.Add(after)
		s := parse(t, state)
		s.Now = at
		got := j.Look(s)
		if len(got) == 0 {
			return ""
		}
		if got[0].Run == nil || len(got[0].Run.Env) != 2 {
			t.Fatalf("got %+v", got)
		}
		return got[0].Why
	}
	j := &Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, Change: true, Run: Run{Command: []string{"true"}}}
	const one, two = "link eth0 up", "link eth0 up\nlink eth1"
	for _, step := range []struct {
		after       time.Duration
		state, want string
	}{
		{0, one, ""}, // what is there at the start is no change
		{time.Minute, one, ""},
		{0, two, ""}, // waits to be quiet
		{500 * time.Millisecond, two + " up", ""}, // another one: waits again
		{900 * time.Millisecond, two + " up", ""},
		{100 * time.Millisecond, two + " up", "eth1 has appeared; eth1 is now up"},
		{time.Second, two + " up\nlink wlan0", ""}, // runs, and is not for wlan0
	} {
		if got := look(j, step.after, step.state); got != step.want {
			t.Errorf("%q after %v: got %q, want %q", step.state, step.after, got, step.want)
		}
	}
	if _, changed := j.Remember(); changed {
		t.Error("remembered before it has ended")
	}
	j.Ended(at, nil)
	state, changed := j.Remember()
	kept, err := json.Marshal(state)
	if !changed || err != nil {
		t.Fatal(changed, err)
	}
	// Too soon for the next one.
	if got := look(j, time.Second, one+"\nlink eth1"); got != "" {
		t.Error(got)
	}
	if wake := j.Wake().Sub(at); wake < 20*time.Second || wake > 30*time.Second {
		t.Errorf("wakes in %v", wake)
	}
	if got := look(j, 30*time.Second, one+"\nlink eth1"); got != "eth1 is now down" {
		t.Error(got)
	}
	// It failed: again after the pause, three times at most.
	for i := range 3 {
		j.Ended(at, errors.New("no"))
		got := look(j, 31*time.Second, one+"\nlink eth1")
		if (got == "it failed before") != (i < 2) {
			t.Errorf("after failure %d: %q", i+1, got)
		}
	}
	// After a restart: what has changed meanwhile, and nothing else.
	j = &Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, Vanish: true}
	if err := j.Recall(kept); err != nil {
		t.Fatal(err)
	}
	look(j, time.Hour, two+" up\nlink eth2")
	if got := look(j, time.Second, two+" up\nlink eth2"); got != "eth2 has appeared" {
		t.Error(got)
	}
	j.Ended(at, nil)
	look(j, time.Hour, one)
	if got := look(j, time.Second, one); !strings.Contains(got, "eth1 has gone") || !strings.Contains(got, "eth2 has gone") {
		t.Error(got)
	}
	j.Ended(at, nil)
	// One that comes and goes counts.
	look(j, time.Hour, "link x\nlink eth0 up")
	if got := look(j, time.Second, "link x\nlink eth0 up"); got != "eth0 has gone and come back" {
		t.Error(got)
	}
	j = &Reaction{Title: "r", Interfaces: []string{"eth*"}, Appear: true, AtStart: true}
	look(j, 0, one)
	if got := look(j, time.Second, one); got != "eth0 has appeared" {
		t.Error(got)
	}
}

func TestBackoff(t *testing.T) {
	a, now := &attempt{}, time.Unix(1000, 0)
	var waits []time.Duration
	for range 13 {
		a.acted(now, false, false)
		waits = append(waits, a.wait)
		now = a.next()
	}
	want := []time.Duration{0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v", waits)
	}
	if !a.fought() || a.settled(now) {
		t.Error("no fight")
	}
	a.acted(now, false, true)
	if a.wait != 0 || a.acts != 13 {
		t.Errorf("an excused one: %+v", a)
	}
	now = now.Add(time.Hour)
	if a.acted(now, false, false); a.acts != 1 || a.wait != 0 || a.fought() {
		t.Errorf("after a calm: %+v", a)
	}
	u := &attempt{urgent: true}
	for range 30 {
		if u.acted(now, false, false); u.wait > time.Second || u.acts < 10 && u.wait != 0 {
			t.Errorf("an urgent one waits %v after %d", u.wait, u.acts)
		}
		now = u.next()
	}
	for i := range 20 {
		a.acted(now, true, false)
		if a.wait <= 0 || a.wait > time.Minute || i == 0 && a.wait != 50*time.Millisecond {
			t.Errorf("failure %d waits %v", i+1, a.wait)
		}
		now = a.next()
	}
}

// inMemory is a memory that is a text.
type inMemory struct{ text []byte }

func (m *inMemory) Load() ([]byte, error) { return m.text, nil }

func (m *inMemory) Save(text []byte) error {
	m.text = text
	return nil
}
