package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// Change tells that somebody else has changed a table. It does not tell what: read the table.
type Change struct {
	Family, Table string
	// PID and Process are who did it, as the kernel saw it: the number of the thread in the
	// machine's first PID namespace, and the first 15 bytes of its name. 0 and empty where the
	// kernel does not say.
	PID     uint32
	Process string
}

// Changed is what has come together: each table once for each process that changed it, in the
// order of the first change. With Lost there were more changes than the socket could hold, and
// anything may have changed.
type Changed struct {
	Tables []Change
	Lost   bool
}

// Events are the changes of nf_tables in one network namespace.
type Events struct {
	conn *nfnl.Conn
	ours func(port uint32) bool
	msgs []nfnl.Message
	open []Change // of a transaction that has not ended yet
	gen  uint16   // its generation
}

// maxOpen bounds what one transaction may name, and maxBatch what is told at once.
const (
	maxOpen  = 4096
	maxBatch = 256
)

// Watch listens to the changes of the calling thread's network namespace that this Resource did
// not make. They are heard from the moment that Watch returns.
func (r *Resource) Watch() (*Events, error) {
	c, err := nfnl.Dial(unix.NFNLGRP_NFTABLES)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("cannot watch nf_tables: %w: it has no nf_tables", ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch nf_tables: %w", err)
	}
	return &Events{conn: c, ours: r.ours}, nil
}

// Close ends it; a Next that waits returns an error.
func (e *Events) Close() error { return e.conn.Close() }

// Next waits for changes and returns all that are there.
func (e *Events) Next(ctx context.Context) (Changed, error) {
	var out Changed
	for {
		var err error
		something := len(out.Tables) > 0 || out.Lost
		if something {
			e.msgs, err = e.conn.Poll(e.msgs[:0])
		} else {
			e.msgs, err = e.conn.Next(ctx, e.msgs[:0])
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			out.Lost, e.open = true, e.open[:0]
			continue
		case err != nil && something:
			return out, nil // a lasting error comes again
		case err != nil:
			return out, fmt.Errorf("cannot watch nf_tables: %w", err)
		}
		for _, m := range e.msgs {
			out.Lost = e.take(m, &out) || out.Lost
		}
		if len(out.Tables) >= maxBatch {
			return out, nil
		}
	}
}

// take reads one message. The tables come first, and then the generation that names who did it.
func (e *Events) take(m nfnl.Message, out *Changed) (lost bool) {
	var a attrs
	a.read(m.Attrs)
	if m.Gen != e.gen { // the end of the one before was lost, which has been told
		e.open, e.gen = e.open[:0], m.Gen
	}
	if m.Kind == unix.NFT_MSG_NEWGEN {
		pid, name := ownerOf(&a)
		for _, c := range e.open {
			c.PID, c.Process = pid, name
			if !e.ours(m.Port) {
				out.add(c)
			}
		}
		e.open = e.open[:0]
		return false
	}
	family, ok := familyName(m.Family)
	table := a.text(tableAttr) // the first attribute of all of them
	if !ok || a.odd || m.Kind == unix.NFT_MSG_TRACE {
		return false
	}
	for _, c := range e.open {
		if c.Family == family && c.Table == table {
			return false
		}
	}
	if len(e.open) >= maxOpen {
		return true
	}
	e.open = append(e.open, Change{Family: family, Table: table})
	return false
}

// tableAttr is NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE,
// NFTA_SET_ELEM_LIST_TABLE, NFTA_OBJ_TABLE and NFTA_FLOWTABLE_TABLE.
const tableAttr = 1

func (c *Changed) add(one Change) {
	for _, have := range c.Tables {
		if have == one {
			return
		}
	}
	c.Tables = append(c.Tables, one)
}
