package guard

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts/fib"
)

// Options of a Watch.
type Options struct {
	Sessions []Session
	Log      *slog.Logger     // nil discards
	Now      func() time.Time // nil is time.Now
}

// Watch looks after sessions while effects are made.
type Watch struct {
	log *slog.Logger
	now func() time.Time
	eye eye

	mu       sync.Mutex
	watched  []*watched
	verdicts string // the last report, so it is logged once
}

type watched struct {
	Session
	track track
	last  sample
}

// eye looks at a session; the kernel's is behind it.
type eye interface {
	// look returns what it could see; the error says why the next hop was not asked.
	look(s Session, now time.Time) (sample, error)
	close()
}

// New begins to watch: it asks each next hop once, so that it is known which of them
// answer at all, and takes at most 0.3 s for it. Sessions inside the machine are left
// out. It needs root (packet sockets).
func New(o Options) (*Watch, error) {
	w := &Watch{log: o.Log, now: o.Now}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.now == nil {
		w.now = time.Now
	}
	for _, s := range o.Sessions {
		if s.Kind != fib.Local {
			w.watched = append(w.watched, &watched{Session: s, track: track{name: s.Name()}})
		}
	}
	if len(w.watched) == 0 {
		return w, nil
	}
	var err error
	if w.eye, err = newEye(w.watched); err != nil {
		return nil, err
	}
	if err := w.Check(context.Background()); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Check takes one look and returns an error when a session is lost. It is meant to be
// called again and again, every 50 ms or so; calls that come late or seldom never
// make a session look lost.
func (w *Watch) Check(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lost, report []string
	for _, s := range w.watched {
		if err := ctx.Err(); err != nil {
			return nil // the caller has had enough: that is no loss
		}
		at := w.now()
		look, err := w.eye.look(s.Session, at)
		if err != nil {
			w.log.Debug("cannot ask the next hop", "session", s.Name(), "error", err)
		}
		s.last = look
		if why := s.track.judge(look); why != "" {
			lost = append(lost, why)
		}
		report = append(report, s.track.evidence(look))
	}
	if text := strings.Join(report, "; "); text != w.verdicts {
		w.verdicts = text
		w.log.Debug("sessions", "evidence", text)
	}
	if len(lost) > 0 {
		return errors.New("lost " + strings.Join(lost, "; "))
	}
	return nil
}

// Report says for each watched session what speaks for it, one line each.
func (w *Watch) Report() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, s := range w.watched {
		out = append(out, s.track.evidence(s.last))
	}
	return out
}

// Span is how long to go on after the last effect until a loss that it caused would
// have shown; zero without sessions.
func (w *Watch) Span() time.Duration {
	if len(w.watched) == 0 {
		return 0
	}
	return tcpLimit + 300*time.Millisecond
}

// Close ends the watch; there need not be one.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.eye != nil {
		w.eye.close()
	}
	w.watched = nil
}
