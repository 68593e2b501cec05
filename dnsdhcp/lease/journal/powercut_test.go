package journal

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// TestPowerCut cuts the power after every operation on the disk, starts again from everything that the disk may hold
// then, and cuts that start at every operation again: no acknowledged lease is lost, none goes to two clients.
func TestPowerCut(t *testing.T) {
	cuts, images, again := 0, 0, 0
	for seed := range seeds(3) {
		d := newDisk()
		w, err := newWorld(d, seed)
		if err != nil {
			t.Fatal(err)
		}
		bad := error(nil)
		var mu sync.Mutex // a compaction runs beside the committer
		check := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			cuts++
			left, told, then := w.cut(d)
			for _, img := range left {
				for name, c := range boots(then) {
					if bad != nil {
						return
					}
					images++
					if images%16 == 0 {
						img := img.copy()
						img.cut = func(string) {
							for _, twice := range img.images() {
								again++
								if err := after(twice, boots(then)[name], then.Boot, told); err != nil && bad == nil {
									bad = fmt.Errorf("seed %d, cut after %s, %s, and again: %w", seed, what, name, err)
								}
							}
						}
						_ = after(img, c, then.Boot, told) // is checked below
						img.cut = nil
						continue
					}
					if err := after(img.copy(), c, then.Boot, told); err != nil {
						bad = fmt.Errorf("seed %d, cut after %s, %s: %w", seed, what, name, err)
					}
				}
			}
		}
		d.mu.Lock()
		d.cut = check
		d.mu.Unlock()
		for range 25 {
			w.step()
		}
		shut(t, w.j)
		if bad != nil {
			t.Fatal(bad)
		}
		if s := w.j.Stats(); s.Compactions < 2 {
			t.Errorf("seed %d: nothing was compacted: %+v", seed, s)
		}
	}
	t.Logf("cut at %d points, %d images, %d of cut starts", cuts, images, again)
}

// seeds are n, or many more in a soak.
func seeds(n uint64) uint64 {
	if os.Getenv("PROVISION_SOAK") != "" {
		return 50 * n
	}
	return n
}

func (d *disk) copy() *disk {
	c := newDisk()
	for n, i := range d.dir {
		c.dir[n] = &inode{data: i.data, durable: i.durable}
		c.synced[n] = c.dir[n]
	}
	return c
}

// TestFaults lets every operation on the disk fail in each way, alone and for a while, and cuts the power at every
// point from there on.
func TestFaults(t *testing.T) {
	runs, images, step := 0, 0, 8
	if os.Getenv("PROVISION_SOAK") != "" {
		step = 1
	}
	for _, f := range []struct {
		op  string
		err error
	}{
		{"write", errFull}, {"write", errShort}, {"write", errIO}, {"sync", errIO}, {"sync", errFull},
		{"rename", errIO}, {"syncdir", errIO}, {"create", errFull}, {"", errIO},
	} {
		failed := 0
		for _, length := range []int{1, 9} {
			for at := 0; at < 40; at += step {
				d := newDisk()
				seed := uint64(at * length)
				w, err := newWorld(d, seed)
				if err != nil {
					t.Fatal(err)
				}
				hit, bad := 0, error(nil)
				var mu sync.Mutex // of bad and images; hit has the disk's lock
				d.mu.Lock()
				start := d.n
				d.fault = func(op string) error {
					if n := d.n - start; n < at || hit >= length || f.op != "" && op != f.op {
						return nil
					}
					hit++
					return f.err
				}
				d.cut = func(what string) {
					mu.Lock()
					defer mu.Unlock()
					d.mu.Lock()
					none, n := hit == 0, d.n
					d.mu.Unlock()
					if none || bad != nil {
						return
					}
					left, told, then := w.cut(d)
					for i, img := range left {
						for name, c := range boots(then) {
							if (i+n)%6 > 0 && name != "same boot" {
								continue
							}
							images++
							if err := after(img.copy(), c, then.Boot, told); err != nil {
								bad = fmt.Errorf("%s of %q from operation %d on, %d times, cut after %s, %s: %w", f.err, f.op, at, length, what, name, err)
								return
							}
						}
					}
				}
				d.mu.Unlock()
				for range 12 {
					w.step()
				}
				runs++
				d.mu.Lock()
				if hit > 0 {
					failed++
				}
				d.fault, d.cut = nil, nil
				d.mu.Unlock()
				heal(t, w)
				shut(t, w.j)
				if bad != nil {
					t.Fatal(bad)
				}
			}
		}
		if failed == 0 {
			t.Errorf("no run met %v of %q", f.err, f.op)
		}
	}
	t.Logf("%d runs, %d images", runs, images)
}

// heal waits until the journal has come back by itself, on a disk that works again.
func heal(t *testing.T, w *world) {
	t.Helper()
	err := error(nil)
	for range 100 {
		if err = commit(w.j, bound(99, "10.0.0.200", w.clock.Now(), time.Hour)); err == nil {
			return
		}
		w.clock.Advance(retryLast)
	}
	t.Fatalf("still degraded: %v", err)
}
