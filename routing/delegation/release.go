package delegation

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/provision-net/provision/routing/delegation/pd"
)

// releaseLimit is how long a server is asked to take a prefix back. One that does not answer has it when
// its lifetime ends.
const releaseLimit = 5 * time.Second

// Left reports whether what a watch remembers has addresses, or a lease, that have to go when there is no
// delegation any more.
func Left(state json.RawMessage) bool {
	var m memory
	return len(state) > 0 && json.Unmarshal(state, &m) == nil && len(m.Own)+len(m.Lease.Prefixes) > 0
}

// Settle gives back what is left once, for whoever does not Run; the addresses are gone then.
func (j *Job) Settle(ctx context.Context) { j.giveBack(ctx) }

// giveBack tells the server that a prefix is not used any more (RFC 8415 section 18.2.7), once, after
// delegation was taken away, or moved to another uplink, and the addresses of the networks with it.
func (j *Job) giveBack(ctx context.Context) {
	j.mu.Lock()
	owes, lease, device := j.owes(), j.mem.Lease, j.mem.Device
	j.mu.Unlock()
	if !owes || j.Link == nil {
		return
	}
	var err error
	if device != "" { // else it is of an older version, which did not say where
		err = j.release(ctx, lease, device)
	}
	if ctx.Err() != nil {
		return
	}
	j.mu.Lock()
	j.mem.Lease, j.mem.Device, j.changed = pd.Lease{}, "", true
	j.mu.Unlock()
	what := "the delegated prefix was given back"
	if err != nil {
		what = "the delegated prefix ends by itself, nobody took it back: " + err.Error()
	}
	if j.Tell != nil {
		j.Tell(what)
	}
}

func (j *Job) release(ctx context.Context, lease pd.Lease, device string) error {
	conn, duid, err := j.Link.Open(ctx, device)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	end := j.now().Add(releaseLimit)
	c := &pd.Client{DUID: duid, IAID: IAID(device), Rand: j.Link.Rand, XID: j.Link.XID}
	c.Release(j.now(), lease)
	for ctx.Err() == nil {
		if m := c.Step(j.now()); m != nil {
			if err := conn.Send(*m, 0); err != nil {
				return err
			}
		}
		if c.Released() {
			return nil
		}
		if !j.now().Before(end) {
			return errors.New("no server answers")
		}
		until := end
		if at := c.Wake(); !at.IsZero() && at.Before(end) {
			until = at
		}
		m, err := conn.Receive(c.IAID, until)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return err
		default:
			c.Receive(m, j.now())
		}
	}
	return ctx.Err()
}
