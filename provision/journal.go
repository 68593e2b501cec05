package provision

import (
	"errors"
	"fmt"
	"time"
)

// journal is a snapshot on disk with the records that follow it: which triggers
// are owed, what appeared during the run, whether the goal waits for Confirm.
type journal struct {
	store   *Store
	name    string
	snap    *snapshot
	dirty   []bool // by index of snap.Triggers
	confirm *confirm
	back    bool
	stuck   map[Ref]bool
	byRef   map[Ref]int // index of snap.Entries
	raw     []byte      // what the file holds, as far as it is whole
	broken  bool        // an append has failed half-way: the file is written anew
}

func newJournal(s *Store, name string, snap *snapshot) *journal {
	j := &journal{store: s, name: name, snap: snap, dirty: make([]bool, len(snap.Triggers)), stuck: map[Ref]bool{}, byRef: map[Ref]int{}}
	for i, e := range snap.Entries {
		j.byRef[e.Ref.ref()] = i
	}
	return j
}

// beginJournal makes the snapshot durable, and the first-seen values with it. The
// first effect may follow.
func (s *Store) beginJournal(snap *snapshot, first map[Ref]Attrs) (*journal, error) {
	name := snapshotName(snap.Seq)
	data, err := encodeState("snapshot", snap)
	if err != nil {
		return nil, err
	}
	if first != nil {
		if err := s.writeFirst(first); err != nil {
			return nil, err
		}
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	if err := s.replaceBytes(name, data); err != nil {
		return nil, err
	}
	if err := s.syncDir(); err != nil {
		return nil, err
	}
	j := newJournal(s, name, snap)
	j.raw = data
	return j, nil
}

// openJournal reads a snapshot and its records. A torn end is cut off before the
// next record is added, which would otherwise grow onto it.
func (s *Store) openJournal(name string) (*journal, error) {
	data, err := s.files.Read(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	snap := &snapshot{}
	tail, err := decodeState(s.file(name), "snapshot", data, snap)
	if err != nil {
		return nil, err
	}
	recs, whole, err := decodeLines(s.file(name), tail)
	if err != nil {
		return nil, err
	}
	j := newJournal(s, name, snap)
	for _, r := range recs {
		if err := j.take(r); err != nil {
			return nil, err
		}
	}
	j.raw = data[:len(data)-len(tail)+whole]
	j.broken = whole < len(tail)
	return j, nil
}

func (j *journal) take(r record) error {
	for _, set := range []struct {
		list []int
		to   bool
	}{{r.Dirty, true}, {r.Clean, false}} {
		for _, i := range set.list {
			if i < 0 || i >= len(j.dirty) {
				return &CorruptError{File: j.store.file(j.name), Why: "its journal names a trigger that it does not hold"}
			}
			j.dirty[i] = set.to
		}
	}
	if r.Late != nil {
		if i, ok := j.byRef[r.Late.Ref.ref()]; ok {
			j.snap.Entries[i] = *r.Late
		} else {
			j.byRef[r.Late.Ref.ref()] = len(j.snap.Entries)
			j.snap.Entries = append(j.snap.Entries, *r.Late)
		}
	}
	if r.Confirm != nil {
		j.confirm = r.Confirm
	}
	if r.Back {
		j.back = true
	}
	if r.Stuck != nil {
		j.stuck = map[Ref]bool{}
		for _, s := range r.Stuck {
			j.stuck[s.ref()] = true
		}
	}
	return nil
}

// add appends a record. With sync it is durable when add returns; without, losing
// it must be harmless (a trigger then runs once more).
func (j *journal) add(r record, sync bool) error {
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	j.raw = append(j.raw, line...)
	if err := j.take(r); err != nil {
		return err
	}
	if j.broken {
		err = errors.Join(j.store.replaceBytes(j.name, j.raw), j.store.syncDir())
	} else if err = j.store.files.Append(j.name, line); err == nil && sync {
		err = j.store.files.Sync(j.name)
	}
	j.broken = err != nil
	if err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	return nil
}

// drop ends the run that the snapshot belongs to.
func (j *journal) drop() error {
	if err := j.store.files.Remove(j.name); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	if err := j.store.syncDir(); err != nil {
		return err
	}
	_ = j.store.unmark() // the run is over in any case
	return nil
}

// waiting returns the time left of a pending confirmation, 0 when there is none or
// it has expired.
func (j *journal) waiting(c Clock) time.Duration {
	if j.confirm == nil || j.back {
		return 0
	}
	return j.confirm.left(c)
}
