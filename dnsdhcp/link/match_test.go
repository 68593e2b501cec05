package link

import (
	"net"
	"testing"
)

func TestBest(t *testing.T) {
	tests := []struct {
		patterns []string
		name     string
		want     int
	}{
		{nil, "usb0", -1},
		{[]string{"usb*"}, "usb0", 0},
		{[]string{"usb*"}, "wlan0", -1},
		{[]string{"*", "usb*"}, "usb0", 0},
		{[]string{"*", "usb*", "usb0"}, "usb0", 2},
		{[]string{"usb[01]", "usb?"}, "usb2", 1},
		{[]string{"["}, "usb0", -1},
		{[]string{"["}, "[", 0},
		{[]string{"usb"}, "usb0", -1},
		{[]string{""}, "usb0", -1},
	}
	for _, tt := range tests {
		if got := Best(byName(tt.patterns), tt.name, nil); got != tt.want {
			t.Errorf("Best(%q, %q) = %d, want %d", tt.patterns, tt.name, got, tt.want)
		}
	}
}

func byName(patterns []string) (out []Match) {
	for _, p := range patterns {
		out = append(out, Match{Pattern: p})
	}
	return out
}

func TestBestByAddress(t *testing.T) {
	a, b := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	matches := []Match{{"*", a}, {"usb0", nil}, {"usb0", a}}
	for _, tt := range []struct {
		name string
		mac  net.HardwareAddr
		want int
	}{{"usb0", a, 2}, {"usb0", b, 1}, {"usb0", nil, 2}, {"eth0", a, 0}, {"eth0", b, -1}, {"eth0", nil, 0}} {
		if got := Best(matches, tt.name, tt.mac); got != tt.want {
			t.Errorf("Best(%s, %s) = %d, want %d", tt.name, tt.mac, got, tt.want)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for _, ok := range []string{"usb*", "eth0", "enp0s31f6", "wlan?", "[a-z]*", "abcdefghijklmno"} {
		if err := CheckPattern(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "eth0:1", "a b", "[", "abcdefghijklmnop"} {
		if CheckPattern(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzBest(f *testing.F) {
	f.Add("usb*", "usb0")
	f.Add("[", "[")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := Best(byName([]string{pattern, name}), name, nil)
		if got != 1 && pattern != name {
			t.Errorf("Best(%q, %q) = %d: the exact name loses", pattern, name, got)
		}
	})
}
