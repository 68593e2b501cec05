package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/wallclock"
	"github.com/provision-net/provision/provision/host/wifi"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/match"
)

// switchWorld is the running machine as the kill switch sees and changes it.
type switchWorld struct {
	agent  *Agent
	engine *provision.Engine
	reader *facts.Reader
	kept   kept.State
	// portal: name servers of the ways out are asked for, because a window is open or wanted.
	portal bool
	filled filled
}

// filled is what was put into learnt sets: by set, until when the kernel keeps it.
type filled map[string]time.Duration

// lost reports whether something that was put in is gone before its time: the table was made anew.
func (f filled) lost(t *nft.Table) bool {
	if t == nil {
		return false // that is seen anyway
	}
	for _, s := range t.Sets {
		// The clock is read after the element was put in.
		if until, ok := f[s.Name]; ok && len(s.Elements) == 0 && boottime() < until-time.Second {
			return true
		}
	}
	return false
}

var _ killswitch.World = (*switchWorld)(nil)

func (a *Agent) switchWorld(e *provision.Engine, k kept.State) (*switchWorld, error) {
	r, err := facts.OpenReader()
	if err != nil {
		return nil, err
	}
	return &switchWorld{agent: a, engine: e, reader: r, kept: k}, nil
}

func (w *switchWorld) close() { w.reader.Close() }

func (w *switchWorld) input() killswitch.Input { return w.kept.Switch.Input }

// Observe implements killswitch.World.
func (w *switchWorld) Observe(ctx context.Context) (killswitch.Observation, error) {
	var o killswitch.Observation
	table, err := nft.Dump(ctx, nft.OwnFamily, nft.OwnTable)
	if err != nil {
		return o, err
	}
	if table == nil {
		table = &nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}
	}
	o.Missing = killswitch.Missing(killswitch.Guard(w.input()), *table)
	_, err = os.Stat("/proc/sys/net/ipv6/conf/all/forwarding")
	o.NoIPv6 = errors.Is(err, fs.ErrNotExist)
	if o.Forwarding4, err = forwards("/proc/sys/net/ipv4/ip_forward"); err != nil {
		return o, err
	}
	if !o.NoIPv6 {
		if o.Forwarding6, err = forwards("/proc/sys/net/ipv6/conf/all/forwarding"); err != nil {
			return o, err
		}
	}
	for i, last := range killswitch.LastRoutes(w.input()) {
		if i == 1 && o.NoIPv6 {
			break
		}
		there, err := w.holds(ctx, last)
		if err != nil {
			return o, err
		}
		if i == 0 {
			o.Unreachable4 = there
		} else {
			o.Unreachable6 = there
		}
	}
	for _, r := range w.rules() {
		if o.NoIPv6 && strings.HasPrefix(r.Name, "inet6 ") {
			continue
		}
		there, err := w.holds(ctx, r)
		if err != nil {
			return o, err
		}
		if !there {
			o.Rules = append(o.Rules, "policy rule "+r.Name+" is gone")
		}
	}
	live, err := w.reader.Read(ctx, facts.AllParts)
	if err != nil {
		return o, err
	}
	o.Detours = w.detours(live)
	o.Tunnel, o.Uplinks, err = w.links(ctx, live)
	o.Synchronised = (&wallclock.Clock{Files: wallclock.Machine{}, Kernel: wallclock.Machine{}}).Synchronised()
	return o, err
}

func forwards(path string) (bool, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)) != "0", err
}

// holds reports whether a want does.
func (w *switchWorld) holds(ctx context.Context, want provision.Want) (bool, error) {
	have, err := w.engine.Resources[want.Kind].Get(ctx, want.Name)
	return err == nil && equal(have, want.Attrs), err
}

// rules are those that lead into the tunnel's table.
func (w *switchWorld) rules() []provision.Want { return kept.Of(w.kept.Wants, rule.Kind) }

// detours reads the own rules before those into the tunnel's table.
func (w *switchWorld) detours(live *facts.Live) killswitch.Detours {
	var out []killswitch.DetourRule
	for _, r := range live.Rules {
		d := killswitch.DetourRule{Family: r.Family, OwnOnly: r.Iif == "lo", To: r.To}
		if r.Proto == rule.Protocol && r.Priority == w.kept.Switch.Priority+d.Offset() && r.Table == route.Main {
			out = append(out, d)
		}
	}
	return killswitch.DetoursOf(out)
}

