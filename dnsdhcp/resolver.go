package dnsdhcp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/cache"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

// dnsPlan is the name server, as far as it does not depend on links and files.
type dnsPlan struct {
	upstreams  []forward.Upstream
	resolvFile string          // read when there are no upstreams; empty for nothing
	groups     []forward.Group // of routes and of links
	routes     map[string]zone.Group
	exempt     map[string]zone.Group // from rebind protection
	records    []dns.RR
	inside     []string
	hostsFiles []string
	cache      cache.Config
	ttl        time.Duration
	raw        DNS
}

// defaultGroup is the name of the upstreams that are asked when nothing else is said.
const defaultGroup = "default"

func (r *reader) dns(c Config, out *resolved) dnsPlan {
	in := c.DNS
	p := dnsPlan{raw: in, routes: map[string]zone.Group{}, exempt: map[string]zone.Group{}, cache: cache.Defaults()}
	p.upstreams = r.upstreams("dns.upstreams", in.Upstreams)
	switch in.ResolvFile {
	case "":
		p.resolvFile = "/etc/resolv.conf"
	case "none":
	default:
		p.resolvFile = in.ResolvFile
		if !strings.HasPrefix(in.ResolvFile, "/") {
			r.fail("dns.resolv-file", "%q is no absolute path, and not none", in.ResolvFile)
		}
	}
	for i, route := range in.Routes {
		r.route(fmt.Sprintf("dns.routes[%d]", i), route, &p)
	}
	for i, l := range c.Links {
		if len(l.DNS.Upstreams) > 0 {
			name := linkGroup(l.Match)
			p.groups = append(p.groups, forward.Group{Name: name, Upstreams: r.upstreams(fmt.Sprintf("links[%d].dns.upstreams", i), l.DNS.Upstreams)})
		}
	}
	for i, d := range in.RebindAllow {
		if name := r.domainName(fmt.Sprintf("dns.rebind-allow[%d]", i), d, ""); name != "" {
			p.exempt[name] = zone.Default
		}
	}
	p.ttl = r.duration("dns.local-ttl", in.LocalTTL, time.Minute, 0, 7*24*time.Hour)
	for i, rec := range in.Records {
		r.record(fmt.Sprintf("dns.records[%d]", i), rec, out.domain, &p)
	}
	for i, n := range in.OwnNames {
		at := fmt.Sprintf("dns.own-names[%d]", i)
		if name := r.domainName(at, n, ""); name != "" && !strings.Contains(strings.TrimSuffix(name, "."), ".") {
			r.fail(at, "%q has no dot: this machine's host name needs not be said", n)
		} else if name != "" {
			p.inside = append(p.inside, name)
		}
	}
	p.hostsFiles = in.HostsFiles
	if len(in.HostsFiles) == 0 {
		p.hostsFiles = []string{"/etc/hosts"}
	} else if len(in.HostsFiles) == 1 && in.HostsFiles[0] == "none" {
		p.hostsFiles = nil
	}
	for i, f := range p.hostsFiles {
		if !strings.HasPrefix(f, "/") {
			r.fail(fmt.Sprintf("dns.hosts-files[%d]", i), "%q is no absolute path", f)
		}
	}
	r.cache(in, &p)
	if in.QueryLog > 1<<16 {
		r.fail("dns.query-log", "%d is more than the %d queries that may be kept", in.QueryLog, 1<<16)
	}
	if in.RateLimit > 1e6 {
		r.fail("dns.rate-limit", "%d queries a second are no limit", in.RateLimit)
	}
	return p
}

func linkGroup(m Match) string { return strings.TrimSpace("link " + m.Name + " " + m.MAC) }

func (r *reader) cache(in DNS, p *dnsPlan) {
	if in.CacheSize != nil {
		p.cache.Bytes = int(*in.CacheSize) << 10
		if n := *in.CacheSize; n != 0 && (n < 64 || n > 1<<20) {
			r.fail("dns.cache-size", "%d KiB is not 0 or between 64 and 1048576", n)
			p.cache.Bytes = 0
		}
	} else {
		p.cache.Bytes = 4 << 20
	}
	const week = 7 * 24 * time.Hour // RFC 8767 section 4
	p.cache.MinTTL = r.duration("dns.min-ttl", in.MinTTL, 0, 0, time.Hour)
	p.cache.MaxTTL = r.duration("dns.max-ttl", in.MaxTTL, 24*time.Hour, max(time.Second, p.cache.MinTTL), week)
	p.cache.StaleFor = r.duration("dns.stale", in.Stale, 24*time.Hour, 0, week)
}

// upstreams reads name servers: ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT, each with %INTERFACE behind it.
func (r *reader) upstreams(at string, list []string) []forward.Upstream {
	var out []forward.Upstream
	for i, text := range list {
		where := fmt.Sprintf("%s[%d]", at, i)
		u, ok := parseUpstream(text)
		if !ok {
			r.fail(where, "%q is no name server: write 9.9.9.9, 9.9.9.9:53, [2620:fe::fe]:53, or 10.0.0.53%%wg0 to leave by an interface", text)
			continue
		}
		for j, o := range out {
			if o == u {
				r.fail(where, "the same as %s[%d]", at, j)
			}
		}
		out = append(out, u)
	}
	return out
}

func parseUpstream(text string) (u forward.Upstream, ok bool) {
	host, iface, hasIface := strings.Cut(text, "%")
	if hasIface {
		name, rest, inBrackets := strings.Cut(iface, "]") // [fe80::1%eth0]:53
		if inBrackets {
			host, iface = host+"]"+rest, name
		}
		if iface == "" || len(iface) > 15 || strings.ContainsAny(iface, "/ :%[]") {
			return u, false
		}
		u.Interface = iface
	}
	host = strings.TrimSuffix(host, "#53") // as dnsmasq writes a port
	ap, err := netip.ParseAddrPort(host)
	if err != nil {
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return u, false
		}
		ap = netip.AddrPortFrom(a, 53)
	}
	u.Addr = ap
	a := ap.Addr()
	return u, ap.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && (!a.IsLinkLocalUnicast() || a.Is4() || u.Interface != "")
}

