package delegation

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"time"

	"github.com/provision-net/provision/routing/delegation/pd"
)

// Link is where our own client speaks.
type Link interface {
	// Open opens the client's socket on a device; the identifier (DUID) is this machine's.
	Open(ctx context.Context, device string) (conn Conn, duid []byte, err error)
	// Rand is a number from -0.1 to 0.1, and XID three bytes that nobody can guess.
	Rand() float64
	XID() [3]byte
}

// Conn is a socket.
type Conn interface {
	Send(m pd.Message, length int) error
	// Receive waits until the deadline; zero is none. An error with os.ErrDeadlineExceeded means that
	// nothing came in time.
	Receive(iaid uint32, deadline time.Time) (pd.Message, error)
	Close() error
}

// openAgain is when a link that cannot be spoken on is tried again.
const openAgain = 10 * time.Second

// Run asks for prefixes as long as that is wanted, until ctx ends. What is delegated stays then: it is
// confirmed at the next start.
func (j *Job) Run(ctx context.Context) error {
	j.mu.Lock()
	j.init()
	j.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		case <-timer.C:
		}
		j.giveBack(ctx)
		for j.asks() && ctx.Err() == nil {
			err := j.session(ctx)
			if ctx.Err() != nil {
				return nil
			}
			j.fail(err)
			if err != nil {
				timer.Reset(openAgain)
				break
			}
		}
	}
}

func (j *Job) asks() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ask && j.up != 0 && j.Link != nil && !j.moved()
}

func (j *Job) fail(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	j.mu.Lock()
	news := text != j.trouble
	j.trouble = text
	j.mu.Unlock()
	if news && text != "" && j.Tell != nil {
		j.Tell("our DHCPv6 client cannot ask")
	}
}

// IAID is the number of an interface's association, the same after a boot.
func IAID(device string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(device))
	return h.Sum32()
}

// session is one client, from the carrier to its loss, or until it is not wanted any more.
func (j *Job) session(ctx context.Context) error {
	conn, duid, err := j.Link.Open(ctx, j.Config.Interface)
	if err != nil {
		return err
	}
	defer conn.Close()
	over := make(chan struct{})
	defer close(over)
	go func() { // a wait for messages is ended by what happens
		for {
			select {
			case <-over:
				return
			case <-ctx.Done():
				conn.Close()
				return
			case <-j.wake:
				if !j.asks() {
					conn.Close()
					j.poke() // for Run
					return
				}
			}
		}
	}()
	j.mu.Lock()
	before := j.mem.Lease
	j.mu.Unlock()
	c := &pd.Client{DUID: duid, IAID: IAID(j.Config.Interface), Length: j.Config.Length, Rand: j.Link.Rand, XID: j.Link.XID}
	c.Start(j.now(), before)
	for ctx.Err() == nil && j.asks() {
		if m := c.Step(j.now()); m != nil {
			if err := conn.Send(*m, c.Length); err != nil {
				return err
			}
			j.fail(nil)
		}
		j.took(c.Lease())
		if at := c.Wake(); !at.IsZero() && !at.After(j.now()) {
			continue
		}
		m, err := conn.Receive(c.IAID, c.Wake())
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil && (ctx.Err() != nil || !j.asks()):
			return nil
		case err != nil:
			return fmt.Errorf("cannot hear servers: %w", err)
		}
		if out := c.Receive(m, j.now()); out != nil {
			if err := conn.Send(*out, c.Length); err != nil {
				return err
			}
		}
		j.took(c.Lease())
	}
	return nil
}

// took writes down what is delegated now.
func (j *Job) took(l pd.Lease) {
	j.mu.Lock()
	same := slices.Equal(l.Prefixes, j.mem.Lease.Prefixes)
	news := !slices.EqualFunc(l.Prefixes, j.mem.Lease.Prefixes, func(a, b pd.Delegated) bool { return a.Prefix == b.Prefix })
	if !same {
		j.mem.Lease, j.mem.Device, j.changed = l, j.Config.Interface, true
	}
	j.mu.Unlock()
	if !same && j.Tell != nil {
		what := "the delegated prefix was renewed"
		if news {
			what = "another prefix is delegated"
		}
		j.Tell(what)
	}
}
