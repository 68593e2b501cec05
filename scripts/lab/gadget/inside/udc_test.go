//go:build lab && linux

package inside

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/gadget/verdict"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/udc"
	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// told collects what a watcher tells.
type told struct {
	t    testing.TB
	mu   sync.Mutex
	list []string
	also func(udc.Event)
}

func (w *told) emit(e udc.Event) {
	w.mu.Lock()
	w.list = append(w.list, fmt.Sprintf("%s %s %s", map[udc.Kind]string{udc.State: "state", udc.Added: "added", udc.Removed: "removed", udc.Bound: "bound", udc.Logged: "logged", udc.Lost: "lost"}[e.Kind], e.UDC, e.Value))
	w.mu.Unlock()
	if w.also != nil {
		w.also(e)
	}
}

// await waits until something was told, and forgets what was told up to it.
func (w *told) await(what string) {
	w.t.Helper()
	lab.Await(w.t, 10*time.Second, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.list, func(s string) bool { return strings.HasPrefix(s, what) })
		if i < 0 {
			return fmt.Errorf("%q is not told; told is %q", what, w.list)
		}
		w.t.Logf("%q", w.list[:i+1])
		w.list = w.list[i+1:]
		return nil
	})
}

func follow(t testing.TB, also func(udc.Event)) *told {
	t.Helper()
	w, err := udc.Open("/sys")
	if err != nil {
		t.Fatal(err)
	}
	all := &told{t: t, also: also}
	w.Emit = all.emit
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return all
}

// TestUDCEvents: all that happens to a controller is told, none of it by looking again and again.
func TestUDCEvents(t *testing.T) {
	bed.Vanish(t)
	w := follow(t, nil)
	bed.Controllers(t, 1)
	w.await("added dummy_udc.0")
	w.await("state dummy_udc.0 not attached")
	made := bed.ByHandFile(t)
	// No network function: a controller that comes again after one may refuse the next (see life.Cable).
	bed.Sh(t, made+" up acm")
	w.await("bound dummy_udc.0 byhand")
	w.await("state dummy_udc.0 configured")
	bed.Plugged(t, 0)
	bed.Power(t, 0, false)
	bed.Gone(t, 0)
	bed.Power(t, 0, true)
	bed.Plugged(t, 0)
	w.await("state dummy_udc.0 configured")
	if err := bed.Write(bed.ConfigFS+"/byhand/UDC", "\n"); err != nil {
		t.Fatal(err)
	}
	w.await("bound dummy_udc.0 ")
	if s := bed.State(0); s != "configured" {
		t.Logf("this kernel's controller says %q without a gadget", s)
	}
	w.await("state dummy_udc.0 not attached") // whatever the controller says, without a gadget
	bed.Sh(t, made+" down")
	bed.Vanish(t)
	w.await("state dummy_udc.0 ")
	w.await("removed dummy_udc.0")
	bed.Controllers(t, 1)
	w.await("added dummy_udc.0")
}

// TestUDCDriver: the driver of a controller is taken off and put on.
func TestUDCDriver(t *testing.T) {
	bed.Controllers(t, 1)
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	c := udc.Control{Files: root, UDC: bed.UDC(0), Pause: 100 * time.Millisecond}
	device, driver, err := c.Driver()
	if err != nil || device != "dummy_udc.0" || driver != "/sys/bus/platform/drivers/dummy_udc" {
		t.Fatalf("%q %q %v", device, driver, err)
	}
	w := follow(t, nil)
	w.await("state dummy_udc.0 not attached")
	if err := c.RebindDriver(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.await("removed dummy_udc.0")
	w.await("added dummy_udc.0")
	if s, err := c.State(); s != "not attached" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

// board is a gadget that was made by hand, in the hands of package life.
type board struct {
	t       testing.TB
	control udc.Control
	made    string // functions
	mu      sync.Mutex
	did     []string
}

func (b *board) note(s string) {
	b.mu.Lock()
	b.did = append(b.did, s)
	b.mu.Unlock()
}

func (b *board) done() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.did, ", ")
}

func (b *board) Reconnect(ctx context.Context) error {
	b.note("reconnect")
	return b.control.Reconnect(ctx)
}

func (b *board) Rebind(context.Context) error {
	b.note("rebind")
	f := bed.ConfigFS + "/byhand/UDC"
	if err := bed.Write(f, "\n"); err != nil {
		return err
	}
	if err := bed.Write(f, bed.UDC(0)); err != nil {
		return err
	}
	bed.Try("ip link set usb0 up; ip addr add 10.55.0.1/24 dev usb0")
	return nil
}

func (b *board) RebindDriver(ctx context.Context) error {
	b.note("rebind-driver")
	return b.control.RebindDriver(ctx)
}