func (r *reader) route(at string, in DNSRoute, p *dnsPlan) {
	group := zone.Never
	if len(in.Upstreams) == 0 {
		r.fail(at+".upstreams", "missing: name servers, or none for names that are never asked for upstream")
	}
	if len(in.Upstreams) != 1 || in.Upstreams[0] != "none" {
		g := forward.Group{Name: at, Upstreams: r.upstreams(at+".upstreams", in.Upstreams)}
		var source netip.Addr
		if in.Source != "" {
			source = r.addr(at+".source", in.Source)
		}
		for i := range g.Upstreams {
			u := &g.Upstreams[i]
			if in.Interface != "" {
				if u.Interface != "" && u.Interface != in.Interface {
					r.fail(fmt.Sprintf("%s.upstreams[%d]", at, i), "leaves by %s, but the route by %s", u.Interface, in.Interface)
				}
				u.Interface = in.Interface
			}
			if source.IsValid() {
				if source.Is4() != u.Addr.Addr().Is4() {
					r.fail(at+".source", "%s is of another family than %s", source, u.Addr.Addr())
				}
				u.Source.Addr = source
			}
		}
		if len(in.Near) > 0 {
			g.Near, g.List = at+".near", in.NearList
			p.groups = append(p.groups, forward.Group{Name: g.Near, Upstreams: r.upstreams(at+".near", in.Near)})
		}
		p.groups = append(p.groups, g)
		group = zone.Group(g.Name)
	}
	switch {
	case (len(in.Near) > 0) != (in.NearList != ""):
		r.fail(at+".near", "goes with near-list: give both or none")
	case len(in.Near) > 0 && group == zone.Never:
		r.fail(at+".near", "its answers count only within near-list: give upstreams for the others")
	}
	if len(in.Domains) == 0 {
		r.fail(at+".domains", "missing")
	}
	for i, text := range in.Domains {
		where := fmt.Sprintf("%s.domains[%d]", at, i)
		names := []string{}
		if strings.Contains(text, "/") {
			if pf := r.prefix(where, text); pf.IsValid() {
				names = reverseZones(pf)
			}
		} else if text == "." {
			names = []string{"."}
		} else if a, err := netip.ParseAddr(text); err == nil {
			r.fail(where, "%s is an address: write the network whose reverse names are meant, as %s/%d", text, text, a.BitLen())
		} else if d := r.domainName(where, text, ""); d != "" {
			names = []string{d}
		}
		for _, n := range names {
			if _, ok := p.routes[n]; ok {
				r.fail(where, "%s has a route already", text)
			}
			p.routes[n] = group
		}
	}
}

// reverseZones are the zones of a network's reverse names: several where its length is not that of a label.
func reverseZones(p netip.Prefix) []string {
	step := 8
	if p.Addr().Is6() {
		step = 4
	}
	bits := (p.Bits() + step - 1) / step * step
	var out []string
	b := p.Addr().AsSlice()
	for n := range 1 << (bits - p.Bits()) {
		c := append([]byte{}, b...)
		if bits > 0 {
			at := bits/8 - 1
			shift := 0
			if bits%8 != 0 {
				at, shift = bits/8, 4
			}
			c[at] |= byte(n << shift)
		}
		var name strings.Builder
		for i := bits/step - 1; i >= 0; i-- {
			if step == 8 {
				fmt.Fprintf(&name, "%d.", c[i])
			} else {
				fmt.Fprintf(&name, "%x.", c[i/2]>>(4*(1-i%2))&15)
			}
		}
		if step == 8 {
			name.WriteString("in-addr.arpa")
		} else {
			name.WriteString("ip6.arpa")
		}
		out = append(out, name.String())
	}
	return out
}

// record reads one record of our own, in the words of a zone file (RFC 1035 section 5).
func (r *reader) record(at string, in Record, domain string, p *dnsPlan) {
	if in.Name == "" || in.Type == "" || in.Value == "" {
		r.fail(at, "it takes a name, a type and a value")
		return
	}
	for _, text := range []string{in.Name, in.Type, in.Value} {
		if strings.ContainsAny(text, "\n\r") { // a second line would be a second record, or a directive
			r.fail(at, "%q has a line break", text)
			return
		}
	}
	if strings.ContainsAny(in.Name, " \t\"();$") || strings.ContainsAny(in.Type, " \t\"();$") {
		r.fail(at, "%q is no name, or %q no type", in.Name, in.Type)
		return
	}
	owner := strings.ToLower(in.Name)
	if !strings.Contains(strings.TrimPrefix(owner, "*."), ".") || strings.HasPrefix(owner, "_") && !strings.HasSuffix(owner, ".") {
		owner += "." + domain
	}
	ttl := r.duration(at+".ttl", in.TTL, p.ttl, 0, 7*24*time.Hour)
	parser := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("%s %d IN %s %s\n", dns.Fqdn(owner), int(ttl.Seconds()), in.Type, in.Value)), dns.Fqdn(domain), "")
	parser.SetIncludeAllowed(false)
	rr, ok := parser.Next()
	if !ok || rr == nil {
		why := "not understood"
		if err := parser.Err(); err != nil {
			why = strings.TrimPrefix(err.Error(), "dns: ")
			why, _, _ = strings.Cut(why, " at line:")
		}
		r.fail(at, "%s %s: %s", in.Type, in.Value, why)
		return
	}
	p.records = append(p.records, rr)
}
