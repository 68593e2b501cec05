package forward

import (
	"context"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// try is the outcome of one question to one upstream.
type try struct {
	u   *upstream
	r   reply
	err error
}

// fly asks the group of a question, and the one near it.
func (f *Forwarder) fly(ctx context.Context, s *state, q Question) *Result {
	g := s.groups[q.Group]
	if g != nil && g.near != "" && f.inList != nil && asksAddress(q.Wire) {
		return f.both(ctx, s, g, q)
	}
	return f.one(ctx, s, g, q)
}

// one asks a group until somebody answers, everybody has failed, or the time is over.
func (f *Forwarder) one(ctx context.Context, s *state, g *group, q Question) *Result {
	if g == nil || len(g.ups) == 0 {
		return &Result{Failure: NoUpstream}
	}
	start := f.asker.clock.Now()
	order, beside := g.order(start)
	if len(order) == 0 {
		return &Result{Failure: g.whyNone()}
	}
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, s.config.Deadline)
	defer cancel()
	a := f.asker
	a.config = &s.config
	tries := make(chan try, s.config.Tries)
	sent, open := 0, 0
	next := func() {
		u := order[sent%len(order)].u
		sent++
		open++
		f.wg.Go(func() { tries <- a.measured(ctx, u, q) })
	}
	next()
	if beside != nil {
		// It may take longer than the answer that everybody waits for, so it has its own time.
		f.wg.Go(func() {
			ctx, cancel := context.WithTimeout(all, s.config.Deadline)
			defer cancel()
			a.measured(ctx, beside, q)
		})
	}
	wait := hedgeAfter(&s.config, order[0].rtt)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var best *Result
	for {
		select {
		case t := <-tries:
			open--
			r := judge(t)
			if r.Failure == None {
				r.From, r.Took = t.u.Addr, f.asker.clock.Now().Sub(start)
				return r
			}
			best = worse(best, r)
			switch {
			// Each is asked once before anybody is asked again after an error: the same question gives the same error.
			case sent < min(len(order), s.config.Tries):
				next()
			case open == 0:
				best.Took = f.asker.clock.Now().Sub(start)
				return best
			}
		case <-timer.C:
			if sent < s.config.Tries {
				u := order[sent%len(order)].u
				u.count.hedged.Add(1)
				next()
				wait *= 2
				timer.Reset(wait)
			}
		case <-ctx.Done():
			// Tries end at once, being bound to ctx, and write down what the silence says about the upstream: whoever asks
			// next shall know.
			for ; open > 0; open-- {
				<-tries
			}
			if best == nil {
				best = &Result{Failure: Timeout}
			}
			best.Took = f.asker.clock.Now().Sub(start)
			return best
		}
	}
}

func (g *group) whyNone() Failure {
	for _, u := range g.ups {
		u.mu.Lock()
		loops := u.loops
		u.mu.Unlock()
		if !loops {
			return Dead
		}
	}
	return Looping
}

func hedgeAfter(c *Config, rtt time.Duration) time.Duration {
	if rtt == 0 {
		return c.MaxHedge / 2
	}
	return min(max(2*rtt, c.MinHedge), c.MaxHedge)
}

// measured asks once and writes down what that says about the upstream.
func (a *asker) measured(ctx context.Context, u *upstream, q Question) try {
	start := a.clock.Now()
	r, err := a.exchange(ctx, u, q)
	now := a.clock.Now()
	took := now.Sub(start)
	switch {
	case err == nil, err == errGarbage:
		u.answeredIn(took, now)
		if err == errGarbage || r.rcode != wire.NoError && r.rcode != wire.NXDomain {
			u.count.failed.Add(1)
		}
	case ctx.Err() != nil || timeout(err):
		// Given up because another one answered, which says little unless it took its time.
		if took >= hedgeAfter(a.config, 0)/4 {
			u.unanswered(took, now, a.config.MaxBack)
		}
	case err == errSpoofed, err == errBusy:
	default:
		u.broken(now, a.config.MaxBack)
	}
	return try{u: u, r: r, err: err}
}

func judge(t try) *Result {
	switch {
	case t.err == errGarbage || t.err == errSpoofed:
		return &Result{Failure: Garbage}
	case t.err != nil && timeout(t.err):
		return &Result{Failure: Timeout}
	case t.err != nil:
		return &Result{Failure: Network}
	case t.r.rcode == wire.NoError || t.r.rcode == wire.NXDomain:
		return &Result{Msg: t.r.msg, Rcode: t.r.rcode}
	}
	return &Result{Failure: Rejected, Rcode: t.r.rcode}
}

// worse keeps the failure that tells more: an error that a server has sent rather than silence, and of such the first.
func worse(a, b *Result) *Result {
	if a == nil || b.Failure == Rejected && a.Failure != Rejected {
		return b
	}
	return a
}
