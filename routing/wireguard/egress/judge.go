// Package egress judges whether a full tunnel keeps what it promises: what leaves by it, with which
// address, who is asked for names, and how large a packet passes; each family by itself. What goes beside
// the tunnel is a leak, and is named. The package is pure: what was seen goes in.
package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Tunnel is what should be.
type Tunnel struct {
	Device    string
	Addresses []netip.Prefix
	Families  []int // that go by it: 4, 6
	MTU       int
	DNS       []netip.Addr // that should be asked; none: any through the tunnel
	// DNSDomains are those that they are asked for; with "~." or none it is all names.
	DNSDomains []string
	// KillSwitch: nothing at all may leave beside it.
	KillSwitch bool
}

// Seen is what is.
type Seen struct {
	Present, Up bool
	Handshake   time.Duration // age of the newest; less than 0: never
	Families    []Family
	Servers     []Server
}

// Family is what was seen of one.
type Family struct {
	Family int
	Target netip.Addr // somewhere on the internet
	Way    Way        // by which packets without a mark go there
	// Answer is why there is none; empty: the target answers.
	Answer string
	// Beside are the ways by which a program that binds to their device got an answer.
	Beside []string
	// Passes is the size of the largest packet that passes whole, in bytes; 0: not known.
	Passes int
}

// Way is a route's result.
type Way struct {
	Device string // empty: none
	Source netip.Addr
}

// Server is one that is asked for names, and the way to it.
type Server struct {
	Addr netip.Addr
	From string // who names it: "/etc/resolv.conf", "systemd-resolved for eth0"
	Way  Way
	// Through: it is asked by this machine's own resolver, which stands behind a loopback address.
	Through bool
}

// Level of a finding.
type Level string

const (
	Good   Level = "ok"
	Hint   Level = "hint"
	Broken Level = "broken" // nothing leaves, or not everything passes
	Leak   Level = "leak"   // something goes beside the tunnel
)

// Finding is one thing that was judged.
type Finding struct {
	Level   Level  `json:"level"`
	Subject string `json:"subject"` // "IPv4 way out"
	Text    string `json:"text"`
}

// Report is the judgement of one tunnel.
type Report struct {
	Device   string    `json:"device"`
	Findings []Finding `json:"findings"`
}

// OK reports whether nothing is broken and nothing leaks.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Broken || f.Level == Leak })
}

// Judge says what is right and what is wrong.
func Judge(t Tunnel, s Seen) Report {
	r := Report{Device: t.Device}
	add := func(l Level, subject, format string, args ...any) {
		r.Findings = append(r.Findings, Finding{l, subject, fmt.Sprintf(format, args...)})
	}
	switch {
	case !s.Present:
		add(Broken, "device", "there is no %s: `provision apply` makes it", t.Device)
	case !s.Up:
		add(Broken, "device", "%s is down: `provision apply` brings it up", t.Device)
	case s.Handshake < 0:
		add(Broken, "handshake", "no peer has ever answered: is the endpoint right, does it know this machine's public key, does UDP reach it?")
	case s.Handshake > 3*time.Minute:
		add(Hint, "handshake", "the last one was %s ago, so the session is over; the next packet makes a new one, if the peer answers", s.Handshake.Round(time.Second))
	default:
		add(Good, "handshake", "%s ago", s.Handshake.Round(time.Second))
	}
	for _, f := range s.Families {
		t.family(f, add)
	}
	t.names(s.Servers, add)
	return r
}

func (t Tunnel) family(f Family, add func(Level, string, string, ...any)) {
	name := fmt.Sprintf("IPv%d", f.Family)
	carried := slices.Contains(t.Families, f.Family)
	for _, way := range f.Beside {
		if t.KillSwitch {
			add(Leak, name+" way out", "a program that binds to %s gets an answer from %s beside the tunnel, though there is a kill switch: `provision firewall check` says what is missing of it", way, f.Target)
		} else {
			add(Hint, name+" way out", "a program that binds to %s itself gets an answer from %s beside the tunnel; a kill switch (routing.kill-switch) would hold that", way, f.Target)
		}
	}
	switch {
	case !carried && f.Way.Device == "":
		add(Good, name+" way out", "the tunnel does not carry it, and nothing leaves")
		return
	case !carried:
		add(Leak, name+" way out", "the tunnel does not carry it, and it leaves by %s with the address %s", f.Way.Device, f.Way.Source)
		return
	case f.Way.Device == "":
		add(Broken, name+" way out", "there is none: no route leads to %s", f.Target)
		return
	case f.Way.Device != t.Device:
		add(Leak, name+" way out", "what goes to %s leaves by %s with the address %s, not by %s", f.Target, f.Way.Device, f.Way.Source, t.Device)
		return
	case f.Answer != "":
		add(Broken, name+" way out", "it is %s, but %s does not answer: %s", t.Device, f.Target, f.Answer)
	default:
		add(Good, name+" way out", "%s, and %s answers", t.Device, f.Target)
	}
	if src := f.Way.Source; slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr() == src }) {
		add(Good, name+" source", "%s", src)
	} else {
		add(Leak, name+" source", "packets leave by %s with the address %s, which is not one of the tunnel's: the peer drops them, or learns it", t.Device, src)
	}
	if f.Answer != "" {
		return
	}
	switch {
	case f.Passes == 0:
		add(Hint, name+" MTU", "not measured")
	case f.Passes < t.MTU:
		add(Broken, name+" MTU", "packets of more than %d bytes do not pass, and the device takes %d: write mtu: %d", f.Passes, t.MTU, f.Passes)
	default:
		add(Good, name+" MTU", "%d bytes pass", f.Passes)
	}
}

// names judges who is asked.
func (t Tunnel) names(list []Server, add func(Level, string, string, ...any)) {
	all := len(t.DNSDomains) == 0 || slices.Contains(t.DNSDomains, "~.")
	if len(list) == 0 {
		add(Hint, "names", "no name server is known")
	}
	var good []string
	for _, s := range list {
		wanted := len(t.DNS) == 0 || slices.Contains(t.DNS, s.Addr)
		switch {
		case s.Addr.IsLoopback():
			continue // whom that one asks is judged
		case s.Way.Device == t.Device && wanted:
			good = append(good, s.Addr.String())
		case s.Way.Device == t.Device:
			add(Hint, "names", "%s (%s) is asked through the tunnel, and dns names others", s.Addr, s.From)
		case !all:
			add(Hint, "names", "%s (%s) is asked by %s for what is not of %s", s.Addr, s.From, s.Way.Device, strings.Join(t.DNSDomains, ", "))
		case s.Way.Device == "":
			add(Broken, "names", "no route leads to %s (%s): names are not found while it is asked", s.Addr, s.From)
		default:
			add(Leak, "names", "%s (%s) is asked by %s: whoever keeps it sees each name; give routing.wireguard.%s.dns servers that are reached through the tunnel", s.Addr, s.From, s.Way.Device, t.Device)
		}
	}
	if len(good) > 0 {
		add(Good, "names", "%s through the tunnel", strings.Join(good, ", "))
	}
}
