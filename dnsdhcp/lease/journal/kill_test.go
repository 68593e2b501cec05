//go:build unix

package journal

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

const childEnv = "LEASE_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, serve(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var busy = lease.Network{
	Name: "lan", Prefix: netip.MustParsePrefix("10.0.0.0/23"), Pools: []lease.Range{{First: ip("10.0.0.10"), Last: ip("10.0.1.109")}},
}

// serve gives, renews and takes back leases as fast as the disk allows until it is killed. It says each on its standard
// output: "ack" once it is stored, "rel" before it is begun.
func serve(dir string) error {
	c := clock.System()
	j, err := openSettled(Options{Dir: dir, Clock: c, CompactAt: 16 << 10})
	if err != nil {
		return err
	}
	t := lease.NewTable(lease.Options{Clock: c})
	if err := t.Configure([]lease.Network{busy}); err != nil {
		return err
	}
	t.Restore(j.Leases(), c.Now())
	var mu sync.Mutex
	say := func(what string, l lease.Lease) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s %s %x %d\n", what, l.Addr, l.Key, l.Expiry)
	}
	fail := make(chan error)
	const workers, clients = 16, 25
	for w := range workers {
		go func() {
			for {
				k := client(w*clients + rand.IntN(clients)) // each client has one worker
				now := c.Now()
				if l, ok := t.Of("lan", k.Key); ok && l.State == lease.Bound && rand.IntN(8) == 0 {
					say("rel", l)
					if r, ok := t.Release("lan", k.Key, l.Addr, now); ok {
						j.Commit([]lease.Record{*r}, nil)
					}
					continue
				}
				p, err := t.Propose("lan", k, netip.Addr{}, now.Add(time.Minute), now)
				if errors.Is(err, lease.ErrExhausted) { // there are more clients than addresses, so that these change hands
					continue
				}
				if err != nil {
					fail <- err
				}
				l, r, err := t.Bind("lan", k, p.Lease.Addr, now.Add(time.Hour), now)
				if err != nil {
					fail <- err
				}
				if r != nil {
					if err := commit(j, *r); err != nil {
						fail <- err
					}
					t.Written(*r)
				}
				say("ack", l)
			}
		}()
	}
	return <-fail
}

// TestKill kills the server under load again and again: no lease that a client was told of is lost, none is another's.
func TestKill(t *testing.T) {
	kills := 50
	if os.Getenv("PROVISION_SOAK") != "" {
		kills = 1000
	}
	dir := t.TempDir()
	acked := map[netip.Addr]ack{}
	told, torn := 0, 0
	for n := range kills {
		told += killOne(t, dir, acked, time.Duration(5+rand.IntN(40))*time.Millisecond)
		c := clock.System()
		j, err := openSettled(Options{Dir: dir, Clock: c})
		if err != nil {
			t.Fatal(err)
		}
		if d := j.Damage(); d.Middle+d.Bad > 0 {
			t.Fatalf("kill %d: %+v", n, d)
		} else if d.Tail > 0 {
			torn++
		}
		have := map[netip.Addr]lease.Lease{}
		for _, l := range j.Leases() {
			have[l.Addr] = l
		}
		for a, k := range acked {
			if l := have[a]; l.State != lease.Bound || l.Key != k.key || l.Durable < k.expiry {
				t.Fatalf("kill %d: %v was acknowledged to %x until %d, but is %+v", n, a, k.key, k.expiry, l)
			}
		}
		shut(t, j)
	}
	t.Logf("%d kills, %d acknowledgements, %d leases at the end, %d torn tails", kills, told, len(acked), torn)
	if told < kills*10 {
		t.Errorf("only %d acknowledgements", told)
	}
}

// killOne runs a server, kills it a while after its first word and notes what it had said.
func killOne(t *testing.T, dir string, acked map[netip.Addr]ack, after time.Duration) (told int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if timer == nil {
			timer = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		f := strings.Fields(line)
		if err != nil || len(f) != 4 {
			break // a torn line was not heard by anybody
		}
		told++
		addr, key := ip(f[1]), unhex(t, f[2])
		switch f[0] {
		case "ack":
			expiry, _ := strconv.ParseInt(f[3], 10, 64)
			if was, ok := acked[addr]; ok && was.key != key {
				t.Fatalf("%v has a client, %x, and was given to another, %x", addr, was.key, key)
			}
			acked[addr] = ack{key, clock.Instant(expiry)}
		case "rel":
			delete(acked, addr)
		}
	}
	err = cmd.Wait()
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.Exited() {
		t.Fatalf("server ended by itself: %v\n%s", err, stderr.String())
	}
	return told
}

func unhex(t *testing.T, s string) lease.Key {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return lease.Key(b)
}
