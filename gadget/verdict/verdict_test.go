package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func host(n int) Host { return Host(fmt.Sprintf("%016x", n)) }

func TestStart(t *testing.T) {
	windows, mac := host(1), host(2)
	silent := Table{}.Plugged(Modern).Spoke(windows, "windows", Classic, true)
	for _, tt := range []struct {
		name    string
		t       Table
		classic bool
		want    Profile
		why     string
	}{
		{"nothing known", Table{}, true, Modern, "no host is known"},
		{"modern worked", Table{}.Spoke(mac, "apple", Modern, false), true, Modern, "(apple, 00000000) can use it"},
		{"modern was silent", silent, true, Classic, "silent on the modern one"},
		{"but classic is not allowed", silent, false, Modern, "does not allow"},
		{"seen on classic only", Table{}.Spoke(mac, "", Classic, false), true, Modern, "never tried"},
		{"another host came on classic", silent.Plugged(Classic).Spoke(mac, "apple", Classic, false), true, Modern, "never tried"},
		{"and the first came back", silent.Spoke(mac, "", Classic, false).Spoke(windows, "", Classic, false), true, Classic, "silent"},
		{"it was upgraded", silent.Spoke(windows, "windows", Modern, false), true, Modern, "can use it"},
	} {
		got, why := tt.t.Start(tt.classic)
		if got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %s because %q, want %s because %q", tt.name, got, why, tt.want, tt.why)
		}
	}
}

// A host that needs classic is asked again now and then, ever more rarely.
func TestModernIsTriedAgain(t *testing.T) {
	table := Table{}.Plugged(Modern).Spoke(host(7), "windows", Classic, true)
	var runs []int
	run := 0
	for range 400 {
		p, _ := table.Start(true)
		table = table.Plugged(p)
		if p == Classic {
			run++
			table = table.Spoke(host(7), "windows", Classic, false)
			continue
		}
		runs, run = append(runs, run), 0
		table = table.Spoke(host(7), "windows", Classic, true) // silent again
	}
	if want := []int{8, 16, 32, 64, 64, 64, 64, 64}; !reflect.DeepEqual(runs[:min(len(runs), 8)], want[:min(len(runs), 8)]) || len(runs) < 6 {
		t.Errorf("classic for %v plugs, want %v", runs, want)
	}
}

func TestBounded(t *testing.T) {
	var table Table
	for i := range 200 {
		table = table.Plugged(Modern).Spoke(host(i), "x", Modern, false)
	}
	if hosts := table.Hosts(); len(hosts) != Most || hosts[0].Host != host(199) || hosts[Most-1].Host != host(136) {
		t.Errorf("%d hosts, from %v to %v", len(hosts), hosts[0], hosts[len(hosts)-1])
	}
	long := Table{}.Spoke(host(1), strings.Repeat("a\x00\"<", 1000), Modern, false)
	if e, _ := long.Find(host(1)); e.Label != strings.Repeat("a", maxLabel) {
		t.Errorf("label %q", e.Label)
	}
	if got := (Table{}).Spoke("nonsense", "", Modern, false); len(got.Hosts()) != 0 {
		t.Error("a fingerprint that is none was taken")
	}
}

func TestValues(t *testing.T) {
	a := Table{}.Plugged(Modern).Spoke(host(1), "windows", Classic, true)
	before, _ := a.Encode()
	a.Plugged(Classic)
	a.Spoke(host(1), "linux", Modern, false)
	a.Hosts()[0].Left = 99
	if after, _ := a.Encode(); !bytes.Equal(before, after) {
		t.Errorf("changed from %s to %s", before, after)
	}
}

