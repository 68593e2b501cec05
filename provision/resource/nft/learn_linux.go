package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// Learn adds elements to a learnt set at run time, each with its Timeout or, where that is 0,
// with the set's own; one that is there already begins its time anew. All are added or none.
// Sets with ranges are not learnt this way: which of their elements there are cannot be asked.
func (r *Resource) Learn(ctx context.Context, family, table, set string, elems []Element) error {
	return r.teach(ctx, family, table, set, elems, true)
}

// Forget takes elements out of a learnt set; what is not there is no error.
func (r *Resource) Forget(ctx context.Context, family, table, set string, elems []Element) error {
	return r.teach(ctx, family, table, set, elems, false)
}

// maxLearnt bounds what is learnt at once.
const maxLearnt = 4096

func (r *Resource) teach(ctx context.Context, family, table, set string, elems []Element, add bool) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot change what set %s of table %s %s has learnt: %w", set, family, table, err)
	}
	if len(elems) > maxLearnt {
		return fail(fmt.Errorf("%d elements at once are more than %d", len(elems), maxLearnt))
	}
	c, err := r.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	for range attempts {
		batch, gen, err := lesson(ctx, c, family, table, set, elems, add)
		if err != nil {
			return fail(err)
		}
		if batch.batch.Len() == 0 {
			return nil
		}
		if err := batch.send(ctx, c, gen); err != errRaced {
			return err
		}
	}
	return raced("set " + set)
}

// lesson is a batch for the set as it is now.
func lesson(ctx context.Context, c *nfnl.Conn, family, table, set string, elems []Element, add bool) (*changes, uint32, error) {
	b, err := newChanges(family, table)
	if err != nil {
		return nil, 0, err
	}
	gen, err := generation(ctx, c)
	if err != nil {
		return nil, 0, readError(err)
	}
	s, err := getSet(ctx, c, b, set)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case !s.Learnt:
		return nil, 0, errors.New("its elements are of the configuration, it learns nothing")
	case s.Interval:
		return nil, 0, errors.New("it has ranges")
	}
	var there []Element
	for i := range elems {
		e := &elems[i]
		if len(e.Key) != KeySize(s.Key) || e.To != nil || len(e.Data) > maxValue || len(e.Comment) > MaxComment {
			return nil, 0, fmt.Errorf("element %x does not have the form of its elements", e.Key)
		}
		ok, err := hasElement(ctx, c, b, s, e)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			there = append(there, Element{Key: e.Key})
		}
	}
	if err := b.elements(s, 0, true, there); err != nil {
		return nil, 0, err
	}
	if add {
		err = b.elements(s, 0, false, elems)
	}
	return b, gen, err
}

func getSet(ctx context.Context, c *nfnl.Conn, b *changes, name string) (*Set, error) {
	q := nfnl.PutString(nil, unix.NFTA_SET_TABLE, b.table)
	q = nfnl.PutString(q, unix.NFTA_SET_NAME, name)
	var s Set
	err := c.Get(ctx, unix.NFT_MSG_GETSET, b.family, q, func(m nfnl.Message) error {
		_, got, ok := readSet(m.Attrs)
		if !ok {
			return nfnl.ErrMessage
		}
		s = got
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, ErrNoSet
	}
	return &s, err
}

func hasElement(ctx context.Context, c *nfnl.Conn, b *changes, s *Set, e *Element) (bool, error) {
	q := &changes{table: b.table, family: b.family}
	if err := q.elements(s, 0, true, []Element{{Key: e.Key}}); err != nil {
		return false, err
	}
	_, attrs := q.batch.Message(0)
	err := c.Get(ctx, unix.NFT_MSG_GETSETELEM, b.family, attrs, func(nfnl.Message) error { return nil })
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}
