package unit

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/provision-net/provision/provision"
)

type fake struct {
	load, active string
	fail         string
	did          []string
}

func (f *fake) do(what string) error {
	f.did = append(f.did, what)
	if what == f.fail {
		return errors.New("no")
	}
	return nil
}
func (f *fake) Reload(context.Context) error { return f.do("reload") }
func (f *fake) State(context.Context, string) (string, string, error) {
	return f.load, f.active, f.do("state")
}
func (f *fake) Restart(_ context.Context, u string) error { return f.do("restart " + u) }
func (f *fake) Stop(_ context.Context, u string) error    { return f.do("stop " + u) }
func (f *fake) Close()                                    {}

func TestDo(t *testing.T) {
	const u = "provision-watch.service"
	for name, c := range map[string]struct {
		f    fake
		want []string
		fail bool
	}{
		"its file has come":            {fake{load: "loaded", active: "inactive"}, []string{"reload", "state", "restart " + u}, false},
		"its file has gone":            {fake{load: "not-found", active: "active"}, []string{"reload", "state", "stop " + u}, false},
		"gone, and it did not run":     {fake{load: "not-found", active: "inactive"}, []string{"reload", "state"}, false},
		"masked":                       {fake{load: "masked", active: "inactive"}, []string{"reload", "state"}, false},
		"a file that cannot be read":   {fake{load: "bad-setting", active: "inactive"}, []string{"reload", "state"}, true},
		"systemd refuses to read":      {fake{load: "loaded", fail: "reload"}, []string{"reload"}, true},
		"it does not start":            {fake{load: "loaded", fail: "restart " + u}, []string{"reload", "state", "restart " + u}, true},
		"it does not stop":             {fake{load: "not-found", active: "active", fail: "stop " + u}, []string{"reload", "state", "stop " + u}, true},
		"systemd does not tell enough": {fake{fail: "state"}, []string{"reload", "state"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := &Actor{Open: func(context.Context) (Manager, error) { return &c.f, nil }, Log: slog.New(slog.DiscardHandler)}
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
