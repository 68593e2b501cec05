package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/fetch"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/lists/span"
)

// fetchTimeout is for one registry's file over a slow line.
const fetchTimeout = 5 * time.Minute

// sourceDocs reads documents for lists.
type sourceDocs struct{ root string }

// Read implements lists.Source. A document is read while it comes: on a small machine there is no
// room for all of it.
func (s sourceDocs) Read(ctx context.Context, where string, most int64, known lists.Validator, take func(io.Reader) error) (lists.Validator, bool, error) {
	url := where
	if strings.HasPrefix(where, "/") {
		url = filepath.Join(s.root, where)
	}
	r, w := io.Pipe()
	var resp fetch.Response
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		resp, failed = fetch.Get(ctx, fetch.Request{URL: url, MaxBytes: most, Timeout: fetchTimeout, ETag: known.ETag, LastModified: known.LastModified, To: w})
		if failed == nil && resp.NotModified {
			failed = errSame
		}
		w.CloseWithError(failed) // nil is the end of the document
	})
	err := take(r)
	r.CloseWithError(errEnough) // the fetch must not wait for a reader that has seen enough
	wg.Wait()
	now := lists.Validator{ETag: resp.ETag, LastModified: resp.LastModified}
	switch {
	case errors.Is(failed, errSame):
		return known, true, nil
	case failed != nil && !errors.Is(failed, errEnough):
		return now, false, failed
	}
	return now, false, err
}

var (
	errSame   = errors.New("not modified")
	errEnough = errors.New("enough was read")
)

// refreshLists reads lists anew, keeps what is good, and puts it into the sets that were committed.
// What another process does at the same time is of no harm: copies are replaced whole.
func (a *Agent) refreshLists(ctx context.Context, c lists.Config, names []string, force bool) (ListOutcome, error) {
	begin := time.Now()
	out, now, err := a.gatherLists(ctx, 0, c, names, force)
	if err != nil {
		return out, err
	}
	out.Changed, err = a.refill(ctx, c.WithUpstreams(c.Sets(now)))
	out.Took = time.Since(begin)
	return out, err
}

// gatherLists reads lists anew for at most limit (0: as long as it takes), and keeps what is good. What
// it returns are all copies that there are then.
func (a *Agent) gatherLists(ctx context.Context, limit time.Duration, c lists.Config, names []string, force bool) (ListOutcome, map[string]lists.Copy, error) {
	begin := time.Now()
	out := ListOutcome{Refreshed: []string{}, Changed: []string{}, Problems: []string{}}
	old, errs := a.copies(c)
	for _, err := range errs {
		a.Log.Warn("a list has to be fetched anew", "err", err)
	}
	reading, cancel := ctx, func() {}
	if limit > 0 {
		reading, cancel = context.WithTimeout(ctx, limit)
	}
	if len(names) > 0 {
		provision.Waiting{Text: "reading lists", Limit: limit}.Tell(ctx)
	}
	got := c.Gather(reading, names, old, sourceDocs{a.Root}, begin, force)
	cancel()
	if err := ctx.Err(); err != nil {
		return out, old, err
	}
	root, err := host.OpenRoot(a.Root)
	if err != nil {
		return out, old, err
	}
	defer root.Close()
	for _, n := range names {
		o, ok := got[n]
		switch {
		case !ok:
			continue
		case o.Err != nil:
			out.Problems = append(out.Problems, o.Err.Error())
			continue
		}
		if err := keepList(root, lists.FileName(n), o.Copy.Bytes()); err != nil {
			return out, old, err
		}
		out.Refreshed = append(out.Refreshed, n)
		old[n] = o.Copy
	}
	return out, old, keepList(root, lists.AttemptsFile, a.attempts().After(c, got, begin).Bytes())
}

// firstListsLimit is how long an apply waits for lists that have no copy: what is not there by then the
// watch fetches.
const firstListsLimit = 20 * time.Second

