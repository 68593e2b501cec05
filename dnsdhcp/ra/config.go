package ra

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// Infinite is a lifetime without an end (0xffffffff seconds on the wire).
const Infinite = link.Infinite

// Auto asks for the value that follows from others.
const Auto = time.Duration(-1)

// Config is what is advertised on one link, resolved: Default fills it, Validate says what is wrong with it.
type Config struct {
	MinInterval, MaxInterval time.Duration // between unsolicited advertisements (RFC 4861 section 6.2.1)
	Managed, Other           bool          // the M and O flags: addresses, other information by DHCPv6

	// RouterLifetime is how long hosts may use us as default router: Auto is three times MaxInterval while there is an
	// uplink (SetUplink) and 0 while there is none; a figure ignores the uplink; 0 is never. Whatever it says, the lifetime
	// is 0 while the machine does not forward (RFC 4861 section 6.2.5: such a machine is no router).
	RouterLifetime time.Duration
	Preference     Preference
	HopLimit       uint8         // 0: unspecified
	Reachable      time.Duration // whole milliseconds; 0: unspecified
	Retrans        time.Duration // whole milliseconds; 0: unspecified
	MTU            uint32        // 0: none; MTUOfLink: that of the link; never more than that of the link is announced

	Prefixes []Prefix
	// Interface announces each /64 that the link has a global or unique local address of. Lifetimes are those of the
	// address, but never more than these.
	Interface Interface

	DNSSelf       bool // announce our own address on the link as resolver, before DNS
	DNS           []netip.Addr
	DNSLifetime   time.Duration // at least three times MaxInterval (RFC 8106 section 5.1); Auto is just that
	Search        []string      // domains, as ASCII (RFC 8106 section 5.2)
	Routes        []Route
	NAT64         []netip.Prefix // RFC 8781
	NAT64Lifetime time.Duration  // at most 65528 s; Auto is three times MaxInterval
	CaptivePortal string         // URI of the API (RFC 8910), or ""

	// Hysteresis: an uplink counts as lost, or as back, when it has been for so long. Both may be 0.
	UplinkDown, UplinkUp time.Duration
}

// MTUOfLink in Config.MTU announces the link's own MTU.
const MTUOfLink = ^uint32(0)

// Interface is how the prefixes of the link's own addresses are announced.
type Interface struct {
	Enabled             bool
	OnLink, Autonomous  bool
	Preferred, Valid    time.Duration // upper bounds
	PreferredDelegation bool          // see Prefix
}

// Prefix is one prefix information option (RFC 4861 section 4.6.2).
type Prefix struct {
	Prefix           netip.Prefix
	OnLink           bool
	Autonomous       bool
	Preferred, Valid time.Duration // whole seconds are sent; Infinite for no end
	// PreferredDelegation is the P flag of RFC 9762: hosts should rather ask DHCPv6 for a prefix of their own.
	PreferredDelegation bool
}

// Route is one route information option (RFC 4191 section 2.3). It is announced with lifetime 0 while we do not forward.
type Route struct {
	Prefix     netip.Prefix
	Preference Preference
	Lifetime   time.Duration // Auto is three times MaxInterval
}

// Preference of a router or route (RFC 4191 section 2.1).
type Preference uint8

// The values are those on the wire; 2 is reserved.
const (
	Medium Preference = 0
	High   Preference = 1
	Low    Preference = 3
)

func (p Preference) String() string {
	switch p {
	case High:
		return "high"
	case Low:
		return "low"
	}
	return "medium"
}

// Bounds that keep an advertisement small; RFC 4191 section 4 allows 17 routes.
const (
	maxPrefixes = 32
	maxDNS      = 15
	maxSearch   = 16
	maxRoutes   = 17
	maxNAT64    = 4
)

// Default is Config as radvd's users know it, with prefixes from the interface, ourselves as resolver, and a router
// lifetime that follows the uplink. RFC 9096 section 3.4 asks for lifetimes as short as these.
func Default() Config {
	return Config{
		MinInterval:    200 * time.Second,
		MaxInterval:    600 * time.Second,
		RouterLifetime: Auto,
		HopLimit:       64,
		Interface: Interface{
			Enabled: true, OnLink: true, Autonomous: true,
			Preferred: 45 * time.Minute, Valid: 90 * time.Minute,
		},
		DNSSelf:       true,
		DNSLifetime:   Auto,
		NAT64Lifetime: Auto,
		UplinkDown:    time.Second,
		UplinkUp:      5 * time.Second,
	}
}

