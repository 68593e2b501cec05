package ra

import (
	"net/netip"
	"testing"
)

func TestSolicitation(t *testing.T) {
	good := []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9}
	bare := good[:8]
	with := func(i int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[i] = v
		return b
	}
	for name, c := range map[string]struct {
		data []byte
		src  string
		hops int
		want string
	}{
		"good":                  {good, "fe80::9", 255, ""},
		"bare, no address":      {bare, "::", 255, ""},
		"forwarded":             {good, "fe80::9", 254, ReasonHopLimit},
		"unknown hop limit":     {good, "fe80::9", -1, ReasonHopLimit},
		"code":                  {with(1, 1), "fe80::9", 255, ReasonCode},
		"type":                  {with(0, 135), "fe80::9", 255, ReasonType},
		"empty":                 {nil, "fe80::9", 255, ReasonShort},
		"seven bytes":           {bare[:7], "fe80::9", 255, ReasonShort},
		"option of length 0":    {with(9, 0), "fe80::9", 255, ReasonOptionZero},
		"option too long":       {with(9, 2), "fe80::9", 255, ReasonOptionShort},
		"torn option":           {good[:12], "fe80::9", 255, ReasonOptionShort},
		"LLA without address":   {good, "::", 255, ReasonSourceLLA},
		"multicast source":      {good, "ff02::1", 255, ReasonSource},
		"IPv4-mapped source":    {good, "::ffff:1.2.3.4", 255, ReasonSource},
		"nonce without address": {with(8, 14), "::", 255, ""},
	} {
		_, _, reason := Solicitation(Packet{Data: c.data, Src: netip.MustParseAddr(c.src), HopLimit: c.hops})
		if reason != c.want {
			t.Errorf("%s: %q, want %q", name, reason, c.want)
		}
	}
}

func TestAdvertisementRefused(t *testing.T) {
	good := make([]byte, 16)
	good[0] = 134
	with := func(i int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[i] = v
		return b
	}
	for name, c := range map[string]struct {
		data []byte
		src  string
		hops int
		want string
	}{
		"good":          {good, "fe80::9", 255, ""},
		"forwarded":     {good, "fe80::9", 64, ReasonHopLimit},
		"code":          {with(1, 1), "fe80::9", 255, ReasonCode},
		"short":         {good[:15], "fe80::9", 255, ReasonShort},
		"type":          {with(0, 133), "fe80::9", 255, ReasonType},
		"global source": {good, "2001:db8::1", 255, ReasonSource},
		"option zero":   {append(with(4, 64), 3, 0, 0, 0, 0, 0, 0, 0), "fe80::9", 255, ReasonOptionZero},
		"option short":  {append(with(4, 64), 3, 4, 0, 0, 0, 0, 0, 0), "fe80::9", 255, ReasonOptionShort},
		"odd options":   {append(with(4, 64), 3, 1, 0, 0, 0, 0, 0, 0, 25, 1, 0, 0, 0, 0, 0, 0, 31, 1, 0, 0, 0, 0, 0, 0, 24, 1, 64, 0, 0, 0, 0, 0), "fe80::9", 255, ""},
	} {
		_, reason := Advertisement(Packet{Data: c.data, Src: netip.MustParseAddr(c.src), HopLimit: c.hops})
		if reason != c.want {
			t.Errorf("%s: %q, want %q", name, reason, c.want)
		}
	}
}
