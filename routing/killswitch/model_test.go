package killswitch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// model is a machine: kernel, network and a clock, on which anything may happen.
type model struct {
	t       *testing.T
	o       Observation
	sets    map[string]map[string]time.Duration // set, key, when it ends
	now     time.Duration
	fail    func(Action) error
	opened  int // how often forwarding was turned on
	blind   bool
	trouble func() // runs after each action: somebody else is at it
}

func (m *model) Observe(context.Context) (Observation, error) {
	if m.blind {
		return Observation{}, errors.New("blind")
	}
	o := m.o
	o.Uplinks = slices.Clone(m.o.Uplinks)
	return o, nil
}

// Do carries an action out, and holds it to what must never happen.
func (m *model) Do(_ context.Context, a Action) error {
	if m.fail != nil {
		if err := m.fail(a); err != nil {
			return err
		}
	}
	defer func() {
		if m.trouble != nil {
			m.trouble()
		}
	}()
	switch a.Do {
	case Forward:
		if a.On {
			m.opened++
		}
		if a.Family == 4 {
			m.o.Forwarding4 = a.On
		} else {
			m.o.Forwarding6 = a.On
		}
	case Table:
		m.o.Missing = nil // learnt sets survive a change of the table
		if m.sets == nil {
			m.sets = map[string]map[string]time.Duration{}
		}
	case Route:
		if a.Family == 4 {
			m.o.Unreachable4 = true
		} else {
			m.o.Unreachable6 = true
		}
	case Rules:
		m.o.Rules = nil
	case Clear:
		if m.sets == nil {
			m.t.Errorf("%s, but there is no table", a)
		}
		delete(m.sets, a.Set)
	case Add:
		if m.sets == nil {
			m.t.Errorf("%s, but there is no table", a)
			return nil
		}
		if a.Timeout <= 0 || len(a.Key) == 0 {
			m.t.Errorf("%s: never ends, or is nothing", a)
		}
		if m.sets[a.Set] == nil {
			m.sets[a.Set] = map[string]time.Duration{}
		}
		m.sets[a.Set][string(a.Key)] = m.now + a.Timeout
	case Around:
		m.o.Detours = a.Detours
	}
	return nil
}

// holds reports whether every layer is there.
func (m *model) holds() bool {
	return len(m.o.Missing) == 0 && m.o.Unreachable4 && (m.o.Unreachable6 || m.o.NoIPv6) && len(m.o.Rules) == 0
}

func (m *model) live(set string) int {
	n := 0
	for _, end := range m.sets[set] {
		if end > m.now {
			n++
		}
	}
	return n
}

// accident is something that happens to a machine.
func (m *model) accident(r *rand.Rand) {
	uplinks := []Uplink{{Name: "wlan0", Wifi: true, SSID: "Home", Encrypted: true}, {Name: "wlan0", Wifi: true, SSID: "Cafe"}, {Name: "eth0"}, {Name: "wlan0", Wifi: true}, {Name: "usb1"},
		{Name: "wlan1", Wifi: true, SSID: "Home"}}
	switch r.IntN(14) {
	case 0:
		m.o.Missing, m.sets = []string{"the table"}, nil
	case 1:
		m.o.Missing = []string{"a chain"}
	case 2:
		m.o.Unreachable4 = false
	case 3:
		m.o.Unreachable6 = false
	case 4:
		m.o.Rules = []string{"a rule"}
	case 5:
		m.o.Forwarding4 = !m.o.Forwarding4
	case 6:
		m.o.Forwarding6 = !m.o.Forwarding6 && !m.o.NoIPv6
	case 7:
		m.o.Tunnel = TunnelState{Present: r.IntN(2) == 0, Up: r.IntN(2) == 0, Fresh: r.IntN(2) == 0}
	case 8:
		m.o.Synchronised = !m.o.Synchronised
	case 9:
		m.o.Uplinks = nil
		for range r.IntN(3) {
			m.o.Uplinks = append(m.o.Uplinks, uplinks[r.IntN(len(uplinks))])
		}
	case 10:
		m.o.Detours = Detours{All: r.IntN(2) == 0, Own: r.IntN(2) == 0}
	case 11:
		m.now += time.Duration(r.Int64N(int64(20 * time.Minute)))
	case 12:
		m.now += time.Duration(r.Int64N(int64(time.Minute)))
	case 13:
		m.o.NoIPv6 = !m.o.NoIPv6
		if m.o.NoIPv6 {
			m.o.Forwarding6 = false
		}
	}
}

