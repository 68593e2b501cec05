package unit

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/provision-net/provision/provision"
)

// fake has of its unit what the file said when it was read last.
type fake struct {
	have, now State // now: after the files are read again
	fail      string
	did       []string
	conn      context.Context // the connection's, which ends with it
}

func (f *fake) do(what string) error {
	f.did = append(f.did, what)
	if err := f.conn.Err(); err != nil {
		return err
	}
	if what == f.fail {
		return errors.New("no")
	}
	return nil
}
func (f *fake) Reload(context.Context) error {
	f.have = f.now
	return f.do("reload")
}
func (f *fake) State(context.Context, string) (State, error) { return f.have, f.do("state") }
func (f *fake) Restart(_ context.Context, u string) error    { return f.do("restart " + u) }
func (f *fake) Stop(_ context.Context, u string) error       { return f.do("stop " + u) }
func (f *fake) Close()                                       {}

func TestDo(t *testing.T) {
	const u = "provision-watch.service"
	var (
		none   = State{Load: "not-found", Active: "inactive"}
		fresh  = State{Load: "loaded", Active: "inactive"}
		runs   = State{Load: "loaded", Active: "active"}
		stale  = State{Load: "loaded", Active: "active", Stale: true}
		gone   = State{Load: "not-found", Active: "active"}
		masked = State{Load: "masked", Active: "inactive"}
		bad    = State{Load: "bad-setting", Active: "inactive"}
	)
	for name, c := range map[string]struct {
		f    fake
		want []string
		fail bool
	}{
		"its file has come":                     {fake{have: fresh}, []string{"state", "restart " + u}, false},
		"its file has come, to an older system": {fake{have: none, now: fresh}, []string{"state", "reload", "state", "restart " + u}, false},
		"its file has changed":                  {fake{have: stale, now: runs}, []string{"state", "reload", "state", "restart " + u}, false},
		"the change was read for another unit":  {fake{have: runs}, []string{"state", "restart " + u}, false},
		"its file has gone":                     {fake{have: stale, now: gone}, []string{"state", "reload", "state", "stop " + u}, false},
		"gone, and it did not run":              {fake{have: none, now: none}, []string{"state", "reload", "state"}, false},
		"masked":                                {fake{have: masked, now: masked}, []string{"state", "reload", "state"}, false},
		"a file that cannot be read":            {fake{have: bad, now: bad}, []string{"state", "reload", "state"}, true},
		"systemd refuses to read":               {fake{have: stale, now: runs, fail: "reload"}, []string{"state", "reload"}, true},
		"it does not start":                     {fake{have: fresh, fail: "restart " + u}, []string{"state", "restart " + u}, true},
		"it does not stop":                      {fake{have: stale, now: gone, fail: "stop " + u}, []string{"state", "reload", "state", "stop " + u}, true},
		"systemd does not tell enough":          {fake{fail: "state"}, []string{"state"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := &Actor{Open: func(ctx context.Context) (Manager, error) { c.f.conn = ctx; return &c.f, nil }, Log: slog.New(slog.DiscardHandler)}
			err := x.Do(t.Context(), Action(u))
			if (err != nil) != c.fail || !reflect.DeepEqual(c.f.did, c.want) {
				t.Errorf("did %q, %v", c.f.did, err)
			}
		})
	}
}

func TestElsewhere(t *testing.T) {
	x := &Actor{Open: func(context.Context) (Manager, error) { return nil, nil }, Log: slog.New(slog.DiscardHandler)}
	if err := x.Do(t.Context(), Action("provision-watch.service")); err != nil {
		t.Error(err)
	}
	for _, bad := range []provision.Action{{Kind: Kind}, Action(""), Action("x.target"), Action("../x.service"), {Kind: "other", Args: map[string]string{argUnit: "x.service"}}} {
		if x.Do(t.Context(), bad) == nil {
			t.Errorf("%v was carried out", bad)
		}
	}
}