// firstLists fetches lists that rules ask for and that have no copy yet. They are of no use to anybody who
// waits for them until something is committed, so nothing is put in force. The error says which rules would
// block nothing; that a list cannot be had is none, and told.
func (a *Agent) firstLists(ctx context.Context) error {
	c, rules := a.Config.Routing.Lists, a.Config.Routing.Smart
	if len(rules) == 0 || a.offline() || a.goodLists() != nil { // the plan says what is wrong
		return nil
	}
	copies, _ := a.copies(c)
	names, _ := c.Lacks(rules, copies)
	if len(names) == 0 {
		return nil
	}
	a.Log.Info("lists are fetched that have no copy yet", "lists", names, "at most", firstListsLimit)
	out, copies, err := a.gatherLists(ctx, firstListsLimit, c, names, false)
	if err != nil {
		return err
	}
	for _, p := range out.Problems {
		a.Log.Warn("a list could not be fetched: it is empty until `provision watch` or `provision lists refresh` has it", "err", p)
	}
	_, open := c.Lacks(rules, copies)
	if len(open) == 0 {
		return nil
	}
	return fmt.Errorf("refused, nothing was changed: %s could not be fetched, so routing.smart would block nothing of it: `provision lists refresh` says why and tries again (--force applies without it, and `provision watch` fetches it)", strings.Join(open, ", "))
}

// keepList writes a file in the lists' directory, durably.
func keepList(root *host.Root, name string, data []byte) error {
	fail := func(err error) error { return fmt.Errorf("cannot keep %s/%s: %w", lists.Dir, name, err) }
	for _, dir := range []string{filepath.Dir(lists.Dir), lists.Dir} {
		if _, err := root.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			if err := root.Write(dir, host.File{Mode: fs.ModeDir | 0o700, UID: -1, GID: -1}, host.Version{}); err != nil {
				return fail(err)
			}
		}
	}
	path := filepath.Join(lists.Dir, name)
	have, v, err := root.Load(path, 256<<20)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fail(err)
	case err == nil && bytes.Equal(have.Data, data):
		return nil
	}
	if err := root.Write(path, host.File{Data: data, Mode: 0o600, UID: -1, GID: -1}, v); err != nil {
		return fail(err)
	}
	return nil
}

// refill puts the lists' addresses into the sets of what was committed, as part of that commit.
func (a *Agent) refill(ctx context.Context, sets map[string]span.Set) ([]string, error) {
	none := []string{}
	if a.offline() {
		return none, nil
	}
	k, err := a.kept()
	if err != nil {
		return none, err
	}
	ref := nft.Ref(nft.OwnFamily, nft.OwnTable)
	for i, w := range k.Wants {
		if w.Ref != ref {
			continue
		}
		t, err := nft.Parse(w.Attrs[nft.AttrTable])
		if err != nil {
			return none, err
		}
		t, changed := lists.Refill(t, sets)
		if len(changed) == 0 {
			return none, nil
		}
		if err := a.saveSets(&t); err != nil {
			return none, err
		}
		table := provision.Want{Ref: ref, Attrs: provision.Attrs{nft.AttrTable: nft.Format(t)}, Why: w.Why, Mode: w.Mode}
		k.Wants[i] = table
		file, err := kept.Want(k)
		if err != nil {
			return none, err
		}
		e, done, err := a.engine()
		if err != nil {
			return none, err
		}
		defer done()
		if err := e.Amend(ctx, []provision.Want{table, file}); err != nil {
			return none, fmt.Errorf("the lists are kept, and not in force yet: %w", err)
		}
		return changed, a.sweepSets(ctx, e)
	}
	return none, nil // no rule by lists was committed: the next apply takes them from the copies
}

// keepLists refreshes what was committed whenever it is due, until ctx ends.
func (a *Agent) keepLists(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := a.keepListsOnce(ctx)
		timer.Reset(min(max(wait, time.Second), listsLook))
	}
}

// listsLook is how long it takes at most until lists that were committed meanwhile are seen.
const listsLook = time.Minute

// keepListsOnce refreshes what is due and returns how long nothing will be.
func (a *Agent) keepListsOnce(ctx context.Context) time.Duration {
	text, err := a.committed()
	if err != nil || !bytes.Contains(text, []byte(`"lists"`)) {
		return listsLook // what is wrong with the file is said by those who keep it
	}
	k, err := kept.Parse(text)
	if err != nil || len(k.Lists) == 0 {
		return listsLook
	}
	copies, _ := a.copies(k.Lists)
	now := time.Now()
	names, next := k.Lists.Due(copies, a.attempts(), now)
	if len(names) == 0 {
		if next.IsZero() {
			return listsLook
		}
		return next.Sub(now)
	}
	out, err := a.refreshLists(ctx, k.Lists, names, false)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.Log.Error("the lists could not be refreshed", "err", err)
		return listsLook
	default:
		for _, p := range out.Problems {
			a.Log.Warn("a list was not refreshed, its last copy stays", "err", p)
		}
		if len(out.Refreshed) > 0 {
			a.Log.Info("lists were refreshed", "lists", out.Refreshed, "sets", out.Changed, "took", out.Took.Round(time.Millisecond))
		}
	}
	return time.Second
}
