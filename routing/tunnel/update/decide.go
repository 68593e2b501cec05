package update

import (
	"net/netip"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// Way is where outer packets leave now.
type Way struct {
	Device string
	Addr   netip.Addr
}

// Uplink is where packets to the internet leave: the given device, or that of the best IPv4 default
// route of the main table. Addr is its first lasting address of global scope.
func Uplink(links []facts.Link, addrs []facts.Address, routes []facts.Route, device string) Way {
	index, best := 0, uint32(0)
	if device == "" {
		for _, r := range routes {
			if r.Default() && r.Dst.Addr().Is4() && r.Table == 254 && r.Link != 0 && (index == 0 || r.Metric < best) {
				index, best = r.Link, r.Metric
			}
		}
	}
	var w Way
	for _, l := range links {
		if l.Index == index || device != "" && l.Name == device {
			index, w.Device = l.Index, l.Name
		}
	}
	for _, a := range addrs {
		if a.Link == index && w.Device != "" && a.Prefix.Addr().Is4() && a.Scope != "link" && a.Scope != "host" {
			w.Addr = a.Prefix.Addr()
			break
		}
	}
	return w
}

// Public reports whether the internet can answer to it.
func Public(a netip.Addr) bool {
	if !a.Is4() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	// RFC 6598, RFC 6890: shared, of protocols, for benchmarks, and what is reserved.
	for _, p := range []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10), netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0, 0}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 0}), 15), netip.PrefixFrom(netip.AddrFrom4([4]byte{0, 0, 0, 0}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{240, 0, 0, 0}), 4),
	} {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// State is what is known of a tunnel's updates; it outlives the process.
type State struct {
	// Told is the address that was told last, invalid where the server took what it saw; From is the
	// own address that this machine had then.
	Told netip.Addr `json:"told,omitzero"`
	From netip.Addr `json:"from,omitzero"`
	// Has is what the server said that it has.
	Has  netip.Addr `json:"has,omitzero"`
	At   time.Time  `json:"at,omitzero"` // of the last answer
	Kind Kind       `json:"kind,omitempty"`
	Text string     `json:"text,omitempty"`
	// Fails are answers in a row that were neither good nor nochg.
	Fails int `json:"fails,omitempty"`
	// Held: the server itself asked to be left alone.
	Held bool      `json:"held,omitempty"`
	Next time.Time `json:"next,omitzero"` // nothing is sent before
	// Key stands for configuration and key: what was refused is tried again when it changes.
	Key string `json:"key,omitempty"`
}

// Times of the protocol and of ours.
const (
	settle      = 2 * time.Second // an address that has just come may go again
	troubleWait = 30 * time.Second
	mostTrouble = time.Hour
	abuseWait   = 6 * time.Hour
	mostAbuse   = 7 * 24 * time.Hour
	samePause   = 10 * time.Minute // after an answer that nothing changed
)

// Due says when the server is to be told, given where packets leave now; zero: not as long as
// nothing changes. since is when that way was first seen.
func (s State) Due(c Config, key string, w Way, since time.Time) time.Time {
	if !w.Addr.IsValid() || !c.Wanted() {
		return time.Time{}
	}
	at := since.Add(settle)
	if s.Key != key {
		return at // never asked, or asked otherwise
	}
	changed := s.From != w.Addr
	switch s.Kind {
	case Refused:
		return time.Time{}
	case Abuse:
		return s.Next
	case Trouble:
		// Another way may be a better one: it need not wait for what the old one has lost.
		if changed && !s.Held && s.Fails < 4 {
			return at
		}
		return s.Next
	}
	if changed {
		return latest(at, s.Next)
	}
	if every := c.every(Public(w.Addr)); every > 0 {
		return latest(s.At.Add(every), s.Next)
	}
	return time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Named is the address that is told; invalid: the server takes the one that it sees. A private one is
// never told.
func Named(c Config, w Way) netip.Addr {
	if c.MyIP == "never" || !Public(w.Addr) {
		return netip.Addr{}
	}
	return w.Addr
}

// After is the state after an answer to an update that was sent by w.
func (s State) After(c Config, key string, w Way, a Answer, now time.Time) State {
	next := State{Told: Named(c, w), From: w.Addr, Has: a.Addr, At: now, Kind: a.Kind, Text: a.Text, Key: key}
	fails := 0
	if s.Key == key && s.Kind == a.Kind {
		fails = s.Fails
	}
	switch a.Kind {
	case Good:
	case Same:
		next.Next = now.Add(samePause)
	case Abuse:
		next.Fails = fails + 1
		next.Next = now.Add(max(a.After, doubled(abuseWait, fails, mostAbuse)))
	case Trouble:
		next.Fails = fails + 1
		next.Has, next.Held = s.Has, a.After > 0
		next.Next = now.Add(max(a.After, doubled(troubleWait, fails, mostTrouble)))
	case Refused:
		next.Fails = fails + 1
	}
	return next
}

func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	for range n {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}
