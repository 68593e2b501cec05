package forward

import (
	"context"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// patience is how long the answer of a group waits for that of the group near it, which is mostly there first.
const patience = 300 * time.Millisecond

// asksAddress reports whether a question in wire form asks for A or AAAA: of other records nobody can say where they are.
func asksAddress(question []byte) bool {
	if len(question) < 4 {
		return false
	}
	t := uint16(question[len(question)-4])<<8 | uint16(question[len(question)-3])
	return t == wire.TypeA || t == wire.TypeAAAA
}

// counts reports whether a near answer is to be believed: it has addresses, and each lies in the list. Where answers are
// forged on the near side, the forger's addresses do not; and a name of the far side is better asked there.
func counts(msg []byte, in func(netip.Addr) bool) bool {
	n, all := 0, true
	_, err := wire.Walk(msg, func(r wire.Record) bool {
		if a, ok := address(msg, r); ok && r.Section == 1 {
			n++
			all = all && in(a)
		}
		return all
	})
	return err == nil && all && n > 0
}

func address(msg []byte, r wire.Record) (netip.Addr, bool) {
	switch data := msg[r.DataAt():r.End]; {
	case r.Type == wire.TypeA && len(data) == 4:
		return netip.AddrFrom4([4]byte(data)), true
	case r.Type == wire.TypeAAAA && len(data) == 16:
		return netip.AddrFrom16([16]byte(data)), true
	}
	return netip.Addr{}, false
}

// verdictOfTwo is what to do with what has come so far; nil is not yet.
type verdictOfTwo uint8

const (
	waitForBoth verdictOfTwo = iota // as long as it takes
	waitAWhile                      // for the near one: the other has an answer
	takeNear
	takeFar
)

// decide judges the results of two groups; nil has not come yet.
func decide(near, far *Result, in func(netip.Addr) bool) verdictOfTwo {
	switch {
	case near != nil && near.Failure == None && counts(near.Msg, in):
		return takeNear
	case near != nil && far != nil:
		return takeFar
	case far != nil && far.Failure == None:
		return waitAWhile
	}
	return waitForBoth
}

// both asks two groups at once. The one whose answer does not count is not cut short: it is measured like any other.
func (f *Forwarder) both(ctx context.Context, s *state, g *group, q Question) *Result {
	in := func(a netip.Addr) bool { return f.inList(g.list, a) }
	nears, fars := make(chan *Result, 1), make(chan *Result, 1)
	f.wg.Go(func() { nears <- f.one(ctx, s, s.groups[g.near], q) })
	f.wg.Go(func() { fars <- f.one(ctx, s, g, q) })
	var near, far *Result
	var late <-chan time.Time
	for {
		select {
		case near = <-nears:
		case far = <-fars:
		case <-late:
			return far
		}
		switch decide(near, far, in) {
		case takeNear:
			return near
		case takeFar:
			return far
		case waitAWhile:
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		}
	}
}
