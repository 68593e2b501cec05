package journal

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// world is a server of leases in small: a table, a journal, clients, and what those were told.
type world struct {
	clock *clocktest.Fake
	table *lease.Table
	j     *Journal
	rnd   *rand.Rand

	mu    sync.Mutex
	acked map[netip.Addr]ack
}

type ack struct {
	key    lease.Key
	expiry clock.Instant
}

var network = lease.Network{
	Name: "lan", Prefix: netip.MustParsePrefix("10.0.0.0/24"), Pools: []lease.Range{{First: ip("10.0.0.10"), Last: ip("10.0.0.19")}},
}

func newWorld(fs FS, seed uint64) (*world, error) {
	w := &world{clock: clocktest.New(), rnd: rand.New(rand.NewPCG(seed, 1)), acked: map[netip.Addr]ack{}}
	w.table = lease.NewTable(lease.Options{Clock: w.clock, Slack: lease.DefaultSlack})
	if err := w.table.Configure([]lease.Network{network}); err != nil {
		return nil, err
	}
	var err error
	w.j, err = openSettled(Options{FS: fs, Clock: w.clock, CompactAt: 600, History: 5})
	return w, err
}

// step is a few clients at once: the records of one group. It returns when all have been answered or not.
func (w *world) step() {
	now := w.clock.Now()
	var wg sync.WaitGroup
	for _, l := range w.table.Advance(now) {
		w.j.Commit([]lease.Record{l.Record(now)}, nil)
	}
	for _, n := range w.rnd.Perm(16)[:1+w.rnd.IntN(4)] {
		c := client(n)
		if held, ok := w.table.Of("lan", c.Key); ok && held.State == lease.Bound && w.rnd.IntN(4) == 0 {
			w.forget(held.Addr) // it has said so, whether that is written or not
			if rec, ok := w.table.Release("lan", c.Key, held.Addr, now); ok {
				w.j.Commit([]lease.Record{*rec}, nil)
			}
			continue
		}
		p, err := w.table.Propose("lan", c, netip.Addr{}, now.Add(time.Minute), now)
		if err != nil {
			continue
		}
		l, rec, err := w.table.Bind("lan", c, p.Lease.Addr, now.Add(time.Duration(5+w.rnd.IntN(20))*time.Minute), now)
		if err != nil {
			panic(err) // proposed and refused
		}
		if rec == nil {
			w.ack(l)
			continue
		}
		wg.Add(1)
		w.j.Commit([]lease.Record{*rec}, func(err error) {
			defer wg.Done()
			if err == nil {
				w.table.Written(*rec)
				w.ack(l)
			}
		})
	}
	wg.Wait()
	done := make(chan struct{})
	w.j.Commit(nil, func(error) { close(done) })
	<-done
	w.mu.Lock() // see cut
	defer w.mu.Unlock()
	w.clock.Advance(time.Duration(w.rnd.IntN(120)) * time.Second)
}

func (w *world) ack(l lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[l.Addr] = ack{l.Key, l.Expiry}
}

func (w *world) forget(a netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.acked, a)
}

// cut is what the disk may hold if the power fails now, and what clients then believe that they have.
func (w *world) cut(d *disk) ([]*disk, map[netip.Addr]ack, clock.Reading) {
	w.mu.Lock() // no client is told anything, nor says anything, and no time passes, in between
	defer w.mu.Unlock()
	then := w.clock.Read()
	told := map[netip.Addr]ack{}
	for a, k := range w.acked {
		if k.expiry > then.Boot {
			told[a] = k
		}
	}
	return d.images(), told, then
}

// boots are the clocks that the next start may find: of the same boot, of another one with and without the right time.
func boots(now clock.Reading) map[string]*clocktest.Fake {
	same := clocktest.New()
	same.Advance(now.Boot.Sub(same.Now()))
	same.SetWall(now.Wall, now.Synced)
	bare, right := clocktest.New(), clocktest.New()
	bare.Reboot("boot-2", time.Unix(0, 0), false)
	right.Reboot("boot-2", now.Wall.Add(30*time.Second), true)
	return map[string]*clocktest.Fake{"same boot": same, "no clock": bare, "right clock": right}
}

// after opens what a cut has left and returns what is wrong with it.
func after(fs FS, c *clocktest.Fake, then clock.Instant, told map[netip.Addr]ack) error {
	j, err := openSettled(Options{FS: fs, Clock: c, CompactAt: 600, History: 5})
	if err != nil {
		return err
	}
	defer j.Close()
	t := lease.NewTable(lease.Options{Clock: c})
	if err := t.Configure([]lease.Network{network}); err != nil {
		return err
	}
	now := c.Now()
	t.Restore(j.Leases(), now)
	for a, k := range told {
		left := k.expiry.Sub(then)
		if c.Read().BootID == "boot-2" && c.Read().Synced {
			left -= 30 * time.Second
		}
		if left <= 0 {
			continue
		}
		l, ok := t.At(a)
		if !ok || l.State != lease.Bound || l.Key != k.key || l.Expiry.Sub(now) < left {
			return fmt.Errorf("%v was acknowledged to %x for %v more, but is %+v at %v", a, k.key, left, l, now)
		}
		if l, ok := t.Of("lan", k.key); !ok || l.Addr != a {
			return fmt.Errorf("%v was acknowledged to %x, who now has %+v", a, k.key, l)
		}
	}
	for n := range 20 {
		p, err := t.Propose("lan", client(1000+n), netip.Addr{}, now.Add(time.Hour), now)
		if err != nil {
			return nil
		}
		if _, ok := told[p.Lease.Addr]; ok {
			return fmt.Errorf("%v has a client and was proposed to another", p.Lease.Addr)
		}
	}
	return fmt.Errorf("20 clients in a pool of 10")
}

// openSettled is Open, and waits until the file has been written anew: tests look at the disk then.
func openSettled(o Options) (*Journal, error) {
	j, err := Open(o)
	if err == nil {
		<-j.Settled()
	}
	return j, err
}
