package dhcp4

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Infinite is a lease time without an end.
const Infinite = time.Duration(math.MaxInt64)

// Defaults of a Network.
const (
	DefaultLease      = time.Hour
	DefaultMin        = 2 * time.Minute
	DefaultOffer      = time.Minute
	DefaultQuarantine = 10 * time.Minute
	DefaultFlood      = 10
)

// Identity says what tells clients apart.
type Identity uint8

const (
	// Auto is the client identifier; a client that is not known by its identifier is recognised by its hardware address
	// if it sends none, or sent none when it got its lease. So boot loader, initrd and system keep one address.
	Auto       Identity = iota
	ByMAC               // the hardware address alone
	ByClientID          // the client identifier where there is one (RFC 2131 section 4.2)
)

// Router says what clients are told of the way out.
type Router uint8

const (
	NoRouter    Router = iota // nothing: they keep the one they have
	SplitRouter               // only Routes (options 121 and 249), through us
	FullRouter                // a default route, to RouterAddr; with Routes also 121 that holds it (RFC 3442: who reads 121 ignores 3)
)

// Boot is network boot.
type Boot struct {
	Server netip.Addr        // TFTP server (siaddr); zero or 0.0.0.0 is ours
	File   string            // for clients that no entry of Arch is for
	Arch   map[uint16]string // by architecture (option 93, RFC 4578)
	IPXE   string            // for clients that are iPXE already
}

// Network is what clients of one IPv4 network are told. Pools and reservations are the lease table's; the names tie
// them together. In lists of addresses, 0.0.0.0 is this machine's own address in the network (as in dnsmasq).
type Network struct {
	Name    string // in the lease table
	Link    string // interface, or a pattern such as usb*; of a relayed network: where relay agents may be, empty for anywhere
	Relayed bool   // behind relay agents: their giaddr, or link selection (RFC 3527), is inside of Prefix
	Prefix  netip.Prefix

	// ServerID is option 54; invalid: the link's address inside of Prefix, of a relayed network the address that the relay
	// agent sent to.
	ServerID netip.Addr

	Lease, Min, Max time.Duration // lease time: when none is asked for, and between which it may be asked for
	T1, T2          time.Duration // when to renew and rebind; 0: half and seven eighths of the lease
	Offer           time.Duration // how long an offer is held
	Quarantine      time.Duration // how long an address rests after DECLINE or a conflict

	Router     Router
	RouterAddr netip.Addr     // FullRouter: zero or 0.0.0.0 is us
	Routes     []netip.Prefix // reached through us

	DNS, NTP      []netip.Addr
	Domain        string // option 15, and what is behind the name in option 81
	Search        []string
	MTU           uint16
	CaptivePortal string        // URI (RFC 8910)
	IPv6Only      time.Duration // V6ONLY_WAIT (RFC 8925); 0: IPv4 is needed here
	Boot          Boot
	Options       []option.Option

	Identity      Identity
	Authoritative bool
	RapidCommit   bool
	Probe         bool
	Broadcast     bool // to clients that did not ask for it as well
	Flood         int  // requests a second of one client
}

// Host is one machine that is known by configuration. Its reserved address, if any, is in the lease table.
type Host struct {
	Name      string
	HW        []lease.HW
	ClientIDs []string // raw
	LeaseTime time.Duration
	Ignore    bool
	Options   []option.Option
}

// Config is all that the handlers go by.
type Config struct {
	Networks []Network
	Hosts    []Host
	// Label makes the one label out of what a client calls itself, false if it may not be called so; nil refuses all.
	Label func(raw string) (string, bool)
}

// Rules are a checked Config. They do not change; a reload makes new ones.
type Rules struct {
	networks []network
	byHW     map[lease.HW]*Host
	byID     map[string]*Host
	label    func(string) (string, bool)
}

type network struct {
	Network
	mask      [4]byte
	broadcast netip.Addr // invalid for /31 and /32
	search    []byte
	domain    []byte
	portal    []byte
}

