package forward

import (
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// group is a resolved Group.
type group struct {
	name string
	ups  []*upstream
	near string // name of the group that is asked at the same time
	list string
}

// probeHold is how often a dead upstream is tried while no other lives.
const probeHold = time.Second

// order is whom to ask: the quickest first. beside is one that was dead and is tried at the same time, to learn
// whether it is back; nobody waits for it. An empty order means that all are dead and it is not yet time to try again.
func (g *group) order(now clock.Instant) (order []standing, beside *upstream) {
	var tired []standing
	for _, u := range g.ups {
		switch s := u.standing(now); s.class {
		case healthy:
			order = append(order, s)
		case probing, dead:
			tired = append(tired, s)
		}
	}
	rank(order, func(s standing) int64 { return int64(s.score / time.Microsecond) })
	if len(order) > 0 {
		for _, s := range tired {
			if s.class == probing && s.u.claimProbe(now, probeHold) {
				return order, s.u
			}
		}
		return order, nil
	}
	// None lives: whose back-off ends first is tried, but no more often than once in probeHold, so that a dead uplink
	// costs clients no time and its return is noticed soon.
	rank(tired, func(s standing) int64 { return int64(s.until) })
	for _, s := range tired {
		if s.u.claimDead(now) {
			order = append(order, s)
		}
	}
	return order, nil
}

// rank sorts stably, the least key first: by insertion and without an allocation, as it happens for each question and somebody has
// written the list by hand.
func rank(list []standing, key func(standing) int64) {
	for i := range list {
		for j := i; j > 0 && key(list[j]) < key(list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// claimDead is claimProbe when nobody else lives, whatever the back-off says.
func (u *upstream) claimDead(now clock.Instant) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now < u.probed.Add(probeHold) {
		return false
	}
	u.probed = now
	return true
}
