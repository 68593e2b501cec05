package agent

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

// Explain says who decides the settings of one NIC: its owner with the evidence,
// the default routes in effect, and each file and line that its manager reads for
// it. key selects one setting; empty is all of them.
func (a *Agent) Explain(ctx context.Context, nic, key string) ([]backends.Reason, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return nil, err
	}
	link, ok := f.LinkByName(nic)
	if !ok {
		var names []string
		for _, l := range f.Links {
			names = append(names, l.Name)
		}
		return nil, fmt.Errorf("%w: no NIC is called %s; there are %s", ErrMissing, nic, strings.Join(names, ", "))
	}
	var out []backends.Reason
	for _, o := range backends.Owners(f) {
		if o.Link != link.Name {
			continue
		}
		if key == "" || key == "owner" {
			for _, e := range o.Evidence {
				out = append(out, backends.Reason{Key: "owner", Value: string(e.Manager), Source: e.Source, Note: e.Text})
			}
		}
		for _, b := range a.backends {
			if b.Manager() == o.Owner {
				out = append(out, b.Explain(f, link, key)...)
			}
		}
	}
	if key == "" || key == "metric" {
		for _, family := range []int{4, 6} {
			for _, r := range f.Defaults(link.Index, family) {
				out = append(out, backends.Reason{Key: "metric", Value: strconv.FormatUint(uint64(r.Metric), 10), Source: "kernel", Note: fib.RouteText(f, r)})
			}
		}
	}
	return out, nil
}

// Path is the way of a packet.
type Path struct {
	From  string     `json:"from,omitempty"`
	To    string     `json:"to"`
	Sent  bool       `json:"sent"`
	Route fib.Result `json:"route"`
	Lines []string   `json:"trace"`
}

// ExplainPacket says which rules and which route a packet of this machine meets.
func (a *Agent) ExplainPacket(ctx context.Context, from, to netip.Addr) (Path, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return Path{}, err
	}
	return packet(f, from, to), nil
}

func packet(f *facts.Facts, from, to netip.Addr) Path {
	r := fib.Lookup(f, fib.Query{Src: from, Dst: to})
	p := Path{To: to.String(), Sent: r.Sent(), Route: r, Lines: r.Text(f)}
	if from.IsValid() {
		p.From = from.String()
	}
	return p
}
