package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/gadget/verdict"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/blockuse"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// GadgetPath is where the gadgets that are up are written down: `provision serve` reads there what
// to serve, and `gadget down` what to take away. HostsPath is the memory of profile auto.
const (
	GadgetPath = "/var/lib/provision/gadget.json"
	HostsPath  = "/var/lib/provision/gadget-hosts.json"
)

// gadgetVersion is that of the file at GadgetPath.
const gadgetVersion = 1

// maxGadget bounds it in bytes.
const maxGadget = 1 << 20

// GadgetState is what is written down.
type GadgetState struct {
	Version int             `json:"version"`
	Links   []GadgetLink    `json:"links"`
	Devices []gadget.Device `json:"devices"`
	// Refs are all that is there because of them.
	Refs []provision.Ref `json:"refs"`
	// Config is what they were made of; Configured: a file said so.
	Config     gadget.Config `json:"config"`
	Configured bool          `json:"configured,omitempty"`
}

// GadgetLink is a link as the server has to know it.
type GadgetLink struct {
	Gadget    string         `json:"gadget"`
	Name      string         `json:"name"`
	MAC       string         `json:"mac"`
	Bridge    bool           `json:"bridge,omitempty"`
	Ports     []string       `json:"ports,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	Router    string         `json:"router"`
	Routes    []netip.Prefix `json:"routes,omitempty"`
	MTU       uint16         `json:"mtu,omitempty"`
	Functions []string       `json:"functions,omitempty"`
}

// gadgetConfig is the slice, or, where nothing is configured, what `gadget up` means by itself.
func (a *Agent) gadgetConfig() (c gadget.Config, configured bool) {
	if s := a.again; s != nil && len(s.Devices) > 0 {
		return s.Config, s.Configured
	}
	if c := a.Config.Gadget; c.Wanted() {
		return c, true
	}
	return gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern}}, false
}

// gadgetPlan is gadgetPlanOf for what the file says.
func (a *Agent) gadgetPlan(ctx context.Context, f *facts.Facts, c gadget.Config) (gadget.Result, error) {
	return a.gadgetPlanOf(ctx, f, c, a.Config.Gadget.Wanted())
}

// gadgetPlanOf asks the wing of the USB side, and has what it says written down. configured: a file
// says so, and not only a command, so that units are installed.
func (a *Agent) gadgetPlanOf(ctx context.Context, f *facts.Facts, c gadget.Config, configured bool) (gadget.Result, error) {
	if !c.Wanted() {
		return gadget.Result{}, nil
	}
	in := gadget.Input{Facts: f, Images: map[string]gadget.Image{}}
	if configured {
		in.Units = a.GadgetUnits
	}
	for _, name := range c.Images() {
		i, err := blockuse.Look(strings.TrimSuffix(a.Root, "/"), name)
		if err != nil {
			return gadget.Result{}, err
		}
		in.Images[name] = gadget.Image(i)
	}
	var err error
	if in.Settled, err = a.settled(c); err != nil {
		return gadget.Result{}, err
	}
	r, err := gadget.Plan(in, c)
	if err != nil {
		return r, fmt.Errorf("%w: %w", unable(err), err)
	}
	if r, err = a.clients(in, c, r); err != nil {
		return r, err
	}
	if configured {
		r.Desired.Append(a.serveUnit(f, r))
	}
	a.otherProfile(in, c, &r)
	w, err := memo(r, c, configured)
	if err != nil {
		return r, err
	}
	at := behindBinding(r.Desired.Wants)
	d := provision.Desired{Wants: append(append([]provision.Want(nil), r.Desired.Wants[:at]...), w)}
	if !a.offline() {
		// The server has the rule before the link is up, and answers the host's first packet.
		d.Triggers = []provision.Trigger{{Name: serveReload, On: []provision.Ref{w.Ref}, Do: provision.Action{Kind: serveReload}, Why: "a running server serves the links of the gadget"}}
	}
	r.Desired.Wants = r.Desired.Wants[at:]
	d.Append(r.Desired)
	r.Desired = d
	return r, nil
}

// behindBinding is the place behind the last controller that is bound. From there on the host takes its time to
// make the device's acquaintance (drivers/usb/core/hub.c waits 100 ms for the plug to rest alone): what is
// only needed once the link is up is done meanwhile, as the writing to a slow card is.
func behindBinding(wants []provision.Want) int {
	for i := len(wants); i > 0; i-- {
		if wants[i-1].Kind == usbgadget.KindUDC {
			return i
		}
	}
	return 0
}

// otherProfile has the firewall know the links of both profiles of auto: the profile changes while a
// host is plugged in, and the firewall does not.
func (a *Agent) otherProfile(in gadget.Input, c gadget.Config, r *gadget.Result) {
	in.Settled = maps.Clone(in.Settled)
	more := false
	for _, d := range r.Devices {
		if d.May && in.Settled[d.Name] != gadget.Classic {
			in.Settled[d.Name], more = gadget.Classic, true
		}
	}
	if !more {
		return
	}
	other, err := gadget.Plan(in, c)
	if err != nil {
		a.Log.Warn("profile auto cannot go on to classic", "error", err)
		return
	}
	known := func(name string) bool {
		return slices.ContainsFunc(r.Links, func(l gadget.Link) bool { return l.Name == name })
	}
	var fresh []gadget.Link
	for _, l := range other.Links {
		if !known(l.Name) {
			fresh = append(fresh, l)
		}
	}
	r.Intents.Append(served(dnsdhcp.Config{Links: serveRules(a.Config.Serve, links(fresh))}, 0))
	for _, m := range other.Intents.Members {
		if !slices.ContainsFunc(m.Interfaces, known) {
			r.Intents.Members = append(r.Intents.Members, m)
		}
	}
	for _, w := range other.Intents.Forwards {
		if !slices.ContainsFunc(w.Interfaces, known) {
			r.Intents.Forwards = append(r.Intents.Forwards, w)
		}
	}
}

// unable says whose fault it is that nothing can be planned: the configuration's, the machine's,
// which lacks something, or that of another program, which holds the controller.
func unable(err error) error {
	switch {
	case errors.Is(err, gadget.ErrLacks):
		return ErrMissing
	case errors.Is(err, gadget.ErrHeld):
		return ErrConflict
	}
	return ErrConfig
}

// memo wants r written down. In an image it has no links: they are made where the board is known.
func memo(r gadget.Result, c gadget.Config, configured bool) (provision.Want, error) {
	s := GadgetState{Version: gadgetVersion, Links: links(r.Links), Devices: r.Devices, Config: c, Configured: configured}
	for _, w := range r.Desired.Wants {
		s.Refs = append(s.Refs, w.Ref)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return provision.Want{}, fmt.Errorf("cannot write down the gadget: %w", err)
	}
	return file.Want(GadgetPath, append(text, '\n'), 0o600, "what is up, for the server and for `gadget down`"), nil
}

func links(planned []gadget.Link) []GadgetLink {
	out := []GadgetLink{}
	for _, l := range planned {
		out = append(out, GadgetLink(l))
	}
	return out
}

// gadgetState is what is written down; the zero value when no gadget is up.
func (a *Agent) gadgetState() (GadgetState, error) { return readGadget(a.Root) }

func readGadget(root string) (GadgetState, error) {
	text, err := readBounded(filepath.Join(root, GadgetPath), maxGadget)
	if errors.Is(err, fs.ErrNotExist) {
		return GadgetState{}, nil
	}
	if err != nil {
		return GadgetState{}, fmt.Errorf("cannot read which gadgets are up: %w", err)
	}
	return parseGadget(text)
}

func parseGadget(text []byte) (GadgetState, error) {
	var s GadgetState
	if err := json.Unmarshal(text, &s); err != nil {
		return GadgetState{}, fmt.Errorf("cannot read which gadgets are up: %s: %w; `provision gadget up` writes it anew", GadgetPath, err)
	}
	if s.Version != gadgetVersion {
		return GadgetState{}, fmt.Errorf("cannot read which gadgets are up: %s has version %d, this program knows %d", GadgetPath, s.Version, gadgetVersion)
	}
	return s, nil
}

// settled is the profile of each gadget with profile auto: the one that is up, else what the memory
// of hosts says.
func (a *Agent) settled(c gadget.Config) (map[string]string, error) {
	out := map[string]string{}
	for _, g := range c.All() {
		if g.Profile != gadget.Auto {
			continue
		}
		name := g.Directory()
		if p, ok := a.switched[name]; ok {
			out[name] = p
			continue
		}
		s, err := a.gadgetState()
		if a.again != nil {
			s, err = *a.again, nil
		}
		if err == nil {
			if i := slices.IndexFunc(s.Devices, func(d gadget.Device) bool { return d.Name == name && d.Asked == gadget.Auto }); i >= 0 {
				out[name] = s.Devices[i].Profile
				continue
			}
		} else if !errors.Is(err, fs.ErrPermission) {
			a.Log.Warn("the profile that is up is not known", "error", err)
		}
		p, _ := a.hosts().Start(g.RNDIS)
		out[name] = string(p)
	}
	return out, nil
}

// hosts is the memory of profile auto; an empty one when there is none that can be read.
func (a *Agent) hosts() verdict.Table {
	text, err := readBounded(filepath.Join(a.Root, HostsPath), verdict.MaxFile+1)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return verdict.Table{}
	}
	var t verdict.Table
	if err == nil {
		t, err = verdict.Decode(text)
	}
	if err != nil {
		a.Log.Warn("what is remembered of hosts is forgotten", "file", HostsPath, "error", err)
	}
	return t
}

// gadgetKinds are the kinds that only gadgets have.
func gadgetKinds(kind string) bool {
	switch kind {
	case usbgadget.KindGadget, usbgadget.KindFunction, usbgadget.KindConfig, usbgadget.KindOSDesc, usbgadget.KindUDC:
		return true
	}
	return false
}

// gadgetScope is what `gadget up` and `gadget down` may touch: what is wanted for gadgets, and
// what was wanted for them before.
func (a *Agent) gadgetScope(d provision.Desired) (func(provision.Ref) bool, error) {
	s, err := a.gadgetState()
	if err != nil {
		return nil, err
	}
	refs := map[provision.Ref]bool{file.Ref(GadgetPath): true}
	for _, r := range s.Refs {
		refs[r] = true
	}
	for _, w := range d.Wants {
		refs[w.Ref] = true
	}
	return func(r provision.Ref) bool { return refs[r] || gadgetKinds(r.Kind) }, nil
}

// serveRules are the rules for the links of gadgets. What the file says of an interface by its name
// goes before.
func serveRules(c dnsdhcp.Config, links []GadgetLink) []dnsdhcp.Rule {
	off, on := false, true
	var out []dnsdhcp.Rule
	for _, l := range links {
		if l.Router == gadget.RouterClient || slices.ContainsFunc(c.Links, func(r dnsdhcp.Rule) bool { return r.Match.Name == l.Name }) {
			continue
		}
		r := dnsdhcp.Rule{
			Match: dnsdhcp.Match{Name: l.Name, MAC: l.MAC}, Router: l.Router, MTU: l.MTU,
			// The other end is one host: nobody else can have the address, and each second of waiting is seen. Leases are
			// short, so that a host follows when the network has to move.
			DHCP4: dnsdhcp.DHCP4{LeaseTime: "2m", MinLeaseTime: "1m", ConflictProbe: &off, RapidCommit: on},
			RA:    dnsdhcp.RA{MaxInterval: "30s"},
		}
		if l.Router == gadget.RouterNone || l.Router == gadget.RouterSplit {
			// A name server that is announced takes over the host's own names, and a host without this way out would lose
			// them. Whoever asks is answered.
			r.NameServers = []string{"none"}
		}
		for _, p := range l.Routes {
			if l.Router == gadget.RouterSplit || l.Router == gadget.RouterFull {
				r.Routes = append(r.Routes, p.String())
			}
		}
		out = append(out, r)
	}
	return out
}

// ServeConfig is what `provision serve` serves: the slice, the links of the gadgets that are up, the tunnels
// whose peers ask this machine for names, and the names of an overlay's nodes. wanted: there will be something to serve, though perhaps not yet.
func ServeConfig(root string, c Config) (out dnsdhcp.Config, wanted bool, err error) {
	s, err := readGadget(root)
	out = c.Serve
	out.Links = append(slices.Clone(out.Links), serveRules(c.Serve, s.Links)...)
	out.Links = append(out.Links, prefixRules(out, c.Routing.Served())...)
	tunnels, werr := c.Routing.WireGuard, error(nil)
	if added, rerr := readWireguard(root); !errors.Is(rerr, fs.ErrPermission) {
		if werr = rerr; werr == nil {
			tunnels, werr = mergeWireguard(c.Routing.WireGuard, added)
		}
	}
	out.Links = append(out.Links, tunnelRules(out, resolving(tunnels))...)
	out.DNS.OwnNames = insideNames(out.DNS.OwnNames, tunnels)
	out.DNS.Routes = append(slices.Clone(out.DNS.Routes), listRoutes(c)...)
	out.Hosts = append(slices.Clone(out.Hosts), overlayHosts(c.Serve, c.Routing.Overlay)...)
	return out, len(out.Links) > 0 || c.Gadget.Wanted(), errors.Join(err, werr, nearProblems(c))
}

// serveReload is the kind of action, and the trigger, that has a running server read anew what it
// serves.
const serveReload = "serve-reload"

const (
	serveUnitPath = "/etc/systemd/system/provision-serve.service"
	serveUnitLink = "/etc/systemd/system/multi-user.target.wants/provision-serve.service"
)

// serveUnit has the server of the links started, at boot too: without it a host that is plugged in
// gets no address. A unit that somebody else has put there is theirs.
func (a *Agent) serveUnit(f *facts.Facts, r gadget.Result) provision.Desired {
	var d provision.Desired
	served := slices.ContainsFunc(r.Links, func(l gadget.Link) bool { return l.Router != gadget.RouterClient })
	for _, d := range r.Devices {
		// In an image links are not known before the board is.
		served = served || a.offline() && a.Config.Gadget.Router != gadget.RouterClient && slices.ContainsFunc(d.Functions, func(f gadget.DeviceFunction) bool { return f.Interface != "" })
	}
	if !served || a.ServeUnit == "" || f.Machine.Init != "systemd" {
		return d
	}
	s, err := a.gadgetState()
	ours := err == nil && slices.Contains(s.Refs, file.Ref(serveUnitPath))
	if _, err := os.Lstat(filepath.Join(a.Root, serveUnitPath)); err == nil && !ours {
		return d
	}
	const why = "serves the links of the gadget"
	d.Wants = []provision.Want{file.Want(serveUnitPath, []byte(a.ServeUnit), 0o644, why),
		file.Dir(filepath.Dir(serveUnitLink), "folder of enabled units"),
		file.Symlink(serveUnitLink, "../provision-serve.service", "enables provision-serve.service")}
	if !a.offline() {
		d.Triggers = []provision.Trigger{{Name: "provision-serve.service", On: []provision.Ref{file.Ref(serveUnitPath)}, Do: unit.Action("provision-serve.service"),
			Why: "systemd reads the unit and starts the server"}}
	}
	return d
}

// shared is f as it will be once the network managers' files are as they are wanted: dhcpcd.conf is
// of both, and what the gadget wants in it has to stand beside what the NICs want.
func shared(f *facts.Facts, d provision.Desired) *facts.Facts {
	for _, w := range d.Wants {
		text, ok := w.Attrs[file.AttrContent]
		have, there := f.Files[gadget.DhcpcdFile]
		if w.Ref != file.Ref(gadget.DhcpcdFile) || !ok || !there || have.Masked {
			continue
		}
		next := *f
		next.Files = maps.Clone(f.Files)
		have.Text = text
		next.Files[gadget.DhcpcdFile] = have
		return &next
	}
	return f
}

// restarts has dhcpcd started anew once for all that want it for its file: the first trigger does it
// for the others, whose names it takes over in Via.
func restarts(d provision.Desired) provision.Desired {
	ref := file.Ref(gadget.DhcpcdFile)
	first := slices.IndexFunc(d.Triggers, func(t provision.Trigger) bool { return slices.Contains(t.On, ref) })
	taken := map[string]string{}
	for i := first + 1; first >= 0 && i < len(d.Triggers); i++ {
		t := d.Triggers[i]
		one, ok := daemon.OneDhcpcdRestart(d.Triggers[first].Do, t.Do)
		if !ok || t.Name == d.Triggers[first].Name || !slices.Contains(t.On, ref) {
			continue
		}
		triggers := slices.Clone(d.Triggers)
		on := slices.Clone(triggers[first].On)
		for _, r := range t.On {
			if !slices.Contains(on, r) {
				on = append(on, r)
			}
		}
		triggers[first].On, triggers[first].Do = on, one
		triggers[first].Why += "; " + t.Why
		d.Triggers = slices.Delete(triggers, i, i+1)
		taken[t.Name] = triggers[first].Name
		i--
	}
	if len(taken) == 0 {
		return d
	}
	d.Wants, d.Expect = via(d.Wants, taken), via(d.Expect, taken)
	return d
}

// via is list with triggers called otherwise.
func via(list []provision.Want, names map[string]string) []provision.Want {
	list = slices.Clone(list)
	for i := range list {
		v := slices.Clone(list[i].Via)
		for n := range v {
			if to, ok := names[v[n]]; ok {
				v[n] = to
			}
		}
		list[i].Via = v
	}
	return list
}

// joined has one want of dhcpcd.conf, the last one, which was made of the first, and one restart of
// dhcpcd for it.
func joined(d provision.Desired) provision.Desired {
	ref := file.Ref(gadget.DhcpcdFile)
	first := slices.IndexFunc(d.Wants, func(w provision.Want) bool { return w.Ref == ref })
	for i := first + 1; first >= 0 && i < len(d.Wants); i++ {
		if d.Wants[i].Ref != ref || d.Wants[i].Attrs[file.AttrContent] == d.Wants[first].Attrs[file.AttrContent] {
			continue
		}
		wants := slices.Clone(d.Wants)
		wants[first].Attrs = maps.Clone(wants[first].Attrs)
		wants[first].Attrs[file.AttrContent] = wants[i].Attrs[file.AttrContent]
		d.Wants = wants
	}
	return restarts(d)
}
