package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provision-net/provision/routing/lists"
)

// Bounds of files that are read back.
const (
	maxListRuns = 1 << 20
	maxAttempts = 1 << 20
)

// copies are the last good copies of the lists. One that cannot be read is none; why is told.
func (a *Agent) copies(c lists.Config) (map[string]lists.Copy, []error) {
	out := map[string]lists.Copy{}
	var errs []error
	for n, l := range c {
		if !l.Fetched() {
			continue
		}
		path := filepath.Join(lists.Dir, lists.FileName(n))
		f, err := openRegular(filepath.Join(a.Root, path))
		if err == nil {
			var cp lists.Copy
			if cp, err = lists.ParseCopy(f, maxListRuns); err == nil {
				out[n] = cp
			}
			f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, fmt.Errorf("the copy of list %s in %s cannot be used: %w", n, path, err))
		}
	}
	return out, errs
}

// ListOutcome is what a refresh did.
type ListOutcome struct {
	Refreshed []string      `json:"refreshed"`
	Changed   []string      `json:"changed_sets"`
	Problems  []string      `json:"problems"`
	Took      time.Duration `json:"took_ns"`
}

// attempts are the last ones.
func (a *Agent) attempts() lists.Attempts {
	text, err := readBounded(filepath.Join(a.Root, lists.Dir, lists.AttemptsFile), maxAttempts)
	if err != nil {
		return lists.Attempts{}
	}
	return lists.ParseAttempts(text)
}

// RefreshLists refreshes the named lists of the configuration, or all of them.
func (a *Agent) RefreshLists(ctx context.Context, names []string, force bool) (ListOutcome, error) {
	c := a.Config.Routing.Lists
	if err := a.goodLists(); err != nil {
		return ListOutcome{}, err
	}
	if len(names) == 0 {
		names = c.Names()
	}
	for _, n := range names {
		if _, ok := c[n]; !ok {
			return ListOutcome{}, fmt.Errorf("%w: there is no list %q under routing.lists of %s", ErrConfig, n, a.Source)
		}
	}
	return a.refreshLists(ctx, c, names, force)
}

func (a *Agent) goodLists() error {
	var errs []error
	for _, p := range a.Config.Routing.Lists.Problems(a.Config.Routing.Smart) {
		errs = append(errs, fmt.Errorf("%w: routing.%s: %s", ErrConfig, p.Path, p.Text))
	}
	return errors.Join(errs...)
}

// Lists says how the lists of the configuration stand.
func (a *Agent) Lists() ([]lists.Status, error) {
	if err := a.goodLists(); err != nil {
		return nil, err
	}
	c := a.Config.Routing.Lists
	if _, err := os.ReadDir(filepath.Join(a.Root, lists.Dir)); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("cannot read %s: %w", lists.Dir, err)
	}
	copies, errs := a.copies(c)
	out := c.Report(a.Config.Routing.Smart, copies, a.attempts(), time.Now())
	for i := range out {
		for _, err := range errs {
			if strings.Contains(err.Error(), "list "+out[i].Name+" in ") {
				out[i].Problems = append(out[i].Problems, err.Error())
			}
		}
	}
	return out, nil
}
