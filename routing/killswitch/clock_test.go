package killswitch

import (
	"io/fs"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/wallclock"
)

// chipless is a machine without a clock chip: it boots in 1970, and keeps one file.
type chipless struct {
	now   time.Time
	wrong time.Duration
	saved time.Time
}

func (c *chipless) Now() time.Time                   { return c.now }
func (c *chipless) Set(t time.Time) error            { c.now = t; return nil }
func (c *chipless) MaxError() (time.Duration, error) { return c.wrong, nil }
func (c *chipless) ReadFile(string) ([]byte, error)  { return nil, fs.ErrNotExist }
func (c *chipless) Touch(_ string, t time.Time) error {
	c.saved = t
	return nil
}
func (c *chipless) Time(path string) (time.Time, error) {
	if path != wallclock.Path || c.saved.IsZero() {
		return time.Time{}, fs.ErrNotExist
	}
	return c.saved, nil
}

// A boot in 1970 after a power cut: the saved clock is older than the last handshake, whose time the
// tunnel's peer remembers and does not go behind. The tunnel cannot come up before the clock is
// right, and the clock can be asked for only where the guard and a route let it out.
func TestClockAndTunnelDoNotWaitForEachOther(t *testing.T) {
	truth := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	lastHandshake := truth.Add(-10 * time.Minute)
	ntp := netip.MustParseAddr("192.0.2.123")
	for _, tc := range []struct {
		name  string
		ntp   []string
		saved time.Time
		up    bool
	}{
		{"saved an hour ago, with time servers", []string{"192.0.2.123"}, truth.Add(-time.Hour), true},
		{"nothing saved, with time servers", []string{"192.0.2.123"}, time.Time{}, true},
		{"saved in time, without time servers", nil, truth.Add(-time.Minute), true},
		// The negative control: this is the deadlock.
		{"saved an hour ago, without time servers", nil, truth.Add(-time.Hour), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Tunnel: "wg0", NTP: tc.ntp, BootstrapDNS: []string{"192.0.2.53"}}
			box := &chipless{now: time.Unix(5, 0), wrong: 16 * time.Second, saved: tc.saved}
			clock := wallclock.Clock{Files: box, Kernel: box, Built: truth.AddDate(-1, 0, 0)}
			m := &model{t: t, o: Observation{Missing: []string{"the table"}, Tunnel: TunnelState{Present: true, Up: true}, Uplinks: []Uplink{{Name: "wlan0"}}}}
			if r, err := clock.Restore(); err != nil || !r.Moved() {
				t.Fatal(r, err)
			}
			var s State
			for round := range 4 { // what the world does between two looks
				m.o.Tunnel.Fresh = box.now.After(lastHandshake)
				m.o.Synchronised = clock.Synchronised()
				var err error
				if s, err = c.Settle(t.Context(), m, s, Ask{}, func() time.Duration { return time.Duration(round) * time.Second }); err != nil {
					t.Fatal(err)
				}
				_, closed := m.sets[SetDone][string([]byte{0, 123})]
				if slices.Contains(m.o.Detours.To, ntp) && !closed || m.o.Tunnel.Fresh {
					box.now, box.wrong = truth, time.Millisecond // somebody answers
				}
			}
			if m.o.Tunnel.Fresh != tc.up || clock.Synchronised() != tc.up || s.Status != Armed || !m.o.Forwarding4 {
				t.Errorf("tunnel heard %v, clock right %v, %+v", m.o.Tunnel.Fresh, clock.Synchronised(), s)
			}
			if tc.up && (len(m.o.Detours.To) != 0 || m.live(SetDone) != 2) {
				t.Errorf("the start is still open: detours %v, %d ports closed", m.o.Detours, m.live(SetDone))
			}
		})
	}
}
