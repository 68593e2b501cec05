package hosts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// MaxSize is the largest file that is read, in bytes: some half a million lines.
const MaxSize = 16 << 20

// Poll is how often Run looks for changes. By stat(2) and not inotify: editors and configuration tools replace files,
// directories may not be there yet, and network file systems tell nothing.
const Poll = 3 * time.Second

// Files are some hosts files, read again when they change. The zero value is not ready; see New.
type Files struct {
	paths []string
	clock clock.Waker
	log   *slog.Logger

	table atomic.Pointer[Table]

	mu   sync.Mutex // one reload at a time
	seen []seen
}

// seen is what a file was like when it was read.
type seen struct {
	info fs.FileInfo // nil: not there
	data []byte
	// racy: it was written so shortly before it was read that it may have been written again without a change of
	// its time stamp, which the kernel takes from the last tick.
	racy bool
}

// New makes Files that have been read once. Files that are not there are empty until they appear. The logger may be
// nil.
func New(paths []string, c clock.Waker, log *slog.Logger) *Files {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Files{paths: paths, clock: c, log: log, seen: make([]seen, len(paths))}
	f.table.Store(newParser().t)
	_ = f.Reload() // logged, and a state that may end
	return f
}

// Table returns what the files said when they were read last.
func (f *Files) Table() *Table { return f.table.Load() }

// Addrs, Name and Below are those of the present Table.
func (f *Files) Addrs(name string) []netip.Addr { return f.Table().Addrs(name) }

func (f *Files) Name(addr netip.Addr) (string, bool) { return f.Table().Name(addr) }

func (f *Files) Below(name string) bool { return f.Table().Below(name) }

// Reload reads all files again. A file that cannot be read keeps what it said before; the error names it.
func (f *Files) Reload() error { return f.reload(true) }

// Check reads the files again if one of them has changed.
func (f *Files) Check() error { return f.reload(false) }

// Run calls Check every Poll until the context ends.
func (f *Files) Run(ctx context.Context) error {
	for {
		due, stop := f.clock.After(f.clock.Now().Add(Poll))
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-due:
			stop()
			_ = f.Check() // logged
		}
	}
}

func (f *Files) reload(all bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	changed := all
	for i, path := range f.paths {
		had := f.seen[i]
		info, err := os.Stat(path)
		if !all && err == nil && !had.racy && same(had.info, info) {
			continue
		}
		if !all && errors.Is(err, fs.ErrNotExist) && had.info == nil {
			continue
		}
		s, err := f.read(path)
		if err != nil {
			// Not again before it changes: a file that is too large would fill the log.
			if f.seen[i].info, f.seen[i].racy = info, false; s.info != nil {
				f.seen[i].info = s.info
			}
			errs = append(errs, err)
			f.log.Error("hosts file not read, what it said before stays in force", "file", path, "error", err)
			continue
		}
		if string(s.data) != string(had.data) {
			changed = true
		}
		f.seen[i] = s
	}
	if !changed {
		return errors.Join(errs...)
	}
	p := newParser()
	for i, path := range f.paths {
		p.parse(path, f.seen[i].data)
	}
	f.table.Store(p.t)
	for _, problem := range p.problems {
		f.log.Warn("skipped in hosts file", "file", problem.File, "line", problem.Line, "why", problem.Why)
	}
	if n := p.skipped - len(p.problems); n > 0 {
		f.log.Warn("skipped in hosts files", "more", n)
	}
	f.log.Info("hosts files read", "files", len(f.paths), "names", p.t.Len(), "skipped", p.skipped)
	return errors.Join(errs...)
}

func (f *Files) read(path string) (seen, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seen{}, nil
	}
	if err != nil {
		return seen{}, fmt.Errorf("cannot open hosts file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return seen{}, fmt.Errorf("cannot look at hosts file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return seen{info: info}, fmt.Errorf("cannot read hosts file %s: not a regular file", path)
	}
	s := seen{info: info, racy: f.clock.Read().Wall.Sub(info.ModTime()).Abs() < 2*time.Second}
	s.data, err = io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return seen{info: info}, fmt.Errorf("cannot read hosts file: %w", err)
	}
	if len(s.data) > MaxSize {
		return seen{info: info}, fmt.Errorf("cannot use hosts file %s: larger than %d bytes", path, MaxSize)
	}
	return s, nil
}

func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