// MinIntervalFor is the default of MinInterval (RFC 4861 section 6.2.1): a third of the longest interval, or three
// quarters of it where that is under 9 s, and never less than 3 s.
func MinIntervalFor(maxInterval time.Duration) time.Duration {
	if maxInterval < 9*time.Second {
		return max(3*time.Second, maxInterval*3/4)
	}
	return maxInterval / 3
}

// Validate returns everything that is wrong, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	const longest = 65535 * time.Second // RFC 8319 section 4

	if c.MaxInterval < 4*time.Second || c.MaxInterval > longest {
		bad("the longest interval must be 4 s to 65535 s, not %v", c.MaxInterval)
	}
	if c.MinInterval < 3*time.Second || c.MinInterval > c.MaxInterval*3/4 {
		bad("the shortest interval must be 3 s to three quarters of the longest, %v, not %v", c.MaxInterval*3/4, c.MinInterval)
	}
	if l := c.RouterLifetime; l != Auto && l != 0 && (l < c.MaxInterval || l > longest) {
		bad("the router lifetime must be 0 or the longest interval, %v, to 65535 s, not %v", c.MaxInterval, l)
	}
	checkPreference := func(p Preference, of string) {
		if p != Low && p != Medium && p != High {
			bad("the preference of %s must be low, medium or high", of)
		}
	}
	checkPreference(c.Preference, "the router")
	if c.Reachable < 0 || c.Reachable > time.Hour {
		bad("the reachable time must be 0 to 1 h, not %v", c.Reachable) // RFC 4861 section 6.2.1
	}
	if c.Retrans < 0 || c.Retrans > time.Hour {
		bad("the retransmission time must be 0 to 1 h, not %v", c.Retrans)
	}
	if c.MTU != 0 && c.MTU != MTUOfLink && (c.MTU < 1280 || c.MTU > 65535) {
		bad("the MTU must be 1280 to 65535, not %d", c.MTU)
	}

	c.checkPrefixes(bad)

	if len(c.DNS) > maxDNS {
		bad("there may be %d name servers at most, not %d", maxDNS, len(c.DNS))
	}
	for _, a := range c.DNS {
		if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
			bad("name server %s is not an IPv6 address to be announced", a)
		}
	}
	if l := c.DNSLifetime; l != Auto && l != Infinite && (l < 3*c.MaxInterval || l > longestFinite) {
		bad("the lifetime of name servers must be at least three times the longest interval, %v, not %v", 3*c.MaxInterval, l)
	}
	if len(c.Search) > maxSearch {
		bad("there may be %d search domains at most, not %d", maxSearch, len(c.Search))
	}
	for _, d := range c.Search {
		if _, err := appendName(nil, d); err != nil {
			errs = append(errs, err)
		}
	}
	if len(c.Routes) > maxRoutes {
		bad("there may be %d routes at most (RFC 4191 section 4), not %d", maxRoutes, len(c.Routes))
	}
	seen := map[netip.Prefix]bool{}
	for _, r := range c.Routes {
		if !isPrefix6(r.Prefix) {
			bad("route %s is not an IPv6 network", r.Prefix)
		} else if seen[r.Prefix] {
			bad("route %s is there twice", r.Prefix)
		}
		seen[r.Prefix] = true
		checkPreference(r.Preference, "route "+r.Prefix.String())
		if l := r.Lifetime; l != Auto && !isLifetime(l) {
			bad("the lifetime of route %s must be whole seconds, 0 to 136 years or infinite, not %v", r.Prefix, l)
		}
	}
	if len(c.NAT64) > maxNAT64 {
		bad("there may be %d NAT64 prefixes at most, not %d", maxNAT64, len(c.NAT64))
	}
	for _, p := range c.NAT64 {
		if _, ok := nat64Length(p.Bits()); !ok || !isPrefix6(p) {
			bad("NAT64 prefix %s must be an IPv6 network of length 32, 40, 48, 56, 64 or 96", p)
		}
	}
	if l := c.NAT64Lifetime; l != Auto && (l < 0 || l > maxNAT64Lifetime) {
		bad("the lifetime of NAT64 prefixes must be 0 to %v, not %v", maxNAT64Lifetime, l)
	}
	if err := checkCaptivePortal(c.CaptivePortal); err != nil {
		errs = append(errs, err)
	}
	if c.UplinkDown < 0 || c.UplinkUp < 0 {
		bad("the hysteresis of the uplink must not be negative")
	}
	return errors.Join(errs...)
}

