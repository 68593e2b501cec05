package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/sit"
	"github.com/provision-net/provision/routing/tunnel/update"
)

// Defaults of a Tunnel.
const (
	DefaultTTL    = 255
	DefaultMetric = route.Default6
	DefaultZone   = "internet"
)

// Input is what Plan decides from.
type Input struct {
	Facts *facts.Facts
	// Outside is the zone of tunnels for which none is written; empty: DefaultZone.
	Outside string
	// ZoneOf says which zone an interface is in; empty: in none.
	ZoneOf func(iface string) string
	// Marks are those of outer packets, by device: they do not take a tunnel that everything else
	// takes.
	Marks map[string]uint32
}

// Result is what Plan says.
type Result struct {
	// Desired has, tunnel by tunnel: what is unreachable where no network has it, the device, its
	// address, the link with its MTU, the way out, the addresses on the networks behind.
	Desired provision.Desired
	Intents intent.Set
}

// Plan says what should exist. Nothing is wanted when c is empty.
func Plan(in Input, c Config) (Result, error) {
	var r Result
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("routing.tunnels.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	for _, name := range c.names() {
		r.one(in, name, c[name])
	}
	r.Intents.Served = c.Served()
	return r, nil
}

// Served are the links on which prefixes are announced.
func (c Config) Served() []intent.Served {
	var out []intent.Served
	for _, name := range c.names() {
		t := c[name]
		list, _ := t.subnets()
		for i, s := range list {
			if s.Serve && s.Prefix.IsValid() {
				out = append(out, intent.Served{Interface: s.Interface, Prefix: s.Prefix, MTU: t.mtu(), Why: fmt.Sprintf("routing.tunnels.%s.lan[%d]", name, i)})
			}
		}
	}
	return out
}

func (t Tunnel) mtu() uint16 { return cmp.Or(t.MTU, sit.MTU) }

// one plans a tunnel without problems.
func (r *Result) one(in Input, name string, t Tunnel) {
	key := "routing.tunnels." + name
	why := "tunnel " + name
	add := func(ws ...provision.Want) { r.Desired.Wants = append(r.Desired.Wants, ws...) }
	for _, text := range t.Routed {
		p, _ := prefix(text)
		// What no network behind has would go back to the server, and come again (RFC 7084 section 4.3, WPD-5).
		add(route.Want(route.Spec{Key: route.Key{Type: route.Unreachable, Dst: p, Metric: route.Worst}}, "what of the routed prefix is nowhere does not go round in circles"))
	}
	remote, _ := four(t.Remote)
	local, _ := four(t.Local)
	own, _ := netip.ParsePrefix(t.Address)
	selector := "name:" + name
	add(sit.Want(sit.Spec{Name: name, Remote: remote, Local: local, TTL: cmp.Or(t.TTL, DefaultTTL), Dev: t.Interface, Mark: in.Marks[name]}, why),
		address.Want(selector, own, "own address in "+why, address.NoDAD),
		link.UpMTU(selector, int(t.mtu()), why))
	if t.Route != "none" {
		add(route.Want(route.Spec{Key: route.Key{Family: 6, Dev: selector, Metric: cmp.Or(t.Metric, DefaultMetric)}}, "IPv6 leaves by "+why))
	}
	list, _ := t.subnets()
	zone := cmp.Or(t.Zone, in.Outside, DefaultZone)
	for i, s := range list {
		at := fmt.Sprintf("%s.lan[%d]", key, i)
		add(address.Want("name:"+s.Interface, Router(s.Prefix), at, address.NoDAD))
		from := ""
		if in.ZoneOf != nil {
			from = in.ZoneOf(s.Interface)
		}
		r.Intents.Forwards = append(r.Intents.Forwards, intent.Forward{From: from, To: zone, Interfaces: []string{s.Interface},
			Destinations: []netip.Prefix{route.Any(6)}, NAT: "no", Why: at})
	}
	r.Intents.Members = append(r.Intents.Members, intent.Member{Zone: zone, Interfaces: []string{name}, Joins: true, Manage: "no", Why: key})
	r.Intents.Endpoints = append(r.Intents.Endpoints, intent.Endpoint{Tunnel: name, Proto: "41", Addr: remote, Mark: in.Marks[name], Why: key})
	if from := t.Update.PingFrom(); t.Update.Wanted() && len(from) > 0 {
		s := intent.Service{Name: "ping", Proto: "icmp", Family: 4, Why: key + ".update: the server asks whether the end is there"}
		for _, a := range from {
			s.From = append(s.From, netip.PrefixFrom(a, a.BitLen()))
		}
		r.Intents.Services = append(r.Intents.Services, s)
	}
	r.notes(in.Facts, name, t, list)
}

// notes tell what a person should know of this machine.
func (r *Result) notes(f *facts.Facts, name string, t Tunnel, list []subnet) {
	if f == nil || f.Machine.Offline {
		return
	}
	note := func(level, format string, args ...any) {
		r.Desired.Notes = append(r.Desired.Notes, provision.Note{Level: level, Subject: "routing.tunnels." + name, Text: fmt.Sprintf(format, args...)})
	}
	if a := outer(f, t); a.IsValid() && carrierNAT().Contains(a) {
		note("warning", "this machine has the address %s of its provider's own network (RFC 6598): protocol 41 does not come through that", a)
	} else if a.IsValid() && a.IsPrivate() {
		note("info", "this machine has the private address %s: the router before it has to let protocol 41 through to it", a)
	}
	own, ok := f.LinkByName(name)
	for _, d := range f.Routes {
		if t.Route == "none" || !d.Default() || !d.Dst.Addr().Is6() || d.Table != route.Main || d.Type != "unicast" && d.Type != "" || ok && d.Link == own.Index || d.Metric > cmp.Or(t.Metric, DefaultMetric) {
			continue
		}
		for _, l := range f.Links {
			if l.Index == d.Link {
				note("warning", "%s has an IPv6 way out of its own with the metric %d, which wins: packets from the routed prefixes would leave there and be lost; give the tunnel a lower metric", l.Name, d.Metric)
			}
		}
	}
	for _, s := range list {
		if _, here := f.LinkByName(s.Interface); !here {
			note("info", "this machine has no interface %s now; it gets its prefix when it comes", s.Interface)
		}
	}
}

// outer is the IPv4 address that outer packets have now, if that can be told.
func outer(f *facts.Facts, t Tunnel) netip.Addr {
	if a, ok := four(t.Local); ok {
		return a
	}
	return update.Uplink(f.Links, f.Addrs, f.Routes, t.Interface).Addr
}

// carrierNAT is the shared address space (RFC 6598).
func carrierNAT() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
}
