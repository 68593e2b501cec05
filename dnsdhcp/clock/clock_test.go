package clock_test

import (
	"context"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

var (
	_ clock.Waker = clock.System()
	_ clock.Waker = (*clocktest.Fake)(nil)
)

func TestSystem(t *testing.T) {
	c := clock.System()
	before := c.Now()
	r := c.Read()
	if r.Boot < before || c.Now() < r.Boot || before <= 0 {
		t.Errorf("clock went back: %v, %v, %v", before, r.Boot, c.Now())
	}
	if r.BootID == "" || c.Read().BootID != r.BootID {
		t.Errorf("boot id %q, then %q", r.BootID, c.Read().BootID)
	}
	if d := time.Since(r.Wall); d < 0 || d > time.Minute {
		t.Errorf("wall clock off by %v", d)
	}
}

func TestSystemAfter(t *testing.T) {
	c := clock.System()
	for _, at := range []clock.Instant{0, c.Now(), c.Now().Add(20 * time.Millisecond)} {
		due, stop := c.After(at)
		select {
		case <-due:
		case <-time.After(10 * time.Second):
			t.Fatal("not woken")
		}
		if now := c.Now(); now < at {
			t.Errorf("woken at %v for %v", now, at)
		}
		stop()
		stop()
	}
	never, stop := c.After(clock.Never)
	soon, stopSoon := c.After(c.Now().Add(20 * time.Millisecond))
	stopSoon()
	later, stopLater := c.After(c.Now().Add(40 * time.Millisecond))
	<-later
	stopLater()
	select {
	case <-never:
		t.Error("never came")
	case <-soon:
		t.Error("stopped timer fired")
	default:
	}
	stop()
}

func TestFake(t *testing.T) {
	c := clocktest.New()
	due, _ := c.After(c.Now().Add(time.Second))
	gone, stop := c.After(c.Now().Add(time.Second))
	stop()
	c.Advance(time.Second - 1)
	select {
	case <-due:
		t.Fatal("too early")
	default:
	}
	if err := c.Waiters(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(1)
	<-due
	select {
	case <-gone:
		t.Fatal("stopped timer fired")
	default:
	}
	at, _ := c.After(c.Now())
	<-at
	if _, ok := c.Next(); ok {
		t.Error("waiters left")
	}
	c.Reboot("boot-2", time.Unix(0, 0), false)
	if r := c.Read(); r.BootID != "boot-2" || r.Synced || r.Boot != clock.Instant(10*time.Second) {
		t.Errorf("after reboot: %+v", r)
	}
}

func BenchmarkNow(b *testing.B) {
	c := clock.System()
	for b.Loop() {
		c.Now()
	}
}
