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
	var files []string
	switch c.owner.Owner {
	case Netplan:
		for _, id := range p.netplan.IDs {
			if id.Fits(c.link) {
				files = append(files, id.Files...)
			}
		}
	case Networkd:
		if n, ok := claim.Networkd(p.f, c.link); ok {
			files = append(files, n.File)
		}
	case Ifupdown:
		for _, s := range claim.Ifupdown(p.f, c.link) {
			files = append(files, s.File)
		}
	case NetworkManager:
		for _, n := range claim.NM(p.f, c.link) {
			files = append(files, n.File)
		}
	}
	return len(files) > 0 && !slices.ContainsFunc(files, func(name string) bool { return !own(p.f, name) })
}

// own reports whether a file begins with our mark.
func own(f *facts.Facts, name string) bool {
	return f.Files[name].Ours()
}

// saysManual reports whether interfaces(5) names the NIC and says "manual" in every
// stanza: its keeper wants no address there, and something else (pppd, a bridge or a
// bond that is made later, a packet capture) may need it so.
func saysManual(f *facts.Facts, l facts.Link) (source string, ok bool) {
	for _, s := range claim.Ifupdown(f, l) {
		if s.Method != "manual" || own(f, s.File) {
			return "", false
		}
		source = s.Source()
	}
	return source, source != ""
}
