package networkd

import (
	"fmt"
	"strconv"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

// Keys that Explain knows; an empty key asks for all.
const (
	KeyOwner  = "owner"
	KeyMetric = "metric"
	KeyDHCP4  = "dhcp4"
	KeyDHCP6  = "dhcp6"
	KeyDNS    = "dns"
)

// Explain names the file that configures the link, what it shadows and which line
// decides the key.
func (Backend) Explain(f *facts.Facts, link facts.Link, key string) []backends.Reason {
	return ExplainLink(f, link, key)
}

// ExplainLink is Explain for every manager that renders to systemd-networkd.
func ExplainLink(f *facts.Facts, link facts.Link, key string) []backends.Reason {
	t := unit.ReadTree(f, false)
	a := t.Applied(link)
	if a == nil {
		note := ""
		if by := unit.ManagedBy(link); by != "" {
			note = "udev property ID_NET_MANAGED_BY=" + by
		}
		return []backends.Reason{{Key: KeyOwner, Value: "no .network file fits", Source: unit.EtcDir, Note: note}}
	}
	s := ReadSettings(a.Entries, t.Version)
	asked := func(k string) bool { return key == "" || key == k }
	var out []backends.Reason
	add := func(key, value, source, note string) {
		if source == "" {
			source = "systemd-networkd default"
		}
		out = append(out, backends.Reason{Key: key, Value: value, Source: source, Note: note})
	}
	if asked(KeyOwner) {
		note := ""
		switch {
		case a.Live != "":
			note = "not read by systemd-networkd yet, which still uses " + a.Live
		case !a.Certain:
			note = "not certain: its [Match] or that of an earlier file depends on what cannot be seen from here"
		}
		add(KeyOwner, a.Base, a.Path, note)
		for _, p := range a.Shadowed {
			add(KeyOwner, a.Base, p, "shadowed by "+a.Path)
		}
		for _, p := range a.Dropins {
			add(KeyOwner, "drop-in", p, "")
		}
		for _, n := range t.Networks {
			if n.Base > a.Base && n.Match.Fits(f, link, t.Version) == unit.Yes {
				add(KeyOwner, n.Base, n.Path, "would fit too, but "+a.Base+" sorts before it: the first file wins as a whole")
			}
		}
		if others := t.Sharers(a.Network, link); len(others) > 0 {
			add(KeyOwner, a.Base, a.Path, "also configures "+plural(others))
		}
		for _, problem := range a.Problems {
			add(KeyOwner, "problem", a.Path, problem.Error())
		}
	}
	if asked(KeyMetric) {
		add("metric4", strconv.FormatUint(uint64(s.Metric4.Metric), 10), s.Metric4.Source, overruled(a.Entries, s.Metric4, "DHCPv4", "DHCP"))
		add("metric6", strconv.FormatUint(uint64(s.Metric6.Metric), 10), s.Metric6.Source, overruled(a.Entries, s.Metric6, "IPv6AcceptRA", "DHCPv6", "DHCP"))
		for _, r := range s.Static {
			add(fmt.Sprintf("metric%d", r.Family), metricText(r.Metric), r.Source, "static default route via "+r.Gateway)
		}
	}
	if asked(KeyDHCP4) {
		add(KeyDHCP4, strconv.FormatBool(s.DHCP4), s.DHCPSource, "")
	}
	if asked(KeyDHCP6) {
		add(KeyDHCP6, strconv.FormatBool(s.DHCP6), s.DHCPSource, "")
		add("accept-ra", strconv.FormatBool(s.RA), s.RASource, "")
	}
	if asked(KeyDNS) && s.DNSDefaultRoute != "" {
		add(KeyDNS, "DNSDefaultRoute="+s.DNSDefaultRoute, a.Path, "")
	}
	return out
}

// overruled names the other assignments of the metric that had no effect.
func overruled(entries []unit.Entry, winner Value, sections ...string) string {
	note := ""
	for _, e := range entries {
		if e.Key != "RouteMetric" || e.Source() == winner.Source {
			continue
		}
		for _, s := range sections {
			if e.Section == s {
				if note != "" {
					note += "; "
				}
				note += fmt.Sprintf("%s says [%s] RouteMetric=%s, without effect", e.Source(), e.Section, e.Value)
			}
		}
	}
	return note
}
