package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/match"
)

// end is where a rule begins or ends: any zone, this machine, a zone, or one interface of it.
type end struct {
	any, self bool
	zone      *zone
	iface     string // of zone, "" all
}

// rule is a Rule with everything settled.
type rule struct {
	n        int
	path     string
	conf     Rule
	from, to end
	src, dst addrs
	traffic  []traffic // nil: any
	families []int     // those that the rule can speak of
	hide     *hidden
	send     *sent
	action   string
}

// resolver turns words into what they mean and collects what is wrong.
type resolver struct {
	p        Policy
	walls    bool // there is a firewall, not just a way out
	zone     []*zone
	forwards []intent.Forward // the intents, with To empty as far as it means zones
	groups   groups
	rules    []*rule
	admins   addrs
	mgmt     []traffic
	own      []traffic
	limit    limit
	problems []Problem
	notes    []Note
}

// limit is a rate of log lines.
type limit struct {
	rate, per uint64
	burst     uint32
}

//go:noinline
func (r *resolver) fail(path, format string, args ...any) {
	r.problems = append(r.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (r *resolver) note(path, format string, args ...any) {
	r.notes = append(r.notes, Note{path, fmt.Sprintf(format, args...)})
}

// at is fail for one of a list.
//
//go:noinline
func (r *resolver) at(path string) func(i int, format string, args ...any) {
	return func(i int, format string, args ...any) { r.fail(fmt.Sprintf("%s[%d]", path, i), format, args...) }
}

// Problems lists everything that is wrong in p without looking at a machine.
func (p Policy) Problems() []Problem { return resolve(p, intent.Set{}, nil).problems }

func resolve(p Policy, in intent.Set, f *facts.Facts) *resolver {
	r := &resolver{p: p, walls: p.walls(in), groups: groups{conf: p.Groups, done: map[string]addrs{}, busy: map[string]bool{}}}
	r.zones(in.Members)
	r.groupNames()
	r.switches()
	for i, c := range p.Firewall.Rules {
		if x := r.rule(i, c); x != nil {
			r.rules = append(r.rules, x)
		}
	}
	if len(r.zone) == 0 && len(p.Firewall.Rules) > 0 {
		r.fail("zones", "there are none, and rules meet only packets of zones: write for example zones: {inside: {interfaces: [eth1]}}")
	}
	r.shadows()
	r.intents(in)
	r.unknownInterfaces(f)
	return r
}

func (r *resolver) groupNames() {
	for _, name := range sorted(r.p.Groups) {
		path := "groups." + name
		_, err := netip.ParseAddr(name)
		switch {
		case name == anyWord || name == selfWord:
			r.fail(path, "%s has a meaning of its own in rules: call the group something else", name)
		case err == nil || !zoneName(name):
			r.fail(path, "a group's name is 1 to 32 letters, digits, - and _, begins with a letter or digit and is no address")
		case len(r.p.Groups[name]) == 0:
			r.fail(path, "is empty: a rule with it would never fit")
		}
		r.groups.parse(r.p.Groups[name], r.at(path))
		if r.groups.reaches(name, name, map[string]bool{}) {
			r.fail(path, "group %q holds itself", name)
		}
	}
}

// oneOf holds a value to its words; nothing is always one.
func (r *resolver) oneOf(path, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		r.fail(path, "%q is not one of %s", value, strings.Join(words, ", "))
	}
}

func (r *resolver) switches() {
	c, path := r.p.Firewall, "firewall."
	r.oneOf(path+"ping", c.Ping, "no", inside, anyWord)
	r.oneOf(path+"own-traffic", c.OwnTraffic, allow, "listed")
	r.oneOf(path+"other-interfaces", c.OtherInterfaces, deny, allow)
	r.oneOf(path+"mss-clamp", c.MSSClamp, "auto", "no")
	services := c.Management.Services
	if len(services) == 0 {
		services = []string{"ssh"}
	}
	r.mgmt = parseTraffic(services, r.at(path+"management.services"))
	r.admins = r.groups.parse(c.Management.From, r.at(path+"management.from"))
	own := c.OwnServices
	if len(own) == 0 {
		own = []string{"dns", "ntp", "http", "https"}
	} else if c.OwnTraffic != "listed" {
		r.fail(path+"own-services", "is asked only with own-traffic: listed; now this machine may send everything")
	}
	r.own = parseTraffic(own, r.at(path+"own-services"))
	var err error
	if r.limit, err = parseLimit(c.LogLimit); err != nil {
		r.fail(path+"log-limit", "%v", err)
	}
}

func parseLimit(s string) (limit, error) {
	if s == "" {
		s = "10/minute"
	}
	n, unit, _ := strings.Cut(s, "/")
	rate, err := strconv.ParseUint(n, 10, 20)
	per := map[string]uint64{"second": 1, "minute": 60, "hour": 3600}[unit]
	if err != nil || rate == 0 || per == 0 {
		return limit{1, 60, 1}, fmt.Errorf("%q is no rate: write for example 10/minute", s)
	}
	return limit{rate, per, uint32(min(rate, 1000))}, nil
}

// rule settles one rule; nil when it could not be.
func (r *resolver) rule(i int, c Rule) *rule {
	path := fmt.Sprintf("firewall.rules[%d]", i)
	before := len(r.problems)
	x := &rule{n: i, path: path, conf: c, action: c.Action}
	switch c.Action {
	case allow, deny, reject:
	case "":
		r.fail(path+".action", "is missing: allow, deny or reject")
	default:
		r.fail(path+".action", "%q is not one of allow, deny, reject", c.Action)
	}
	x.from = r.end(path+".source-interface", c.SourceInterface)
	x.to = r.end(path+".destination-interface", c.DestinationInterface)
	x.src = r.groups.parse(c.Source, r.at(path+".source"))
	x.dst = r.groups.parse(c.Destination, r.at(path+".destination"))
	x.traffic = parseTraffic(c.Port, r.at(path+".port"))
	var err error
	if x.hide, err = parseNATSource(c.NATSource); err != nil {
		r.fail(path+".nat-source", "%v", err)
	}
	if x.send, err = parseNATDestination(c.NATDestination); err != nil {
		r.fail(path+".nat-destination", "%v", err)
	}
	if len(r.problems) > before {
		return nil
	}
	r.settle(x)
	if len(r.problems) > before {
		return nil
	}
	return x
}

func (r *resolver) end(path, word string) end {
	switch word {
	case "", anyWord:
		return end{any: true}
	case selfWord:
		return end{self: true}
	}
	if z := r.named(word); z != nil {
		return end{zone: z}
	}
	for _, z := range r.zone {
		if z.has(word) {
			return end{zone: z, iface: word}
		}
	}
	names := make([]string, 0, len(r.zone))
	for _, z := range r.zone {
		names = append(names, z.name)
	}
	if len(names) == 0 {
		r.fail(path, "%q is neither a zone nor an interface of one; there are no zones: write them under zones", word)
	} else {
		r.fail(path, "%q is neither a zone (%s) nor an interface of one: put it into a zone", word, strings.Join(names, ", "))
	}
	return end{}
}

// intents judges what other parts ask for.
func (r *resolver) intents(in intent.Set) {
	for _, f := range in.Forwards {
		for _, n := range []string{f.From, f.To} {
			if r.named(n) == nil && n != "" {
				r.fail("zones", "%s asks to forward from %s to %s, but there is no zone %s: write it", f.Why, f.From, wayOut(f.To), n)
			}
		}
		r.out(f)
		if !slices.Contains([]string{"", "no", "yes", "auto"}, f.NAT) {
			r.fail("zones", "%s asks for NAT %q: it is yes, no or auto", f.Why, f.NAT)
		}
	}
	for _, s := range in.Services {
		if p, ok := protocol(s.Proto); !ok || len(s.Ports) > 0 && !hasPorts(p) {
			r.fail("firewall", "%s offers %s by protocol %q, which is not known or has no ports", s.Why, s.Name, s.Proto)
		}
	}
	for _, e := range in.Endpoints {
		if _, ok := protocol(e.Proto); !ok {
			r.fail("firewall", "%s has a tunnel %s by protocol %q, which is not known", e.Why, e.Tunnel, e.Proto)
		}
	}
}

// unknownInterfaces tells of names that this machine does not have now. They may come: a note.
func (r *resolver) unknownInterfaces(f *facts.Facts) {
	if f == nil || f.Machine.Offline {
		return
	}
	for _, z := range r.zone {
		for _, n := range z.interfaces() {
			if !slices.ContainsFunc(f.Links, func(l facts.Link) bool { return match.Covers(n, l.Name) }) {
				r.note("zones."+z.name+".interfaces", "this machine has no interface %s now; the zone takes it in when it comes", n)
			}
		}
	}
	for _, l := range f.Links {
		if l.Name != "lo" && l.Up && !slices.ContainsFunc(r.zone, func(z *zone) bool { return z.has(l.Name) }) && r.walls && len(r.zone) > 0 {
			r.note("zones", "%s is in no zone: what comes by it is %s (other-interfaces)", l.Name, map[bool]string{true: "allowed", false: "refused"}[r.p.Firewall.OtherInterfaces == allow])
		}
	}
}
