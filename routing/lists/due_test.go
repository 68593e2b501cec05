package lists

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/lists/span"
)

func TestDue(t *testing.T) {
	c := Config{"x": {Sources: []string{"/x"}}, "inline": {Addresses: []string{"192.0.2.1"}}}
	t0 := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	made := func(at time.Time) map[string]Copy { return map[string]Copy{"x": {Spec: c["x"].Spec(), Made: at}} }
	for _, k := range []struct {
		what   string
		copies map[string]Copy
		at     Attempts
		now    time.Duration
		due    bool
		next   time.Duration
	}{
		{"never", nil, nil, 0, true, 0},
		{"fresh", made(t0), nil, time.Hour, false, 24 * time.Hour},
		{"old", made(t0), nil, 24 * time.Hour, true, 0},
		{"of other sources", map[string]Copy{"x": {Spec: "other", Made: t0}}, nil, time.Hour, true, 0},
		{"from the future", made(t0.Add(time.Hour)), nil, 0, true, 0},
		{"failed once", nil, Attempts{"x": {At: t0, Failed: 1}}, 59 * time.Second, false, time.Minute},
		{"failed once, a minute later", nil, Attempts{"x": {At: t0, Failed: 1}}, time.Minute, true, 0},
		{"failed often", made(t0.Add(-100 * time.Hour)), Attempts{"x": {At: t0, Failed: 99}}, time.Hour, false, 6 * time.Hour},
		{"failed in the future", nil, Attempts{"x": {At: t0.Add(time.Hour), Failed: 9}}, 0, true, 0},
	} {
		due, next := c.Due(k.copies, k.at, t0.Add(k.now))
		if (len(due) == 1) != k.due || !k.due && next != t0.Add(k.next) {
			t.Errorf("%s: %v %v", k.what, due, next)
		}
	}
	at := Attempts{"x": {Failed: 2}, "gone": {Failed: 1}}.After(c, map[string]Outcome{"x": {Err: errors.New("dead")}}, t0)
	if len(at) != 1 || at["x"].Failed != 3 || at["x"].Problem != "dead" {
		t.Errorf("%+v", at)
	}
	if again := ParseAttempts(at.Bytes()); again["x"] != at["x"] {
		t.Errorf("%+v", again)
	}
	if at = at.After(c, map[string]Outcome{"x": {}}, t0); at["x"].Failed != 0 || at["x"].Problem != "" {
		t.Errorf("%+v", at)
	}
}

func TestReport(t *testing.T) {
	now := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	c := Config{"x": {Countries: []string{"CN"}, Domains: []string{"a.example"}}, "y": {Sources: []string{"/y"}}, "z": {Addresses: []string{"192.0.2.0/24"}}}
	copies := map[string]Copy{"x": {Spec: c["x"].Spec(), Made: now, Data: now.Add(-700 * time.Hour), Entries: 5, Set: must(t, "192.0.2.0/24", "2001:db8::/60")}}
	got := c.Report(Smart{{Lists: []string{"x"}, Uplink: "wg0"}}, copies, Attempts{"y": {Problem: "list y: dead", Failed: 1}}, now)
	if len(got) != 3 || got[0].Uplink != "wg0" || got[0].Addresses != 256 || got[0].Networks != 16 || got[0].Entries != 5 || len(got[0].Sources) != 5 ||
		len(got[0].Problems) != 1 || !strings.Contains(got[0].Problems[0], "29 days old") || len(got[1].Problems) != 2 || got[2].Addresses != 256 || len(got[2].Problems) != 0 {
		t.Errorf("%+v", got)
	}
	old := copies["x"]
	old.Made = now.Add(-1000 * time.Hour)
	copies["x"] = old
	if got := c.Report(nil, copies, nil, now)[0].Problems; len(got) != 1 || !strings.Contains(got[0], "41 days old (max-age)") {
		t.Error(got)
	}
}

func TestRefill(t *testing.T) {
	run := func(n int) span.Set { // more than the text of a table lists
		var b span.Builder
		for i := range n {
			if err := b.AddPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 0}), 24)); err != nil {
				t.Fatal(err)
			}
		}
		return b.Set()
	}
	c := Config{"a": {Sources: []string{"/a"}, Domains: []string{"a.example"}}, "b": {Addresses: []string{"192.0.2.7"}}}
	comp := &compiler{Input: Input{Config: c, Smart: Smart{{Lists: []string{"a", "b"}, Uplink: Block}}, Sets: c.Sets(nil)}}
	table := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Sets: append(comp.sets(), nft.Set{Name: "other", Key: []string{nft.TypeIPv4}})}
	parsed, err := nft.Parse(nft.Format(table))
	if err != nil {
		t.Fatal(err)
	}
	sets := c.Sets(nil)
	if _, changed := Refill(parsed, sets); changed != nil {
		t.Error("the same is a change:", changed)
	}
	sets["a"] = run(1200)
	full, changed := Refill(parsed, sets)
	if !slices.Equal(changed, []string{"list.a.4"}) {
		t.Error(changed)
	}
	// A large set is known by its digest only once it is text.
	if parsed, err = nft.Parse(nft.Format(full)); err != nil {
		t.Fatal(err)
	}
	if _, changed := Refill(parsed, sets); changed != nil {
		t.Error("the same large set is a change:", changed)
	}
	sets["a"] = run(1201)
	if _, changed := Refill(parsed, sets); !slices.Equal(changed, []string{"list.a.4"}) {
		t.Error(changed)
	}
}
