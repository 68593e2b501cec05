//go:build lab && linux

package serve

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// askEvery is how fine the start is measured: so often another client asks until the first of them has its OFFER.
const askEvery = 200 * time.Microsecond

// TestStart measures the time from the start of the program to its first OFFER, without probing.
func TestStart(t *testing.T) {
	start := newFigures("start to first OFFER, no probing", "ms", false)
	all := servers(t, bed.Dnsmasq{Usual: true}, bed.Kea{})
	for i, kind := range all {
		if p, ok := kind.(bed.Provision); ok {
			all[i] = bed.Provision{Binary: installed(t, p.Binary)}
		}
	}
	inTurn(t, 1, all[:1], func(t *testing.T, _ bed.Server) { // one world for all, in turn
		s := bed.NewSegment(t)
		wire := openWire(t, s)
		for _, kind := range all {
			s.StartIn(t, kind, dhcp(), t.TempDir()).Stop(15) // the first start is not counted: caches are cold
		}
		// Kea by itself: it is so large that it leaves nothing of the others in the processor's caches.
		for _, turn := range [][]bed.Server{slices.DeleteFunc(slices.Clone(all), isKea), {bed.Kea{}}} {
			for n := range *rounds * 10 {
				for _, kind := range turn {
					r := s.Prepare(t, kind, dhcp())
					// The folder of the leases is there for everybody: it is made once in a machine's life.
					if err := os.MkdirAll(filepath.Join(r.Dir, "state", "serve"), 0o700); err != nil {
						t.Fatal(err)
					}
					start.add(kind.Name(), firstOffer(t, wire, r, byte(n)))
					r.Stop(15)
				}
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

func isKea(s bed.Server) bool { return s.Name() == "kea" }

// openWire is a socket for whole frames at a port of the segment. It is not a bed.Speaker: that reads in the background, by threads
// which the server that starts would have to share the processors with.
func openWire(t *testing.T, s *bed.Segment) int {
	t.Helper()
	ns := s.Plug("eth0")
	fd := -1
	err := ns.Do(func() (err error) {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		const ip = 0x0008 // ETH_P_IP in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: link.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// firstOffer starts a server and returns after how many milliseconds some client had an OFFER.
func firstOffer(t *testing.T, wire int, r *bed.Running, n byte) float64 {
	t.Helper()
	const limit = time.Second
	frames := make([][]byte, limit/askEvery)
	message := bed.Message(net.HardwareAddr{2, 0xbf, n, 0, 0, 0}, 1)
	everybody := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	for i := range frames {
		message[6], message[7], message[32], message[33] = byte(i>>8), byte(i), byte(i>>8), byte(i) // transaction, hardware address
		frames[i] = bed.UDP(net.HardwareAddr(message[28:34]), everybody,
			netip.AddrPortFrom(netip.IPv4Unspecified(), 68), netip.AddrPortFrom(bed.Broadcast, 67), message)
	}
	buf := make([]byte, 2048)
	for { // what the last server has said
		if _, _, err := unix.Recvfrom(wire, buf, 0); err != nil {
			break
		}
	}
	runtime.GC() // not while the server starts
	begin := r.SpawnBare(t)
	asked := 0
	for asked < len(frames) {
		if time.Since(begin) >= time.Duration(asked)*askEvery {
			if _, err := unix.Write(wire, frames[asked]); err != nil {
				t.Fatal(err)
			}
			asked++
		}
		k, _, err := unix.Recvfrom(wire, buf, 0)
		// From port 67, a BOOTREPLY.
		if err == nil && k > 42 && buf[34] == 0 && buf[35] == 67 && buf[42] == 2 {
			return float64(time.Since(begin).Microseconds()) / 1000
		}
		if err != nil {
			// A Go timer is a millisecond late when nothing else happens (epoll_wait(2) counts in those).
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 30_000}, nil)
		}
	}
	t.Fatalf("%s made no OFFER\n%s", r.Name(), r.Log(20))
	return 0
}
