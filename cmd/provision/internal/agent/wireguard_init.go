package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/key"
)

// WireguardInit says what an interface is to be. Nil and empty fields are left to be chosen, or as they are
// where the interface is there already.
type WireguardInit struct {
	WireguardOptions
	Endpoint   *string // where peers find this machine, host or host:port
	ListenPort *uint16
	Addresses  []netip.Prefix
	// Prefix is a /64 or more that is routed to this machine: peers get public addresses of it.
	Prefix     netip.Prefix
	Management *bool
	Reach      []string
	NAT        string
	Zone       string
	MTU        uint16
	LANAccess  *string
}

// firstPort is WireGuard's by custom.
const firstPort = 51820

// WireguardInit makes an interface that peers come to, or changes one that it made.
func (a *Agent) WireguardInit(ctx context.Context, o WireguardInit) (WireguardOutcome, error) {
	name := o.Interface
	if name == "" {
		name = "wg0"
	}
	out := WireguardOutcome{Interface: name, File: wireguardFile(name, "")}
	var made *tunnels
	err := a.changing(ctx, o.WireguardOptions, &out, func(t *tunnels) error {
		t.device, made = name, t
		if why := wireguard.BadInterface(name); why != "" {
			return UsageError{errors.New(why)}
		}
		if _, written := t.file[name]; written {
			return UsageError{fmt.Errorf("%s stands in %s, which commands do not change: edit it there; `provision wireguard add` adds peers to it all the same", name, a.Source)}
		}
		i, there := t.added.Interfaces[name]
		if !there {
			if l, taken := t.facts.LinkByName(name); taken && l.Kind != "" && l.Kind != "wireguard" {
				return UsageError{fmt.Errorf("there is a %s called %s: choose another name", l.Kind, name)}
			}
			pair, err := key.NewPair(rand.Reader)
			if err != nil {
				return err
			}
			i = wireguard.Interface{PrivateKey: pair.Private.String(), Reach: []string{wireguard.ReachInternet, wireguard.ReachPeers}}
			no := false
			i.Management = &no
			out.PublicKey = pair.Public.String()
		} else if k, err := keys.ParseKey(i.PrivateKey); err == nil {
			out.PublicKey = k.Public().String()
		}
		if err := a.fill(t, &i, there, o, &out); err != nil {
			return err
		}
		out.ListenPort, out.Addresses, out.Endpoint, out.Management, out.Zone = i.ListenPort, i.Addresses, i.PublicEndpoint, i.Management, i.FirewallZone()
		out.Again = toldOtherwise(t.all[name], i)
		t.setInterface(name, &i)
		return nil
	})
	if err == nil && !a.offline() {
		a.warnOfOthers(ctx, made, &out)
	}
	return out, err
}

// warnOfOthers tells what other firewalls would still drop of what comes to the tunnel and out of it.
func (a *Agent) warnOfOthers(ctx context.Context, t *tunnels, out *WireguardOutcome) {
	seen, err := a.seen(ctx, t.facts)
	if err != nil {
		a.Log.Warn("other firewalls are not judged", "error", err)
		return
	}
	flows := slices.DeleteFunc(slices.Clone(t.flows), func(f foreign.Flow) bool { return f.In != out.Interface })
	// The device was not there when the policy was made into flows.
	reach := t.added.Interfaces[out.Interface].Reach
	for _, l := range t.facts.Links {
		if len(t.facts.Defaults(l.Index, 4))+len(t.facts.Defaults(l.Index, 6)) == 0 || l.Name == out.Interface {
			continue
		}
		if out.ListenPort != 0 {
			flows = append(flows, foreign.Flow{In: l.Name, Proto: "udp", Port: out.ListenPort, Why: out.Interface + ": peers call"})
		}
		if slices.Contains(reach, wireguard.ReachInternet) && !slices.ContainsFunc(flows, func(f foreign.Flow) bool { return f.Out == l.Name }) {
			flows = append(flows, foreign.Flow{In: out.Interface, Out: l.Name, Why: out.Interface + ": reach: internet"})
		}
	}
	for _, f := range foreign.Report(seen, flows) {
		if !f.Harmless {
			out.note("warning", out.Interface, "another firewall is in the way: %s%s", f, map[bool]string{true: "; " + f.Cure, false: ""}[f.Cure != ""])
		}
	}
}

