//go:build lab && linux

package serve

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// askEvery is how fine the start is measured: so often another client asks until the first of them has its OFFER.
const askEvery = 400 * time.Microsecond

// TestStart measures the time from the start of the program to its first OFFER, without probing.
func TestStart(t *testing.T) {
	start := newFigures("start to first OFFER, no probing", "ms", false)
	all := servers(t, bed.Dnsmasq{}, bed.Kea{})
	for i, kind := range all {
		if p, ok := kind.(bed.Provision); ok {
			all[i] = bed.Provision{Binary: installed(t, p.Binary)}
		}
	}
	inTurn(t, 1, all[:1], func(t *testing.T, _ bed.Server) { // one world for all, in turn
		s := bed.NewSegment(t)
		speaker := s.Speaker(t)
		for _, kind := range all {
			s.StartIn(t, kind, dhcp(), t.TempDir()).Stop(15) // the first start is not counted: caches are cold
		}
		for n := range *rounds * 10 {
			for _, kind := range all {
				r := s.Prepare(t, kind, dhcp())
				start.add(kind.Name(), firstOffer(t, speaker, r, byte(n)))
				r.Stop(15)
			}
		}
	})
	start.print()
}

// installed is a copy of the program. The linker writes by mmap(2), page by page, and the page cache keeps it in single pages, each of
// which is mapped by itself at the start; what was installed was written in one go and is kept in large folios.
func installed(t *testing.T, program string) string {
	t.Helper()
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "provision")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// firstOffer starts a server and returns after how many milliseconds some client had an OFFER.
func firstOffer(t *testing.T, speaker *bed.Speaker, r *bed.Running, n byte) float64 {
	t.Helper()
	const limit = 2 * time.Second
	clients := make([][]byte, limit/askEvery)
	for i := range clients {
		clients[i] = bed.Message(net.HardwareAddr{2, 0xbf, n, 0, byte(i >> 8), byte(i)}, 1)
	}
	offered := make(chan time.Time, len(clients))
	stop := make(chan struct{})
	begin := r.SpawnBare(t)
	go func() {
		for _, c := range clients {
			select {
			case <-stop:
				return
			default:
			}
			go func() {
				if _, ok := speaker.Ask(limit, netip.IPv4Unspecified(), bed.Broadcast, c); ok {
					offered <- time.Now()
				}
			}()
			// A Go timer is a millisecond late when nothing else happens (epoll_wait(2) counts in those).
			_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(askEvery)}, nil)
		}
	}()
	defer close(stop)
	select {
	case at := <-offered:
		return float64(at.Sub(begin).Microseconds()) / 1000
	case <-time.After(limit):
		t.Fatalf("%s made no OFFER\n%s", r.Name(), r.Log(20))
		return 0
	}
}
