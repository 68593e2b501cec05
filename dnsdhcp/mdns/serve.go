package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// batch is how many packets are read at once.
const batch = 8

// Serve runs a Responder on a Conn until the context ends or the Conn fails, and closes the Conn. States come from
// updates: the first thing that it needs. When the context ends it says goodbye and returns nil. The logger may be nil.
func Serve(ctx context.Context, r *Responder, conn Conn, w clock.Waker, updates <-chan State, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Two batches take turns: one is being filled while the other one is worked on.
	full, empty := make(chan []Datagram), make(chan []Datagram, 2)
	empty <- make([]Datagram, batch)
	empty <- make([]Datagram, batch)
	failed := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		for {
			var in []Datagram
			select {
			case in = <-empty:
			case <-done:
				return
			}
			n, err := conn.Receive(in[:batch])
			if err != nil {
				failed <- err
				return
			}
			select {
			case full <- in[:n]:
			case <-done:
				return
			}
		}
	}()
	defer func() {
		close(done)
		_ = conn.Close() // ends Receive; there is nobody to tell
	}()
	send := func(out []Datagram) {
		if len(out) == 0 {
			return
		}
		if err := conn.Send(out); err != nil {
			log.Debug("mdns: not all was sent", "link", r.c.Link, "error", err)
		}
	}
	name := ""
	for {
		if r.Ready() && r.Name() != name {
			name = r.Name()
			log.Info("mdns: answering", "link", r.c.Link, "name", name)
		}
		due, stop := w.After(r.Next())
		select {
		case <-ctx.Done():
			stop()
			send(r.Stop())
			return nil
		case err := <-failed:
			stop()
			if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("mdns: cannot receive on %s: %w", r.c.Link, err)
		case s, ok := <-updates:
			stop()
			if !ok {
				updates = nil
				continue
			}
			send(r.Link(w.Now(), s))
		case in := <-full:
			stop()
			for _, d := range in {
				send(r.Receive(w.Now(), d))
			}
			empty <- in
		case <-due:
			stop()
			send(r.Wake(w.Now()))
		}
	}
}
