package uplink

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/watch"
)

// Job lets a watch keep the routes of the chosen uplinks. Its checks run beside the watch, in
// Run. With an empty configuration it takes away what an earlier one has left.
type Job struct {
	Rules  []Rules
	Prober Prober
	Flows  Flows // nil: none are ended
	// Tell makes the watch look, with what has happened; any goroutine calls it.
	Tell func(what string)
	Now  func() time.Time // nil: time.Now

	mu      sync.Mutex
	state   State
	changed bool           // state, since Remember
	errs    map[Key]string // what the last lost round met
	addrs   map[Key][]netip.Addr
	left    []netip.Addr // addresses of uplinks that were left, whose flows are to end
	soon    time.Time
	looked  time.Time
	flows   chan []netip.Addr
}

var (
	_ watch.Job        = (*Job)(nil)
	_ watch.Rememberer = (*Job)(nil)
	_ watch.Waker      = (*Job)(nil)
)

// Name is "uplinks".
func (j *Job) Name() string { return "uplinks" }

// Needs devices, their addresses and routes, as long as there is something to look after.
func (j *Job) Needs() watch.Needs {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.Rules) == 0 && len(j.state.Own) == 0 {
		return watch.Needs{}
	}
	return watch.Needs{Parts: facts.PartLinks | facts.PartAddrs | facts.PartRoutes4 | facts.PartRoutes6}
}

// Look decides.
func (j *Job) Look(s *watch.State) []watch.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.state
	next, actions := Decide(j.Rules, before, View{Links: s.Links, Routes: s.Routes}, s.Now)
	j.state, j.looked = next, s.Now
	j.changed = j.changed || !same(before, next)
	out := j.loosen(s)
	for _, family := range []int{4, 6} {
		if was := before.Chosen[family].Interface; was != "" && was != next.Chosen[family].Interface {
			j.left = append(j.left, j.addrs[Key{was, family}]...)
		}
	}
	j.learn(s)
	done := true
	for _, a := range actions {
		r := j.repair(a)
		done = done && r.Note()
		out = append(out, r)
	}
	j.soon = time.Time{}
	switch {
	case len(j.left) == 0:
	case !done:
		j.soon = s.Now.Add(again)
	case j.end(j.left):
		j.left = nil
	default:
		j.soon = s.Now.Add(again)
	}
	return out
}

// again is when the routes are looked at to end the flows of the uplink that was left; mostly the
// event of the new route is earlier.
const again = 100 * time.Millisecond

// repair says what an action is to the watch. Each switch is a thing by itself, so that only a
// route that somebody removes counts as one that does not last.
func (j *Job) repair(a Action) watch.Repair {
	chosen := j.state.Chosen[a.Family]
	key := fmt.Sprintf("IPv%d by %s since %s", a.Family, chosen.Interface, chosen.Since.Format(time.RFC3339))
	switch {
	case a.Prefer != nil:
		return watch.Repair{Key: key, Why: j.why(a.Family), Routes: []facts.Route{a.Prefer.Route()}}
	case a.Withdraw != nil:
		p := *a.Withdraw
		spec := route.Spec{Key: route.Key{Family: p.Family, Table: mainTable, Dst: anywhere(p.Family), Dev: "name:" + p.Interface, Metric: p.Metric},
			Gateway: p.Gateway, Source: p.Source, OnLink: p.OnLink}
		why := "the default route of ours is not needed any more"
		if chosen.Interface != "" {
			why = j.why(a.Family) + ", and the network managers' routes lead there"
		}
		return watch.Repair{Key: key + ", without metric " + fmt.Sprint(p.Metric), Why: why,
			Set: &watch.Fix{Want: route.Absent(spec.Key, why), Have: route.Want(spec, why).Attrs}}
	}
	return watch.Repair{Key: fmt.Sprintf("IPv%d is stuck", a.Family), Why: fmt.Sprintf("IPv%d: %s", a.Family, a.Stuck)}
}

