package nfnl

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInterrupted is returned by Dump when a change made it inconsistent: ask again.
var ErrInterrupted = errors.New("it changed while it was read")

// ErrUnknown is returned (wrapped) by Commit when it cannot be told whether the batch was
// carried out: read what there is.
var ErrUnknown = errors.New("whether the change was made is not known")

// Failure is one message of a batch that the kernel did not take.
type Failure struct {
	// Index is the message's number, or -1 when the batch as a whole was refused.
	Index int
	Errno syscall.Errno
	// Offset is where the attribute that is the cause begins in the message's attributes, or
	// negative when the kernel does not say.
	Offset int
	Text   string // what the kernel says in words, often empty
}

// Dump asks for everything of one sort and calls do for each message. kind is an NFT_MSG_GET*.
func (c *Conn) Dump(ctx context.Context, kind, family uint8, attrs []byte, do func(Message) error) error {
	return c.ask(ctx, kind, family, flagDump, attrs, do)
}

// Get asks for one thing.
func (c *Conn) Get(ctx context.Context, kind, family uint8, attrs []byte, do func(Message) error) error {
	return c.ask(ctx, kind, family, flagAck, attrs, do)
}

func (c *Conn) ask(ctx context.Context, kind, family uint8, flags uint16, attrs []byte, do func(Message) error) error {
	c.seq++
	seq := c.seq
	b := &Batch{}
	b.buf = appendHeader(nil, subsystem<<8|uint16(kind), flagRequest|flags, family, 0)
	b.buf = append(b.buf, attrs...)
	b.close(0)
	putSeq(b.buf, seq)
	return c.within(ctx, patience, func() error {
		// The kernel reads for a question without waiting for anybody's change (NFNL_CB_RCU).
		if err := c.put(b.buf); err != nil {
			return err
		}
		var failed error // of do: the rest of the answer is read all the same
		for {
			datagram, err := c.receive(true)
			if err != nil {
				return err
			}
			for len(datagram) > 0 {
				var m Message
				if m, datagram, err = next(datagram); err != nil {
					return err
				}
				if m.Seq != seq {
					continue // of a question that was given up
				}
				if m.flags&flagIntr != 0 && flags == flagDump && failed == nil {
					failed = ErrInterrupted
				}
				switch {
				case m.kind == typeDone || m.kind == typeError:
					if m.errno != 0 {
						if m.errno == unix.EINTR {
							return ErrInterrupted
						}
						return m.errno
					}
					return failed
				case failed == nil:
					failed = do(m)
				}
			}
		}
	})
}

// Commit sends a batch that was made for generation gen and waits until the kernel has carried
// it out or refused it. Failures without an error mean that nothing was changed.
func (c *Conn) Commit(ctx context.Context, gen uint32, b *Batch) (failures []Failure, err error) {
	if b.Len() == 0 {
		return nil, nil
	}
	first := c.seq + 1
	last := first + uint32(b.Len())
	c.seq = last + 1
	out := b.seal(first, gen)
	sent := false
	err = c.within(ctx, patience, func() error {
		sent = true
		if err := c.send(ctx, out); err != nil {
			if errno := syscall.Errno(0); errors.As(err, &errno) {
				sent = false // the kernel has not even looked at it
			}
			return err
		}
		failures, err = c.answers(first, last)
		return err
	})
	if err != nil && sent {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return failures, err
}

// answers reads what a batch was answered with. The kernel works on a batch within the send
// (nfnetlink_rcv_batch), so all of it is in the socket by now and nothing has to be waited for.
func (c *Conn) answers(first, last uint32) (failures []Failure, err error) {
	done, lost := false, false
	for {
		datagram, err := c.receive(false)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if len(failures) == 0 && (!done || lost) {
				return nil, errors.New("the kernel has not answered it")
			}
			return failures, nil
		case errors.Is(err, unix.ENOBUFS):
			lost = true
			continue
		case err != nil:
			return failures, err
		}
		for len(datagram) > 0 {
			var m Message
			if m, datagram, err = next(datagram); err != nil {
				return failures, err
			}
			if m.kind != typeError || m.Seq-first > last-first+1 {
				continue
			}
			done = done || m.Seq == last
			if m.errno != 0 {
				failures = append(failures, Failure{
					Index: int(m.Seq-first) - 1, Errno: m.errno, Offset: int(m.offset) - nlHeader - nfHeader, Text: m.text,
				})
			}
		}
	}
}

// Next returns the next datagram's messages. It waits as long as ctx lets it. ENOBUFS means
// that some were lost. The messages hold until the next call.
func (c *Conn) Next(ctx context.Context, into []Message) ([]Message, error) {
	var datagram []byte
	err := c.within(ctx, 0, func() (err error) {
		datagram, err = c.receive(true)
		return err
	})
	return split(datagram, into, err)
}

// Poll is Next that does not wait: EAGAIN says that there is nothing.
func (c *Conn) Poll(into []Message) ([]Message, error) {
	c.due = time.Time{}
	if err := c.file.SetReadDeadline(c.due); err != nil {
		return into, closed(err)
	}
	datagram, err := c.receive(false)
	return split(datagram, into, err)
}

func split(datagram []byte, into []Message, err error) ([]Message, error) {
	for err == nil && len(datagram) > 0 {
		var m Message
		if m, datagram, err = next(datagram); err == nil && m.kind>>8 == subsystem {
			into = append(into, m)
		}
	}
	return into, err
}
