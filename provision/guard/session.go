// Package guard keeps the SSH sessions of a machine alive while its network is
// changed: it says through which NIC and next hop each session goes, predicts what a
// plan does to it, and watches it while effects are made.
package guard

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

// Session is an SSH session and the way its packets take.
type Session struct {
	facts.Session
	Kind    fib.Kind   `json:"kind"`              // unicast, local, or why nothing is sent
	Link    string     `json:"link,omitempty"`    // outgoing NIC
	Index   int        `json:"index,omitempty"`   // its index
	OnLink  bool       `json:"on_link,omitempty"` // the peer is a neighbour
	NextHop netip.Addr `json:"next_hop,omitzero"` // who must answer ARP or ND
	Route   string     `json:"route,omitempty"`   // as ip(8) writes it
}

// Sessions tells the way of each session of f, in the same order.
func Sessions(f *facts.Facts) []Session {
	out := make([]Session, 0, len(f.SSH))
	for _, s := range f.SSH {
		out = append(out, way(f, s))
	}
	return out
}

func way(f *facts.Facts, s facts.Session) Session {
	peer := s.Remote.Addr().Unmap()
	r := fib.Lookup(f, fib.Query{Dst: peer, Src: s.Local.Addr().Unmap()})
	out := Session{Session: s, Kind: r.Kind}
	if r.Kind != fib.Unicast {
		return out
	}
	if l, ok := f.LinkByIndex(r.Link); ok {
		out.Link = l.Name
	}
	out.Index = r.Link
	out.OnLink = !r.Gateway.IsValid()
	out.NextHop = r.NextHop(peer.WithZone(""))
	out.Route = fib.RouteText(f, r.Route)
	return out
}

// Name names the session for people.
func (s Session) Name() string {
	n := fmt.Sprintf("SSH session from %v", s.Remote.Addr().Unmap())
	if s.Mine {
		n += " (yours)"
	}
	return n
}

// Path is the way in words.
func (s Session) Path() string {
	switch {
	case s.Kind == fib.Local:
		return "inside this machine"
	case s.Kind != fib.Unicast:
		return "no way (" + string(s.Kind) + ")"
	case s.OnLink:
		return "through " + s.Link + ", on the link"
	}
	return fmt.Sprintf("through %s via %v", s.Link, s.NextHop)
}

// Outlook is what a change does to one session.
type Outlook struct {
	Session
	After Session `json:"after"`
	Lost  bool    `json:"lost,omitempty"`  // the peer can no longer be reached
	Moved bool    `json:"moved,omitempty"` // its packets take another NIC or next hop
	Text  string  `json:"text"`
}

// Forecast is what a change does to all sessions.
type Forecast []Outlook

// Predict compares the way of each session of before with the one it would have
// with the routes, rules and addresses of after. A session that has no way already is
// not lost by the change.
func Predict(before, after *facts.Facts) Forecast {
	var out Forecast
	for _, s := range before.SSH {
		o := Outlook{Session: way(before, s), After: way(after, s)}
		was, is := o.Session, o.After
		switch {
		case was.Kind == fib.Local:
			o.Text = fmt.Sprintf("%s: %s, not affected", was.Name(), was.Path())
		case was.Kind != fib.Unicast:
			o.Text = fmt.Sprintf("%s: %s already", was.Name(), was.Path())
		case !has(after, s.Local.Addr()) && has(before, s.Local.Addr()):
			o.Lost = true
			o.Text = fmt.Sprintf("%s: would be lost: its address %v on this machine goes away", was.Name(), s.Local.Addr().Unmap())
		case is.Kind != fib.Unicast:
			o.Lost = true
			o.Text = fmt.Sprintf("%s: %s now, would be lost: %s", was.Name(), was.Path(), is.Path())
		case was.Index != is.Index || was.NextHop != is.NextHop:
			o.Moved = true
			o.Text = fmt.Sprintf("%s: %s now, then %s", was.Name(), was.Path(), is.Path())
			if was.Index != is.Index {
				o.Text += fmt.Sprintf(" (with the source address %v of %s: a router that checks sources or keeps states may drop it)", s.Local.Addr().Unmap(), was.Link)
			}
		default:
			o.Text = fmt.Sprintf("%s: %s, stays", was.Name(), was.Path())
		}
		out = append(out, o)
	}
	return out
}

func has(f *facts.Facts, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, x := range f.Addrs {
		if x.Prefix.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// Lines is the forecast for people, one line for each session.
func (f Forecast) Lines() []string {
	out := make([]string, 0, len(f))
	for _, o := range f {
		out = append(out, o.Text)
	}
	return out
}

// Lost says which sessions would be lost; empty when none.
func (f Forecast) Lost() string {
	var out []string
	for _, o := range f {
		if o.Lost {
			out = append(out, o.Text)
		}
	}
	return strings.Join(out, "; ")
}
