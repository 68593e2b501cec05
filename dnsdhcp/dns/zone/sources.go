package zone

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// dynamic asks the sources of a domain for a label. True: the label exists.
func (z *Zone) dynamic(a *Answer, q Question, v *View, d *domain, label string) bool {
	exists := false
	for _, s := range d.sources {
		got := false
		for _, ip := range s.Addrs(label) {
			if len(d.nets) > 0 && !in(d.nets, ip) {
				continue
			}
			exists = true
			if wants(q.Type, ip) {
				a.Answer = append(a.Answer, addrRR(q.Name, z.ttl(s, ip, v.Now), ip))
				got = true
			}
		}
		if got {
			break // addresses of several owners are not mixed
		}
	}
	if exists {
		a.Reason = ReasonSource
	}
	return exists
}

// bare is a single label: in the asker's domain, then in the others.
func (z *Zone) bare(a *Answer, q Question, v *View, label string) bool {
	first := strings.TrimSuffix(v.Domain, ".")
	for _, d := range z.domains {
		if first != "" && d.name[:len(d.name)-1] == first && z.dynamic(a, q, v, d, label) {
			return true
		}
	}
	for _, d := range z.domains {
		if (first == "" || d.name[:len(d.name)-1] != first) && z.dynamic(a, q, v, d, label) {
			return true
		}
	}
	return false
}

// hosts answers from the hosts files. False: they do not know the name, or have no say about the type.
func (z *Zone) hosts(q Question, p position, a *Answer) (string, bool) {
	if len(z.c.Hosts) == 0 {
		return "", false
	}
	whole := q.Name[:len(q.Name)-1]
	local := p.dom != nil || p.labels == 1
	exists := z.hostAddrs(q, whole, local, a)
	if !exists && z.c.ExpandHosts && p.dom != nil && p.domDepth == 1 {
		exists = z.hostAddrs(q, q.Name[:p.domAt-1], local, a)
	}
	if !exists {
		return "", false
	}
	if !local {
		switch q.Type {
		case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeANY, dns.TypeNone:
		default:
			return "", false
		}
	}
	a.Reason = ReasonHosts
	return z.finish(a, q, p, nil, len(a.Answer) > 0)
}

// hostAddrs: the loopback addresses in a machine's own hosts file are of no use to others, and Debian's has one for
// the machine's name; for names of the world they are a way of blocking.
func (z *Zone) hostAddrs(q Question, name string, local bool, a *Answer) bool {
	exists := false
	for _, s := range z.c.Hosts {
		for _, ip := range s.Addrs(name) {
			if local && ip.IsLoopback() || ip.Zone() != "" {
				continue
			}
			exists = true
			if wants(q.Type, ip) {
				a.Answer = append(a.Answer, addrRR(q.Name, z.c.TTL, ip))
			}
		}
		if exists {
			return true
		}
	}
	return false
}

func (z *Zone) hostsKnow(name string, local bool) bool {
	return len(name) > 1 && z.hostAddrs(Question{}, name[:len(name)-1], local, nil)
}

func (z *Zone) below(name string) bool {
	for _, s := range z.c.Hosts {
		if p, ok := s.(Parents); ok && p.Below(name[:len(name)-1]) {
			return true
		}
	}
	return false
}

// addrs appends the addresses that fit the question and the filter.
func (z *Zone) addrs(a *Answer, q Question, ips []netip.Addr, ttl uint32, ok func(netip.Addr) bool) bool {
	got := false
	for _, ip := range ips {
		if wants(q.Type, ip) && ok(ip) {
			a.Answer = append(a.Answer, addrRR(q.Name, ttl, ip.WithZone("")))
			got = true
		}
	}
	return got
}

func (z *Zone) ttl(s Source, ip netip.Addr, now clock.Instant) uint32 {
	if l, ok := s.(Lasting); ok {
		if left, ok := l.Remaining(ip, now); ok {
			return uint32(min(max(left/time.Second, 0), time.Duration(z.c.SourceTTL)))
		}
	}
	return z.c.SourceTTL
}
