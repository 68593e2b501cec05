package firewall

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/provision-net/provision/routing/match"
)

// traffic is one protocol with its ports, or for ICMP its types; empty lists are all of them.
type traffic struct {
	proto uint8
	ports []match.PortRange
	types []uint8
}

// hasPorts says whether a protocol's header begins with two ports.
func hasPorts(proto uint8) bool {
	return proto == match.TCP || proto == match.UDP || proto == match.SCTP
}

// family is the only family that the protocol lives in, 0 for both.
//
//go:noinline
func (t traffic) family() int {
	switch t.proto {
	case match.ICMP, 2: // IGMP
		return 4
	case match.ICMPv6:
		return 6
	}
	return 0
}

// covers says that everything of b is of t.
func (t *traffic) covers(b *traffic) bool {
	if t.proto != b.proto || len(t.ports) > 0 && len(b.ports) == 0 || len(t.types) > 0 && len(b.types) == 0 {
		return false
	}
	for _, p := range b.ports {
		if len(t.ports) > 0 && !slices.ContainsFunc(t.ports, func(x match.PortRange) bool { return x.From <= p.From && p.To <= x.To }) {
			return false
		}
	}
	for _, y := range b.types {
		if len(t.types) > 0 && !slices.Contains(t.types, y) {
			return false
		}
	}
	return true
}

// parseTraffic reads the port list of a rule; nil is any.
func parseTraffic(words []string, fail func(i int, format string, args ...any)) []traffic {
	var out []traffic
	every := len(words) == 0
	add := func(t traffic) {
		i := slices.IndexFunc(out, func(x traffic) bool { return x.proto == t.proto })
		switch {
		case i < 0:
			out = append(out, t)
		case len(out[i].ports)+len(out[i].types) == 0 || len(t.ports)+len(t.types) == 0:
			out[i] = traffic{proto: t.proto}
		default:
			out[i].ports = append(out[i].ports, t.ports...)
			out[i].types = append(out[i].types, t.types...)
		}
	}
	for i, w := range words {
		if w == anyWord || w == "ip" || w == "ip/any" {
			every = true
			continue
		}
		ts, err := parseWord(w)
		if err != nil {
			fail(i, "%v", err)
		}
		for _, t := range ts {
			add(t)
		}
	}
	if every {
		return nil
	}
	for i := range out {
		out[i].ports = mergePorts(out[i].ports)
		types := out[i].types
		sort.Slice(types, func(a, b int) bool { return types[a] < types[b] })
		out[i].types = slices.Compact(types)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].proto < out[j].proto })
	return out
}

// mergePorts sorts and joins what overlaps or touches.
func mergePorts(ps []match.PortRange) []match.PortRange {
	var out []match.PortRange
	for _, e := range match.Ports(ps) {
		r := match.PortRange{From: uint16(e.Key[0])<<8 | uint16(e.Key[1])}
		r.To = r.From
		if e.To != nil {
			r.To = uint16(e.To[0])<<8 | uint16(e.To[1])
		}
		out = append(out, r)
	}
	if len(out) == 1 && out[0].From <= 1 && out[0].To == 65535 {
		return nil // all ports there are
	}
	return out
}

func parseWord(w string) ([]traffic, error) {
	if ts := service(w); ts != nil {
		return ts, nil
	}
	left, right, slash := strings.Cut(w, "/")
	if !slash {
		if p, ok := protocolName(left); ok {
			return []traffic{{proto: p}}, nil
		}
		if _, err := strconv.Atoi(left); err == nil {
			return nil, fmt.Errorf("%q is a number alone: write tcp/%s or udp/%s, or proto/%s for the protocol of that number", w, w, w, w)
		}
		return nil, fmt.Errorf("%q is no protocol and no service that is known: write protocol/port, for example tcp/80", w)
	}
	if left == "proto" {
		p, ok := protocol(right)
		if !ok {
			return nil, fmt.Errorf("%q: %q is no protocol: a number from 1 to 254", w, right)
		}
		return []traffic{{proto: p}}, nil
	}
	if _, ok := protocolName(right); ok { // 80/tcp, as ufw and firewalld write it
		left, right = right, left
	}
	proto, ok := protocolName(left)
	if !ok {
		return nil, fmt.Errorf("%q: %q is no protocol that is known: tcp, udp, icmp, icmpv6, sctp, gre, esp, ah, igmp, 6in4, or proto/NUMBER", w, left)
	}
	if right == anyWord {
		return []traffic{{proto: proto}}, nil
	}
	t := traffic{proto: proto}
	for _, part := range strings.Split(right, ",") {
		switch {
		case hasPorts(proto):
			r, err := parsePorts(part)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", w, err)
			}
			t.ports = append(t.ports, r)
		case proto == match.ICMP || proto == match.ICMPv6:
			n, err := icmpType(proto, part)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", w, err)
			}
			t.types = append(t.types, n)
		default:
			return nil, fmt.Errorf("%q: protocol %s has no ports: write %s alone", w, left, left)
		}
	}
	return []traffic{t}, nil
}

func parsePorts(s string) (match.PortRange, error) {
	from, to, isRange := strings.Cut(strings.Replace(s, ":", "-", 1), "-")
	if !isRange {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	switch {
	case err != nil || err2 != nil:
		return match.PortRange{}, fmt.Errorf("%q is no port: a number from 1 to 65535, or two with a dash between", s)
	case a == 0:
		return match.PortRange{}, fmt.Errorf("port 0 is never used")
	case b < a:
		return match.PortRange{}, fmt.Errorf("%s ends before it begins: write %d-%d", s, b, a)
	}
	return match.PortRange{From: uint16(a), To: uint16(b)}, nil
}

// protocol knows a transport protocol by name or IANA's number.
func protocol(s string) (uint8, bool) {
	if p, ok := protocolName(s); ok {
		return p, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil && n > 0 && n < 255
}

func protocolName(s string) (uint8, bool) {
	switch s {
	case "tcp":
		return match.TCP, true
	case "udp":
		return match.UDP, true
	case "icmp":
		return match.ICMP, true
	case "icmpv6", "ipv6-icmp":
		return match.ICMPv6, true
	case "sctp":
		return match.SCTP, true
	case "gre":
		return match.GRE, true
	case "esp":
		return match.ESP, true
	case "ah":
		return 51, true
	case "igmp":
		return 2, true
	case "6in4", "ipv6":
		return match.IPv6, true
	}
	return 0, false
}

func icmpType(proto uint8, s string) (uint8, error) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return uint8(n), nil
	}
	names := map[string]uint8{"echo-request": match.EchoRequest, "echo-reply": match.EchoReply, "destination-unreachable": match.Unreachable,
		"time-exceeded": match.TimeExceed, "parameter-problem": match.ParamProb, "timestamp-request": 13}
	if proto == match.ICMPv6 {
		names = map[string]uint8{"echo-request": match.EchoRequest6, "echo-reply": match.EchoReply6, "destination-unreachable": match.Unreachable6,
			"packet-too-big": match.PacketTooBig6, "time-exceeded": match.TimeExceed6, "parameter-problem": match.ParamProb6}
	}
	if n, ok := names[s]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("%q is no ICMP type that is known: a number, or one of %s", s, strings.Join(sorted(names), ", "))
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
