package bed

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Config is what a server shall do, in no server's language. Zero values leave a thing out.
type Config struct {
	Net         netip.Prefix // the server's own address with the length of the subnet
	First, Last netip.Addr   // the pool
	Lease       time.Duration
	T1, T2      time.Duration // sent whatever the client asks for
	Router      bool          // the server is the router
	NameServer  bool          // the server is the name server
	Probe       bool          // look before an address is offered
	RapidCommit bool
	Hosts       []Host
	Domain      string       // announced, and served if there is DNS
	Relayed     netip.Prefix // a network behind a relay agent; its addresses .100 to .199 are given
	Options     []Option
	MDNS        bool // our own server's, no other has it

	RA  *RA
	DNS *DNS
}

// Host is a reservation.
type Host struct {
	Name string
	MAC  string
	Addr netip.Addr
}

// Option is a DHCPv4 option for who asks for it: the name under which Kea and our own server know it, and its value as text.
type Option struct {
	Code  uint8
	Kea   string
	Value []string
}

// RA is what router advertisements say.
type RA struct {
	Prefixes         []netip.Prefix
	Interval         time.Duration // the longest
	Preferred, Valid time.Duration
	Router           bool
	DNS              bool // the server's own address as name server, and Domain to search
}

// DNS is a local domain, records in it, and the way to other name servers.
type DNS struct {
	Domain    string
	Upstreams []string // address#port
	Routes    map[string]string
	CNAMEs    map[string]string
	Records   map[string][]string // name, addresses
	Stale     bool
	Unlimited bool // for benchmarks: no limit per client
}

// Server is a kind of server.
type Server interface {
	Name() string
	// Lacks says why the server cannot do what the configuration says; "" if it can.
	Lacks(c Config) string
	// command writes the server's files below dir and says how it is run and on which UDP ports it then listens.
	command(c Config, dir string) (argv []string, ports []int, err error)
}

// Running is a server that runs on a segment.
type Running struct {
	Server
	*lab.Daemon
	Dir    string // its own files; kept when it is started again
	Config Config

	s     *Segment
	log   *buffer
	ports []int // UDP
}

// Start runs a server on the segment, with the addresses it is configured for, and returns when it listens.
func (s *Segment) Start(t testing.TB, kind Server, c Config) *Running {
	t.Helper()
	return s.StartIn(t, kind, c, t.TempDir())
}

// StartIn is Start with the directory of the server's files.
func (s *Segment) StartIn(t testing.TB, kind Server, c Config, dir string) *Running {
	t.Helper()
	r := s.prepare(t, kind, c, dir)
	r.Again(t, c)
	return r
}

// Prepare readies all that a server needs, and does not start it: Spawn does.
func (s *Segment) Prepare(t testing.TB, kind Server, c Config) *Running {
	t.Helper()
	r := s.prepare(t, kind, c, t.TempDir())
	r.address(c)
	return r
}

func (s *Segment) prepare(t testing.TB, kind Server, c Config, dir string) *Running {
	t.Helper()
	if why := kind.Lacks(c); why != "" {
		t.Skipf("skipped: %s: %s", kind.Name(), why)
	}
	r := &Running{Server: kind, Dir: dir, s: s, log: &buffer{}}
	t.Cleanup(func() {
		if r.Daemon != nil {
			r.Stop(syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", kind.Name(), r.Log(60))
		}
	})
	return r
}

// Again starts a server that was stopped, perhaps with another configuration.
func (r *Running) Again(t testing.TB, c Config) {
	t.Helper()
	r.address(c)
	r.Spawn(t)
	r.AwaitListening(t)
}

func (r *Running) address(c Config) {
	if c.Net != r.Config.Net || (c.RA != nil) != (r.Config.RA != nil) {
		addrs := []netip.Prefix{c.Net}
		if c.RA != nil {
			addrs = append(addrs, Own6)
		}
		r.s.Address(addrs...)
	}
	if c.Relayed.IsValid() {
		r.s.mustIn(r.s.Server, fmt.Sprintf("ip route replace %s dev %s", c.Relayed.Masked(), Link))
	}
	r.Config = c
}

// relayedPool is the pool of Config.Relayed.
func relayedPool(p netip.Prefix) (first, last netip.Addr) {
	a, b := p.Masked().Addr().As4(), p.Masked().Addr().As4()
	a[3], b[3] = 100, 199
	if p.Bits() <= 16 {
		a[2], b[2] = 1, 250
	}
	return netip.AddrFrom4(a), netip.AddrFrom4(b)
}

// Own6 is the server's own IPv6 address.
var Own6 = netip.MustParsePrefix("fd55::1/64")

// Spawn starts the server without a look at addresses and without waiting.
func (r *Running) Spawn(t testing.TB) {
	t.Helper()
	argv, ports, err := r.command(r.Config, r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r.ports = ports
	if r.Daemon, err = r.s.Server.Start(r.log, argv...); err != nil {
		t.Fatal(err)
	}
}

// SpawnBare is Spawn without nsenter, to be measured: the server begins to run at the time that is returned.
func (r *Running) SpawnBare(t testing.TB) time.Time {
	t.Helper()
	argv, ports, err := r.command(r.Config, r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r.ports = ports
	var begin time.Time
	if r.Daemon, begin, err = r.s.Server.StartBare(r.log, argv...); err != nil {
		t.Fatal(err)
	}
	return begin
}

// Configure writes the server's files anew while it runs.
func (r *Running) Configure(t testing.TB, c Config) {
	t.Helper()
	if _, _, err := r.command(c, r.Dir); err != nil {
		t.Fatal(err)
	}
	r.Config = c
}

// AwaitListening returns when the server's UDP ports are open (proc(5), /proc/net/udp).
func (r *Running) AwaitListening(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		open, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", r.s.Server.PID()))
		open6, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp6", r.s.Server.PID()))
		missing := 0
		for _, p := range r.ports {
			// The peer's address, 0, follows upon the port.
			if mark := fmt.Appendf(nil, ":%04X 00000000", p); !bytes.Contains(open, mark) && !bytes.Contains(open6, mark) {
				missing = p
			}
		}
		if missing == 0 {
			return
		}
		select {
		case <-r.Done():
			t.Fatalf("%s ended at once: %v\n%s", r.Name(), r.Err(), r.Log(40))
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not open port %d\n%s", r.Name(), missing, r.Log(40))
		}
	}
}

// Log is the end of what the server has printed.
func (r *Running) Log(lines int) string {
	all := strings.Split(strings.TrimRight(r.log.String(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// buffer is what a daemon has printed; it may be read while it grows.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.b.Len() > 4<<20 {
		b.b.Reset()
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func write(dir, name, text string) (string, error) {
	file := filepath.Join(dir, name)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func netmask(p netip.Prefix) string {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

func seconds(d time.Duration) int { return int(d / time.Second) }
