package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// Sets that remember whose refused packets were logged, each source for itself.
const (
	logged4 = "logged.4"
	logged6 = "logged.6"

	loggedMost    = 4096    // sources; one more is not logged. About 100 bytes each
	loggedForgets = 3600000 // milliseconds without a refused packet
)

// log is a line in the log, without a limit.
func (c *compiler) log(prefix string) words {
	prefix = Comment("provision: "+prefix) + ": "
	if len(prefix) > match.MaxPrefix {
		prefix = Comment(prefix[:match.MaxPrefix-2]) + ": "
	}
	if g := c.p.Firewall.LogGroup; g != nil {
		return match.LogGroup(prefix, *g)
	}
	return match.Log(prefix)
}

// logRefused are rules that log, with a limit for each source. Family is the one that the words
// ask for, 0 for both.
func (c *compiler) logRefused(prefix string, family int, when words) []nft.Rule {
	c.add(nft.Set{Name: logged4, Key: []string{nft.TypeIPv4}, Timeout: loggedForgets, Size: loggedMost, Learnt: true})
	c.add(nft.Set{Name: logged6, Key: []string{nft.TypeIPv6}, Timeout: loggedForgets, Size: loggedMost, Learnt: true})
	l := c.limit
	var out []nft.Rule
	if family != 6 {
		out = append(out, say("", when, match.LimitSource(4, logged4, l.rate, l.per, l.burst), c.log(prefix)))
	}
	if family != 4 {
		out = append(out, say("", when, match.LimitSource(6, logged6, l.rate, l.per, l.burst), c.log(prefix)))
	}
	return out
}

// rest is what becomes of packets that no rule decides.
func (c *compiler) rest(action, where, comment string, log bool) []nft.Rule {
	var out []nft.Rule
	if log && action != allow {
		out = c.logRefused(action+" "+where, 0, nil)
	}
	return append(out, verdicts(action, comment, 0)...)
}

// verdicts are the rules that end a packet's way: TCP is refused by a reset, which every client
// takes at once, everything else by an ICMP error. Proto is what the words already ask for, 0
// when they do not.
func verdicts(action, comment string, proto uint8, when ...words) []nft.Rule {
	rule := func(end words) nft.Rule { return say(comment, append(slices.Clone(when), match.Counter(), end)...) }
	switch action {
	case allow:
		return []nft.Rule{rule(match.Accept())}
	case deny:
		return []nft.Rule{rule(match.Drop())}
	}
	tcp := say(comment, append(slices.Clone(when), match.L4Proto(match.TCP), match.Counter(), match.RejectTCP())...)
	switch proto {
	case match.TCP:
		return []nft.Rule{tcp}
	case 0:
		return []nft.Rule{tcp, rule(match.Reject())}
	}
	return []nft.Rule{rule(match.Reject())}
}

// filter compiles one rule of the policy to rules of a filter chain. The words say what the
// chain does not see to already: interfaces, mostly.
func (c *compiler) filter(x *rule, also ...words) []nft.Rule {
	var out []nft.Rule
	c.each(x, func(k kind, ws ...words) {
		ws = append(slices.Clone(also), ws...)
		switch l := c.limit; {
		case x.conf.Log && x.action != allow:
			out = append(out, c.logRefused(x.action+" "+x.name(), k.family, match.Join(ws...))...)
		case x.conf.Log:
			out = append(out, say(x.name(), append(slices.Clone(ws), match.Limit(l.rate, l.per, l.burst), c.log(x.action+" "+x.name()))...))
		}
		out = append(out, verdicts(x.action, x.name(), k.proto, ws...)...)
	})
	return out
}

// each gives the words for source, destination and protocol as a filter sees them, after a
// change of destination, family by family where it matters.
func (c *compiler) each(x *rule, add func(k kind, ws ...words)) {
	families := x.families
	if len(families) == 2 && x.src.any && x.dst.any && x.send == nil {
		families = []int{0} // nothing to say about addresses
	}
	for _, f := range families {
		src, dst, ts := c.addr(x.src, f, false), c.addr(x.dst, f, true), x.traffic
		var more words
		if f != 0 && src == nil && dst == nil {
			more = match.NFProto(f)
		}
		if t, changed := x.changed(f); changed {
			more, dst = match.CtStatus(nft.StatusDNAT), c.sentTo(t, f)
			if t.port != 0 {
				ts = nil
				for _, old := range x.traffic {
					ts = append(ts, traffic{proto: old.proto, ports: single([]uint16{t.port})})
				}
			}
		}
		for _, k := range c.kinds(ts, f) {
			add(k, more, src, dst, k.word)
		}
	}
}

// changed is what becomes of a family's destination, if anything.
func (x *rule) changed(family int) (target, bool) {
	if x.send == nil {
		return target{}, false
	}
	t, ok := x.send.to[family]
	return t, ok
}

// sentTo is the word for the new destination.
func (c *compiler) sentTo(t target, family int) words {
	if t.self {
		return match.NFProto(family)
	}
	var a addrs
	a.add(t.all())
	return c.addr(a, family, true)
}
