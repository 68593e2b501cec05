package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// committer is the one goroutine that writes; its fields are its own.
type committer struct {
	*Journal
	file  File // nil: there is none to append to
	size  int64
	base  int64 // size when it was new
	buf   []byte
	batch []request // the queue's other half

	retryAt clock.Instant
	backoff time.Duration

	compact chan compacted // a compaction is under way
	tail    []byte         // what was written since it began
	stale   bool           // it is of no use any more
}

type compacted struct {
	name string
	file File
	size int64
	err  error
}

func (c *committer) run() {
	defer close(c.done)
	woken := false
	if c.hold != nil {
		select {
		case <-c.hold:
		case _, woken = <-c.wake: // false: it is closed, and the loop meets that too
		}
	}
	c.sweep()
	c.renew()
	close(c.settled)
	if woken {
		c.serve()
	}
	for {
		timer, stop := c.clock.After(c.timer())
		select {
		case _, open := <-c.wake:
			c.serve()
			if !open {
				stop()
				c.serve()
				c.end()
				return
			}
		case r := <-c.compact:
			c.replace(r)
		case <-timer:
			c.tick()
		}
		stop()
	}
}

func (c *committer) timer() clock.Instant {
	if c.file == nil {
		return c.retryAt
	}
	return c.clock.Now().Add(lookEvery)
}

func (c *committer) tick() {
	if c.file == nil {
		c.renew()
		return
	}
	if r := c.clock.Read(); c.jumped(r) {
		c.serve(request{done: func(error) {}})
	}
}

// serve writes what is queued, and more, in one go.
func (c *committer) serve(more ...request) {
	c.mu.Lock()
	c.batch, c.queue = append(c.queue, more...), c.batch[:0]
	c.mu.Unlock()
	if len(c.batch) == 0 {
		return
	}
	if c.file == nil && c.clock.Now() >= c.retryAt {
		c.renew()
	}
	if c.file == nil {
		err := c.Degraded()
		for _, r := range c.batch {
			r.done(err)
		}
	} else {
		c.group(c.batch)
	}
	clear(c.batch)
}

// group appends a group of requests, waits for the disk and says so.
func (c *committer) group(batch []request) {
	c.buf = c.buf[:0]
	now := c.clock.Read()
	last := c.state.last
	if c.jumped(now) || now.Boot.Sub(last.Boot) >= anchorEvery {
		c.buf, _ = appendFrame(c.buf, func(b []byte) []byte { return appendAnchor(b, now) }) // short enough
	}
	records := 0
	for i, r := range batch {
		start := len(c.buf)
		if err := c.encode(r); err != nil {
			c.buf = c.buf[:start]
			done := r.done
			batch[i] = request{done: func(error) { done(err) }}
			continue
		}
		records += len(r.recs)
	}
	if len(c.buf) > 0 {
		if err := put(c.file, c.buf); err != nil {
			err = fmt.Errorf("cannot write lease journal: %w", err)
			c.fail(err)
			for _, r := range batch {
				r.done(err)
			}
			return
		}
		c.wrote(records)
	}
	for _, r := range batch {
		r.done(nil)
	}
	c.mayCompact()
}

func (c *committer) encode(r request) (err error) {
	for _, rec := range r.recs {
		if !rec.Addr.Is4() || rec.State < lease.Bound || rec.State > lease.Declined {
			return fmt.Errorf("cannot store a lease of %v in state %d", rec.Addr, rec.State)
		}
		e := entry{Record: rec}
		if prev, ok := c.state.get(rec.Addr); ok && same(prev, e) {
			e.sinceWall, e.approx = prev.sinceWall, prev.approx
		}
		if c.buf, err = appendFrame(c.buf, func(b []byte) []byte { return appendEntry(b, e) }); err != nil {
			return err
		}
	}
	if r.value != nil {
		c.buf, err = appendFrame(c.buf, func(b []byte) []byte { return appendValue(b, *r.value) })
	}
	return err
}

// wrote takes over what is on the disk now.
func (c *committer) wrote(records int) {
	c.size += int64(len(c.buf))
	if c.compact != nil {
		c.tail = append(c.tail, c.buf...)
	}
	c.stateMu.Lock()
	scan(c.buf, func(payload []byte) { c.check(c.state.apply(payload)) }, func([]byte, bool) { c.check(errBad) })
	c.stateMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Records += uint64(records)
	c.stats.Writes++
	c.stats.Bytes += uint64(len(c.buf))
	c.stats.Size = c.size
}

// check is for what cannot be: a record of our own that we do not understand.
func (c *committer) check(err error) {
	if err != nil {
		c.log.Error("cannot read back a lease record", "error", err)
	}
}

// jumped tells whether the anchors say something else than the clock does now.
func (c *committer) jumped(now clock.Reading) bool {
	last := c.state.last
	off := now.Wall.Sub(last.Wall) - now.Boot.Sub(last.Boot)
	return now.Synced != last.Synced || off.Abs() > jump
}