func TestFingerprint(t *testing.T) {
	windows := Seen{Options4: []byte{1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252}, Vendor: "MSFT 5.0", Hostname: "DESKTOP-1", ClientID: []byte{1, 2, 3, 4, 5, 6, 7}}
	mac := Seen{Options4: []byte{1, 121, 3, 6, 15, 108, 114, 119, 252, 95, 44, 46}, Hostname: "air"}
	linux := Seen{Options4: []byte{1, 2, 6, 12, 15, 26, 28, 121, 3, 33, 40, 41, 42, 119, 249, 252, 17}, Hostname: "box", ClientID: []byte{255, 1, 2}}
	seen := map[Host]string{}
	for _, tt := range []struct {
		s     Seen
		label string
	}{
		{windows, "windows"}, {mac, "apple"}, {linux, "linux"},
		{Seen{Vendor: "android-dhcp-14", Options4: []byte{1, 3, 6}}, "android"},
		{Seen{Vendor: "udhcp 1.36.1"}, "linux"}, {Seen{Routers: true}, ""},
		{Seen{Options6: []uint16{23, 24}}, ""},
	} {
		h := tt.s.Host()
		if !h.valid() || seen[h] != "" || tt.s.Label() != tt.label {
			t.Errorf("%+v: %q like %q, %q", tt.s, h, seen[h], tt.s.Label())
		}
		seen[h] = fmt.Sprint(tt.s)
	}
	if h := (Seen{}).Host(); h != "" {
		t.Errorf("a host that showed nothing: %q", h)
	}
	same := windows
	same.ClientID, same.Hostname = []byte{1, 9, 9, 9, 9, 9, 9}, "desktop-1" // our own address, another spelling
	if same.Host() != windows.Host() {
		t.Error("the address that we gave it counts")
	}
	other := linux
	other.ClientID = []byte{255, 1, 3}
	if other.Host() == linux.Host() {
		t.Error("two hosts with their own identifiers are one")
	}
}

func TestDecode(t *testing.T) {
	table := Table{}.Plugged(Modern).Spoke(host(1), "windows", Classic, true).Plugged(Classic).Spoke(host(2), "", Classic, false)
	b, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, table) {
		t.Fatalf("%+v, %v, want %+v", got, err, table)
	}
	entry := func(s string) string {
		return `{"version":1,"plugs":5,"hosts":[{"host":"0000000000000001","last":3},` + s + `]}`
	}
	for text, want := range map[string]string{
		``:                                   "unexpected end",
		`[]`:                                 "cannot unmarshal",
		`{"version":2,"what":1}`:             "newer version",
		`{"version":0}`:                      "version 0 is none",
		`{"version":1,"hosts":[],"x":1}`:     "unknown field",
		`{"version":1,"hosts":[]} {}`:        "after top-level",
		entry(`{"host":"A0"}`):               "not a fingerprint",
		entry(`{"host":"0000000000000001"}`): "twice",
		entry(`{"host":"0000000000000002","last":4}`):                                        "out of order",
		entry(`{"host":"0000000000000002","last":9}`):                                        "not yet",
		entry(`{"host":"0000000000000002","label":"a b"}`):                                   "label",
		entry(`{"host":"0000000000000002","modern":"maybe"}`):                                "outcome",
		entry(`{"host":"0000000000000002","left":3}`):                                        "plugs",
		entry(`{"host":"0000000000000002","patience":1000}`):                                 "plugs",
		`{"version":1,"hosts":[` + strings.TrimSuffix(strings.Repeat(`{},`, 65), ",") + `]}`: "at most 64",
		strings.Repeat(" ", MaxFile+1):                                                       "larger than",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	if _, err := Decode([]byte(`{"version":9}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("%v", err)
	}
	full := Table{}
	for i := range 2 * Most {
		full = full.Plugged(Modern).Spoke(host(i<<40), strings.Repeat("w", 99), Classic, true)
	}
	if b, err := full.Encode(); err != nil || len(b) > MaxFile/2 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := Table{}.Plugged(Modern).Spoke(host(1), "windows", Classic, true).Encode()
	f.Add(b)
	f.Add([]byte(`{"version":1,"plugs":18446744073709551615,"hosts":[{"host":"00000000000000ff","left":1,"patience":8,"last":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Decode(b)
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(1, uint64(len(b))))
		for range 3 {
			p, why := table.Start(r.IntN(2) == 0)
			if why == "" {
				t.Fatal("no reason")
			}
			table = table.Plugged(p).Spoke(host(r.IntN(3)), "x", p, r.IntN(2) == 0)
		}
		out, err := table.Encode()
		if err != nil || len(out) > MaxFile {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		if table.plugs < 3 { // it went round, after 2^64 plugs
			return
		}
		if again, err := Decode(out); err != nil || !reflect.DeepEqual(again, table) {
			t.Fatalf("%+v, %v, want %+v", again, err, table)
		}
	})
}
