package dnsdhcp

import (
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

func TestDurations(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
		show string
	}{
		{"90s", 90 * time.Second, true, "1m30s"},
		{"3600", time.Hour, true, "1h"},
		{"45m", 45 * time.Minute, true, "45m"},
		{"12h", 12 * time.Hour, true, "12h"},
		{"1h30m", 90 * time.Minute, true, "1h30m"},
		{"7d", 7 * 24 * time.Hour, true, "7d"},
		{"2w", 14 * 24 * time.Hour, true, "14d"},
		{"infinite", infinite, true, "infinite"},
		{"0s", 0, true, "0s"},
		{"136y", 0, false, ""},
		{"7102w", 0, false, ""}, // 0xffffffff seconds are 7101.9 weeks
		{"-1h", 0, false, ""},
		{"1.5", 0, false, ""},
		{"100ms", 0, false, ""},
		{"99999999999", 0, false, ""},
		{"m", 0, false, ""},
		{"soon", 0, false, ""},
	} {
		got, ok := parseDuration(tt.text)
		if ok != tt.ok || ok && (got != tt.want || showDuration(got) != tt.show) {
			t.Errorf("%q: %v %v, shown %q; want %v %v, shown %q", tt.text, got, ok, showDuration(got), tt.want, tt.ok, tt.show)
		}
	}
}

func TestPools(t *testing.T) {
	for _, tt := range []struct{ text, first, last string }{
		{"10.0.0.100-10.0.0.199", "10.0.0.100", "10.0.0.199"},
		{"10.0.0.100 - 10.0.0.199", "10.0.0.100", "10.0.0.199"},
		{"10.0.0.7", "10.0.0.7", "10.0.0.7"},
		{"10.0.0.0/25", "10.0.0.0", "10.0.0.127"},
		{"10.0.0.1/25", "", ""},
		{"10.0.0.9-10.0.0.8", "", ""},
		{"fd00::1-fd00::9", "", ""},
		{"10.0.0.9-", "", ""},
		{"", "", ""},
	} {
		var r reader
		got, ok := r.pool("p", tt.text)
		if tt.first == "" {
			if ok || len(r.problems) != 1 {
				t.Errorf("%q: %v, %v", tt.text, got, r.problems)
			}
			continue
		}
		if !ok || got.First.String() != tt.first || got.Last.String() != tt.last {
			t.Errorf("%q: %v, %v", tt.text, got, r.problems)
		}
	}
}

func TestClientIDs(t *testing.T) {
	for text, want := range map[string]string{
		"01:52:54:00:12:34:56": "\x01\x52\x54\x00\x12\x34\x56",
		"printer":              "\x00printer",
		"ff:zz":                "\x00ff:zz",
		"abcd":                 "\x00abcd", // could be bytes, but has no colon
	} {
		if got := clientID(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestAddressesAreHosts(t *testing.T) {
	for _, text := range []string{"0.0.0.0", "255.255.255.255", "224.0.0.1", "fd00::1", "10.0.0", "10.0.0.1/24", ""} {
		var r reader
		if r.addr4("a", text); len(r.problems) != 1 {
			t.Errorf("%q: %v", text, r.problems)
		}
	}
	var r reader
	if r.addr4("a", "10.0.0.1"); len(r.problems) != 0 {
		t.Error(r.problems)
	}
	if hw, ok := r.mac("m", "52:54:00:12:34:56"); !ok || hw != (lease.HW{Type: 1, Addr: "RT\x00\x124V"}) {
		t.Error(hw, r.problems)
	}
	if _, ok := r.mac("m", "52:54:00:12:34"); ok {
		t.Error("five bytes are no MAC address")
	}
	if r.prefix("p", "10.0.0.1/24"); len(r.problems) != 2 {
		t.Error(r.problems)
	}
}
