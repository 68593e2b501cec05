package journal

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

// A disk that is read-only from the start still shows what it holds, and once it can be written all goes on by itself.
func TestReadOnly(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j := open(t, d, f)
	mustCommit(t, j, bound(1, "10.0.0.10", f.Now(), time.Hour))
	shut(t, j)
	f.Reboot("boot-2", f.Read().Wall, true)
	d.fault = func(string) error { return syscall.EROFS }
	j = open(t, d, f)
	if l := j.Leases(); len(l) != 1 {
		t.Errorf("%+v", l)
	}
	if err := j.Degraded(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("degraded: %v", err)
	}
	if err := commit(j, bound(2, "10.0.0.11", f.Now(), time.Hour)); !errors.Is(err, syscall.EROFS) {
		t.Errorf("acknowledged on a read-only disk: %v", err)
	}
	if err := j.Save("k", []byte("v")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("saved on a read-only disk: %v", err)
	}
	tries, waits := d.n, time.Duration(0)
	for range 20 { // the back-off: 1, 2, 4 ... 60 seconds
		if err := f.Waiters(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		at, _ := f.Next()
		waits += at.Sub(f.Now())
		f.Advance(at.Sub(f.Now()))
		_ = commit(j) // it has looked at the clock
	}
	d.mu.Lock()
	tries = d.n - tries
	healed := make(chan struct{})
	d.fault = nil
	d.cut = func(op string) {
		if op == "sync directory" {
			close(healed)
		}
	}
	d.mu.Unlock()
	if tries > 25 || waits < 10*time.Minute {
		t.Errorf("%d attempts in %v", tries, waits)
	}
	if err := f.Waiters(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.Advance(retryLast)
	<-healed // nobody has committed anything
	d.mu.Lock()
	d.cut = nil
	d.mu.Unlock()
	mustCommit(t, j, bound(2, "10.0.0.11", f.Now(), time.Hour))
	if err := j.Degraded(); err != nil {
		t.Error(err)
	}
	shut(t, j)
	j = open(t, d, f)
	if l := j.Leases(); len(l) != 2 {
		t.Errorf("%+v", l)
	}
	shut(t, j)
}

// A compaction that fails for want of room costs nothing but room.
func TestCompactionFails(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j, err := openSettled(Options{FS: d, Clock: f, CompactAt: 1000})
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.fault = func(op string) error {
		if op == "create" {
			return errFull
		}
		return nil
	}
	d.mu.Unlock()
	for i := range 200 {
		f.Advance(time.Second)
		mustCommit(t, j, bound(i%5, "10.0.0.10", f.Now(), time.Hour))
	}
	if err := j.Degraded(); err != nil {
		t.Error(err)
	}
	shut(t, j)
}

// One record that cannot be stored does not take the others of its group with it.
func TestBadRecord(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j := open(t, d, f)
	bad := bound(1, "10.0.0.10", f.Now(), time.Hour)
	bad.Agent = strings.Repeat("x", maxPayload)
	if err := commit(j, bound(3, "10.0.0.12", f.Now(), time.Hour), bad); !errors.Is(err, errTooLong) {
		t.Error(err)
	}
	bad = bound(1, "::1", f.Now(), time.Hour)
	if err := commit(j, bad); err == nil {
		t.Error("an IPv6 address was stored")
	}
	mustCommit(t, j, bound(2, "10.0.0.11", f.Now(), time.Hour))
	shut(t, j)
	j = open(t, d, f)
	defer shut(t, j)
	if l := j.Leases(); len(l) != 1 || l[0].Addr != ip("10.0.0.11") {
		t.Errorf("%+v", l)
	}
}