func randomAsk(r *rand.Rand) Ask {
	switch r.IntN(12) {
	case 0:
		return Ask{Open: true, For: time.Duration(r.Int64N(int64(30 * time.Minute)))}
	case 1:
		return Ask{Close: true}
	case 2:
		return Ask{Window: true, Self: r.IntN(2) == 0, Client: netip.MustParseAddr("10.55.0.2"), For: time.Duration(r.Int64N(int64(time.Hour)))}
	case 3:
		return Ask{Window: true, Self: true, Close: r.IntN(2) == 0}
	}
	return Ask{}
}

// Whatever happens, in any order: forwarding is only ever turned on where a look has just seen all
// layers; while one is missing the first thing is to turn it off; and what follows is quiet.
func TestNothingOpensIt(t *testing.T) {
	configs := []Config{{Tunnel: "wg0", NTP: []string{"2001:db8::123", "192.0.2.123"}, BootstrapDNS: []string{"192.0.2.53"}}, {Tunnel: "wg0", Arm: "untrusted", Trusted: []Trust{{SSID: "Home"}, {Interface: "eth0"}}, Window: "3m"}}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := configs[seed%2]
		m := &model{t: t, o: Observation{Missing: []string{"the table"}}}
		var s State
		chosen := time.Duration(0) // until when a person has opened it
		for range 60 {
			for range r.IntN(4) {
				m.accident(r)
			}
			if r.IntN(10) == 0 {
				s = State{} // the process died and was started anew
				chosen = 0
			}
			ask := randomAsk(r)
			if ask.Open && !ask.Close {
				if chosen = m.now + ask.For; ask.For == 0 {
					chosen = forever
				}
			}
			if ask.Close {
				chosen = 0
			}
			o, _ := m.Observe(t.Context())
			_, actions := c.Decide(s, o, ask, m.now)
			for i, a := range actions {
				if a.Do == Forward && a.On && !m.holds() {
					t.Fatalf("seed %d: forwarding goes on although %+v", seed, o)
				}
				if a.Do == Forward && !a.On {
					for _, before := range actions[:i] {
						if before.Do != Log && before.Do != Forward {
							t.Fatalf("seed %d: %s before %s", seed, before, a)
						}
					}
				}
			}
			if off := slices.ContainsFunc(actions, func(a Action) bool { return a.Do == Forward && !a.On && a.Family == 4 }); !m.holds() && m.o.Forwarding4 && !off {
				t.Fatalf("seed %d: forwarding stays on although %+v", seed, o)
			}
			var err error
			if s, err = c.Settle(t.Context(), m, s, ask, func() time.Duration { return m.now }); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !m.holds() || !m.o.Forwarding4 || m.o.Forwarding6 == m.o.NoIPv6 || s.Status == Broken {
				t.Fatalf("seed %d: not in place after all: %+v %+v", seed, m.o, s)
			}
			if _, again := c.Decide(s, m.o, Ask{}, m.now); len(again) > 0 {
				t.Fatalf("seed %d: not quiet: %s", seed, words(again))
			}
			trusted, _ := c.trusts(m.o.Uplinks)
			if open := m.live(SetOpen) > 0; open && chosen <= m.now && !trusted {
				t.Fatalf("seed %d: open although nobody chose it and %+v is not trusted", seed, m.o.Uplinks)
			}
			if (s.Status == Open) != (chosen > m.now || trusted) {
				t.Fatalf("seed %d: is %s; chosen until %s at %s, trusted %v", seed, s.Status, chosen, m.now, trusted)
			}
			if w := s.Window.Until; w != 0 && w-m.now > c.window() || w == 0 && m.live(SetSelf)+m.live(SetWindow)+m.live(SetClient4) > 0 {
				t.Fatalf("seed %d: the window is open for %s", seed, w-m.now)
			}
			// Clock and tunnel cannot wait for each other.
			if _, closed := m.sets[SetDone][string([]byte{0, 123})]; closed && !m.o.Synchronised {
				t.Fatalf("seed %d: time servers are closed though the clock is not synchronised", seed)
			}
			if _, closed := m.sets[SetDone][string([]byte{0, 53})]; closed && !(m.o.Tunnel.Up && m.o.Tunnel.Fresh) {
				t.Fatalf("seed %d: name servers are closed though the tunnel is not heard", seed)
			}
			if to := m.o.Detours.To; len(c.NTP) > 0 && slices.Contains(to, netip.MustParseAddr("192.0.2.123")) == m.o.Synchronised {
				t.Fatalf("seed %d: synchronised %v, but detours lead to %v", seed, m.o.Synchronised, to)
			}
			// And if nobody is here from now on: every opening ends.
			dead := m.now
			m.now += max(lease, c.window())
			if m.live(SetOpen)+m.live(SetSelf)+m.live(SetWindow)+m.live(SetClient4) > 0 {
				t.Fatalf("seed %d: an opening outlives its process", seed)
			}
			m.now = dead
		}
	}
}

