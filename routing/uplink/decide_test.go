package uplink

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func rules() []Rules {
	base := Rules{Interval: time.Second, Timeout: time.Second, Fail: 3, Recover: 5, Hold: 20 * time.Second}
	a, b := base, base
	a.Interface, b.Interface = "a", "b"
	return []Rules{a, b}
}

func gw(family, link int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(link), 1})
	}
	return netip.MustParseAddr(fmt.Sprintf("fe80::%d", link))
}

func dflt(family, link int, metric uint32, proto int) facts.Route {
	return facts.Route{Dst: anywhere(family), Gateway: gw(family, link), Link: link, Metric: metric, Proto: proto, Table: 254, Type: "unicast"}
}

// machine is what a kernel makes of actions.
type machine struct{ View }

func newMachine() *machine {
	m := &machine{}
	for i, name := range []string{"a", "b", "tun0"} {
		m.Links = append(m.Links, facts.Link{Index: i + 1, Name: name, Up: true, Carrier: true})
	}
	for _, f := range []int{4, 6} {
		m.Routes = append(m.Routes, dflt(f, 1, 100, facts.ProtoDHCP), dflt(f, 2, 600, facts.ProtoDHCP))
	}
	return m
}

func (m *machine) drop(fits func(facts.Route) bool) {
	var out []facts.Route
	for _, r := range m.Routes {
		if !fits(r) {
			out = append(out, r)
		}
	}
	m.Routes = out
}

func (m *machine) do(t *testing.T, actions []Action) {
	t.Helper()
	for _, a := range actions {
		switch {
		case a.Prefer != nil:
			n := a.Prefer.Route()
			n.Type = "unicast"
			m.drop(func(r facts.Route) bool {
				hit := r.Dst == n.Dst && r.Table == n.Table && r.Metric == n.Metric
				if hit && r.Proto != 158 {
					t.Errorf("%+v would take the place of %+v", n, r)
				}
				return hit
			})
			m.Routes = append(m.Routes, n)
		case a.Withdraw != nil:
			before := len(m.Routes)
			m.drop(a.Withdraw.at)
			if len(m.Routes) != before-1 {
				t.Errorf("%+v is not there", *a.Withdraw)
			}
		}
	}
}

// takes is the device that the kernel would take.
func (m *machine) takes(family int) string {
	all := defaults(m.View, family)
	if len(all) == 0 {
		return ""
	}
	return m.Links[all[0].Link-1].Name
}

// sim runs rounds of a second.
type sim struct {
	*machine
	t     *testing.T
	rules []Rules
	s     State
	now   time.Time
	last  []Action
}

func newSim(t *testing.T) *sim {
	s := &sim{machine: newMachine(), t: t, rules: rules(), now: t0}
	s.step()
	return s
}

// step is one second in which the named ones answer, in both families.
func (s *sim) step(answer ...string) {
	s.t.Helper()
	s.Rounds = nil
	for _, r := range s.rules {
		for _, f := range []int{4, 6} {
			if answer != nil {
				s.Rounds = append(s.Rounds, Round{Key{r.Interface, f}, strings.Contains(strings.Join(answer, " "), r.Interface)})
			}
		}
	}
	s.s, s.last = Decide(s.rules, s.s, s.View, s.now)
	s.do(s.t, s.last)
	s.Rounds = nil
	again, more := Decide(s.rules, s.s, s.View, s.now)
	for _, a := range more {
		if a.Stuck == "" {
			s.t.Errorf("at %v decided again: %+v", s.now.Sub(t0), a)
		}
	}
	if !reflect.DeepEqual(s.s.Health, again.Health) || !reflect.DeepEqual(s.s.Chosen, again.Chosen) {
		s.t.Fatalf("state changes by itself: %+v, %+v", s.s, again)
	}
	s.now = s.now.Add(time.Second)
}

func (s *sim) steps(n int, answer ...string) {
	s.t.Helper()
	for range n {
		s.step(answer...)
	}
}

func (s *sim) want(what, dev string) {
	s.t.Helper()
	for _, f := range []int{4, 6} {
		if got := s.takes(f); got != dev {
			s.t.Errorf("%s: IPv%d goes by %q, want %q", what, f, got, dev)
		}
	}
}

