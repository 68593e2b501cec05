package uplink

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// Key is one uplink in one family.
type Key struct {
	Interface string
	Family    int // 4 or 6
}

// MarshalText writes a Key as a key of JSON.
func (k Key) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d %s", k.Family, k.Interface), nil
}

// UnmarshalText reads it.
func (k *Key) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d %s", &k.Family, &k.Interface)
	return err
}

// State is what is remembered from one decision to the next.
type State struct {
	Health map[Key]Health `json:"health,omitempty"`
	Chosen map[int]Choice `json:"chosen,omitempty"` // by family
	// Own are the routes that were made and not yet seen to be gone, by family.
	Own map[int][]Prefer `json:"own,omitempty"`
}

// Choice is the uplink that a family takes.
type Choice struct {
	Interface string    `json:"interface"`
	Since     time.Time `json:"since"`
}

// clone lets Decide leave its argument alone.
func (s State) clone() State {
	c := State{Health: map[Key]Health{}, Chosen: map[int]Choice{}, Own: map[int][]Prefer{}}
	for k, v := range s.Health {
		c.Health[k] = v
	}
	for k, v := range s.Chosen {
		c.Chosen[k] = v
	}
	for k, v := range s.Own {
		c.Own[k] = slices.Clone(v)
	}
	return c
}

// Round is how the checks of one round went: in one family of one uplink.
type Round struct {
	Key
	Answered bool
}

// View is the machine as it is now.
type View struct {
	Rounds []Round // since the last decision
	Links  []facts.Link
	Routes []facts.Route
}

// candidate is an uplink that a manager gave a default route in a family.
type candidate struct {
	Rules
	route  facts.Route
	health Health
}

// Decide takes rounds into account and says what has to be done about the routes, for each
// family by itself. With all uplinks down it leaves everything as it is.
func Decide(rules []Rules, s State, v View, now time.Time) (State, []Action) {
	s = s.clone()
	s.judge(rules, v.Rounds, now)
	var out []Action
	for _, family := range []int{4, 6} {
		all := defaults(v, family)
		candidates := s.candidates(rules, v, all, family, now)
		s.choose(family, candidates, now)
		out = append(out, s.actions(family, candidates, all, devices(rules, v.Links), v.Links)...)
	}
	return s, out
}

// judge takes rounds into account.
func (s State) judge(rules []Rules, rounds []Round, now time.Time) {
	for _, round := range rounds {
		if i := slices.IndexFunc(rules, func(r Rules) bool { return r.Interface == round.Interface }); i >= 0 {
			s.Health[round.Key] = rules[i].Judge(s.Health[round.Key], round.Answered, now)
		}
	}
}

// candidates finds the uplinks that have a default route. One that had and has not falls.
func (s State) candidates(rules []Rules, v View, all []facts.Route, family int, now time.Time) []candidate {
	var out []candidate
	for _, r := range rules {
		key := Key{r.Interface, family}
		link := slices.IndexFunc(v.Links, func(l facts.Link) bool { return l.Name == r.Interface && l.Up && l.Carrier })
		best := -1
		for i, rt := range all {
			if link >= 0 && rt.Link == v.Links[link].Index && !s.ours(rt, all, family) && (best < 0 || rt.Metric < all[best].Metric) {
				best = i
			}
		}
		if best < 0 {
			if h, known := s.Health[key]; known {
				s.Health[key] = r.fall(h, now)
			}
			continue
		}
		h := s.Health[key]
		if h.Since.IsZero() {
			h.Since = now
		}
		s.Health[key] = h
		out = append(out, candidate{r, all[best], h})
	}
	return out
}

// choose picks the uplink of a family. Away from one that is down it goes at once; to a better
// one only when that is ready and the last switch was long enough ago.
func (s State) choose(family int, candidates []candidate, now time.Time) {
	chosen := s.Chosen[family]
	pick := func(fits func(candidate) bool) (candidate, bool) {
		i := slices.IndexFunc(candidates, fits)
		if i < 0 {
			return candidate{}, false
		}
		return candidates[i], true
	}
	up := func(c candidate) bool { return !c.health.Down }
	present, there := pick(func(c candidate) bool { return c.Interface == chosen.Interface })
	var next candidate
	var ok bool
	if there && up(present) {
		next, ok = pick(func(c candidate) bool {
			return c.Interface == chosen.Interface || up(c) && !now.Before(c.returns(chosen))
		})
	} else {
		if next, ok = pick(func(c candidate) bool { return up(c) && !now.Before(c.health.Ready) }); !ok {
			next, ok = pick(up)
		}
	}
	if ok && next.Interface != chosen.Interface {
		s.Chosen[family] = Choice{next.Interface, now}
	}
}

// returns is when c may be returned to.
func (c candidate) returns(from Choice) time.Time {
	at := from.Since.Add(c.Hold)
	if c.health.Ready.After(at) {
		at = c.health.Ready
	}
	return at
}

// Wake is when, after the decision of that time, Decide would say something else although nothing
// has happened; zero: never.
func (s State) Wake(rules []Rules, decided time.Time) time.Time {
	var first time.Time
	for family, chosen := range s.Chosen {
		for _, r := range rules {
			if r.Interface == chosen.Interface {
				break
			}
			h, known := s.Health[Key{r.Interface, family}]
			if !known || h.Down {
				continue
			}
			if at := (candidate{Rules: r, health: h}).returns(chosen); at.After(decided) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}

// devices are the indexes of the uplinks, those without a carrier included: the kernel goes on
// using their IPv4 routes.
func devices(rules []Rules, links []facts.Link) map[int]string {
	out := map[int]string{}
	for _, l := range links {
		if slices.ContainsFunc(rules, func(r Rules) bool { return r.Interface == l.Name }) {
			out[l.Index] = l.Name
		}
	}
	return out
}

// defaults are the default routes of the main table, each next hop by itself.
func defaults(v View, family int) []facts.Route {
	var out []facts.Route
	for _, r := range v.Routes {
		if r.Table != mainTable || !r.Default() || r.Dst.Addr().Is4() != (family == 4) || r.Type != "" && r.Type != "unicast" {
			continue
		}
		if len(r.Hops) == 0 {
			out = append(out, r)
			continue
		}
		for _, h := range r.Hops {
			one := r
			one.Hops, one.Gateway, one.Link = nil, h.Gateway, h.Link
			out = append(out, one)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Metric < out[j].Metric })
	return out
}

// anywhere is the destination of a default route.
func anywhere(family int) netip.Prefix {
	if family == 4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

const mainTable = 254 // RT_TABLE_MAIN
