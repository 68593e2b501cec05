package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Names in the state directory. A snapshot whose number is above the ledger's
// belongs to a run that has not been committed; a rolling one to a committed run
// that is being undone.
const (
	ledgerName     = "ledger"
	firstName      = "first"
	snapshotPrefix = "snapshot-"
	rollingPrefix  = "rolling-"
	tmpSuffix      = ".tmp"
	// unfinishedName is there while a run is neither committed nor undone: a boot that does not find it need not start a program
	// to learn that there is nothing to finish (ConditionPathExists=, systemd.unit(5)).
	unfinishedName = "unfinished"
)

// keepSnapshots is how many committed runs can be rolled back.
const keepSnapshots = 3

// Store is the engine's memory between runs: lock, ledger, first-seen values and
// snapshots with their journals, in one directory of mode 0700.
type Store struct {
	dir      string // "" when Files are not a directory
	files    Files
	lockWait time.Duration
	mem      chan struct{} // the lock of a store without directory

	mu     sync.Mutex
	raw    []byte // the ledger as it was read last,
	parsed *ledger
	// The first-seen values as they were read last.
	rawFirst []byte
	seen     map[Ref]Attrs
}

// Option adjusts a Store.
type Option func(*Store)

// LockWait sets how long Lock waits for another holder; the default is DefaultLockWait.
func LockWait(d time.Duration) Option { return func(s *Store) { s.lockWait = d } }

// WithFiles replaces the file operations. With dir "" the lock is the process's.
func WithFiles(f Files) Option { return func(s *Store) { s.files = f } }

// Open names the state directory. It touches nothing: the directory is made when
// the lock is first taken, and may be unreadable for a plan.
func Open(dir string, opts ...Option) (*Store, error) {
	s := &Store{dir: dir, lockWait: DefaultLockWait, mem: make(chan struct{}, 1)}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot use %s as state directory: %w", dir, err)
		}
		s.dir, s.files = abs, DirFiles(abs)
	}
	for _, o := range opts {
		o(s)
	}
	if s.files == nil {
		return nil, errors.New("cannot open the state: no directory given")
	}
	return s, nil
}

func (s *Store) file(name string) string { return filepath.Join(s.dir, name) }

// stored is what a run needs to know of the past.
type stored struct {
	ledger    *ledger  // nil: nothing was ever committed
	active    []string // snapshots to be settled, newest first
	committed []uint64 // snapshots to be kept, ascending
	marked    bool     // unfinishedName is there
}

