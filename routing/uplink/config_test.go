package uplink

import (
	"strings"
	"testing"
	"time"
)

func TestProblems(t *testing.T) {
	good := Uplink{Interface: "eth0", Checks: []string{"ping 9.9.9.9", "tcp [2606:4700:4700::1111]:443", "dns 9.9.9.9"}, Interval: "5s", Timeout: "1s", Hold: "30s"}
	for _, tt := range []struct {
		name string
		c    Config
		want []string
	}{
		{"nothing", nil, nil},
		{"good", Config{good, {Interface: "wlan0"}}, nil},
		{"alone", Config{good}, []string{": there is one uplink"}},
		{"names", Config{{}, {Interface: "eth*"}, good, good}, []string{"[0].interface: is missing", `[1].interface: "eth*" is no name`, "[3].interface: eth0 is already [2]"}},
		{"checks", Config{good, {Interface: "b", Checks: []string{"ping quad9.net", "http 1.1.1.1", "tcp 1.1.1.1", "ping 127.0.0.1", "dns [fe80::1%eth0]:53"}}},
			[]string{`[1].checks[0]: "ping quad9.net": "quad9.net" is no address`, `[1].checks[1]: "http 1.1.1.1" is no check`, "[1].checks[2]: ", "[1].checks[3]: ", "[1].checks[4]: "}},
		{"times", Config{good, {Interface: "b", Interval: "1s", Timeout: "2s", Hold: "soon", Fail: -1, Recover: 5000}},
			[]string{`[1].hold: "soon" is no time`, "[1].timeout: 2s is longer", "[1].fail: -1 is out", "[1].recover: 5000 is out"}},
		{"too many", Config{good, {Interface: "b", Checks: strings.Fields(strings.Repeat("x ", 17))}}, []string{"[1].checks: 17 are too many"}},
	} {
		var got []string
		for _, p := range tt.c.Problems() {
			got = append(got, p.Path+": "+p.Text)
		}
		for i, w := range tt.want {
			if i >= len(got) || !strings.HasPrefix(got[i], w) {
				t.Errorf("%s: got %q, want %q", tt.name, got, w)
				break
			}
		}
		if len(got) > len(tt.want) && tt.name != "too many" {
			t.Errorf("%s: got %q", tt.name, got[len(tt.want):])
		}
	}
}

func TestRules(t *testing.T) {
	r := Config{{Interface: "eth0"}, {Interface: "b", Checks: []string{"dns 9.9.9.9"}, Interval: "1s", Timeout: "100ms", Fail: 1, Recover: 2, Hold: "10s", Metric: 7}}.Rules()
	if a := r[0]; a.Interval != 5*time.Second || a.Timeout != 2*time.Second || a.Fail != 3 || a.Recover != 5 || a.Hold != time.Minute || len(a.Checks) != len(defaultChecks()) {
		t.Errorf("defaults: %+v", a)
	}
	if b := r[1]; b.Interval != time.Second || b.Timeout != 100*time.Millisecond || b.Fail != 1 || b.Recover != 2 || b.Hold != 10*time.Second || b.Metric != 7 || b.Checks[0].String() != "dns 9.9.9.9:53" {
		t.Errorf("given: %+v", b)
	}
}

func FuzzParseCheck(f *testing.F) {
	for _, s := range append(defaultChecks(), "tcp 1.1.1.1:443", "dns [2620:fe::fe]:5353", "ping ::ffff:1.2.3.4", "tcp :1", "") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCheck(s)
		if err != nil {
			return
		}
		if again, err := ParseCheck(c.String()); err != nil || again != c {
			t.Errorf("%q is %v, again %v, %v", s, c, again, err)
		}
	})
}