// why tells of the better uplinks that were not taken.
func (j *Job) why(family int) string {
	chosen := j.state.Chosen[family].Interface
	text := fmt.Sprintf("IPv%d goes by %s", family, chosen)
	for _, r := range j.Rules {
		if r.Interface == chosen {
			break
		}
		key := Key{r.Interface, family}
		switch h, known := j.state.Health[key]; {
		case !known:
			text += fmt.Sprintf("; %s has no default route", r.Interface)
		case h.Down && j.errs[key] != "":
			text += fmt.Sprintf("; %s is down (%s)", r.Interface, j.errs[key])
		case h.Down:
			text += fmt.Sprintf("; %s is down", r.Interface)
		default:
			text += fmt.Sprintf("; %s is held down", r.Interface)
		}
	}
	return text
}

// loosen makes the reverse path filter of uplinks loose where it is strict: a strict one drops
// the answers to checks through all uplinks but the one that the kernel would take
// (net/ipv4/fib_frontend.c, __fib_validate_source).
func (j *Job) loosen(s *watch.State) []watch.Repair {
	var out []watch.Repair
	for i, l := range s.Links {
		own, all := s.Conf[i].RPFilter, s.All.RPFilter
		if own < 0 || all < 0 || max(own, all) != 1 || !j.has(l.Name) {
			continue
		}
		out = append(out, watch.Repair{
			Key:    "net.ipv4.conf." + l.Name + ".rp_filter",
			Why:    fmt.Sprintf("the reverse path filter of the uplink %s is strict: answers to its checks would be dropped while another one is chosen", l.Name),
			Sysctl: &watch.Sysctl{Family: "ipv4", Link: l.Name, Key: "rp_filter", Value: "2"},
		})
	}
	return out
}

func (j *Job) has(name string) bool {
	return slices.ContainsFunc(j.Rules, func(r Rules) bool { return r.Interface == name })
}

// learn keeps the addresses of the uplinks: those of one that is gone are asked for when it is
// left.
func (j *Job) learn(s *watch.State) {
	if j.addrs == nil {
		j.addrs = map[Key][]netip.Addr{}
	}
	now := map[Key][]netip.Addr{}
	for _, a := range s.Addrs {
		i := slices.IndexFunc(s.Links, func(l facts.Link) bool { return l.Index == a.Link })
		if i < 0 || !j.has(s.Links[i].Name) || a.Scope == "link" || a.Scope == "host" {
			continue
		}
		key := Key{s.Links[i].Name, 6}
		if a.Prefix.Addr().Is4() {
			key.Family = 4
		}
		now[key] = append(now[key], a.Prefix.Addr())
	}
	for k, list := range now {
		j.addrs[k] = list
	}
}

// Wake implements watch.Waker.
func (j *Job) Wake() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := j.state.Wake(j.Rules, j.looked)
	if !j.soon.IsZero() && (at.IsZero() || j.soon.Before(at)) {
		return j.soon
	}
	return at
}

// Remember implements watch.Rememberer.
func (j *Job) Remember() (any, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	changed := j.changed
	j.changed = false
	return j.state.clone(), changed
}

// Recall implements watch.Rememberer.
func (j *Job) Recall(text json.RawMessage) error {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = s.clone()
	for key := range j.state.Health {
		if !j.has(key.Interface) {
			delete(j.state.Health, key)
		}
	}
	for family, c := range j.state.Chosen {
		if !j.has(c.Interface) {
			delete(j.state.Chosen, family)
		}
	}
	return nil
}

func (j *Job) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

// same compares what is worth being written down: not the count of rounds.
func same(a, b State) bool {
	text := func(s State) string {
		s = s.clone()
		for k, h := range s.Health {
			h.Good, h.Lost = 0, 0
			s.Health[k] = h
		}
		out, _ := json.Marshal(s)
		return string(out)
	}
	return text(a) == text(b)
}
