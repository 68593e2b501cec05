package backends

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision/facts"
)

// Foreign is the owner of a NIC on which a DHCP client runs that no known manager
// started (by hand, from rc.local, left by an initrd): nobody to ask, nothing is
// written.
const Foreign Manager = "foreign"

// WeightClaimed is between generated and live: the manager runs and says that the
// device is its own, but has brought nothing about on it (no active connection).
const WeightClaimed = 60

// WeightDormant is for configuration of a manager that no boot would start.
const WeightDormant = 5

// Owners decides for every link which manager really owns it. It is pure, and its
// evidence is the trace of the decision: a live daemon beats a generated file, that
// beats a configuration file, and an installed binary proves nothing. Two managers
// with live evidence are rivals. Sources that were not readable weaken the evidence
// and never invent it.
func Owners(f *facts.Facts) []Ownership {
	d := detector{f: f, files: claim.Of(f)}
	out := make([]Ownership, 0, len(f.Links))
	for _, l := range f.Links {
		out = append(out, d.owner(l))
	}
	return out
}

// detector holds what is read once for all links.
type detector struct {
	f     *facts.Facts
	files *claim.Files
}

// trace collects the evidence for one link.
type trace struct {
	evidence []Evidence
	renderer Manager
}

//go:noinline
func (t *trace) add(m Manager, weight int, source, format string, args ...any) {
	t.evidence = append(t.evidence, Evidence{Manager: m, Weight: weight, Source: source, Text: fmt.Sprintf(format, args...)})
}

func (d *detector) owner(l facts.Link) Ownership {
	o := Ownership{Link: l.Name, Owner: None, Evidence: []Evidence{}}
	if l.ARPHRD == 772 {
		return o
	}
	t := &trace{}
	ids := d.files.Netplan(l)
	d.networkd(t, l, ids)
	d.nm(t, l, ids)
	d.ifupdown(t, l)
	d.dhcpcd(t, l)
	d.clients(t, l)
	d.sockets(t, l)
	d.netplanFiles(t, l, ids)
	d.installed(t)

	order := []Manager{Netplan, NetworkManager, Networkd, Ifupdown, Dhcpcd, Foreign, None}
	sort.SliceStable(t.evidence, func(i, j int) bool {
		a, b := t.evidence[i], t.evidence[j]
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(slices.Index(order, a.Manager), slices.Index(order, b.Manager))) < 0
	})
	o.Evidence = append(o.Evidence, t.evidence...)
	d.decide(&o, t)
	d.cloudInit(&o, l)
	return o
}

// decide takes the manager with the heaviest evidence; of several with equal weight
// the one with the larger sum.
func (d *detector) decide(o *Ownership, t *trace) {
	best, sum := map[Manager]int{}, map[Manager]int{}
	for _, e := range t.evidence {
		if e.Manager != None {
			best[e.Manager] = max(best[e.Manager], e.Weight)
			sum[e.Manager] += e.Weight
		}
	}
	for _, e := range t.evidence { // in order of weight, so ties fall the same way each time
		m := e.Manager
		if m == None || best[m] <= WeightDormant {
			continue
		}
		if o.Owner == None || best[m] > best[o.Owner] || best[m] == best[o.Owner] && sum[m] > sum[o.Owner] {
			o.Owner = m
		}
	}
	for _, e := range t.evidence {
		if e.Weight >= WeightLive && e.Manager != o.Owner && e.Manager != None && !slices.Contains(o.Rivals, e.Manager) {
			o.Rivals = append(o.Rivals, e.Manager)
		}
	}
	if o.Owner == Netplan {
		o.Renderer = t.renderer
		if o.Renderer == "" {
			o.Renderer = Networkd
		}
	}
}
