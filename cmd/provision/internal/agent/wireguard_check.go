package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	way "github.com/provision-net/provision/provision/host/egress"
	"github.com/provision-net/provision/provision/host/probe"
	"github.com/provision-net/provision/provision/resource/resolver"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/egress"
)

// Pauses of a check: for one answer, and for all of it.
const (
	answerLimit = 2 * time.Second
	checkLimit  = 30 * time.Second
)

// CheckTargets are hosts that answer pings from everywhere: public resolvers of two operators.
func CheckTargets() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{9, 9, 9, 9}), netip.AddrFrom4([4]byte{1, 1, 1, 1}),
		netip.MustParseAddr("2620:fe::fe"), netip.MustParseAddr("2606:4700:4700::1111")}
}

// WireguardCheck tries what leaves by a full tunnel and what beside it, with packets to the targets, and
// changes nothing. Without a name it takes the tunnel by which everything leaves.
func (a *Agent) WireguardCheck(ctx context.Context, name string, targets []netip.Addr) (egress.Report, error) {
	c, err := a.routingConfig()
	if err != nil {
		return egress.Report{}, err
	}
	full := c.WireGuard.Full()
	switch {
	case name == "" && len(full) == 1:
		name = full[0]
	case name == "" && len(full) == 0:
		return egress.Report{}, fmt.Errorf("%w: no interface has route: full, so nothing promises that everything leaves by a tunnel", ErrConfig)
	case name == "":
		return egress.Report{}, fmt.Errorf("%w: say which one of %v", ErrConfig, full)
	case !slices.Contains(full, name):
		return egress.Report{}, fmt.Errorf("%w: %s has not route: full, so not everything is to leave by it", ErrConfig, name)
	}
	f, err := a.Facts(ctx)
	if err != nil {
		return egress.Report{}, err
	}
	provision.Waiting{Text: "trying the ways out", Limit: checkLimit}.Tell(ctx)
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	t := tunnelOf(name, c.WireGuard[name], f)
	t.KillSwitch = c.KillSwitch.Enabled() && c.KillSwitch.Tunnel == name
	seen, err := a.seenOf(ctx, t, f, targets)
	if err != nil {
		return egress.Report{}, err
	}
	return egress.Judge(t, seen), nil
}

func tunnelOf(name string, i wireguard.Interface, f *facts.Facts) egress.Tunnel {
	t := egress.Tunnel{Device: name, Families: i.Families(), DNSDomains: i.Domains}
	for _, text := range i.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil {
			t.Addresses = append(t.Addresses, p)
		}
	}
	for _, text := range i.DNS {
		if p, err := netip.ParseAddr(text); err == nil {
			t.DNS = append(t.DNS, p)
		}
	}
	if l, ok := f.LinkByName(name); ok {
		t.MTU = l.MTU
	}
	return t
}

func (a *Agent) seenOf(ctx context.Context, t egress.Tunnel, f *facts.Facts, targets []netip.Addr) (egress.Seen, error) {
	s := egress.Seen{Handshake: -1}
	var ways []string // beside the tunnel
	for _, l := range f.Links {
		if l.Name != t.Device && l.Up && len(f.Defaults(l.Index, 4))+len(f.Defaults(l.Index, 6)) > 0 {
			ways = append(ways, l.Name)
		}
	}
	for _, family := range []int{4, 6} {
		seen, err := familyOf(ctx, t, family, targets, ways)
		if err != nil {
			return s, err
		}
		if seen.Target.IsValid() {
			s.Families = append(s.Families, seen)
		}
	}
	var err error
	if s.Servers, err = serversOf(ctx, t.Device, f); err != nil {
		return s, err
	}
	// Last: what was sent has made a new session where the old one was over.
	live, err := liveTunnels(ctx)
	if err != nil {
		return s, err
	}
	if d := live[t.Device]; d != nil {
		s.Present, s.Up = true, d.Up
		for _, p := range d.Peers {
			if age := time.Since(p.LastHandshake); !p.LastHandshake.IsZero() && (s.Handshake < 0 || age < s.Handshake) {
				s.Handshake = max(age, 0)
			}
		}
	}
	return s, nil
}

// familyOf tries the targets of a family until one answers.
func familyOf(ctx context.Context, t egress.Tunnel, family int, targets []netip.Addr, ways []string) (egress.Family, error) {
	out := egress.Family{Family: family}
	for _, to := range targets {
		if to.Is4() != (family == 4) {
			continue
		}
		w, err := way.Route(to)
		if err != nil {
			return out, err
		}
		out.Target, out.Way, out.Answer = to, egress.Way(w), ""
		if w.Device == "" {
			break
		}
		if err := echo(ctx, w.Device, to, 0); err != nil {
			out.Answer = err.Error()
			continue
		}
		break
	}
	if !out.Target.IsValid() {
		return out, nil
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, dev := range ways {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if echo(ctx, dev, out.Target, 0) == nil {
				mu.Lock()
				defer mu.Unlock()
				out.Beside = append(out.Beside, dev)
			}
		}()
	}
	wg.Wait()
	sort.Strings(out.Beside)
	if out.Way.Device == t.Device && out.Answer == "" && t.MTU > 0 {
		out.Passes = way.Largest(ctx, t.MTU, func(ctx context.Context, n int) error { return echo(ctx, t.Device, out.Target, n) })
	}
	return out, nil
}

func echo(ctx context.Context, device string, to netip.Addr, size int) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return probe.Sized(ctx, probe.Through{Device: device}, to, size)
}

// serversOf are those that programs ask, and that this machine's own resolver asks in their place.
func serversOf(ctx context.Context, device string, f *facts.Facts) ([]egress.Server, error) {
	var out []egress.Server
	local := false
	for _, text := range f.DNS.Servers {
		a, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		s := egress.Server{Addr: a, From: "/etc/resolv.conf"}
		if a.IsLoopback() {
			local = true
		} else if w, err := way.Route(a); err != nil {
			return nil, err
		} else {
			s.Way = egress.Way(w)
		}
		out = append(out, s)
	}
	if !local {
		return out, nil
	}
	links := map[string][]string{}
	for name, list := range f.DNS.ByLink {
		links[name] = list
	}
	if f.DNS.Owner == resolver.Resolved {
		own, err := resolvedLink(ctx, device)
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("cannot ask systemd-resolved for the name servers of %s: %w", device, err)
		}
		if slices.Contains(own.Domains, "~.") {
			links = map[string][]string{} // it asks nobody else then (systemd-resolved.service(8), routing domains)
		}
		for _, a := range own.Servers {
			links[device] = append(links[device], a.String())
		}
	}
	for name, servers := range links {
		for _, text := range servers {
			a, err := netip.ParseAddr(text)
			if err != nil || a.IsLoopback() {
				continue
			}
			s := egress.Server{Addr: a, From: f.DNS.Owner + " for " + name, Through: true, Way: egress.Way{Device: name}}
			if f.DNS.Owner != resolver.Resolved { // which sends by the link itself
				w, err := way.Route(a)
				if err != nil {
					return nil, err
				}
				s.Way = egress.Way(w)
			}
			if !slices.ContainsFunc(out, func(o egress.Server) bool { return o.Addr == s.Addr && o.Way.Device == s.Way.Device }) {
				out = append(out, s)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Addr.Less(out[j].Addr) })
	return out, nil
}
