package userspace

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/resource/unit"
)

type log struct {
	did  []string
	fail string
}

func (l *log) do(what string) error {
	l.did = append(l.did, what)
	if l.fail != "" && strings.HasPrefix(what, l.fail) {
		return errors.New("no")
	}
	return nil
}

type fakeSystemd struct{ *log }

func (f fakeSystemd) Reload(context.Context) error { return f.do("reload") }
func (f fakeSystemd) State(context.Context, string) (unit.State, error) {
	return unit.State{}, f.do("state")
}
func (f fakeSystemd) Restart(_ context.Context, u string) error { return f.do("restart " + u) }
func (f fakeSystemd) Stop(_ context.Context, u string) error    { return f.do("stop " + u) }
func (f fakeSystemd) Close()                                    {}

type fakeStarter struct{ *log }

func (f fakeStarter) Start(_ context.Context, name string) error { return f.do("detached " + name) }
func (f fakeStarter) Stop(_ context.Context, name string) error  { return f.do("remove " + name) }

func TestWhoCarriesADevice(t *testing.T) {
	const u = `provision-wireguard@wg\x2dhome.service`
	for what, tt := range map[string]struct {
		unit          string
		away, none    bool
		fail          string
		start, stop   []string
		failed, wrote bool
	}{
		"systemd":               {unit: "text", start: []string{"reload", "restart " + u}, stop: []string{"stop " + u, "remove wg-home"}, wrote: true},
		"another init":          {unit: "text", none: true, start: []string{"detached wg-home"}, stop: []string{"remove wg-home"}},
		"another namespace":     {unit: "text", away: true, start: []string{"detached wg-home"}, stop: []string{"remove wg-home"}},
		"no lasting program":    {start: []string{"detached wg-home"}, stop: []string{"remove wg-home"}},
		"it does not start":     {unit: "text", fail: "restart", start: []string{"reload", "restart " + u}, stop: []string{"stop " + u, "remove wg-home"}, failed: true, wrote: true},
		"not a unit of systemd": {unit: "text", fail: "stop", start: []string{"reload", "restart " + u}, stop: []string{"stop " + u, "remove wg-home"}, wrote: true},
	} {
		t.Run(what, func(t *testing.T) {
			l := &log{fail: tt.fail}
			d := &Devices{Detached: fakeStarter{l}, Unit: tt.unit, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
				Home: func() bool { return !tt.away },
				Open: func(context.Context) (unit.Manager, error) {
					if tt.none {
						return nil, nil
					}
					return fakeSystemd{l}, nil
				}}
			err := d.Start(t.Context(), "wg-home")
			if (err != nil) != tt.failed || !slices.Equal(l.did, tt.start) {
				t.Errorf("start: %q, %v", l.did, err)
			}
			text, err := os.ReadFile(filepath.Join(d.Dir, template))
			if (err == nil) != tt.wrote || tt.wrote && string(text) != tt.unit {
				t.Errorf("the unit: %q, %v", text, err)
			}
			l.did, l.fail = nil, strings.TrimPrefix(tt.fail, "restart")
			if err := d.Stop(t.Context(), "wg-home"); err != nil || !slices.Equal(l.did, tt.stop) {
				t.Errorf("stop: %q, %v", l.did, err)
			}
			// The second time the unit is there.
			l.did, l.fail = nil, ""
			if err := d.Start(t.Context(), "wg-home"); err != nil || slices.Contains(l.did, "reload") {
				t.Errorf("start again: %q, %v", l.did, err)
			}
		})
	}
}

// systemd-escape(1) is the judge.
func TestUnitNames(t *testing.T) {
	escape, err := exec.LookPath("systemd-escape")
	if err != nil {
		t.Skip("skipped: no systemd-escape; install systemd")
	}
	for _, name := range []string{"wg0", "wg-home", ".wg", "a.b_c:d", "wg+1", "ätsch", `back\slash`, "@"} {
		out, err := exec.Command(escape, "--template="+template, "--", name).Output()
		if got := Unit(name); err != nil || got != strings.TrimSpace(string(out)) {
			t.Errorf("%s: %s, systemd says %s, %v", name, got, out, err)
		}
	}
}
