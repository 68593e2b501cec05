package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/packet"
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
	// Packet is its way through rules, tables and NAT; nil when only the route was asked for.
	Packet *packet.Result `json:"packet,omitempty"`
	// Unread says why the rules of nf_tables are not known.
	Unread string `json:"unread,omitempty"`
}

// PacketQuery is a packet that is asked for.
type PacketQuery struct {
	From, To string // address, or address:port/protocol
	In       string // the device it comes in by; empty: guessed from From
	// Planned judges it by the table that the configuration gives, and not by the kernel's.
	Planned bool
	Reply   bool // ask also what the answer meets
	All     bool // tell also of the rules that do not match
}

// ExplainPacket says which rules, tables and NAT a packet meets, and where it goes.
func (a *Agent) ExplainPacket(ctx context.Context, q PacketQuery) (Path, error) {
	target, err := packet.ParseTarget(q.To)
	if err != nil {
		return Path{}, UsageError{fmt.Errorf("--to: %w", err)}
	}
	p := target.Packet()
	p.Reply, p.All, p.In = q.Reply, q.All, q.In
	if q.From != "" {
		if p.From, p.Sport, err = packet.ParseSource(q.From); err != nil {
			return Path{}, UsageError{fmt.Errorf("--from: %w", err)}
		}
	}
	f, err := a.Facts(ctx)
	if err != nil {
		return Path{}, err
	}
	if q.In != "" {
		if _, ok := f.LinkByName(q.In); !ok {
			return Path{}, fmt.Errorf("%w: no NIC is called %s", ErrMissing, q.In)
		}
	}
	w := packet.World{Facts: f, Planned: q.Planned}
	if p.In == "" && p.From.IsValid() {
		if dev, ok := packet.GuessIn(w, p.From); ok {
			p.In = dev
		}
	}
	out := Path{To: target.Addr.String()}
	if p.From.IsValid() {
		out.From = p.From.String()
	}
	out.Route = fib.Lookup(f, fib.Query{Src: p.From, Dst: target.Addr, Iif: p.In})
	out.Sent, out.Lines = out.Route.Sent(), out.Route.Text(f)
	if p.In == "" && !q.Planned && !strings.ContainsAny(q.To, "/") && !namesPort(q.To) {
		return out, nil // the question is about the route
	}
	if w.Tables, err = a.tables(ctx); err != nil {
		out.Unread = err.Error()
	}
	if q.Planned {
		r, err := a.wayOut(ctx, f)
		if err != nil {
			return out, err
		}
		w.Tables = slices.DeleteFunc(w.Tables, func(t nft.Table) bool { return t.Family == nft.OwnFamily && t.Name == nft.OwnTable })
		if r.Table != nil {
			w.Tables = append(w.Tables, *r.Table)
		}
	}
	result := packet.Explain(w, p)
	out.Packet = &result
	return out, nil
}

// namesPort reports whether a target has a port behind its address.
func namesPort(to string) bool {
	_, err := netip.ParseAddrPort(to)
	return err == nil
}