// WireguardKnows reports whether a command made this interface (empty: wg0).
func (a *Agent) WireguardKnows(name string) bool {
	if name == "" {
		name = "wg0"
	}
	added, err := a.wireguardAdded()
	_, ok := added.Interfaces[name]
	return ok && err == nil
}

// fill settles what is said, and chooses the rest for an interface that is new.
func (a *Agent) fill(t *tunnels, i *wireguard.Interface, there bool, o WireguardInit, out *WireguardOutcome) error {
	switch {
	case len(o.Addresses) > 0:
		i.Addresses = nil
		for _, p := range o.Addresses {
			i.Addresses = append(i.Addresses, p.String())
		}
	case !there:
		list, err := t.draw()
		if err != nil {
			return err
		}
		i.Addresses = list
	}
	prefix := o.Prefix
	if !there && !prefix.IsValid() {
		prefix = t.routed(out)
	}
	if prefix.IsValid() {
		own, err := publicAddress(prefix)
		if err != nil {
			return UsageError{err}
		}
		if !slices.Contains(i.Addresses, own) {
			i.Addresses = append(i.Addresses, own)
		}
	}
	switch {
	case o.ListenPort != nil:
		i.ListenPort = *o.ListenPort
	case !there:
		i.ListenPort = t.freePort(a.offline())
	}
	if o.Management != nil {
		i.Management = o.Management
	}
	if len(o.Reach) > 0 {
		if i.Reach = o.Reach; slices.Equal(o.Reach, []string{"nothing"}) {
			i.Reach = nil
		}
	}
	if o.NAT != "" {
		i.NAT = o.NAT
	}
	if o.Zone != "" {
		i.Zone = o.Zone
	}
	if o.MTU != 0 {
		i.MTU = o.MTU
	}
	if o.LANAccess != nil {
		i.LANAccess = *o.LANAccess
	}
	switch {
	case o.Endpoint != nil:
		if _, _, why := wireguard.SplitEndpoint(*o.Endpoint, true); *o.Endpoint != "" && why != "" {
			return UsageError{errors.New("--endpoint: " + why)}
		}
		i.PublicEndpoint = *o.Endpoint
	case !there:
		i.PublicEndpoint = t.publicEndpoint(out)
	}
	t.told(*i, out, a)
	return nil
}

// told says what an interface means that a person may not expect.
func (t *tunnels) told(i wireguard.Interface, out *WireguardOutcome, a *Agent) {
	host, port, why := wireguard.SplitEndpoint(i.PublicEndpoint, true)
	if i.PublicEndpoint == "" || why != "" {
		return
	}
	lan := len(a.Config.Serve.Links) > 0 || a.Config.Gadget.Wanted() || len(a.Config.Routing.Served()) > 0
	_, err := netip.ParseAddr(host)
	switch {
	case port != 0 && port != i.ListenPort:
		out.note("info", out.Interface, "peers call port %d and this machine listens on %d: the router in between has to translate it, and a phone that stays connected at home gets through only if the router leads its own clients back in", port, i.ListenPort)
	case err != nil && lan:
		out.note("info", out.Interface, "a phone that stays connected at home finds this machine there too: clients of the links that it serves get its inside address for %s", host)
	case err != nil:
		out.note("info", out.Interface, "a phone that stays connected at home gets through only if the router leads its own clients back in (hairpin), or if their name server has this machine's inside address for %s, as `provision serve` has for links that it serves", host)
	}
}

// toldOtherwise are the peers whose files say something else than the interface does now.
func toldOtherwise(was, is wireguard.Interface) []string {
	if len(was.Peers) == 0 {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(was.Peers)) {
		own := ""
		if c := was.Peers[name].Client; c != nil {
			own = c.Endpoint
		}
		before, err1 := was.PeersEndpoint(own)
		now, err2 := is.PeersEndpoint(own)
		if err1 == nil && (err2 != nil || before != now) || was.PrivateKey != is.PrivateKey || !slices.Equal(was.Addresses, is.Addresses) {
			out = append(out, name)
		}
	}
	return out
}