// fail gives the file up: nobody knows what is in it.
func (c *committer) fail(err error) {
	if c.file != nil {
		c.file.Close() // an error would say nothing new
		c.file = nil
	}
	c.stale = true
	c.backoff = min(max(2*c.backoff, retryFirst), retryLast)
	c.retryAt = c.clock.Now().Add(c.backoff)
	c.mu.Lock()
	first := c.degraded == nil
	c.degraded = err
	c.stats.Errors++
	c.mu.Unlock()
	if first {
		c.log.Error("leases cannot be stored; no new ones are given out until they can", "error", err)
	}
}

// renew writes all that is known to a new file and goes on with that.
func (c *committer) renew() {
	name := temp()
	f, size, err := c.dump(name, c.now())
	if err == nil {
		if err = c.install(name); err != nil {
			f.Close()
			c.remove(name)
		}
	}
	if err != nil {
		c.fail(fmt.Errorf("cannot write lease journal: %w", err))
		return
	}
	c.adopt(f, size)
}

// adopt goes on with a file that is in place.
func (c *committer) adopt(f File, size int64) {
	c.file, c.size, c.base, c.backoff = f, size, size, 0
	c.mu.Lock()
	was := c.degraded
	c.degraded = nil
	c.stats.Size = size
	c.stats.Compactions++
	c.stats.Bytes += uint64(size)
	c.mu.Unlock()
	if was != nil {
		c.log.Info("leases can be stored again")
	}
}

// now is the state with the present time.
func (c *committer) now() [][]byte {
	now := c.clock.Read()
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	c.state.anchor(now)
	return c.state.snapshot()
}

// temp is a name that there has never been: were it used twice, a rename that reaches the disk before the creation
// that it follows would put the older file of that name in the journal's place.
func temp() string { return tempPrefix + rand.Text() }

// dump writes a new file, which is on the disk when it returns, but has no durable name.
func (c *committer) dump(name string, payloads [][]byte) (File, int64, error) {
	f, err := c.fs.Create(name)
	if err != nil {
		return nil, 0, err
	}
	size := 0
	for _, p := range payloads {
		size += header + len(p)
	}
	b := make([]byte, 0, size)
	for _, p := range payloads {
		if b, err = appendFrame(b, func(b []byte) []byte { return append(b, p...) }); err != nil {
			c.check(err) // cannot be: each has been a frame before
		}
	}
	if err := put(f, b); err != nil {
		f.Close()
		c.remove(name) // it takes the room that the next one needs
		return nil, 0, err
	}
	return f, int64(len(b)), nil
}

// install makes a file the journal. If only the last step fails, either name may survive a power cut; both files hold
// all that was acknowledged, but nothing may be added to the new one.
func (c *committer) install(name string) error {
	if err := c.fs.Rename(name, fileName); err != nil {
		return err
	}
	return c.fs.SyncDir()
}

func (c *committer) mayCompact() {
	if c.compact != nil || c.file == nil || c.size < c.compactAt || c.size < 2*c.base {
		return
	}
	c.compact, c.tail, c.stale = make(chan compacted, 1), nil, false
	payloads, result := c.state.snapshot(), c.compact
	go func() {
		name := temp()
		f, size, err := c.dump(name, payloads)
		result <- compacted{name, f, size, err}
	}()
}

// replace ends a compaction: what was committed meanwhile is added, and the new file takes the old one's place.
func (c *committer) replace(r compacted) {
	tail, stale := c.tail, c.stale
	c.compact, c.tail, c.stale = nil, nil, false
	if r.err != nil {
		c.base = c.size // not again before it has doubled
		c.log.Warn("cannot compact lease journal", "error", r.err)
		return
	}
	if stale {
		r.file.Close()
		c.remove(r.name)
		return
	}
	var err error
	if len(tail) > 0 {
		err = put(r.file, tail)
	}
	if err != nil {
		r.file.Close()
		c.remove(r.name)
		c.base = c.size
		c.log.Warn("cannot compact lease journal", "error", err)
		return
	}
	if err := c.install(r.name); err != nil {
		r.file.Close()
		c.remove(r.name)
		c.fail(fmt.Errorf("cannot compact lease journal: %w", err))
		return
	}
	c.file.Close() // the old one, which nobody reads again
	c.adopt(r.file, r.size+int64(len(tail)))
}

// end writes the time, for the next boot, and leaves.
func (c *committer) end() {
	if c.compact != nil {
		if r := <-c.compact; r.err == nil {
			r.file.Close()
			c.remove(r.name)
		}
	}
	if c.file == nil {
		return
	}
	now := c.clock.Read()
	frame, err := appendFrame(nil, func(b []byte) []byte { return appendAnchor(b, now) })
	if err == nil {
		err = put(c.file, frame)
	}
	if err := errors.Join(err, c.file.Close()); err != nil {
		c.fail(err)
	}
}
