package life

import (
	"strings"
	"time"

	"github.com/provision-net/provision/gadget/verdict"
)

// Config is what the decider knows of the gadget.
type Config struct {
	Profile verdict.Profile // in force at the start
	Auto    bool            // the profile is chosen by what the host can use
	Classic bool            // and classic, with RNDIS, may be chosen
	NCM     bool            // the profile in force has NCM; not looked at with Auto
	// NoSoft: soft_connect is known not to work (the controller of dummy_hcd: connecting after a
	// disconnect fails with EPROTO until it is bound anew).
	NoSoft bool
	// Driver: the controller's driver may be unbound and bound, as the last step. See Cable for why it
	// is not done unless somebody asks for it.
	Driver bool
	Times  Times // zero values are those of DefaultTimes
}

// Times are how long things take.
type Times struct {
	// Settle is how long nobody is there, or the bus is suspended, before it counts as an unplug.
	Settle time.Duration
	// Nudge is after how long a host that has configured the device and left its data interface
	// off, as macOS does with NCM sometimes (Apple developer forums, thread 824727), is
	// reconnected once.
	Nudge time.Duration
	// Silence is how long a host without carrier is waited for before classic, Mute one with.
	Silence, Mute time.Duration
	// Boot is the least of the above once the bus was reset in a plug.
	Boot time.Duration
	// Verify is how long a host may take to come back after an action.
	Verify time.Duration
	// Sample is the pause between readings of the counters while something is undecided.
	Sample time.Duration
	// Window is over how long the counters have to agree with the log, Woken after a resume.
	Window, Woken time.Duration
	// Fresh is how long a complaint in the log counts.
	Fresh time.Duration
	// Steady is how long the device is configured before anything is revived.
	Steady time.Duration
	// Backoff is the least pause between two steps; it doubles.
	Backoff time.Duration
	// Overlap is how long subnets overlap before the addresses move, Move the least time between
	// two moves; it doubles.
	Overlap, Move time.Duration
}

// DefaultTimes are for real hosts. Windows takes up to ten seconds to find a driver, firmware and
// boot loaders some tens of seconds to hand over to a system.
//
//go:noinline
func DefaultTimes() Times {
	return Times{
		Settle: 5 * time.Second, Nudge: 15 * time.Second, Silence: 25 * time.Second, Mute: time.Minute, Boot: 90 * time.Second,
		Verify: 15 * time.Second, Sample: 2 * time.Second, Window: 20 * time.Second, Woken: 8 * time.Second, Fresh: 5 * time.Minute,
		Steady: 20 * time.Second, Backoff: 30 * time.Second, Overlap: 10 * time.Second, Move: 10 * time.Minute,
	}
}

// complete fills in what is zero.
func (t Times) complete() Times {
	d := DefaultTimes()
	for _, f := range []struct{ have, def *time.Duration }{
		{&t.Settle, &d.Settle}, {&t.Nudge, &d.Nudge}, {&t.Silence, &d.Silence}, {&t.Mute, &d.Mute}, {&t.Boot, &d.Boot},
		{&t.Verify, &d.Verify}, {&t.Sample, &d.Sample}, {&t.Window, &d.Window}, {&t.Woken, &d.Woken}, {&t.Fresh, &d.Fresh},
		{&t.Steady, &d.Steady}, {&t.Backoff, &d.Backoff}, {&t.Overlap, &d.Overlap}, {&t.Move, &d.Move},
	} {
		if *f.have <= 0 {
			*f.have = *f.def
		}
	}
	return t
}

// MaxSteps is how many steps that the host sees as an unplug are taken in any hour to revive a
// link; the mending of a failed soft reconnect is counted too.
const MaxSteps = 6

// Complaint reports whether a line of the kernel log says that an endpoint of the controller has
// hung. dwc2 says so in dwc2_hsotg_ep_stop_xfr (drivers/usb/dwc2/gadget.c), the complaint that
// went with the dead links of raspberrypi/linux issues 4181 and 7188. No other controller's
// complaints are known, so links on others are never revived on suspicion.
func Complaint(line string) bool {
	return strings.Contains(line, "ep_stop_xfr: timeout ")
}