func (s *sim) own() (n int) {
	for _, r := range s.Routes {
		if r.Proto == 158 {
			n++
		}
	}
	return n
}

func TestFailover(t *testing.T) {
	s := newSim(t)
	managers := fmt.Sprint(s.Routes)
	s.steps(30, "a", "b")
	s.want("all well", "a")
	if fmt.Sprint(s.Routes) != managers {
		t.Errorf("routes were touched: %v", s.Routes)
	}
	s.steps(2, "b")
	s.want("two rounds lost", "a")
	s.step("b")
	s.want("three rounds lost", "b")
	s.steps(4, "a", "b")
	s.want("four rounds good", "b")
	s.steps(10, "a", "b")
	s.want("recovered, held", "b")
	if at := s.s.Wake(s.rules, s.now); !at.After(s.now) || at.After(s.now.Add(20*time.Second)) {
		t.Errorf("would look again at %v, it is %v", at, s.now)
	}
	s.steps(10, "a", "b")
	s.want("hold is over", "a")
	if fmt.Sprint(s.Routes) != managers {
		t.Errorf("something is left: %v", s.Routes)
	}
}

func TestAllDownChangesNothing(t *testing.T) {
	s := newSim(t)
	s.steps(50, "none")
	s.want("all down", "a")
	s.steps(5, "b")
	s.want("the second recovers", "b")
	before := fmt.Sprint(s.Routes)
	s.steps(50, "none")
	if fmt.Sprint(s.Routes) != before {
		t.Errorf("all down: %v, was %s", s.Routes, before)
	}
}

func TestRoutesOfOthers(t *testing.T) {
	t.Run("a tunnel's better default stays the best", func(t *testing.T) {
		s := newSim(t)
		for _, f := range []int{4, 6} {
			s.Routes = append(s.Routes, dflt(f, 3, 50, facts.ProtoStatic))
		}
		s.steps(5, "b")
		s.want("failed over", "tun0")
		if s.own() != 2 {
			t.Errorf("routes: %v", s.Routes)
		}
		s.drop(func(r facts.Route) bool { return r.Link == 3 })
		s.want("without the tunnel", "b")
	})
	t.Run("no room", func(t *testing.T) {
		s := newSim(t)
		for i := range s.Routes {
			if s.Routes[i].Link == 1 {
				s.Routes[i].Metric = 1
			}
		}
		s.steps(5, "b")
		if s.own() != 0 || len(s.last) != 2 || !strings.Contains(s.last[0].Stuck, "the default route of a has the metric 1") {
			t.Errorf("%+v", s.last)
		}
	})
	t.Run("a new gateway", func(t *testing.T) {
		s := newSim(t)
		s.steps(5, "b")
		for i := range s.Routes {
			if s.Routes[i].Link == 2 && s.Routes[i].Proto != 158 {
				s.Routes[i].Gateway = s.Routes[i].Gateway.Next()
			}
		}
		s.step("b")
		for _, f := range []int{4, 6} {
			if g := defaults(s.View, f)[0].Gateway; g != gw(f, 2).Next() {
				t.Errorf("IPv%d by %v", f, g)
			}
		}
	})
	t.Run("ours goes with its original", func(t *testing.T) {
		s := newSim(t)
		s.steps(5, "b")
		s.drop(func(r facts.Route) bool { return r.Link == 2 && r.Proto != 158 })
		s.step("none")
		if s.own() != 0 {
			t.Errorf("left: %v", s.Routes)
		}
		s.want("nothing else", "a")
	})
	t.Run("no carrier, routes stay", func(t *testing.T) {
		s := newSim(t)
		s.step("a", "b")
		s.Links[0].Carrier = false
		s.step("a", "b")
		s.want("at once", "b")
	})
	t.Run("the order beats the metric", func(t *testing.T) {
		s := newSim(t)
		s.rules[0], s.rules[1] = s.rules[1], s.rules[0]
		s.s = State{}
		s.step("a", "b")
		s.want("b is the first", "b")
	})
	t.Run("a given metric", func(t *testing.T) {
		for metric, why := range map[uint32]string{60: "", 100: "is not better", 40: "is not worse"} {
			s := newSim(t)
			s.Routes = append(s.Routes, dflt(4, 3, 50, facts.ProtoStatic))
			s.rules[1].Metric = metric
			s.steps(5, "b")
			_, actions := Decide(s.rules, s.s, s.View, s.now)
			if why == "" && (s.own() != 2 || s.s.Own[4][0].Metric != metric) || why != "" && (len(actions) == 0 || !strings.Contains(actions[0].Stuck, why)) {
				t.Errorf("%d: %+v, %+v", metric, s.s.Own, actions)
			}
		}
	})
	t.Run("no uplinks any more", func(t *testing.T) {
		s := newSim(t)
		s.steps(5, "b")
		s.rules = nil
		s.s.Chosen = nil
		s.step()
		if s.own() != 0 {
			t.Errorf("left: %v", s.Routes)
		}
	})
	t.Run("memory was lost", func(t *testing.T) {
		s := newSim(t)
		s.steps(5, "b")
		s.s = State{}
		s.step("a", "b")
		s.want("anew", "a")
		if s.own() != 0 {
			t.Errorf("left: %v", s.Routes)
		}
	})
	t.Run("somebody removes ours", func(t *testing.T) {
		s := newSim(t)
		s.steps(5, "b")
		s.drop(func(r facts.Route) bool { return r.Proto == 158 })
		s.step("b")
		s.want("put back", "b")
	})
}

