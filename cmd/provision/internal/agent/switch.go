package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
)

// What can be asked of a running watch about the kill switch.
const (
	PathSwitch = "switch" // its state
	PathAsk    = "ask"    // Body is a killswitch.Ask; its state after that
)

// AskSwitch asks the running watch to open or close the kill switch.
func AskSwitch(ctx context.Context, socket string, ask killswitch.Ask) (killswitch.State, error) {
	var s killswitch.State
	err := control.Client{Socket: socket, Start: "provision watch"}.Post(ctx, PathAsk, ask, &s)
	return s, err
}

// SwitchState asks the running watch how the kill switch stands.
func SwitchState(ctx context.Context, socket string) (killswitch.State, error) {
	var s killswitch.State
	err := control.Client{Socket: socket, Start: "provision watch"}.Get(ctx, PathSwitch, nil, &s)
	return s, err
}

// keptSwitch is kept where there is a kill switch in it. Without one nothing else is asked of it, and a
// thousand peers are not read for that.
func (a *Agent) keptSwitch() (kept.State, error) {
	text, err := a.committed()
	if err != nil || !bytes.Contains(text, []byte(`"kill_switch"`)) {
		return kept.State{}, err
	}
	return kept.Parse(text)
}

// withSwitch runs something that may change what is committed, and then brings the kill switch to
// what is committed now: its forwarding is in no ledger, because it is on only while the rest of
// it is seen in place. A running watch does it, so that there is one memory of what is open.
func (a *Agent) withSwitch(ctx context.Context, f func() error) error {
	if a.offline() {
		return f()
	}
	before, err := a.keptSwitch()
	if err != nil {
		before = kept.State{} // it is about to be written anew
	}
	err = f()
	now, kerr := a.keptSwitch()
	if before.Switch != nil {
		now, kerr = a.kept() // what goes has to be seen beside all that stays
	}
	if before.Switch == nil && now.Switch == nil && kerr == nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if now.Switch != nil {
		s, aerr := AskSwitch(ctx, WatchSocket, killswitch.Ask{})
		switch {
		case aerr == nil && s.Status == killswitch.Broken:
			return errors.Join(err, fmt.Errorf("the kill switch is broken, nothing is forwarded: %v", s.Reasons))
		case !errors.Is(aerr, control.ErrNotRunning):
			return errors.Join(err, aerr)
		}
	}
	return errors.Join(err, kerr, a.settle(ctx, before, now))
}
