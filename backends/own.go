package backends

import (
	"slices"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision/facts"
)

// broughtUp reports whether a NIC has its configuration from an earlier apply and from
// nobody else: every file that speaks for it under its manager is one of ours. Such a NIC
// looks configured, but without us it would have nothing, so it has to be wanted again
// at each apply.
func (p *policy) broughtUp(c *candidate) bool {
	claims := claimsOf(p.f, p.files, c.owner.Owner, c.link)
	for _, one := range claims {
		if slices.ContainsFunc(one.Files, func(name string) bool { return !own(p.f, name) }) {
			return false
		}
	}
	return len(claims) > 0
}

// claimsOf is the configuration that speaks for a NIC under one manager.
func claimsOf(f *facts.Facts, files *claim.Files, m Manager, l facts.Link) []claim.Claim {
	switch m {
	case Netplan:
		return files.Netplan(l)
	case Networkd:
		if c, ok := files.Networkd(l); ok {
			return []claim.Claim{c}
		}
	case Ifupdown:
		return files.Ifupdown(l)
	case NetworkManager:
		return claim.NM(f, l)
	}
	return nil
}

// own reports whether a file begins with our mark.
func own(f *facts.Facts, name string) bool {
	return f.Files[name].Ours()
}

// saysManual reports whether interfaces(5) names the NIC and says "manual" in every
// stanza: its keeper wants no address there, and something else (pppd, a bridge or a
// bond that is made later, a packet capture) may need it so.
func (p *policy) saysManual(l facts.Link) (source string, ok bool) {
	for _, s := range p.files.Ifupdown(l) {
		if s.Method != "manual" || own(p.f, s.File) {
			return "", false
		}
		source = s.Source()
	}
	return source, source != ""
}
