// Package journal keeps leases on stable storage: an append-only file of checksummed records, written in groups.
//
// The file is never written but at its end, and never counted on after an error: then, and at every start, and when it
// has grown, all that is known is written to a new file, which replaces the old one by rename(2) once it is on the
// disk. What a crash leaves of the last write is cut off by that; damage elsewhere costs the records that it hit. Both
// are kept aside (leases.damaged.*) and logged.
//
// After a failed fsync(2) the kernel may hold pages for clean that never reached the disk, so that a second fsync of
// the same file succeeds and proves nothing; hence the new file.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Grace is how much longer than stored a lease is taken to last after a restart: a server whose disk refuses writes may
// have gone on renewing for short times what it could not write any more. It must not renew for longer than that
// beyond Lease.Durable.
const Grace = 5 * time.Minute

// DefaultHistory is how many ended leases are remembered.
const DefaultHistory = 10_000

const (
	fileName    = "leases.journal"
	damagedName = "leases.damaged."
	tempPrefix  = "leases.new."

	compactAt = 1 << 20 // bytes below which nothing is compacted

	retryFirst, retryLast = time.Second, time.Minute

	anchorEvery = 10 * time.Minute // with other records
	lookEvery   = time.Minute      // whether the wall clock has jumped or become right
	jump        = time.Second
)

// ErrClosed is the error of everything after Close.
var ErrClosed = errors.New("the journal is closed")

// Options of Open.
type Options struct {
	Dir       string // made with mode 0700 if there is none
	FS        FS     // nil: Dir of the machine
	Clock     clock.Waker
	Log       *slog.Logger // nil: none
	History   int          // ended leases to remember; 0: DefaultHistory, negative: none
	CompactAt int64        // size in bytes from which on the file is compacted if it has doubled; 0: 1 MiB
	// Hold keeps the disk idle until it is closed, or until there is something to store; nil: the file is written anew at once. Writing
	// takes a processor and the disk from whoever has clients that wait.
	Hold <-chan struct{}
}

// Journal is the open file. It is safe for concurrent use.
type Journal struct {
	fs        FS
	clock     clock.Waker
	log       *slog.Logger
	compactAt int64
	hold      <-chan struct{} // Options.Hold
	unlock    func() error
	damage    Damage

	mu       sync.Mutex
	queue    []request
	closing  bool
	degraded error
	stats    Stats
	wake     chan struct{} // has one element if there is something new in the queue
	done     chan struct{} // the committer has ended
	settled  chan struct{} // closed after the first attempt to write

	stateMu sync.RWMutex // the committer writes
	state   *state

	committer committer
}

type request struct {
	recs  []lease.Record
	value *value
	done  func(error)
}

// Damage is what Open found that was no record.
type Damage struct {
	Tail   int // bytes at the end: a write that a crash cut short
	Middle int // bytes elsewhere
	Bad    int // whole records that make no sense
	Kept   string
}

// Stats count since Open.
type Stats struct {
	Records, Writes, Bytes, Compactions, Errors uint64
	Size                                        int64 // of the file
}

// Open takes the directory for this process alone and loads what it holds. A disk that cannot be written makes no
// error here: Degraded says so a moment later (see Settled), and leases are there to be read.
func Open(o Options) (*Journal, error) {
	j := &Journal{
		fs: o.FS, clock: o.Clock, log: o.Log, compactAt: o.CompactAt, hold: o.Hold,
		wake: make(chan struct{}, 1), settled: make(chan struct{}), done: make(chan struct{}),
	}
	if j.fs == nil {
		j.fs = Dir(o.Dir)
	}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	if j.compactAt == 0 {
		j.compactAt = compactAt
	}
	if o.History == 0 {
		o.History = DefaultHistory
	}
	j.state = newState(o.History)
	unlock, err := j.fs.Lock()
	if err != nil {
		return nil, fmt.Errorf("cannot open lease journal %s: %w", o.Dir, err)
	}
	j.unlock = unlock
	if err := j.load(); err != nil {
		unlock()
		return nil, fmt.Errorf("cannot open lease journal %s: %w", o.Dir, err)
	}
	j.committer = committer{Journal: j}
	go j.committer.run()
	return j, nil
}

// Settled is closed once the file has been written anew, or could not be, which Degraded then says. Open does not wait
// for the disk: who only asks what was stored need not.
func (j *Journal) Settled() <-chan struct{} { return j.settled }

// Leases is what is stored, in the present boot's time, for Table.Restore: Bound leases last until Durable and Grace.
func (j *Journal) Leases() []lease.Lease {
	j.stateMu.RLock()
	defer j.stateMu.RUnlock()
	out := make([]lease.Lease, 0, len(j.state.leases))
	for _, b := range j.state.leases {
		e, err := decodeEntry(b[2:])
		if err != nil {
			continue // cannot be: apply has decoded it
		}
		if e.State == lease.Bound {
			e.Expiry = shift(e.Durable, Grace)
		}
		out = append(out, e.Lease)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Addr.Compare(out[j].Addr) < 0 })
	return out
}