// links tells the tunnel and the ways out: what is up, leads anywhere, and is neither the tunnel
// nor inside.
func (w *switchWorld) links(ctx context.Context, live *facts.Live) (killswitch.TunnelState, []killswitch.Uplink, error) {
	var tunnel killswitch.TunnelState
	var ways []killswitch.Uplink
	in := w.input()
	inside := in.Config.Inside
	if len(inside) == 0 {
		inside = in.Inside
	}
	stations, err := wifi.Read(ctx)
	if err != nil {
		return tunnel, nil, err
	}
	servers := map[string][]string{}
	if w.portal {
		f, err := w.agent.Facts(ctx)
		if err != nil {
			return tunnel, nil, err
		}
		servers = f.DNS.ByLink
	}
	for _, l := range live.Links {
		switch {
		case l.Name == in.Config.Tunnel:
			// Without a handshake to look at, a device that is up is taken for a fresh one.
			tunnel = killswitch.TunnelState{Present: true, Up: l.Up, Fresh: l.Up}
			continue
		case !l.Up || l.Name == "lo" || slices.ContainsFunc(inside, func(n string) bool { return n == l.Name || match.Covers(n, l.Name) }):
			continue
		}
		if !slices.ContainsFunc(live.Routes, func(r facts.Route) bool { return r.Link == l.Index && r.Default() }) {
			continue
		}
		u := killswitch.Uplink{Name: l.Name}
		for _, s := range stations {
			if s.Index == l.Index {
				u.Wifi, u.SSID, u.Encrypted = true, s.SSID, s.Encrypted
			}
		}
		for _, s := range servers[l.Name] {
			if a, err := netip.ParseAddr(s); err == nil {
				u.DNS = append(u.DNS, a.WithZone(""))
			}
		}
		ways = append(ways, u)
	}
	return tunnel, ways, nil
}

// Do implements killswitch.World.
func (w *switchWorld) Do(ctx context.Context, a killswitch.Action) error {
	switch a.Do {
	case killswitch.Forward:
		key, value := forward.Forward4, "0"
		if a.Family == 6 {
			key = forward.Forward6
		}
		if a.On {
			value = "1"
		}
		_, err := put(ctx, w.engine, sysctl.Global(key, value, ""))
		if a.Family == 6 && errors.Is(err, provision.ErrPending) {
			return nil // no IPv6 in this kernel
		}
		return err
	case killswitch.Table:
		return w.putAll(ctx, kept.Of(w.kept.Wants, nft.Kind))
	case killswitch.Route:
		return w.putAll(ctx, killswitch.LastRoutes(w.input())[a.Family/6:][:1])
	case killswitch.Rules:
		return w.putAll(ctx, w.rules())
	case killswitch.Add:
		err := w.tables().Learn(ctx, nft.OwnFamily, nft.OwnTable, a.Set, []nft.Element{a.Element()})
		if err == nil && w.filled != nil {
			w.filled[a.Set] = boottime() + a.Timeout
		}
		return err
	case killswitch.Clear:
		delete(w.filled, a.Set)
		return w.clear(ctx, a.Set)
	case killswitch.Around:
		return w.around(ctx, a.Detours)
	case killswitch.Log:
		w.agent.Log.Warn(a.Text)
		return nil
	}
	return fmt.Errorf("the kill switch cannot %s", a.Do)
}

func (w *switchWorld) tables() *nft.Resource { return w.engine.Resources[nft.Kind].(*nft.Resource) }

func (w *switchWorld) putAll(ctx context.Context, wants []provision.Want) error {
	for _, want := range wants {
		if _, err := put(ctx, w.engine, want); err != nil {
			return err
		}
	}
	return nil
}

func (w *switchWorld) clear(ctx context.Context, set string) error {
	t, err := nft.Dump(ctx, nft.OwnFamily, nft.OwnTable)
	if err != nil || t == nil {
		return err
	}
	for _, s := range t.Sets {
		if s.Name == set && len(s.Elements) > 0 {
			return w.tables().Forget(ctx, nft.OwnFamily, nft.OwnTable, set, s.Elements)
		}
	}
	return nil
}

// around has exactly these detours in place: new ones first.
func (w *switchWorld) around(ctx context.Context, d killswitch.Detours) error {
	spec := func(r killswitch.DetourRule) provision.Want {
		k := rule.Key{Family: r.Family, Priority: w.kept.Switch.Priority + r.Offset(), To: r.To, Target: route.Main}
		if r.OwnOnly {
			k.Iif = "name:lo"
		}
		return rule.Want(rule.Spec{Key: k}, "kill switch: a way around the tunnel's table")
	}
	live, err := w.reader.Read(ctx, facts.PartRules4|facts.PartRules6)
	if err != nil {
		return err
	}
	old := w.detours(live).Rules()
	for _, r := range d.Rules() {
		if _, err := put(ctx, w.engine, spec(r)); err != nil {
			return err
		}
	}
	for _, r := range old {
		if slices.Contains(d.Rules(), r) {
			continue
		}
		name := spec(r).Name
		have, err := w.engine.Resources[rule.Kind].Get(ctx, name)
		if err == nil && have != nil {
			err = w.engine.Resources[rule.Kind].Set(ctx, name, have, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