func TestStateAsText(t *testing.T) {
	s := newSim(t)
	s.steps(5, "b")
	text, err := json.Marshal(s.s)
	if err != nil {
		t.Fatal(err)
	}
	var got State
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s.s) {
		t.Errorf("got %+v\nwant %+v", got, s.s)
	}
}

// Whatever answers come: from an uplink that is up it goes away only to a better one, not before
// the hold is over; the managers' routes stay; and once the preferred one is healthy for good,
// it wins.
func TestProperties(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newSim(t)
		managers := append([]facts.Route(nil), s.Routes...)
		good := map[string]bool{"a": true, "b": true}
		var lastSwitch time.Time
		was := "a"
		switches := 0
		bias := 1 + r.IntN(12)
		for range 400 {
			for name := range good {
				if r.IntN(bias) == 0 {
					good[name] = !good[name]
				}
			}
			answer := []string{"none"}
			for name, ok := range good {
				if ok {
					answer = append(answer, name)
				}
			}
			if r.IntN(40) == 0 {
				s.Links[r.IntN(2)].Carrier = r.IntN(2) == 0
			}
			at := s.now
			s.step(answer...)
			if is := s.s.Chosen[4].Interface; is != was {
				switches++
				h := s.s.Health[Key{was, 4}]
				if !h.Down { // a return
					if is != "a" {
						t.Fatalf("seed %d: from %s, which is up, to %s", seed, was, is)
					}
					if at.Sub(lastSwitch) < 20*time.Second {
						t.Fatalf("seed %d: returned %v after a switch", seed, at.Sub(lastSwitch))
					}
					if at.Before(s.s.Health[Key{is, 4}].Ready) {
						t.Fatalf("seed %d: returned to what is held down", seed)
					}
				}
				if s.s.Health[Key{is, 4}].Down {
					t.Fatalf("seed %d: to %s, which is down", seed, is)
				}
				was, lastSwitch = is, at
			}
		}
		s.Links[0].Carrier, s.Links[1].Carrier = true, true
		// 32 times 20 s is the longest hold-down.
		s.steps(20, "a", "b")
		s.now = s.now.Add(32 * 20 * time.Second)
		s.steps(2, "a", "b")
		s.want(fmt.Sprintf("seed %d: in the end", seed), "a")
		if !reflect.DeepEqual(s.Routes, managers) {
			t.Fatalf("seed %d: routes are %v", seed, s.Routes)
		}
	}
}

// An uplink that flaps all the time is left alone until it has calmed down.
func TestFlappingIsDamped(t *testing.T) {
	s := newSim(t)
	var returns []int
	was := "a"
	for i := range 2400 {
		if i%40 < 35 {
			s.step("a", "b")
		} else {
			s.step("b")
		}
		if is := s.takes(4); is != was {
			if was = is; is == "a" {
				returns = append(returns, i)
			}
		}
	}
	// Undamped it is 59 times.
	if len(returns) < 1 || len(returns) > 3 {
		t.Errorf("returned %d times: %v", len(returns), returns)
	}
	s.steps(639, "a", "b")
	s.step("a", "b")
	s.want("calm", "a")
}
