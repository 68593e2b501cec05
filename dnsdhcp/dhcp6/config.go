package dhcp6

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Config is what one link's hosts are told, resolved: Validate says what is wrong with it.
type Config struct {
	DNSSelf       bool // our own address on the link is a resolver, the first
	DNS           []netip.Addr
	Search        []string
	NTPSelf       bool // our own address on the link keeps time
	NTP           []netip.Addr
	Refresh       time.Duration // how long hosts rely on it (option 32), 10 min at least; 0: RFC 8415's day, not sent
	CaptivePortal string        // URI of the API (RFC 8910), or ""
}

// Bounds that keep a reply within what is not fragmented.
const (
	maxServers    = 15
	maxSearchLen  = 512
	maxURI        = 512
	minRefresh    = 600 * time.Second // IRT_MINIMUM, RFC 8415 section 7.6
	maxRefresh    = (1<<32 - 2) * time.Second
	noPortal      = "urn:ietf:params:capport:unrestricted" // RFC 8910 section 2
	maxNameOnWire = 255
)

// Validate returns everything that is wrong, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	servers := func(list []netip.Addr, of string) {
		if len(list) > maxServers {
			bad("there may be %d %s servers at most, not %d", maxServers, of, len(list))
		}
		for _, a := range list {
			if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
				bad("%s server %s is not an IPv6 address to be announced", of, a)
			}
		}
	}
	servers(c.DNS, "name")
	servers(c.NTP, "time")
	total := 0
	for _, d := range c.Search {
		n := strings.TrimSuffix(d, ".")
		total += len(n) + 2
		for label := range strings.SplitSeq(n, ".") {
			if len(label) == 0 || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r > '~' }) {
				bad("search domain %q is no domain name", d)
				break
			}
		}
		if len(n)+2 > maxNameOnWire {
			bad("search domain %q is longer than %d bytes", d, maxNameOnWire)
		}
	}
	if total > maxSearchLen {
		bad("the search domains have %d bytes together, more than %d", total, maxSearchLen)
	}
	if r := c.Refresh; r != 0 && (r < minRefresh || r > maxRefresh) {
		bad("the refresh time must be 10 min to 136 years, not %v", r)
	}
	if p := c.CaptivePortal; p != "" && p != noPortal {
		u, err := url.Parse(p)
		if err != nil || u.Scheme != "https" || u.Host == "" || len(p) > maxURI ||
			strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }) {
			bad("the captive portal's URI %q is neither of https, with at most %d bytes, nor %s", p, maxURI, noPortal)
		}
	}
	return errors.Join(errs...)
}
