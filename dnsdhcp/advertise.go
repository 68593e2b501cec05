package dnsdhcp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/ra"
)

// raPlan is what is advertised on the links of a rule.
type raPlan struct {
	enabled bool
	config  ra.Config
}

func (r *reader) advertisements(at string, l Rule, u *rule) raPlan {
	c := ra.Default()
	in := l.RA
	at += ".ra"
	// RFC 4861 section 6.2.1; 1800 s is its own longest, RFC 8319 lets nobody go beyond without need.
	c.MaxInterval = r.duration(at+".max-interval", in.MaxInterval, c.MaxInterval, 4*time.Second, 30*time.Minute)
	c.MinInterval = r.duration(at+".min-interval", in.MinInterval, ra.MinIntervalFor(c.MaxInterval), 3*time.Second, c.MaxInterval*3/4)
	c.Managed = in.Managed
	c.Other = on(l.DHCP6.Enabled)
	c.Preference = map[string]ra.Preference{"low": ra.Low, "high": ra.High}[in.Preference]
	if in.HopLimit != 0 {
		c.HopLimit = in.HopLimit
	}
	if l.MTU >= 1280 {
		c.MTU = uint32(l.MTU)
	}
	switch {
	case u.router != routerFull:
		c.RouterLifetime = 0 // nobody asked for the clients' way out
		if in.Lifetime != "" && in.Lifetime != "0s" {
			r.fail(at+".lifetime", "with router: %s this machine is no way out; it needs router: full", cmp.Or(l.Router, "none"))
		}
	case in.Lifetime == "0s":
		c.RouterLifetime = 0
	case in.Lifetime != "":
		c.RouterLifetime = r.duration(at+".lifetime", in.Lifetime, ra.Auto, c.MaxInterval, 65535*time.Second)
	}
	for i, p := range in.Prefixes {
		c.Prefixes = append(c.Prefixes, r.announced(fmt.Sprintf("%s.prefixes[%d]", at, i), p))
	}
	c.Interface.Enabled = len(in.Prefixes) == 0
	c.DNSSelf, c.DNS = u.resolvers.self, u.resolvers.v6
	c.Search = u.search
	for _, p := range u.routes6 {
		c.Routes = append(c.Routes, ra.Route{Prefix: p, Preference: c.Preference, Lifetime: ra.Auto})
	}
	if in.PREF64 != "" {
		if p := r.prefix(at+".pref64", in.PREF64); p.IsValid() {
			c.NAT64 = []netip.Prefix{p}
		}
	}
	c.CaptivePortal = l.CaptivePortal
	if err := c.Validate(); err != nil && len(r.problems) == 0 {
		for _, e := range unjoin(err) {
			r.fail(at, "%v", e)
		}
	}
	return raPlan{enabled: on(in.Enabled), config: c}
}

func (r *reader) announced(at string, p Prefix) ra.Prefix {
	out := ra.Prefix{OnLink: on(p.OnLink), Autonomous: on(p.Autonomous)}
	out.Valid = r.duration(at+".valid-lifetime", p.Valid, 24*time.Hour, 0, infinite)
	out.Preferred = r.duration(at+".preferred-lifetime", p.Preferred, min(4*time.Hour, out.Valid), 0, infinite)
	if p.Prefix == "" {
		r.fail(at+".prefix", "missing")
		return out
	}
	out.Prefix = r.prefix(at+".prefix", p.Prefix)
	if out.Prefix.IsValid() && out.Prefix.Addr().Is4() {
		r.fail(at+".prefix", "%s is an IPv4 network", p.Prefix)
	}
	if out.Preferred > out.Valid {
		r.fail(at+".preferred-lifetime", "longer than the valid lifetime, %s", showDuration(out.Valid))
	}
	return out
}

// unjoin takes errors.Join apart.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.Clone(j.Unwrap())
	}
	return []error{err}
}
