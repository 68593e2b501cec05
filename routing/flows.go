package routing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/match"
)

// Words of a rule's interfaces.
const (
	selfWord = "self"
	anyWord  = "any"
)

// forwards are the rules that let packets through this machine: each is a reason to forward.
func (c Config) forwards() []intent.Forward {
	var out []intent.Forward
	for i, r := range c.Firewall.Rules {
		if r.Action == "allow" && r.SourceInterface != selfWord && r.DestinationInterface != selfWord {
			out = append(out, intent.Forward{From: r.SourceInterface, To: r.DestinationInterface, NAT: "auto", Why: fmt.Sprintf("routing.firewall.rules[%d]", i)})
		}
	}
	return out
}

// flows are the kinds of connections that the rules let through, between devices that are there.
func (c Config) flows(f *facts.Facts, in intent.Set) []foreign.Flow {
	var out []foreign.Flow
	for i, r := range c.Firewall.Rules {
		if r.Action != "allow" {
			continue
		}
		why := fmt.Sprintf("routing.firewall.rules[%d]", i)
		if r.Note != "" {
			why += " " + r.Note
		}
		for _, from := range c.devices(f, in, r.SourceInterface) {
			for _, to := range c.devices(f, in, r.DestinationInterface) {
				if from == to {
					continue
				}
				for _, flow := range ports(r.Port) {
					flow.In, flow.Out, flow.Why = from, to, why
					flow.Published = r.NATDestination != ""
					out = append(out, flow)
				}
			}
		}
	}
	for _, w := range in.Forwards {
		from := w.Interfaces
		if len(from) == 0 {
			from = c.members(in, w.From)
		}
		for _, a := range matching(f, from) {
			for _, b := range c.ways(f, in, w.To) {
				if a != b {
					out = append(out, foreign.Flow{In: a, Out: b, Why: w.Why})
				}
			}
		}
	}
	for _, s := range in.Services {
		for _, dev := range matching(f, s.Interfaces) {
			for _, port := range s.Ports {
				out = append(out, foreign.Flow{In: dev, Family: s.Family, Proto: s.Proto, Port: port, Why: s.Why})
			}
		}
	}
	return out
}

// devices are what a rule's interface means now; the empty name stands for this machine.
func (c Config) devices(f *facts.Facts, in intent.Set, end string) []string {
	switch end {
	case selfWord:
		return []string{""}
	case "", anyWord:
		ins, outs := c.Zones.Sides(in.Members)
		return matching(f, append(ins, outs...))
	}
	if z, ok := c.Zones[end]; ok {
		names := slices.Clone(z.Interfaces)
		for _, m := range in.Members {
			if m.Zone == end {
				names = append(names, m.Interfaces...)
			}
		}
		return matching(f, names)
	}
	return matching(f, []string{end})
}

// members are the interfaces of a zone, those that somebody asks for included.
func (c Config) members(in intent.Set, zone string) []string {
	names := slices.Clone(c.Zones[zone].Interfaces)
	for _, m := range in.Members {
		if m.Zone == zone {
			names = append(names, m.Interfaces...)
		}
	}
	return names
}

// ways are the devices by which a forward leaves now: of its zone, or of the way out, which
// without zones is whatever has a default route.
func (c Config) ways(f *facts.Facts, in intent.Set, to string) []string {
	if to != "" {
		return matching(f, c.members(in, to))
	}
	inside, outside := c.Zones.Sides(in.Members)
	if len(c.Zones) > 0 {
		return matching(f, outside)
	}
	var out []string
	for _, l := range f.Links {
		if (len(f.Defaults(l.Index, 4)) > 0 || len(f.Defaults(l.Index, 6)) > 0) && !slices.Contains(matching(f, inside), l.Name) {
			out = append(out, l.Name)
		}
	}
	return out
}

// matching are the devices that names and patterns mean.
func matching(f *facts.Facts, names []string) []string {
	var out []string
	for _, l := range f.Links {
		if slices.ContainsFunc(names, func(n string) bool { return n == l.Name || match.Covers(n, l.Name) }) {
			out = append(out, l.Name)
		}
	}
	return out
}

// ports are a rule's ports as flows that tell nothing else. What is more than one port is told
// by its protocol alone.
func ports(list []string) []foreign.Flow {
	if len(list) == 0 {
		return []foreign.Flow{{}}
	}
	var out []foreign.Flow
	for _, text := range list {
		proto, port, _ := strings.Cut(text, "/")
		flow := foreign.Flow{}
		switch proto {
		case "tcp", "udp":
			flow.Proto = proto
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				flow.Port = uint16(n)
			}
		case "icmp":
			flow.Proto, flow.Family = proto, 4
		case "icmpv6":
			flow.Proto, flow.Family = proto, 6
		}
		if !slices.Contains(out, flow) {
			out = append(out, flow)
		}
	}
	return out
}
