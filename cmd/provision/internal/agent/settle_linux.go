package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netevents"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
)

// settle brings the kill switch to what is committed now, or takes it away.
func (a *Agent) settle(ctx context.Context, before, now kept.State) error {
	e, done, err := a.engine()
	if err != nil {
		return err
	}
	defer done()
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if now.Switch == nil {
		return a.leave(ctx, e, before, now)
	}
	_, err = a.settleLocked(ctx, e, now, killswitch.State{}, killswitch.Ask{}, nil)
	return err
}

func (a *Agent) settleLocked(ctx context.Context, e *provision.Engine, k kept.State, s killswitch.State, ask killswitch.Ask, f filled) (killswitch.State, error) {
	w, err := a.switchWorld(e, k)
	if err != nil {
		return s, err
	}
	defer w.close()
	w.filled = f
	w.portal = ask.Window || s.Window.Until != 0
	return k.Switch.Input.Config.Settle(ctx, w, s, ask, boottime)
}

// leave takes the switch's own forwarding away, and gives back that of whoever else wants it.
func (a *Agent) leave(ctx context.Context, e *provision.Engine, before, now kept.State) error {
	if before.Switch == nil {
		return nil
	}
	w, err := a.switchWorld(e, before)
	if err != nil {
		return err
	}
	defer w.close()
	var errs []error
	for _, action := range before.Switch.Input.Config.Leave() {
		errs = append(errs, w.Do(ctx, action))
	}
	for _, want := range kept.Of(now.Wants, sysctl.Kind) {
		if _, err := put(ctx, e, want); err != nil && !errors.Is(err, provision.ErrPending) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// switcher runs the kill switch while the watch runs: on every event, and whenever an opening has
// to be renewed or ends.
type switcher struct {
	agent  *Agent
	engine *provision.Engine
	poked  chan struct{}

	mu    sync.Mutex // of one settling at a time
	state killswitch.State
	was   kept.State
	full  filled
}

// rests between two settlings, so that a storm of events does not take the processor.
const (
	switchQuiet    = 5 * time.Millisecond
	switchRest     = 4 // times what the last one took
	switchMostRest = 500 * time.Millisecond
	switchWhole    = time.Minute
)

func (s *switcher) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// run follows the kernel's events until ctx ends.
func (s *switcher) run(ctx context.Context) error {
	events, err := netevents.Open(0)
	if err != nil {
		return fmt.Errorf("cannot watch the network: %w", err)
	}
	defer events.Close()
	go func() { _ = events.Run(ctx) }() // it ends with ctx; without events the pause below looks
	for {
		begin := time.Now()
		next, err := s.settle(ctx, killswitch.Ask{})
		if err != nil && ctx.Err() == nil {
			s.agent.Log.Error("the kill switch is broken, nothing is forwarded", "error", err)
		}
		rest := min(switchRest*time.Since(begin), switchMostRest)
		pause := switchWhole
		if next.Switch != nil {
			s.mu.Lock()
			pause = min(pause, next.Switch.Input.Config.Next(s.state, boottime()))
			s.mu.Unlock()
		}
		timer := time.NewTimer(max(pause, rest))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-events.Changed():
			_ = events.Take()
		case <-s.poked:
		case <-timer.C:
			continue
		}
		timer.Reset(max(rest, switchQuiet))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// settle brings the switch to what is committed, and what a person asks for.
func (s *switcher) settle(ctx context.Context, ask killswitch.Ask) (kept.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Most machines have no switch: nothing of theirs is locked or read for it.
	k, err := s.agent.kept()
	if err == nil && k.Switch == nil && s.was.Switch == nil {
		return k, nil
	}
	lock, err := s.engine.Store.Lock(ctx)
	if err != nil {
		return k, err
	}
	defer lock.Unlock()
	if k, err = s.agent.kept(); err != nil {
		return k, errors.Join(err, s.agent.shut(ctx, s.engine, &Restored{}))
	}
	if k.Switch == nil {
		err = s.agent.leave(ctx, s.engine, s.was, k)
		s.was, s.state = k, killswitch.State{}
		return k, err
	}
	if t, err := s.agent.live(ctx); err == nil && s.full.lost(t) {
		// Whoever keeps the table has put it back before we looked: what was learnt is not in it.
		s.state = killswitch.State{Status: s.state.Status, Reasons: s.state.Reasons, Notes: s.state.Notes, Since: s.state.Since,
			OpenUntil: s.state.OpenUntil, Window: s.state.Window}
	}
	if s.full == nil {
		s.full = filled{}
	}
	s.state, err = s.agent.settleLocked(ctx, s.engine, k, s.state, ask, s.full)
	s.was = k
	return k, err
}

// answer is what the watch says about the switch; ok is false for what is not about it.
func (s *switcher) answer(ctx context.Context, c control.Call) (out any, ok bool, err error) {
	var ask killswitch.Ask
	switch c.Path {
	case PathSwitch:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.was.Switch == nil {
			return nil, true, control.Refusal{Err: errors.New("there is no kill switch")}
		}
		return s.state, true, nil
	case PathAsk:
		if err := json.Unmarshal(c.Body, &ask); err != nil {
			return nil, true, control.Refusal{Err: fmt.Errorf("cannot read what is asked: %w", err)}
		}
	default:
		return nil, false, nil
	}
	k, err := s.settle(ctx, ask)
	if err == nil && k.Switch == nil {
		err = control.Refusal{Err: errors.New("there is no kill switch")}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poke() // a new opening has a new end
	return s.state, true, err
}
