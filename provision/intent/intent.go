// Package intent has the plain types in which wings tell each other what they need. A wing
// says what it does ("I serve DHCP on usb0", "my tunnel talks to this endpoint"); the firewall,
// the kill switch and the server draw their own conclusions in a second pass.
package intent

import "net/netip"

// Set is everything that the wings have said.
type Set struct {
	Members   []Member
	Services  []Service
	Forwards  []Forward
	Endpoints []Endpoint
	Served    []Served
}

// Append adds what other says.
func (s *Set) Append(other Set) {
	s.Members = append(s.Members, other.Members...)
	s.Services = append(s.Services, other.Services...)
	s.Forwards = append(s.Forwards, other.Forwards...)
	s.Endpoints = append(s.Endpoints, other.Endpoints...)
	s.Served = append(s.Served, other.Served...)
}

// Member puts interfaces into a zone of the firewall. Interfaces are names, or patterns that
// end with *: they may come and go.
type Member struct {
	Zone       string
	Interfaces []string
	// Joins: they join a firewall that is there for another reason, and ask for none. Where one of
	// them is in another zone already, it stays there.
	Joins bool
	// Manage says whether this machine may be managed from there: yes, no, or empty (what the zone
	// says). With no, what comes from there to this machine itself is refused but for what it serves
	// there, also where there is no firewall.
	Manage string
	Why    string // for people: the key or command that asks for it
}

// Service is a port that this machine offers.
type Service struct {
	Name       string   // dhcp, dns, mdns, wireguard, ssh ...
	Interfaces []string // empty: all
	Proto      string   // udp, tcp
	Ports      []uint16
	// Multicast: it needs what comes to a broadcast or multicast address (DHCP, mDNS), so it
	// stands before the rule that drops noise.
	Multicast bool
	Family    int            // 4, 6; 0 is both
	From      []netip.Prefix // empty: anybody
	Why       string
}

// Forward lets a zone reach another one.
type Forward struct {
	// To empty is the way out, whichever it is: the zones that face outside; where nobody has
	// written any zone, every interface that is in none, so that it may be another one tomorrow.
	From, To string
	// Interfaces are those of From that it is for; empty: all.
	Interfaces []string
	// Destinations are all that is reached; empty: everything.
	Destinations []netip.Prefix
	// NAT hides From behind the outgoing address: yes, no, or auto (what the addresses need).
	NAT string
	Why string
}

// Endpoint is where a tunnel of this machine sends its outer packets: a kill switch lets them out.
type Endpoint struct {
	Tunnel string // the tunnel's device: wg0
	Proto  string // udp, or "41" for 6in4
	Addr   netip.Addr
	Port   uint16
	Mark   uint32 // fwmark of the outer packets, 0 none
	Why    string
}

// Served is a link on which this machine is the way out of IPv6 and announces a prefix. The address
// in it is wanted by who says so; a prefix that is not valid is one that comes and goes by itself.
type Served struct {
	Interface string // name
	Prefix    netip.Prefix
	MTU       uint16 // of the way out, 0 as the link's
	Why       string
}