// load reads the ledger and the names of the snapshots.
func (s *Store) load() (*stored, error) {
	names, err := s.files.Names()
	if errors.Is(err, fs.ErrNotExist) {
		return &stored{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	st := &stored{}
	var seq uint64
	var active []uint64
	byNumber := map[uint64]string{}
	sort.Strings(names)
	for _, n := range names {
		if n == ledgerName {
			if st.ledger, err = s.readLedger(); err != nil {
				return nil, err
			}
			seq = st.ledger.Seq
		}
		st.marked = st.marked || n == unfinishedName
	}
	for _, n := range names {
		prefix, digits := splitName(n)
		if digits == "" {
			continue
		}
		num, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			continue
		}
		switch {
		case prefix == rollingPrefix || num > seq:
			active = append(active, num)
			byNumber[num] = n
		default:
			st.committed = append(st.committed, num)
		}
	}
	sort.Slice(active, func(i, j int) bool { return active[i] > active[j] })
	for _, num := range active {
		st.active = append(st.active, byNumber[num])
	}
	sort.Slice(st.committed, func(i, j int) bool { return st.committed[i] < st.committed[j] })
	return st, nil
}

func splitName(n string) (prefix, digits string) {
	for _, p := range []string{snapshotPrefix, rollingPrefix} {
		if d, ok := strings.CutPrefix(n, p); ok && strings.Trim(d, "0123456789") == "" {
			return p, d
		}
	}
	return "", ""
}

func snapshotName(seq uint64) string { return fmt.Sprintf("%s%06d", snapshotPrefix, seq) }

func rollingName(seq uint64) string { return fmt.Sprintf("%s%06d", rollingPrefix, seq) }

// readLedger returns the ledger, which nobody may change.
func (s *Store) readLedger() (*ledger, error) {
	data, err := s.files.Read(ledgerName)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed != nil && bytes.Equal(s.raw, data) {
		return s.parsed, nil
	}
	l := &ledger{}
	if _, err = decodeState(s.file(ledgerName), "ledger", data, l); err != nil {
		return nil, err
	}
	s.raw, s.parsed = data, l
	return l, nil
}

// readFirst returns the first-seen values; a missing file is an empty one.
func (s *Store) readFirst() (map[Ref]Attrs, error) {
	first := map[Ref]Attrs{}
	data, err := s.files.Read(firstName)
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil && bytes.Equal(s.rawFirst, data) {
		return maps.Clone(s.seen), nil
	}
	var f firstFile
	if _, err := decodeState(s.file(firstName), "first", data, &f); err != nil {
		return nil, err
	}
	for _, e := range f.Seen {
		first[e.Ref.ref()] = Attrs(e.Value)
	}
	s.rawFirst, s.seen = data, first
	return maps.Clone(first), nil
}

// replace writes name so that after a power cut it is either old or new; it is
// surely new only after SyncDir.
func (s *Store) replace(name, kind string, body any) error {
	data, err := encodeState(kind, body)
	if err != nil {
		return err
	}
	return s.replaceBytes(name, data)
}

func (s *Store) replaceBytes(name string, data []byte) error {
	tmp := name + tmpSuffix
	if err := s.files.Write(tmp, data); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	if err := s.files.Sync(tmp); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	if err := s.files.Rename(tmp, name); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	return nil
}

func (s *Store) syncDir() error {
	if err := s.files.SyncDir(); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	return nil
}

// mark says that a run is not finished; the caller syncs the directory before the first effect.
func (s *Store) mark() error {
	if err := s.files.Write(unfinishedName, nil); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	return nil
}

// unmark takes the mark away when all runs are finished. A mark that stays, or comes back after a power cut, costs the next boot a
// look and nothing else.
func (s *Store) unmark() error {
	st, err := s.load()
	if err != nil || !st.marked || len(st.active) > 0 {
		return err
	}
	return s.files.Remove(unfinishedName)
}

// writeFirst replaces the first-seen values; the caller syncs the directory.
func (s *Store) writeFirst(first map[Ref]Attrs) error {
	refs := make([]Ref, 0, len(first))
	for r := range first {
		refs = append(refs, r)
	}
	sort.Slice(refs, func(i, j int) bool {
		return refs[i].Kind < refs[j].Kind || refs[i].Kind == refs[j].Kind && refs[i].Name < refs[j].Name
	})
	f := firstFile{Seen: make([]seen, 0, len(refs))}
	for _, r := range refs {
		f.Seen = append(f.Seen, seen{toWireRef(r), wireAttrs(first[r])})
	}
	return s.replace(firstName, "first", f)
}

// writeLedger is the commit: before its SyncDir the run is undone by the next
// process, after it kept.
func (s *Store) writeLedger(l *ledger) error {
	if l == nil {
		if err := s.files.Remove(ledgerName); err != nil {
			return fmt.Errorf("cannot write the state: %w", err)
		}
		return s.syncDir()
	}
	if err := s.replace(ledgerName, "ledger", l); err != nil {
		return err
	}
	return s.syncDir()
}

// trim removes the snapshots beyond those that are kept. Losing a removal in a
// power cut does no harm, so it is not synced.
func (s *Store) trim(committed []uint64) error {
	var errs []error
	for i := 0; i < len(committed)-keepSnapshots; i++ {
		errs = append(errs, s.files.Remove(snapshotName(committed[i])))
	}
	return errors.Join(errs...)
}

// Purge forgets everything: ledger, first-seen values, snapshots. What was applied
// stays as it is and is nobody's from then on.
func (s *Store) Purge(ctx context.Context) error {
	lock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	names, err := s.files.Names()
	if err != nil {
		return fmt.Errorf("cannot purge the state: %w", err)
	}
	var errs []error
	for _, n := range names {
		if n != lockName {
			errs = append(errs, s.files.Remove(n))
		}
	}
	errs = append(errs, s.files.SyncDir())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot purge the state: %w", err)
	}
	return nil
}
