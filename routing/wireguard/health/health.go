// Package health judges how the peers of a tunnel fare: what is known of them now, and what was seen
// before. The judging is pure; the roof reads the devices and keeps what was seen, and Job has a watch
// tell of it.
package health

import (
	"fmt"
	"time"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// reject is when a session is dead that was not made anew (REJECT_AFTER_TIME of WireGuard's whitepaper,
// section 6.1).
const reject = 180 * time.Second

// Seen is what was seen of one peer.
type Seen struct {
	At        time.Time `json:"at"`
	Received  uint64    `json:"received"`
	Sent      uint64    `json:"sent"`
	Handshake time.Time `json:"handshake,omitzero"`
	// Moves are the endpoints it came from lately, the present one last.
	Moves []Move `json:"moves,omitempty"`
	// Stalls is how often it was found stalled since something came from it.
	Stalls int `json:"stalls,omitempty"`
}

// Move is an endpoint and when it was first seen there.
type Move struct {
	Endpoint string    `json:"endpoint"`
	At       time.Time `json:"at"`
}

// maxMoves is how many endpoints are remembered; three changes to and fro are no roaming.
const maxMoves = 8

// History is what was seen, by device and public key.
type History map[string]map[string]Seen

// Note adds what is seen now, and forgets peers that are gone.
func (h History) Note(d *wireguard.Device, now time.Time) {
	before := h[d.Name]
	after := make(map[string]Seen, len(d.Peers))
	for i := range d.Peers {
		p := &d.Peers[i]
		key := p.PublicKey.String()
		s := before[key]
		next := Seen{At: now, Received: p.Received, Sent: p.Sent, Handshake: p.LastHandshake, Moves: s.Moves, Stalls: s.Stalls}
		if stalled(p, s, now) {
			next.Stalls++
		} else if p.Received != s.Received {
			next.Stalls = 0
		}
		if e := p.Endpoint; e.IsValid() && (len(s.Moves) == 0 || s.Moves[len(s.Moves)-1].Endpoint != e.String()) {
			next.Moves = append(append([]Move{}, s.Moves...), Move{e.String(), now})
			if n := len(next.Moves); n > maxMoves {
				next.Moves = next.Moves[n-maxMoves:]
			}
		}
		after[key] = next
	}
	h[d.Name] = after
}

// stalled: something was sent since it was last looked at, nothing came back, and the session is dead.
func stalled(p *wireguard.Peer, before Seen, now time.Time) bool {
	return !before.At.IsZero() && now.After(before.At) && p.Sent > before.Sent && p.Received == before.Received &&
		!p.LastHandshake.IsZero() && now.Sub(p.LastHandshake) > reject
}

// Peer is what the configuration says of a peer, as far as it matters here.
type Peer struct {
	Name    string
	Allowed string // as wireguard.FormatAllowedIPs
	// Keepalive is that of the peer's own side, in seconds, 0 for none or not known; Calls: this machine
	// calls the peer, and Own is its own keepalive.
	Keepalive uint16
	Calls     bool
	Own       uint16
}

// Warnings says what is wrong with a peer, a sentence each. live is nil where the device has no such
// peer; seen is what was noted of it, this time included; before is what was noted the last time.
func Warnings(p Peer, live *wireguard.Peer, before, seen Seen, now time.Time) []string {
	if live == nil {
		return []string{"the device does not have it: `provision apply` puts it back"}
	}
	var out []string
	if p.Allowed != "" && wireguard.FormatAllowedIPs(live.AllowedIPs) != p.Allowed {
		out = append(out, fmt.Sprintf("the device lets it have %s, and not %s: somebody else changed it, `provision apply` puts it back", orNothing(wireguard.FormatAllowedIPs(live.AllowedIPs)), p.Allowed))
	}
	if n := flaps(seen.Moves, now); n >= 3 {
		last := seen.Moves[len(seen.Moves)-1].Endpoint
		other := seen.Moves[len(seen.Moves)-2].Endpoint
		out = append(out, fmt.Sprintf("its endpoint went to and fro %d times between %s and %s: two devices use the same key. `provision wireguard rotate %s` gives one of them a new one, `add` makes another peer", n, other, last, p.Name))
	}
	switch {
	case live.LastHandshake.IsZero() && live.Sent > 0 && live.Received == 0 && p.Calls:
		out = append(out, "it has never answered: its endpoint, its public key or a firewall in between is wrong")
	case live.LastHandshake.IsZero() || !stalled(live, before, now) && seen.Stalls == 0:
	default:
		out = append(out, p.stall("for "+short(now.Sub(live.LastHandshake))))
	}
	return out
}

// stall says that there was no handshake since or for some time, and what to do.
func (p Peer) stall(since string) string {
	switch {
	case p.Calls && p.Own == 0:
		return fmt.Sprintf("no handshake %s though something was sent: if this machine is behind NAT, give the peer persistent-keepalive: 25", since)
	case p.Calls:
		return fmt.Sprintf("no handshake %s though something was sent%s", since, smaller("persistent-keepalive", p.Own))
	case p.Keepalive == 0:
		return fmt.Sprintf("no handshake %s though something was sent to it: it is off, or behind NAT, which forgets the way back to it: give it --keepalive 25", since)
	}
	return fmt.Sprintf("no handshake %s though something was sent to it: it is off%s", since, smaller("--keepalive", p.Keepalive))
}

// smaller suggests the next keepalive.
func smaller(word string, n uint16) string {
	for _, k := range []uint16{25, 20, 15, 10, 5} {
		if k < n {
			return fmt.Sprintf(", or a NAT in between forgets it within %d seconds: try %s %d", n, word, k)
		}
	}
	return ""
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// flaps counts returns to the endpoint before the last one, within ten minutes: who roams comes back
// seldom, two that have one key do it with each packet.
func flaps(m []Move, now time.Time) int {
	n := 0
	for i := 2; i < len(m); i++ {
		if m[i].Endpoint == m[i-2].Endpoint && now.Sub(m[i].At) < 10*time.Minute {
			n++
		}
	}
	return n
}

// Alive reports whether a peer's session is one.
func Alive(handshake, now time.Time) bool {
	return !handshake.IsZero() && now.Sub(handshake) <= reject
}

// short is a time for people: 42s, 5m, 3h, 12d.
func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

// Age is how long ago a handshake was, for people.
func Age(handshake, now time.Time) string {
	if handshake.IsZero() {
		return "never"
	}
	return short(max(now.Sub(handshake), 0))
}
