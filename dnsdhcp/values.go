package dnsdhcp

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// Problem is one thing that is wrong with a Config, at a path such as links[0].dhcp4.pools[1].
type Problem struct{ Path, Text string }

// reader collects what is wrong, so that all of it is told at once.
type reader struct {
	problems []Problem
	checked  bool // the parts have been asked already
}

//go:noinline
func (r *reader) fail(path, format string, args ...any) {
	r.problems = append(r.problems, Problem{path, fmt.Sprintf(format, args...)})
}

// duration reads 90s, 45m, 12h, 7d, 2w and infinite; fallback when there is nothing to read. Whole seconds are what
// the protocols have.
func (r *reader) duration(path, text string, fallback, least, most time.Duration) time.Duration {
	if text == "" {
		return fallback
	}
	d, ok := parseDuration(text)
	switch {
	case !ok:
		r.fail(path, "%q is no length of time: write 90s, 45m, 12h, 7d or infinite", text)
	case d < least:
		r.fail(path, "%s is shorter than %s", text, showDuration(least))
	case d > most:
		r.fail(path, "%s is longer than %s", text, showDuration(most))
	default:
		return d
	}
	return fallback
}

// infinite is 0xffffffff seconds in every protocol here.
const infinite = link.Infinite

// longest is the longest finite time that DHCP, DNS and RA can express.
const longest = time.Duration(0xfffffffe) * time.Second

func parseDuration(text string) (time.Duration, bool) {
	if text == "infinite" || text == "forever" {
		return infinite, true
	}
	scale := time.Second
	number := strings.TrimRight(text, "smhdw")
	switch strings.TrimPrefix(text, number) {
	case "", "s":
	case "m":
		scale = time.Minute
	case "h":
		scale = time.Hour
	case "d":
		scale = 24 * time.Hour
	case "w":
		scale = 7 * 24 * time.Hour
	default: // 1h30m
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= 0 && d <= longest && d%time.Second == 0
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= 0 && d <= longest && d%time.Second == 0
	}
	d := time.Duration(n) * scale
	return d, n <= uint64(longest/scale)
}

func showDuration(d time.Duration) string {
	switch {
	case d == infinite:
		return "infinite"
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// addr4 reads one IPv4 address.
func (r *reader) addr4(path, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		r.fail(path, "%q is no IPv4 address of a host", text)
		return netip.Addr{}
	}
	return a
}

// addr reads one address of either family.
func (r *reader) addr(path, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() {
		r.fail(path, "%q is no address of a host", text)
		return netip.Addr{}
	}
	return a
}

// prefix reads a network; what is behind its length must be zero, because an address there is mostly a mistake.
func (r *reader) prefix(path, text string) netip.Prefix {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		r.fail(path, "%q is no network: write it as 10.0.0.0/24 or fd00::/64", text)
		return netip.Prefix{}
	}
	if p.Masked() != p {
		r.fail(path, "%s is an address inside of a network, which is %s", text, p.Masked())
		return netip.Prefix{}
	}
	return p
}

// pool reads FIRST-LAST, one address, or a network.
func (r *reader) pool(path, text string) (lease.Range, bool) {
	first, last, isRange := strings.Cut(text, "-")
	if p, err := netip.ParsePrefix(text); err == nil && !isRange && p.Addr().Is4() {
		if p.Masked() != p {
			r.fail(path, "%s is an address inside of a network, which is %s", text, p.Masked())
			return lease.Range{}, false
		}
		return lease.Range{First: p.Addr(), Last: lastOf(p)}, true
	}
	if !isRange {
		last = first
	}
	a, errA := netip.ParseAddr(strings.TrimSpace(first))
	b, errB := netip.ParseAddr(strings.TrimSpace(last))
	if errA != nil || errB != nil || !a.Is4() || !b.Is4() {
		r.fail(path, "%q is no range of IPv4 addresses: write it as 10.0.0.100-10.0.0.199", text)
		return lease.Range{}, false
	}
	if b.Less(a) {
		r.fail(path, "%s ends before it begins: write it as %s-%s", text, b, a)
		return lease.Range{}, false
	}
	return lease.Range{First: a, Last: b}, true
}

// lastOf is the last address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// mac reads a MAC address of Ethernet.
func (r *reader) mac(path, text string) (lease.HW, bool) {
	m, err := net.ParseMAC(text)
	if err != nil || len(m) != 6 {
		r.fail(path, "%q is no MAC address: write it as 52:54:00:12:34:56", text)
		return lease.HW{}, false
	}
	return lease.HW{Type: 1, Addr: string(m)}, true
}

// clientID reads a client identifier as it is on the wire: bytes as 01:02:03, else text, which goes behind the type
// 0 that RFC 2132 section 9.14 gives to what is no hardware address.
func clientID(text string) string {
	if b, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); err == nil && strings.Contains(text, ":") {
		return string(b)
	}
	return "\x00" + text
}