// Damage is what Open found.
func (j *Journal) Damage() Damage { return j.damage }

// Stats counts what was written.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

// Commit queues records, which must not be changed any more. Done is called with nil once all of them are on stable
// storage, with an error if they may not be: in the order of the calls, from one goroutine, which it must not hold up
// (it may call Commit, but not Save). Records of one address are committed in the order in which the table made them.
// Done may be nil, and recs empty to learn when all before is stored.
func (j *Journal) Commit(recs []lease.Record, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	j.enqueue(request{recs: recs, done: done})
}

func (j *Journal) enqueue(r request) {
	j.mu.Lock()
	closing := j.closing
	if !closing {
		j.queue = append(j.queue, r)
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	j.mu.Unlock()
	if closing {
		r.done(ErrClosed)
	}
}

// Queued is how many commits wait for the disk.
func (j *Journal) Queued() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)
}

// Degraded is why nothing can be made durable at the moment, or nil.
func (j *Journal) Degraded() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.degraded
}

// Save makes a value durable before it returns; nil deletes the key. Key and value together have at most 65,000 bytes.
func (j *Journal) Save(key string, val []byte) error {
	err := make(chan error, 1)
	v := &value{key: key, value: slices.Clone(val), deleted: val == nil}
	j.enqueue(request{value: v, done: func(e error) { err <- e }})
	return <-err
}

// Load returns a value as last saved.
func (j *Journal) Load(key string) ([]byte, bool) {
	j.stateMu.RLock()
	defer j.stateMu.RUnlock()
	v, ok := j.state.values[key]
	return slices.Clone(v), ok
}

// Close writes what is queued and gives the directory back.
func (j *Journal) Close() error {
	j.mu.Lock()
	closed := j.closing
	j.closing = true
	if !closed {
		close(j.wake)
	}
	j.mu.Unlock()
	<-j.done
	if closed {
		return nil
	}
	return errors.Join(j.Degraded(), j.unlock())
}

// load reads the file. What is not understood is kept aside, because the next step writes the file anew.
func (j *Journal) load() error {
	data, err := j.fs.Read(fileName)
	if err != nil && !notExist(err) {
		return err
	}
	var damaged []byte
	newer := false
	scan(data, func(payload []byte) {
		switch err := j.state.apply(payload); {
		case errors.Is(err, ErrNewer):
			newer = true
		case err != nil:
			j.damage.Bad++
			damaged = append(damaged, payload...)
		}
	}, func(bad []byte, last bool) {
		if last {
			j.damage.Tail += len(bad)
		} else {
			j.damage.Middle += len(bad)
		}
		damaged = append(damaged, bad...)
	})
	if newer {
		return ErrNewer
	}
	if len(damaged) > 0 {
		j.keep(damaged)
		j.log.Warn("the lease journal is damaged", "tail", j.damage.Tail, "middle", j.damage.Middle, "records", j.damage.Bad, "kept", j.damage.Kept)
	}
	now := j.clock.Read()
	if s := j.state; s.last.BootID != now.BootID || now.Boot < s.known { // the second: a machine set back to a snapshot
		s.rebase(now)
	} else {
		s.anchor(now)
	}
	return nil
}

// sweep removes what a crash left half made.
func (j *Journal) sweep() {
	names, err := j.fs.Names()
	if err != nil {
		return // the next step meets it too
	}
	for _, n := range names {
		if strings.HasPrefix(n, tempPrefix) {
			j.remove(n)
		}
	}
}

func (j *Journal) remove(name string) {
	if err := j.fs.Remove(name); err != nil && !notExist(err) {
		j.log.Warn("cannot remove an unfinished file", "name", name, "error", err)
	}
}

// keepDamaged is how many files of damage are kept.
const keepDamaged = 4

func (j *Journal) keep(damaged []byte) {
	name := fmt.Sprintf("%s%d", damagedName, j.clock.Read().Wall.UnixNano())
	if err := j.write(name, damaged); err != nil {
		j.log.Warn("cannot keep the damaged part of the lease journal", "error", err)
		return
	}
	j.damage.Kept = name
	names, err := j.fs.Names()
	if err != nil {
		return
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, damagedName) || n == name })
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j] // by number
		if len(a) != len(b) {
			return len(a) < len(b)
		}
		return a < b
	})
	for _, n := range names[:max(0, len(names)-keepDamaged+1)] {
		if err := j.fs.Remove(n); err != nil {
			j.log.Warn("cannot remove an old file", "name", n, "error", err)
		}
	}
}

func (j *Journal) write(name string, data []byte) error {
	f, err := j.fs.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(put(f, data), f.Close())
}

// put writes and synchronises.
func put(f File, data []byte) error {
	switch n, err := f.Write(data); {
	case err != nil:
		return err
	case n < len(data):
		return fmt.Errorf("only %d of %d bytes written", n, len(data))
	}
	return f.Sync()
}
