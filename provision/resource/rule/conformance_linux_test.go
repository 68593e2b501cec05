package rule

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ptr(n int) *int            { return &n }

func TestConformance(t *testing.T) {
	for name, key := range map[string]Key{
		"tunnel":       {Family: 4, Priority: 5210, Not: true, Mark: 0x10000, Mask: 0xff0000, Target: 1000},
		"tunnel, IPv6": {Family: 6, Priority: 5210, Not: true, Mark: 0x10000, Mask: 0xff0000, Target: 1000},
		"main":         {Family: 4, Priority: 5209, Target: 254},
		"main, IPv6":   {Family: 6, Priority: 5209, Target: 254},
		"replies":      {Priority: 5100, From: pfx("2001:db8::7/128"), Iif: "name:lo", Target: 70000},
		"fancy":        {Priority: 5000, From: pfx("192.0.2.0/24"), To: pfx("198.51.100.0/24"), Iif: "name:usb0", IPProto: 17, SPort: Range{53, 53}, DPort: Range{1000, 2000}, UID: &UIDs{0, 999}, Target: 100},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				nstest.Network(t)
				rc := enginetest.ResourceCase{Resource: Resource{}, Optional: []string{AttrSuppress}}
				for _, n := range []*int{nil, ptr(0), ptr(16)} {
					w := Want(Spec{Key: key, Suppress: n}, "")
					rc.Name = w.Name
					rc.Values = append(rc.Values, w.Attrs)
				}
				return rc
			})
		})
	}
}

// What has no attributes but the protocol cannot differ otherwise.
func TestActions(t *testing.T) {
	nstest.Network(t)
	for _, k := range []Key{
		{Family: 4, Priority: 100, Action: Unreachable, To: pfx("192.0.2.0/24")},
		{Family: 6, Priority: 100, Action: Blackhole, Iif: "name:usb0"},
		{Family: 4, Priority: 101, Action: Prohibit, Oif: "name:usb0"},
		{Family: 4, Priority: 102, Action: Goto, Target: 32766, From: pfx("192.0.2.0/24")},
	} {
		w := Want(Spec{Key: k}, "")
		for _, want := range []provision.Attrs{w.Attrs, w.Attrs, nil, w.Attrs} {
			w.Attrs = want
			put(t, w)
			have, err := Resource{}.Get(t.Context(), w.Name)
			if err != nil || (have == nil) != (want == nil) || have[AttrProto] != want[AttrProto] {
				t.Errorf("%s: wanted %v, is %v, %v", w.Name, want, have, err)
			}
		}
	}
	equal(t, rules(t, 4), `
0: from all lookup local
100: from all to 192.0.2.0/24 unreachable proto 158
101: from all oif usb0 [detached] prohibit proto 158
102: from 192.0.2.0/24 goto 32766 proto 158
32766: from all lookup main
32767: from all lookup default`)
	equal(t, rules(t, 6), `
0: from all lookup local
100: from all iif usb0 [detached] blackhole proto 158
32766: from all lookup main`)
}
