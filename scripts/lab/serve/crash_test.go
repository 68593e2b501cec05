//go:build lab && linux

package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// crowd is many clients behind one speaker, and what the server has promised them.
type crowd struct {
	s   *bed.Speaker
	cfg bed.Config

	mu    sync.Mutex
	n     uint32
	acked map[netip.Addr]net.HardwareAddr // each address that was acknowledged, and to whom
	fresh []netip.Addr                    // those since the last check
	wrong []string
}

func newCrowd(s *bed.Speaker, cfg bed.Config) *crowd {
	return &crowd{s: s, cfg: cfg, acked: map[netip.Addr]net.HardwareAddr{}}
}

func (c *crowd) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *crowd) next() net.HardwareAddr {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return net.HardwareAddr{2, 0xc0, byte(c.n >> 24), byte(c.n >> 16), byte(c.n >> 8), byte(c.n)}
}

// join is a new client's way to an address; false if there was no answer in time.
func (c *crowd) join(mac net.HardwareAddr, wait time.Duration) (netip.Addr, bool) {
	addr, ok := c.s.Join(mac, c.cfg.Net.Addr(), wait)
	if !ok {
		return netip.Addr{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, taken := c.acked[addr]; taken && !slices.Equal(other, mac) {
		c.wrong = append(c.wrong, fmt.Sprintf("%v was given to %v, and it is %v's", addr, mac, other))
	}
	c.acked[addr] = mac
	c.fresh = append(c.fresh, addr)
	return addr, true
}

// load has n clients join one after the other, each in so many lanes, until ctx ends.
func (c *crowd) load(ctx context.Context, lanes int) {
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for ctx.Err() == nil {
				c.join(c.next(), 300*time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// check has holders renew by unicast and reboot, in turn; all must be acknowledged the address that they have.
func (c *crowd) check(addrs []netip.Addr) {
	var wg sync.WaitGroup
	work := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range work {
				if a := addrs[i]; !c.holds(a, i%2 == 0) {
					c.mu.Lock()
					mac := c.acked[a]
					c.mu.Unlock()
					c.fail("%v was acknowledged to %v and is not any more", a, mac)
				}
			}
		})
	}
	for i := range addrs {
		work <- i
	}
	close(work)
	wg.Wait()
}

// holds says whether an address' holder is acknowledged it again, by renewal or INIT-REBOOT.
func (c *crowd) holds(a netip.Addr, renew bool) bool {
	c.mu.Lock()
	mac := c.acked[a]
	c.mu.Unlock()
	for range 4 { // a packet may be lost on a busy machine
		from, to, mod := zero, bed.Broadcast, requested(a)
		if renew {
			from, to, mod = a, c.cfg.Net.Addr(), ciaddr(a)
			c.s.Own(a, mac)
		}
		p, ok := c.s.Ask(500*time.Millisecond, from, to, bed.Message(mac, dhcpv4.MessageTypeRequest, mod))
		if renew {
			c.s.Disown(a)
		}
		if ok {
			got, _ := netip.AddrFromSlice(p.DHCP.YourIPAddr.To4())
			return p.Kind() == "ACK" && got == a
		}
	}
	return false
}

func (c *crowd) takeFresh() []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fresh
	c.fresh = nil
	return f
}

func (c *crowd) verdict(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.wrong {
		if i == 20 {
			t.Errorf("and %d more", len(c.wrong)-i)
			break
		}
		t.Error(w)
	}
}

// big is a network with room for very many clients.
func big() bed.Config {
	return bed.Config{Net: netip.MustParsePrefix("10.55.0.1/16"), First: netip.MustParseAddr("10.55.1.0"),
		Last: netip.MustParseAddr("10.55.250.255"), Lease: time.Hour}
}

// TestKill9 kills the server under load, again and again. What it has acknowledged must hold after each restart: for the client it
// was acknowledged to, and for nobody else.
func TestKill9(t *testing.T) {
	need(t)
	kills := 50
	if full {
		kills = 1000
	}
	cfg := big()
	s := bed.NewSegment(t)
	server := s.Start(t, ours, cfg)
	c := newCrowd(s.Speaker(t), cfg)
	random := rand.New(rand.NewPCG(1, 2))
	begin := time.Now()
	for range kills {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { c.load(ctx, 8); close(done) }()
		kill := time.NewTimer(time.Duration(20+random.IntN(100)) * time.Millisecond)
		<-kill.C
		if err := server.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-server.Done()
		stop()
		<-done
		server.Spawn(t)
		server.AwaitListening(t)
		c.compare(t, server) // before anybody renews: who is unknown and asks for a free address gets it
		some := c.takeFresh()
		c.mu.Lock()
		for a := range c.acked { // and a few of long ago; the order of a map is random enough
			if len(some)%50 == 49 {
				break
			}
			some = append(some, a)
		}
		c.mu.Unlock()
		c.check(some)
		c.s.Forget()
		// All namespaces together have 1,024 neighbours and no more (arp(7), gc_thresh3), and each renewal makes one.
		if _, err := s.Server.Exec("ip", "neigh", "flush", "dev", bed.Link); err != nil {
			t.Fatal(err)
		}
		if len(c.wrong) > 0 {
			break
		}
	}
	t.Logf("%d kills, %d acknowledged leases, %v", kills, len(c.acked), time.Since(begin).Round(time.Millisecond))
	if len(c.acked) < 10*kills {
		t.Errorf("only %d leases: that is no load", len(c.acked))
	}
	c.compare(t, server)
	c.verdict(t)
}

// compare has every acknowledged address listed as its client's.
func (c *crowd) compare(t *testing.T, server *bed.Running) {
	t.Helper()
	if _, ok := ours.(bed.Provision); !ok {
		return
	}
	lab.Await(t, 5*time.Second, func() error { // the file is there from before the kill; somebody has to listen
		conn, err := net.Dial("unix", bed.Socket(server.Dir))
		if err == nil {
			conn.Close()
		}
		return err
	})
	listed := c.listed(t, server)
	for a, mac := range c.acked {
		if listed[a] != mac.String() {
			c.fail("%v was acknowledged to %v, and the server lists it as %q's", a, mac, listed[a])
		}
	}
}

// listed is what `provision leases` says: who holds which address.
func (c *crowd) listed(t *testing.T, server *bed.Running) map[netip.Addr]string {
	t.Helper()
	out := provision(t, server, "leases", "-o", "json")
	var leases []struct{ Address, MAC, State string }
	if err := json.Unmarshal([]byte(out), &leases); err != nil {
		t.Fatalf("provision leases printed no JSON: %v\n%s", err, out)
	}
	m := map[netip.Addr]string{}
	for _, l := range leases {
		a, err := netip.ParseAddr(l.Address)
		if err != nil {
			t.Fatal(err)
		}
		if l.State == "bound" {
			m[a] = l.MAC
		}
	}
	return m
}

// provision runs a command of ours against a running server.
func provision(t *testing.T, server *bed.Running, args ...string) string {
	t.Helper()
	p := onlyOurs(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Binary, append(args, "--socket", bed.Socket(server.Dir))...)
	out, err := cmd.Output()
	if err != nil {
		var msg []byte
		if x, ok := err.(*exec.ExitError); ok {
			msg = x.Stderr
		}
		t.Fatalf("provision %v: %v\n%s", args, err, msg)
	}
	return string(out)
}

// TestDisk has the lease directory full, and then read-only: who has an address keeps it, nobody new gets one, and all is well again
// as soon as the disk is.
func TestDisk(t *testing.T) {
	need(t)
	onlyOurs(t)
	cfg := big()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	s := bed.NewSegment(t)
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	in := func(command string) {
		t.Helper()
		if _, err := s.Server.Exec("sh", "-c", command); err != nil {
			t.Fatal(err)
		}
	}
	in("mount -t tmpfs -o size=1m,mode=700 tmpfs " + state)
	server := s.StartIn(t, ours, cfg, dir)
	c := newCrowd(s.Speaker(t), cfg)
	for range 20 {
		if _, ok := c.join(c.next(), time.Second); !ok {
			t.Fatal("a client gets no lease on a healthy disk")
		}
	}
	holders := c.takeFresh()
	again := func() {
		if server.PID() != 0 {
			if err := server.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-server.Done()
		}
		server.Spawn(t)
		server.AwaitListening(t)
	}
	heals := func(t *testing.T) {
		t.Helper()
		lab.Await(t, 15*time.Second, func() error {
			if _, ok := c.join(c.next(), 300*time.Millisecond); !ok {
				return fmt.Errorf("the disk is well again, and a new client gets no lease; the server says:\n%s", server.Log(20))
			}
			return nil
		})
		again()
		c.check(append(slices.Clone(holders), c.takeFresh()...))
		c.verdict(t)
	}
	t.Run("full", func(t *testing.T) {
		in("dd if=/dev/zero of=" + state + "/filler bs=4096 2>/dev/null; test -e " + state + "/filler")
		c.check(holders)
		for range 5 {
			c.join(c.next(), 300*time.Millisecond) // there may be room for a few in the last block
		}
		c.check(holders)
		in("rm " + state + "/filler")
		heals(t)
	})
	t.Run("read-only", func(t *testing.T) {
		server.Stop(syscall.SIGTERM) // a file system with files that are written to cannot be made read-only
		in("mount -o remount,ro " + state)
		again()
		c.check(holders)
		for range 5 {
			if a, ok := c.join(c.next(), 300*time.Millisecond); ok {
				t.Errorf("%v was acknowledged, which cannot have been written down", a)
			}
		}
		c.check(holders)
		in("mount -o remount,rw " + state)
		heals(t)
	})
}