// NewRules fills in defaults and checks. All that is wrong is in the error.
func NewRules(c Config) (*Rules, error) {
	r := &Rules{byHW: map[lease.HW]*Host{}, byID: map[string]*Host{}, label: c.Label}
	if r.label == nil {
		r.label = func(string) (string, bool) { return "", false }
	}
	var errs []error
	names := map[string]bool{}
	for _, n := range c.Networks {
		one, err := newNetwork(n)
		if err == nil && names[n.Name] {
			err = errors.New("there are two of that name")
		}
		names[n.Name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("network %q: %w", n.Name, err))
		}
		r.networks = append(r.networks, one)
	}
	for i := range c.Hosts {
		h := c.Hosts[i]
		if h.LeaseTime < 0 {
			errs = append(errs, fmt.Errorf("host %q: negative lease time", h.Name))
		}
		for _, hw := range h.HW {
			r.byHW[hw] = &h
		}
		for _, id := range h.ClientIDs {
			r.byID[id] = &h
		}
	}
	return r, errors.Join(errs...)
}

func newNetwork(n Network) (network, error) {
	fill := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	fill(&n.Lease, DefaultLease)
	fill(&n.Min, min(DefaultMin, n.Lease))
	fill(&n.Max, n.Lease)
	fill(&n.Offer, DefaultOffer)
	fill(&n.Quarantine, DefaultQuarantine)
	if n.Flood == 0 {
		n.Flood = DefaultFlood
	}
	out := network{Network: n}
	switch {
	case n.Name == "":
		return out, errors.New("it has no name")
	case !n.Prefix.IsValid() || !n.Prefix.Addr().Is4():
		return out, errors.New("it has no IPv4 prefix")
	case n.Link == "" && !n.Relayed:
		return out, errors.New("it is on no link and behind no relay agent")
	case n.Min > n.Max || n.Lease < n.Min || n.Lease > n.Max || n.Min < time.Second:
		return out, fmt.Errorf("lease time %v is not between %v and %v", n.Lease, n.Min, n.Max)
	case n.T1 < 0 || n.T2 < 0 || n.T1 > 0 && n.T2 > 0 && n.T1 >= n.T2:
		return out, fmt.Errorf("T1 %v is not before T2 %v", n.T1, n.T2)
	case n.IPv6Only != 0 && n.IPv6Only < 5*time.Minute:
		return out, errors.New("clients must be able to do without IPv4 for 5 minutes at least (RFC 8925 section 3.4)")
	case n.MTU != 0 && n.MTU < 68:
		return out, errors.New("the MTU is less than 68 (RFC 2132 section 5.1)")
	}
	if _, err := path.Match(n.Link, ""); err != nil {
		return out, fmt.Errorf("%q is not a pattern", n.Link)
	}
	for _, a := range append(append([]netip.Addr{n.RouterAddr, n.ServerID, n.Boot.Server}, n.DNS...), n.NTP...) {
		if a.IsValid() && !a.Is4() {
			return out, fmt.Errorf("%s is not an IPv4 address", a)
		}
	}
	for _, p := range n.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return out, fmt.Errorf("route %s is not an IPv4 network", p)
		}
	}
	n.Prefix = n.Prefix.Masked()
	out.Prefix = n.Prefix
	mask := uint32(math.MaxUint32) << (32 - n.Prefix.Bits())
	if n.Prefix.Bits() == 0 {
		mask = 0
	}
	base := n.Prefix.Addr().As4()
	last := base
	for i := range 4 {
		out.mask[i] = byte(mask >> (24 - 8*i))
		last[i] |= ^out.mask[i]
	}
	if n.Prefix.Bits() < 31 {
		out.broadcast = netip.AddrFrom4(last)
	}
	var err error
	if len(n.Search) > 0 {
		if out.search, err = option.EncodeDomains(n.Search); err != nil {
			return out, err
		}
	}
	out.domain = []byte(n.Domain)
	out.portal = []byte(n.CaptivePortal)
	return out, nil
}

func (n *network) onLink(name string) bool {
	ok, _ := path.Match(n.Link, name)
	return ok
}

// host returns the configured host, nil if there is none. The hardware address says more than an identifier that
// images copy.
func (r *Rules) host(c *lease.Client) *Host {
	if h := r.byHW[c.HW]; h != nil {
		return h
	}
	if c.ClientID != "" {
		return r.byID[c.ClientID]
	}
	return nil
}
