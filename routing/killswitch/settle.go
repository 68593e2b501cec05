package killswitch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/resource/nft"
)

// World is the machine, as whoever runs the switch sees and changes it.
type World interface {
	// Observe reads everything anew.
	Observe(ctx context.Context) (Observation, error)
	// Do carries out one action. It is repeatable.
	Do(ctx context.Context, a Action) error
}

// rounds is how often Settle looks again: one look finds what is missing, one sees the repair and
// turns forwarding on, one sees that all is quiet. Somebody who keeps breaking it gets two more.
const rounds = 5

// Settle brings the switch into place and returns the state that was seen last. It is what apply,
// restore and every event run. Whatever goes wrong, forwarding is off when it returns an error.
func (c Config) Settle(ctx context.Context, w World, s State, ask Ask, now func() time.Duration) (State, error) {
	for range rounds {
		o, err := w.Observe(ctx)
		if err != nil {
			return c.shut(ctx, w, s, fmt.Errorf("cannot see whether the kill switch holds: %w", err))
		}
		next, actions := c.Decide(s, o, ask, now())
		ask = Ask{}
		effects := 0
		for _, a := range actions {
			if err := w.Do(ctx, a); err != nil {
				return c.shut(ctx, w, s, fmt.Errorf("cannot %s: %w", a, err))
			}
			if a.Do != Log {
				effects++
			}
		}
		s = next
		if effects == 0 {
			return s, nil
		}
	}
	return c.shut(ctx, w, s, errors.New("somebody keeps changing what the kill switch stands on"))
}

// Next is how long at most the switch can be left alone: openings have to be renewed, and end.
func (c Config) Next(s State, now time.Duration) time.Duration {
	next := doneLease / 3
	if len(s.open) > 0 {
		next = min(next, s.renew+lease/3-now)
	}
	if len(s.done) > 0 {
		next = min(next, s.closed+doneLease/3-now)
	}
	if s.OpenUntil != 0 {
		next = min(next, s.OpenUntil-now)
	}
	if s.Window.Until != 0 {
		next = min(next, s.Window.Until-now)
	}
	return max(next, 0)
}

// Leave is what is done when the switch is taken away, before the rest of it goes: forwarding was
// the switch's own, and whoever still wants it turns it on again.
func (c Config) Leave() []Action {
	return []Action{{Do: Forward, Family: 4}, {Do: Forward, Family: 6}, {Do: Around}, {Do: Log, Text: "kill switch: taken away"}}
}

// shut turns forwarding off, unseen.
func (c Config) shut(ctx context.Context, w World, s State, cause error) (State, error) {
	ctx = context.WithoutCancel(ctx)
	err4 := w.Do(ctx, Action{Do: Forward, Family: 4})
	err6 := w.Do(ctx, Action{Do: Forward, Family: 6})
	s.Status, s.Reasons = Broken, []string{cause.Error()}
	s.clean = false
	return s, errors.Join(cause, err4, err6)
}

// Element is what Add puts into its set.
func (a Action) Element() nft.Element {
	return nft.Element{Key: a.Key, Timeout: uint64(a.Timeout.Milliseconds())}
}

// String is the action for people: "turn IPv4 forwarding on".
func (a Action) String() string {
	switch a.Do {
	case Forward:
		word := "off"
		if a.On {
			word = "on"
		}
		return fmt.Sprintf("turn IPv%d forwarding %s", a.Family, word)
	case Table:
		return "put the guard in place"
	case Route:
		return fmt.Sprintf("put the unreachable IPv%d route in place", a.Family)
	case Rules:
		return "put the policy rules in place"
	case Clear:
		return "empty " + a.Set
	case Add:
		return fmt.Sprintf("put %x into %s for %s", a.Key, a.Set, a.Timeout)
	case Around:
		return "lead " + a.Detours.String() + " around the tunnel"
	}
	return a.Text
}

func joinPorts(ps []uint16) string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = strconv.Itoa(int(p))
	}
	return strings.Join(out, ", ")
}
