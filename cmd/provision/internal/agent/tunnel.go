package agent

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
)

// prefixRules are the rules for links on which a prefix is announced. What the file says of a link,
// by its name or by a pattern, goes before. IPv4 stays with whoever serves it there.
func prefixRules(c dnsdhcp.Config, list []intent.Served) []dnsdhcp.Rule {
	off := false
	var out []dnsdhcp.Rule
	for _, s := range list {
		if _, said := ruleOf(c, s.Interface); said {
			continue
		}
		out = append(out, dnsdhcp.Rule{Match: dnsdhcp.Match{Name: s.Interface}, Router: "full", MTU: s.MTU,
			DHCP4: dnsdhcp.DHCP4{Enabled: &off}, MDNS: dnsdhcp.MDNS{Enabled: &off}})
	}
	return out
}

// ruleOf is the rule that decides for an interface (dnsdhcp.Config.Links).
func ruleOf(c dnsdhcp.Config, name string) (dnsdhcp.Rule, bool) {
	for _, r := range c.Links {
		if r.Match.Name == name {
			return r, true
		}
	}
	for _, r := range c.Links {
		if ok, err := path.Match(r.Match.Name, name); ok && err == nil {
			return r, true
		}
	}
	return dnsdhcp.Rule{}, false
}

// announced has the server of the links started where prefixes are announced or peers ask for names, and a running one told;
// where the file has rules of its own for them, it says what these lack.
func (a *Agent) announced(f *facts.Facts, r routing.Result, already provision.Desired) provision.Desired {
	var d provision.Desired
	if len(r.Served) == 0 && len(a.asked) == 0 {
		return d
	}
	for _, s := range r.Served {
		rule, said := ruleOf(a.Config.Serve, s.Interface)
		if said && (rule.Router == "" || rule.Router == "none") {
			d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "serve.links", Text: fmt.Sprintf("%s is served with router none: its hosts have addresses of %s, and no way out; write router: full there", s.Interface, s.Why)})
		}
		if said && s.MTU != 0 && (rule.MTU == 0 || rule.MTU > s.MTU) {
			d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: "serve.links", Text: fmt.Sprintf("%s is served without mtu: %d, which is what fits into the way out: its hosts find that out by each first large packet", s.Interface, s.MTU)})
		}
	}
	var refs []provision.Ref
	for _, w := range r.Desired.Wants {
		if w.Kind == address.Kind && len(r.Served) > 0 {
			refs = append(refs, w.Ref)
		}
	}
	if tunnels := deviceRefs(a.asked); !a.offline() && len(tunnels) > 0 {
		d.Triggers = append(d.Triggers, provision.Trigger{Name: serveReload + " tunnels", On: tunnels, Do: provision.Action{Kind: serveReload}, Why: "a running server answers the peers of the tunnels"})
	}
	if !a.offline() && len(refs) > 0 {
		d.Triggers = append(d.Triggers, provision.Trigger{Name: serveReload + " prefixes", On: refs, Do: provision.Action{Kind: serveReload}, Why: "a running server announces the prefixes"})
	}
	has := slices.ContainsFunc(already.Wants, func(w provision.Want) bool { return w.Ref == file.Ref(serveUnitPath) })
	if has || a.ServeUnit == "" || f.Machine.Init != "systemd" {
		return d
	}
	// A unit that somebody else has put there is theirs.
	if text, err := readBounded(filepath.Join(a.Root, serveUnitPath), 64<<10); err == nil && string(text) != a.ServeUnit {
		return d
	}
	why := "announces the routed prefixes"
	if len(r.Served) == 0 {
		why = "answers the peers of the tunnels"
	}
	d.Wants = []provision.Want{file.Want(serveUnitPath, []byte(a.ServeUnit), 0o644, why),
		file.Dir(filepath.Dir(serveUnitLink), "folder of enabled units"),
		file.Symlink(serveUnitLink, "../provision-serve.service", "enables provision-serve.service")}
	if !a.offline() {
		d.Triggers = append(d.Triggers, provision.Trigger{Name: "provision-serve.service", On: []provision.Ref{file.Ref(serveUnitPath)}, Do: unit.Action("provision-serve.service"),
			Why: "systemd reads the unit and starts the server"})
	}
	return d
}

// deviceRefs are the references of WireGuard devices.
func deviceRefs(names []string) []provision.Ref {
	var out []provision.Ref
	for _, n := range names {
		out = append(out, wireguard.Ref(n))
	}
	return out
}
