package lists

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/lists/span"
	"github.com/provision-net/provision/routing/policy"
)

// Input is what Plan decides from.
type Input struct {
	Facts  *facts.Facts
	Config Config
	Smart  Smart
	// Sets are the lists' addresses: Config.Sets.
	Sets map[string]span.Set
	// Numbers were given out with the uplinks as byways: Byways.
	Numbers policy.Numbers
	// Endpoints are those of this machine's tunnels.
	Endpoints []intent.Endpoint
	// SSHPorts are local ports of logins; Plan adds those of the sessions in Facts, and 22.
	SSHPorts []uint16
}

// Result is what Plan says.
type Result struct {
	Desired provision.Desired
	// Table is a fragment of the own table.
	Table nft.Table
	// Loose are interfaces on which a strict reverse path filter would drop answers.
	Loose []forward.Loose
}

// Byways are what policy.Input needs to know: a name for each uplink.
func (s Smart) Byways() []string {
	var out []string
	for _, u := range s.Uplinks() {
		out = append(out, "list "+u)
	}
	return out
}

// WithUpstreams puts the addresses of the lists' name servers into the lists: what this machine asks
// them leaves by the list's own uplink. They are in even where another list takes them out.
func (c Config) WithUpstreams(sets map[string]span.Set) map[string]span.Set {
	for n, l := range c {
		var b span.Builder
		for _, u := range l.Upstreams {
			if p, err := upstream(u); err == nil {
				_ = b.Add(p.Addr(), p.Addr())
			}
		}
		if b.Len() > 0 {
			b.AddSet(sets[n])
			sets[n] = b.Set()
		}
	}
	return sets
}

// Plan says what should exist, in build-up order: nothing without rules.
func Plan(in Input) (Result, error) {
	var r Result
	if len(in.Smart) == 0 {
		return r, nil
	}
	c := &compiler{Input: in}
	c.SSHPorts = ports(in)
	for i, u := range in.Smart.Uplinks() {
		b, err := in.Numbers.Byway("list " + u)
		if err != nil {
			return r, fmt.Errorf("routing.smart: %w", err)
		}
		rule := in.Smart[slices.IndexFunc(in.Smart, func(r Rule) bool { return r.Uplink == u })]
		c.ways = append(c.ways, way{rule, b, fmt.Sprintf("lists-way-%d", i+1)})
		if rule.device() {
			r.Loose = append(r.Loose, forward.Loose{Interface: u, Why: "answers to what lists send there come in by " + u})
		}
	}
	for _, w := range c.ways {
		why := "what routing.smart sends by " + w.Uplink
		switch w.Uplink {
		case Direct:
			r.Desired.Wants = append(r.Desired.Wants, w.Around(why)...)
		case Block:
			r.Desired.Wants = append(r.Desired.Wants, w.Wants(policy.Way{}, "what routing.smart blocks")...)
		default:
			to := policy.Way{Device: w.Uplink, Open: w.fallback() == Direct}
			for _, v := range w.Via {
				if a, err := netip.ParseAddr(v); err == nil {
					to.Gateways = append(to.Gateways, a)
				}
			}
			r.Desired.Wants = append(r.Desired.Wants, w.Wants(to, why)...)
		}
	}
	r.Table = c.table()
	r.Desired.Notes = c.notes()
	return r, nil
}

// ports are the local ports of logins.
func ports(in Input) []uint16 {
	out := append([]uint16{22}, in.SSHPorts...)
	if in.Facts != nil {
		for _, s := range in.Facts.SSH {
			out = append(out, s.Local.Port())
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(p uint16) bool { return p == 0 })
}

// notes tell of lists that are empty still, and of those that nobody uses.
func (c *compiler) notes() []provision.Note {
	var out []provision.Note
	note := func(list, text string) {
		out = append(out, provision.Note{Level: "info", Subject: "routing.lists." + list, Text: text})
	}
	for _, n := range c.Config.Names() {
		switch {
		case c.Smart.uplinkOf(n) == "":
			if !slices.ContainsFunc(c.Config.Names(), func(o string) bool { return slices.Contains(c.Config[o].Except, n) }) {
				note(n, "no rule of routing.smart names it, so it does nothing")
			}
		case c.Config[n].Fetched() && c.Sets[n].Empty():
			note(n, "there is no copy of it yet, so nothing is in it: `provision lists refresh` fetches it now, `provision watch` soon")
		}
	}
	return out
}