// Whatever effect fails, forwarding is off afterwards, or has never been on; unless it is just that
// what cannot be done, and then the error says so.
func TestFailuresClose(t *testing.T) {
	for at := range 40 {
		m := &model{t: t, o: Observation{Missing: []string{"the table"}, Forwarding4: true, Forwarding6: true}}
		n := 0
		m.fail = func(a Action) error {
			if n++; n == at+1 {
				return errors.New("no")
			}
			return nil
		}
		s, err := (Config{Tunnel: "wg0"}).Settle(t.Context(), m, State{}, Ask{}, func() time.Duration { return 0 })
		if n <= at {
			if err != nil {
				t.Fatal(err)
			}
			return // every effect has failed once
		}
		if err == nil || s.Status != Broken || m.o.Forwarding4 || m.o.Forwarding6 {
			t.Errorf("effect %d failed: %v, %s, forwarding %v %v", at+1, err, s.Status, m.o.Forwarding4, m.o.Forwarding6)
		}
	}
	t.Error("it takes more than 40 effects")
}

func TestBlindnessCloses(t *testing.T) {
	m := &model{t: t, o: whole(), blind: true}
	s, err := (Config{Tunnel: "wg0"}).Settle(t.Context(), m, State{Status: Armed}, Ask{}, func() time.Duration { return 0 })
	if err == nil || s.Status != Broken || m.o.Forwarding4 || m.o.Forwarding6 {
		t.Errorf("%v, %s, %+v", err, s.Status, m.o)
	}
}

// Somebody who takes it away as often as it is put back does not get forwarding.
func TestFightCloses(t *testing.T) {
	m := &model{t: t, o: whole(), sets: map[string]map[string]time.Duration{}}
	m.trouble = func() { m.o.Unreachable4 = false }
	s, err := (Config{Tunnel: "wg0"}).Settle(t.Context(), m, State{Status: Armed}, Ask{}, func() time.Duration { return 0 })
	if err == nil || s.Status != Broken || m.o.Forwarding4 || m.o.Forwarding6 || m.opened > 0 {
		t.Errorf("%v, %s, %+v", err, s.Status, m.o)
	}
}

// Taken away, the switch leaves neither forwarding nor a way around the tunnel behind.
func TestLeave(t *testing.T) {
	m := &model{t: t, o: whole()}
	m.o.Detours = Detours{All: true, To: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for _, a := range (Config{Tunnel: "wg0"}).Leave() {
		if err := m.Do(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if m.o.Forwarding4 || m.o.Forwarding6 || !m.o.Detours.Equal(Detours{}) {
		t.Errorf("%+v", m.o)
	}
}
