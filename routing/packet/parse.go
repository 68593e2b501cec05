package packet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Target is where a packet goes, as a person writes it.
type Target struct {
	Addr  netip.Addr
	Port  uint16
	Proto string // tcp, udp, icmp or a protocol number
}

const targetHelp = "write ADDRESS:PORT/tcp or /udp ([ADDRESS]:PORT/tcp for IPv6), or ADDRESS/icmp, or only ADDRESS for a ping"

// ParseTarget reads "1.1.1.1:443/tcp", "[2001:db8::1]:53/udp", "10.0.0.1/icmp". Without a port
// and a protocol it is an ICMP echo request, with a port but no protocol it is TCP.
func ParseTarget(s string) (Target, error) {
	fail := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("cannot read the target %q: %s; %s", s, why, targetHelp)
	}
	end, proto, hasProto := strings.Cut(strings.TrimSpace(s), "/")
	var t Target
	addr, port, err := splitPort(end)
	if err != nil {
		return fail(err.Error())
	}
	if t.Addr, err = netip.ParseAddr(addr); err != nil {
		return fail(fmt.Sprintf("%q is no address (names are not looked up here)", addr))
	}
	t.Addr = t.Addr.Unmap()
	six := t.Addr.Is6()
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fail(fmt.Sprintf("%q is no port (1 to 65535)", port))
		}
		t.Port = uint16(n)
	}
	switch proto = strings.ToLower(proto); {
	case hasProto && proto == "":
		return fail("there is no protocol after the /")
	case !hasProto && t.Port != 0:
		proto = "tcp"
	case !hasProto:
		proto = "icmp"
	}
	n, ok := protocol(proto, six)
	if !ok {
		return fail(fmt.Sprintf("%q is no protocol", proto))
	}
	if n == protoICMP && six || n == protoICMPv6 && !six {
		return fail(fmt.Sprintf("%s is of the other family", proto))
	}
	ported := (&skb{proto: n}).ported()
	switch {
	case ported && t.Port == 0:
		return fail(proto + " needs a port")
	case !ported && t.Port != 0:
		return fail(proto + " has no ports")
	}
	t.Proto = proto
	return t, nil
}

// splitPort takes "a:p", "[a]:p", "[a]" and "a" apart.
func splitPort(s string) (addr, port string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		addr, rest, ok = strings.Cut(rest, "]")
		switch {
		case !ok:
			return "", "", fmt.Errorf("there is no ] after the address")
		case rest == "":
			return addr, "", nil
		case rest[0] != ':' || len(rest) == 1:
			return "", "", fmt.Errorf("after ] a :PORT is needed")
		}
		return addr, rest[1:], nil
	}
	if strings.Count(s, ":") == 1 {
		addr, port, _ = strings.Cut(s, ":")
		if port == "" {
			return "", "", fmt.Errorf("there is no port after the colon")
		}
		return addr, port, nil
	}
	return s, "", nil
}

// ParseSource reads an address with or without a port: "10.55.0.2", "[fd00::2]:5353".
func ParseSource(s string) (netip.Addr, uint16, error) {
	addr, port, err := splitPort(strings.TrimSpace(s))
	if err == nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(addr); err == nil {
			var n uint64
			if port != "" {
				n, err = strconv.ParseUint(port, 10, 16)
			}
			if err == nil {
				return a.Unmap(), uint16(n), nil
			}
		}
	}
	return netip.Addr{}, 0, fmt.Errorf("cannot read the source %q: write ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT", s)
}

// Packet is a first packet to the target.
func (t Target) Packet() Packet { return Packet{To: t.Addr, Dport: t.Port, Proto: t.Proto} }

// GuessIn finds the device that a packet from this address would come in by: the one whose
// subnet holds it, else the one that the way back leaves by. ok is false if there is none, or
// the address is one of this machine's own (then this machine sends it).
func GuessIn(w World, from netip.Addr) (dev string, ok bool) {
	m := newMachine(w, Packet{To: from})
	if m.own(from.Unmap(), nil) || from.IsLoopback() {
		return "", false
	}
	for _, a := range m.f.Addrs {
		if l := m.linkAt(a.Link); l != nil && a.Prefix.Contains(from.Unmap()) && l.ARPHRD != arphrdLoopback {
			return l.Name, true
		}
	}
	r := m.lookupTo(from.Unmap())
	if l := m.linkAt(r.Link); l != nil && r.Kind == "unicast" {
		return l.Name, true
	}
	return "", false
}