func (c *Config) checkPrefixes(bad func(string, ...any)) {
	if len(c.Prefixes) > maxPrefixes {
		bad("there may be %d prefixes at most, not %d", maxPrefixes, len(c.Prefixes))
	}
	lifetimes := func(of string, preferred, valid time.Duration) {
		if !isLifetime(valid) || !isLifetime(preferred) {
			bad("the lifetimes of %s must be whole seconds, 0 to 136 years or infinite", of)
		} else if preferred > valid {
			bad("the preferred lifetime of %s, %v, is longer than the valid one, %v", of, preferred, valid) // RFC 4861 section 6.2.1
		}
	}
	seen := map[netip.Prefix]bool{}
	for _, p := range c.Prefixes {
		switch {
		case !isPrefix6(p.Prefix):
			bad("prefix %s is not an IPv6 network", p.Prefix)
		case p.Prefix.Overlaps(linkLocal) || p.Prefix.Addr().IsMulticast():
			bad("prefix %s is not one to be announced", p.Prefix) // RFC 4861 section 4.6.2, RFC 4862 section 5.5.3
		case p.Autonomous && p.Prefix.Bits() != 64:
			bad("prefix %s must be a /64 if hosts are to make addresses of it", p.Prefix) // RFC 4291 section 2.5.1
		case seen[p.Prefix]:
			bad("prefix %s is there twice", p.Prefix)
		}
		seen[p.Prefix] = true
		lifetimes("prefix "+p.Prefix.String(), p.Preferred, p.Valid)
	}
	if c.Interface.Enabled {
		lifetimes("the interface's prefixes", c.Interface.Preferred, c.Interface.Valid)
	}
}

var linkLocal = netip.MustParsePrefix("fe80::/10")

// longestFinite is the longest finite lifetime of 32 bits.
const longestFinite = (1<<32 - 2) * time.Second

func isLifetime(d time.Duration) bool {
	return d == Infinite || d >= 0 && d <= longestFinite && d%time.Second == 0
}

// isPrefix6 tells networks from addresses with a prefix length, and IPv6 from the rest.
func isPrefix6(p netip.Prefix) bool {
	return p.IsValid() && p.Addr().Is6() && !p.Addr().Is4In6() && p == p.Masked()
}

func checkCaptivePortal(uri string) error {
	if uri == "" {
		return nil
	}
	// One byte of length in units of 8 bytes, less type and length themselves.
	if len(uri) > 255*8-2 {
		return fmt.Errorf("the captive portal's URI has %d bytes, more than an option holds", len(uri))
	}
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] > '~' {
			return fmt.Errorf("the captive portal's URI %q holds a character that must be escaped", uri)
		}
	}
	// RFC 8910 section 2: https, or the URN that says that there is no portal.
	u, err := url.Parse(uri)
	if err != nil || (u.Scheme != "https" || u.Host == "") && uri != Unrestricted {
		return fmt.Errorf("the captive portal's URI %q is neither of https nor %s", uri, Unrestricted)
	}
	return nil
}

// Unrestricted as Config.CaptivePortal says that there is none (RFC 8910 section 2).
const Unrestricted = "urn:ietf:params:capport:unrestricted"

// dnsLifetime, routeLifetime and nat64Lifetime resolve Auto.
func (c *Config) dnsLifetime() time.Duration {
	if c.DNSLifetime == Auto {
		return 3 * c.MaxInterval
	}
	return c.DNSLifetime
}

func (c *Config) routeLifetime(r Route) time.Duration {
	if r.Lifetime == Auto {
		return 3 * c.MaxInterval
	}
	return r.Lifetime
}

func (c *Config) nat64Lifetime() time.Duration {
	if c.NAT64Lifetime == Auto {
		return min(3*c.MaxInterval, maxNAT64Lifetime)
	}
	return c.NAT64Lifetime
}

// routerLifetime is what the header says: 3 x MaxInterval is RFC 4861's default of AdvDefaultLifetime, 65535 s the
// most that 16 bits hold.
func (c *Config) routerLifetime(up Uplink) time.Duration {
	switch {
	case !up.Forwarding:
		return 0
	case c.RouterLifetime != Auto:
		return c.RouterLifetime
	case !up.Default6:
		return 0
	}
	return min(3*c.MaxInterval, 65535*time.Second)
}

// Uplink is what the machine can do for hosts that route through it.
type Uplink struct {
	Default6   bool // there is an IPv6 default route, not over this link
	Forwarding bool // net.ipv6.conf.LINK.forwarding
}
