package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
)

// Restored is what a restore did.
type Restored struct {
	Kept    int             `json:"kept"` // how much there is to be put back
	Set     []provision.Ref `json:"set"`
	Pending []provision.Ref `json:"pending"` // of devices that are not there yet: the watch sets them
	Closed  bool            `json:"closed"`  // forwarding was switched off, because the firewall could not be put back
	// Switch is how the kill switch stands, empty when there is none.
	Switch killswitch.Status `json:"kill_switch,omitempty"`
}

// Restore sets the kernel's state that was committed last, from the file and not from the
// configuration: a wrong edit must not open a firewall at the next boot. Where the firewall
// cannot be put back nothing is forwarded.
func (a *Agent) Restore(ctx context.Context) (Restored, error) {
	out := Restored{Set: []provision.Ref{}, Pending: []provision.Ref{}}
	e, done, err := a.engine()
	if err != nil {
		return out, err
	}
	defer done()
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return out, err
	}
	defer lock.Unlock()
	k, err := a.kept()
	if err != nil {
		return out, errors.Join(err, a.shut(ctx, e, &out))
	}
	out.Kept = len(k.Wants)
	var errs []error
	lost := false
	if k.Switch != nil {
		// Nothing is forwarded before the switch has seen that it is closed.
		errs = append(errs, a.shut(ctx, e, &Restored{}))
	}
	for _, w := range k.Wants {
		changed, err := put(ctx, e, w)
		switch {
		case errors.Is(err, provision.ErrPending):
			out.Pending = append(out.Pending, w.Ref)
		case err != nil:
			errs = append(errs, fmt.Errorf("cannot put back %s: %w", w.Ref, err))
			lost = lost || w.Kind == nft.Kind
		case changed:
			out.Set = append(out.Set, w.Ref)
		}
		if lost {
			break
		}
	}
	if lost {
		errs = append(errs, a.shut(ctx, e, &out))
	}
	errs = append(errs, a.restoreClock())
	if k.Switch != nil && !lost {
		// The clock comes before the switch: a tunnel whose machine is back in 1970 does not come up.
		s, err := a.settleLocked(ctx, e, k, killswitch.State{}, killswitch.Ask{}, nil)
		out.Switch = s.Status
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// kept reads what was committed last; nothing without an error when nothing ever was.
func (a *Agent) kept() (kept.State, error) {
	text, err := a.committed()
	if err != nil || text == nil {
		return kept.State{}, err
	}
	return kept.Parse(text)
}

// committed is the text of what was committed last, nil when nothing ever was.
func (a *Agent) committed() ([]byte, error) {
	text, err := readBounded(filepath.Join(a.Root, kept.Path), kept.MaxBytes+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what was committed: %w", err)
	}
	return text, nil
}

// put brings one reference about and says whether it had to.
func put(ctx context.Context, e *provision.Engine, w provision.Want) (changed bool, err error) {
	r := e.Resources[w.Kind]
	if r == nil {
		return false, fmt.Errorf("no such kind of state: %s", w.Kind)
	}
	for range 3 {
		have, err := r.Get(ctx, w.Name)
		if err != nil {
			return false, err
		}
		if equal(have, w.Attrs) {
			return false, nil
		}
		if err = r.Set(ctx, w.Name, have, w.Attrs); !errors.Is(err, provision.ErrStale) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("%w, again and again", provision.ErrStale)
}

// equal reports whether have holds the attributes that want lists.
func equal(have, want provision.Attrs) bool {
	if have == nil {
		return false
	}
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// shut switches forwarding off, in both families.
func (a *Agent) shut(ctx context.Context, e *provision.Engine, out *Restored) error {
	var errs []error
	for _, key := range []string{forward.Forward4, forward.Forward6} {
		if _, err := put(ctx, e, sysctl.Global(key, "0", "")); err != nil && !errors.Is(err, provision.ErrPending) {
			errs = append(errs, fmt.Errorf("cannot switch forwarding off: %w", err))
		}
	}
	out.Closed = len(errs) == 0
	return errors.Join(errs...)
}
