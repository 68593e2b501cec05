package forward

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// upstream is a server and what is known about it.
type upstream struct {
	Upstream
	serial uint16 // tells loop probes apart, also across Configure

	mu     sync.Mutex
	ewma   time.Duration // smoothed time to answer; 0: not known yet
	heard  clock.Instant // when ewma was last changed
	silent int           // tries in a row without any answer
	backs  uint8         // back-offs in a row
	until  clock.Instant // not asked before; 0 when in good health
	probed clock.Instant // when it was last tried in vain
	plain  clock.Instant // asked without EDNS until then
	loops  bool          // its questions come back to us

	conns pool
	count counters
}

type counters struct {
	sent, answered, failed, silent, hedged    atomic.Uint64
	wrongID, wrongName, wrongCase, garbage    atomic.Uint64
	truncated, tcp, tcpDialled, plain, errors atomic.Uint64
}

// silentLimit is how many tries in a row may go unanswered: one may be a loss, two are a habit of busy Wi-Fi.
const silentLimit = 3

// answeredIn notes a reply, whatever it says: the server lives.
func (u *upstream) answeredIn(took time.Duration, now clock.Instant) {
	u.count.answered.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.smooth(took, now)
	u.silent, u.backs, u.until = 0, 0, 0
}

// smooth is RFC 6298's estimator: seven parts old, one part new. mu is held.
func (u *upstream) smooth(took time.Duration, now clock.Instant) {
	took = max(took, time.Microsecond)
	if u.ewma == 0 {
		u.ewma = took
	} else {
		u.ewma += (took - u.ewma) / 8
	}
	u.heard = now
}

// unanswered notes a try that was given up after waited. It is at least that slow; and after a few it is dead.
func (u *upstream) unanswered(waited time.Duration, now clock.Instant, maxBack time.Duration) {
	u.count.silent.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	if waited > u.ewma {
		u.ewma, u.heard = waited, now
	}
	if u.silent++; u.silent >= silentLimit {
		u.back(now, maxBack)
	}
}

// broken notes an error of the network: refused, unreachable.
func (u *upstream) broken(now clock.Instant, maxBack time.Duration) {
	u.count.errors.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.back(now, maxBack)
}

func (u *upstream) back(now clock.Instant, maxBack time.Duration) {
	u.probed = now
	if u.until > now {
		return // tries that began before the first of them failed count once
	}
	u.until = now.Add(min(time.Second<<min(u.backs, 10), maxBack))
	if u.backs < 10 {
		u.backs++
	}
}

// renew forgets everything: the network is another one.
func (u *upstream) renew() {
	u.mu.Lock()
	u.ewma, u.heard, u.silent, u.backs, u.until, u.probed, u.plain, u.loops = 0, 0, 0, 0, 0, -clock.Instant(probeHold), 0, false
	u.mu.Unlock()
	u.conns.closeAll()
}

// standing is how an upstream is to be treated now.
type standing struct {
	u     *upstream
	score time.Duration
	rtt   time.Duration
	class uint8
	until clock.Instant
}

const (
	healthy uint8 = iota
	probing       // dead, and its back-off is over
	dead
	looping
)

func (u *upstream) standing(now clock.Instant) standing {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := standing{u: u, rtt: u.ewma, until: u.until}
	// One that was slow gets better by being left alone, until it is tried again: half for each minute.
	s.score = u.ewma >> min(uint64(max(now.Sub(u.heard), 0)/time.Minute), 40)
	switch {
	case u.loops:
		s.class = looping
	case u.until == 0:
		s.class = healthy
	case u.until <= now:
		s.class = probing
	default:
		s.class = dead
	}
	return s
}

// claimProbe says whether the caller is the one to try a dead upstream, and keeps others from it for a while.
func (u *upstream) claimProbe(now clock.Instant, hold time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == 0 {
		return true
	}
	if u.until > now {
		return false
	}
	u.until = now.Add(hold)
	return true
}

func (u *upstream) ednsOff(now clock.Instant) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.plain > now
}

// plainFor is how long a server that took EDNS for an error is asked without it.
const plainFor = 10 * time.Minute

func (u *upstream) setPlain(now clock.Instant) {
	u.count.plain.Add(1)
	u.mu.Lock()
	u.plain = now.Add(plainFor)
	u.mu.Unlock()
}
