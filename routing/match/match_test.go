package match_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	. "github.com/provision-net/provision/routing/match"
)

func TestNothingIsSaidTwice(t *testing.T) {
	one := Join(SAddr(px("192.0.2.1/32")), DPort(TCP, 80))
	two := Join(NFProto(4), SAddr(px("192.0.2.1/32")), L4Proto(TCP), DPort(TCP, 80), L4Proto(TCP))
	if say(one) != say(Join(one)) || len(two) != len(one) {
		t.Errorf("one:\n%s\ntwo:\n%s", say(one), say(two))
	}
	// Another family or protocol is another condition: it stays, and the rule never matches.
	if got := Join(NFProto(4), NFProto(6)); len(got) != 4 {
		t.Errorf("a contradiction was lost: %s", say(got))
	}
}

func TestNotLeavesTheWordAlone(t *testing.T) {
	w := IIFName("a")
	before := say(w)
	Not(w)
	if say(w) != before {
		t.Errorf("Not changed its argument to %s", say(w))
	}
	if got := say(Not(Not(w))); got != before {
		t.Errorf("twice Not: %s", got)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		a, b            string
		covers, overlap bool
	}{
		{"usb0", "usb0", true, true}, {"usb*", "usb0", true, true}, {"usb0", "usb*", false, true}, {"*", "x", true, true},
		{"usb*", "us*", false, true}, {"us*", "usb*", true, true}, {"usb0", "usb1", false, false}, {"a*", "b*", false, false},
	} {
		if Covers(c.a, c.b) != c.covers || Overlap(c.a, c.b) != c.overlap || Overlap(c.b, c.a) != c.overlap {
			t.Errorf("%s and %s: covers %v, overlap %v", c.a, c.b, Covers(c.a, c.b), Overlap(c.a, c.b))
		}
	}
}

// TestElementsHoldTheSame merges random ranges and asks both forms about every address.
func TestElementsHoldTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	for range 500 {
		var in []Range
		var ports []PortRange
		for range r.IntN(12) {
			a := r.IntN(256)
			b := min(255, a+r.IntN(40))
			in, ports = append(in, Range{at(a), at(b)}), append(ports, PortRange{uint16(a), uint16(b)})
		}
		els, pels := Addresses(in), Ports(ports)
		for i := range 256 {
			want, got, pgot := false, 0, 0
			for _, x := range in {
				want = want || x.From.Compare(at(i)) <= 0 && at(i).Compare(x.To) <= 0
			}
			for _, e := range els {
				if holds(e.Key, e.To, at(i).AsSlice()) {
					got++
				}
			}
			for _, e := range pels {
				if holds(e.Key, e.To, PortKey(uint16(i))) {
					pgot++
				}
			}
			if n := map[bool]int{true: 1}[want]; got != n || pgot != n {
				t.Fatalf("%v: %d is in it %v, in %d elements, in %d of ports", in, i, want, got, pgot)
			}
		}
	}
	all := Ports([]PortRange{{0, 65535}, {65535, 65535}, {1, 1}})
	if len(all) != 1 || !bytes.Equal(all[0].To, []byte{255, 255}) {
		t.Errorf("all ports: %v", all)
	}
	last := Addresses([]Range{RangeOf(px("ff00::/8")), RangeOf(px("::/0"))})
	if len(last) != 1 || LastOf(px("::/0")).String() != "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" {
		t.Errorf("all of IPv6: %v", last)
	}
}

func holds(from, to, x []byte) bool {
	if to == nil {
		to = from
	}
	return bytes.Compare(from, x) <= 0 && bytes.Compare(x, to) <= 0
}