func (b *board) Switch(_ context.Context, p verdict.Profile) error {
	b.note("switch " + string(p))
	if out, status := bed.Try(b.made + " down; " + b.made + " up " + map[verdict.Profile]string{verdict.Modern: "ncm", verdict.Classic: "rndis"}[p]); status != 0 {
		return fmt.Errorf("status %d: %s", status, out)
	}
	return nil
}
func (b *board) Readdress(context.Context) error { b.note("readdress"); return nil }
func (b *board) Restore(context.Context) error   { b.note("restore"); return nil }
func (b *board) Probe(context.Context) error     { return nil }

// Count also tells the carrier, which the real program hears of by netlink.
func (b *board) Count(context.Context) ([]life.Count, error) {
	list, err := udc.Counters("usb0")
	var out []life.Count
	for _, c := range list {
		out = append(out, life.Count{Link: c.Link, RX: c.RX, TX: c.TX})
	}
	return out, err
}
func (b *board) Save(context.Context, verdict.Table) error { return nil }
func (b *board) Show(_ context.Context, s led.State) error { b.t.Log("light: ", s); return nil }

type clock struct{}

func (clock) Now() time.Time                         { return time.Now() }
func (clock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// lives runs a decider over the real controller.
func lives(t *testing.T, c life.Config) (*board, *life.Runner) {
	t.Helper()
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	b := &board{t: t, control: udc.Control{Files: root, UDC: bed.UDC(0), Pause: 100 * time.Millisecond}, made: bed.ByHandFile(t)}
	events := make(chan life.Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	r := life.NewRunner(c, verdict.Table{}, life.Deps{Events: events, Cable: b, Planner: b, Meter: b, Desk: b, Clock: clock{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	send := func(e life.Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	follow(t, func(e udc.Event) {
		switch e.Kind {
		case udc.State:
			send(life.UDC{State: life.State(e.Value)})
		case udc.Logged:
			send(life.Logged{Line: e.Value})
		}
	})
	go func() { // the real program has netlink for it
		for ctx.Err() == nil {
			list, _ := udc.Counters("usb0")
			send(life.Carrier{Link: "usb0", Up: len(list) > 0 && list[0].Carrier})
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return b, r
}

// TestUDCLifeMended: a host leaves the data interface off, as macOS does; the soft reconnect, which does not work with this controller,
// is found to be none and mended by one rebind, and then the host speaks.
func TestUDCLifeMended(t *testing.T) {
	bed.Controllers(t, 1)
	bed.ByHand(t, "ncm")
	d := bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm")
	bed.Sh(t, "echo "+filepath.Base(d.Interfaces()[0].Dir)+" > /sys/bus/usb/drivers/cdc_ncm/unbind")
	b, r := lives(t, life.Config{Profile: verdict.Modern, Auto: true, Classic: true, Times: life.Times{Nudge: 2 * time.Second, Silence: time.Minute, Mute: time.Minute, Verify: 5 * time.Second}})
	lab.Await(t, 30*time.Second, func() error {
		if did := b.done(); did != "reconnect, rebind" {
			return fmt.Errorf("did %q; %+v", did, r.Status())
		}
		return nil
	})
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm")
	h := bed.NewHost(t)
	h.Plug(0, 0, 1, "usb0")
	h.Client(t, "udhcpc", "usb0").Settled(limit)
	lab.Await(t, 20*time.Second, func() error {
		if s := r.Status(); !s.Spoke || !s.SoftBroken || s.Doing != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if did := b.done(); did != "reconnect, rebind" {
		t.Errorf("did %q", did)
	}
}

// TestUDCLifeClassic: a host without a driver for NCM is given RNDIS, once, and nothing is done for a host that has it.
func TestUDCLifeClassic(t *testing.T) {
	bed.Controllers(t, 1)
	bed.Sh(t, "rmmod cdc_ncm; mkdir -p /run/modprobe.d; mv /lib/modules/$(uname -r)/kernel/drivers/net/usb/cdc_ncm.ko /run/")
	t.Cleanup(func() {
		bed.Sh(t, "mv /run/cdc_ncm.ko /lib/modules/$(uname -r)/kernel/drivers/net/usb/; modprobe cdc_ncm")
	})
	bed.ByHand(t, "ncm")
	b, r := lives(t, life.Config{Profile: verdict.Modern, Auto: true, Classic: true, NoSoft: udc.NoSoft(bed.UDC(0)), Times: life.Times{Silence: 3 * time.Second, Verify: 5 * time.Second}})
	lab.Await(t, time.Minute, func() error {
		if did, s := b.done(), r.Status(); did != "switch classic" || s.Doing != "" {
			return fmt.Errorf("did %q; %+v", did, s)
		}
		return nil
	})
	bed.Plugged(t, 0, "rndis_host", "rndis_host")
	h := bed.NewHost(t)
	h.Plug(0, 0, 1, "usb0")
	h.Client(t, "udhcpc", "usb0").Settled(limit)
	lab.Await(t, 20*time.Second, func() error {
		if s := r.Status(); !s.Spoke || s.Profile != verdict.Classic {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if did := b.done(); did != "switch classic" {
		t.Errorf("did %q", did)
	}
}
