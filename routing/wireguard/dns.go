package wireguard

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/resolver"
)

const resolvConf = "/etc/resolv.conf"

// dns has the tunnel's name servers asked, by whoever keeps those of this machine. Who that is is decided
// first; nobody's file is written over who would write it again.
func (p *planner) dns(name string, i Interface) {
	if len(i.DNS) == 0 {
		return
	}
	at, why := name+".dns", "routing.wireguard."+name+".dns"
	s := resolver.Spec{Link: name, Domains: slices.Clone(i.Domains)}
	if len(s.Domains) == 0 && i.Route == RouteFull {
		s.Domains = []string{"~."}
	}
	if len(s.Domains) == 0 {
		p.note("info", at, "are asked for nothing: the tunnel does not take everything, so write which domains, such as [\"~corp.example\"], or [\"~.\"] for all")
		return
	}
	for _, text := range i.DNS {
		a, _ := netip.ParseAddr(text) // judged before
		s.Servers = append(s.Servers, a)
	}
	all := slices.Contains(s.Domains, "~.")
	s.Default = all
	switch owner := p.Facts.DNS.Owner; owner {
	case resolver.Resolved, resolver.Resolvconf, resolver.Openresolv:
		s.Owner = owner
		if owner != resolver.Resolved && !all {
			p.note("warning", at, "%s gives one list of name servers to all programs: those of the tunnel are asked for every name, not for %s alone (systemd-resolved, or routing.lists with this program's own server, can tell)", owner, strings.Join(s.Domains, ", "))
		}
		if owner == resolver.Resolvconf && all {
			p.note("info", at, "resolvconf keeps the other name servers behind those of the tunnel, and programs ask them when those do not answer: openresolv and systemd-resolved leave them out")
		}
		p.want(resolver.Want(s, why))
	case "NetworkManager":
		p.networkManager(at, why, all, s)
	case "file", "dhclient", "dhcpcd", "":
		p.resolvConf(at, why, all, s)
	default:
		p.note("warning", at, "%s is kept by %s, which this program does not know to tell: the tunnel's name servers are not asked", resolvConf, owner)
	}
}

// networkManager has its own answer for all names (NetworkManager.conf(5), global-dns). Its devices keep
// their servers, and get them back.
func (p *planner) networkManager(at, why string, all bool, s resolver.Spec) {
	if !all {
		p.note("warning", at, "NetworkManager writes one list of name servers, so single domains cannot be asked elsewhere: install systemd-resolved, or let dns be asked for all names with domains: [\"~.\"]")
		return
	}
	var b strings.Builder
	b.WriteString(facts.Marker + "\n[global-dns]\n")
	if search := searched(s.Domains); len(search) > 0 {
		b.WriteString("searches=" + strings.Join(search, ",") + "\n")
	}
	b.WriteString("\n[global-dns-domain-*]\nservers=" + strings.Join(words(s.Servers), ",") + "\n")
	path := "/etc/NetworkManager/conf.d/90-provision-dns-" + s.Link + ".conf"
	p.want(file.Want(path, []byte(b.String()), 0o644, why))
	p.r.Desired.Triggers = append(p.r.Desired.Triggers, provision.Trigger{Name: "NetworkManager asks the name servers of " + s.Link, On: []provision.Ref{file.Ref(path)}, Do: daemon.NMReload(), Why: why})
}

// resolvConf writes the file itself; what was there comes back when it is not wanted any more.
func (p *planner) resolvConf(at, why string, all bool, s resolver.Spec) {
	f := p.Facts.Files[resolvConf]
	switch {
	case !all:
		p.note("warning", at, "%s has one list of name servers, so single domains cannot be asked elsewhere: install systemd-resolved, or let dns be asked for all names with domains: [\"~.\"]", resolvConf)
		return
	case f.Link != "":
		p.note("warning", at, "%s leads to %s, whose keeper is not known: the tunnel's name servers are not asked", resolvConf, f.Link)
		return
	case p.Facts.DNS.Owner == "dhclient" || p.Facts.DNS.Owner == "dhcpcd":
		p.note("warning", at, "%s writes %s anew with each lease: install openresolv or systemd-resolved, so that the tunnel's name servers stay", p.Facts.DNS.Owner, resolvConf)
	}
	var b strings.Builder
	b.WriteString("# name servers of " + s.Link + "; what stood here comes back with `provision revert`\n")
	for _, a := range words(s.Servers) {
		b.WriteString("nameserver " + a + "\n")
	}
	if search := searched(s.Domains); len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	for line := range strings.Lines(f.Text) {
		if w := strings.Fields(line); len(w) > 1 && w[0] == "options" {
			b.WriteString(strings.Join(w, " ") + "\n")
		}
	}
	p.want(file.Content(resolvConf, []byte(b.String()), why))
}

func searched(domains []string) []string {
	var out []string
	for _, d := range domains {
		if !strings.HasPrefix(d, "~") {
			out = append(out, d)
		}
	}
	return out
}

func words(list []netip.Addr) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}
