package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/resource/daemon/foreign"
)

// standing is a link in the eyes of its daemon.
type standing int

const (
	busy  standing = iota // it is being configured
	ready                 // configured
	off                   // the daemon does not manage it (any more): it owes it nothing
)

// disturbance is an action during which a daemon may delete what is not its own.
type disturbance struct {
	name  string // the daemon, for people
	links []link
	// owned says what the daemon declares to be its own; nil when it cannot say.
	owned func(foreign.Message) bool
	do    func(context.Context) error
	// standing asks the daemon about a link; nil when it has no opinion.
	standing func(context.Context, link) (standing, error)
	// lag: after do the daemon may go on saying ready before it begins.
	lag bool
	// kick is signalled at each event of the daemon.
	kick chan struct{}
}

// quiet is how long a daemon that was told to reload may show no sign of work before
// nothing is expected any more (it begins within 10 ms on an idle machine).
const quiet = 700 * time.Millisecond

// around saves what is foreign, does the action, waits until the links have again
// what they had, and puts back what vanished.
func (x *Actor) around(ctx context.Context, d disturbance) error {
	left, err := x.restore()
	if err != nil {
		x.log().Warn("an earlier action was cut off and not all could be put back", "error", err)
	}
	snap, err := foreign.Take(ctx)
	if err != nil {
		return err
	}
	set := snap.Split(indexes(d.links), d.owned)
	set.Action = d.name
	had := inventory(snap, set.Foreign, d.links)
	kept := set
	kept.Foreign = append(append([]foreign.Message{}, set.Foreign...), left...)
	if err := x.journal().Write(kept); errors.Is(err, unix.ENOSPC) {
		// Memory has it too, unless this process dies on a machine with a full disk;
		// and a full disk must not stop the way back.
		x.log().Warn("cannot save what the links have", "error", err)
	} else if err != nil {
		return err
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("cannot watch the kernel's routes: %w", err)
	}
	defer events.Close()
	if d.kick == nil {
		d.kick = make(chan struct{}, 1)
	}
	go pump(events, d.kick)

	doErr := d.do(ctx)
	var lost []string
	if doErr == nil {
		lost, doErr = x.settle(ctx, d, had, set)
	}
	if len(lost) > 0 {
		doErr = errors.Join(doErr, fmt.Errorf("%s; it was put back by hand until its lease ends", strings.Join(lost, "; ")))
	}
	if _, err := x.putBack(kept, len(lost) > 0); err != nil {
		return errors.Join(doErr, err) // the journal stays for the next attempt
	}
	return errors.Join(doErr, x.journal().Remove())
}

func pump(events *nl.NetlinkSocket, kick chan struct{}) {
	for {
		if _, _, err := events.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		poke(kick)
	}
}

func poke(kick chan struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}

// settle waits until the daemon has finished with every link and each has what it
// had; it returns what was lost when the deadline comes.
func (x *Actor) settle(ctx context.Context, d disturbance, had map[link]holding, set foreign.Set) ([]string, error) {
	limit := orElse(x.Settle, 10*time.Second)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond) // signals that old versions do not send
	defer tick.Stop()
	begun := time.Now()
	seen := !d.lag
	var lost []string
	for {
		snap, err := foreign.Take(ctx)
		if err != nil {
			// It changes faster than it can be read: look again at the next event.
			x.log().Debug("cannot look", "error", err)
		} else {
			var working bool
			lost, working, err = x.look(ctx, d, snap, had, set)
			if err != nil {
				return nil, err
			}
			seen = seen || working
			if !working && (seen || time.Since(begun) > quiet) {
				return nil, nil
			}
		}
		select {
		case <-d.kick:
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("stopped while waiting for %s: %w", d.name, context.Cause(ctx))
		case <-deadline.C:
			if len(lost) == 0 {
				x.log().Warn("daemon has not finished", "daemon", d.name, "after", limit)
				return nil, nil
			}
			return lost, fmt.Errorf("%s has not brought everything back within %v", d.name, limit)
		}
	}
}

// look compares the links with what they had and returns what is lost, and whether
// the daemon is at work: something is lost or it says so itself.
func (x *Actor) look(ctx context.Context, d disturbance, snap foreign.Snapshot, had map[link]holding, set foreign.Set) (lost []string, working bool, err error) {
	if d.owned != nil {
		// What is foreign for certain need not wait for the daemon to finish. An
		// address does: put back too early it would become the primary one.
		var now []foreign.Message
		for _, m := range snap.Missing(set.Foreign) {
			if m.Type != unix.RTM_NEWADDR {
				now = append(now, m)
			}
		}
		sent, _ := foreign.Send(now, set.Since) // what fails is tried again
		for _, m := range sent {
			x.log().Info("put back", "what", m.String(), "after", d.name)
		}
	}
	has := inventory(snap, set.Foreign, d.links)
	for _, l := range d.links {
		st := ready
		if d.standing != nil {
			if st, err = d.standing(ctx, l); err != nil {
				return nil, false, err
			}
		}
		if st == off {
			continue
		}
		gone := had[l].without(has[l], l.name)
		lost = append(lost, gone...)
		if st == busy || len(gone) > 0 {
			working = true
		}
	}
	return lost, working, nil
}

// putBack sends what is missing. leases: also what the daemon should have brought,
// but only to links that have nothing of that kind.
func (x *Actor) putBack(set foreign.Set, leases bool) ([]foreign.Message, error) {
	snap, err := foreign.Take(context.Background())
	if err != nil {
		return set.Foreign, err
	}
	want := snap.Missing(set.Foreign)
	if leases {
		want = append(want, unreplaced(snap, set.Foreign, snap.Missing(set.Leases))...)
	}
	sent, err := foreign.Send(want, set.Since)
	for _, m := range sent {
		x.log().Info("put back", "what", m.String(), "after", set.Action)
	}
	if err == nil {
		return nil, nil
	}
	// A device that has gone took its routes along; that is nobody's fault.
	if snap, e := foreign.Take(context.Background()); e == nil {
		want = snap.Missing(want)
	}
	var left []foreign.Message
	for _, m := range want {
		if exists(m) {
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return left, err
}
