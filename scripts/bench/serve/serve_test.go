//go:build lab && linux

package serve

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

var (
	binary = flag.String("provision", "", "the `program` that is measured beside its peers")
	rounds = flag.Int("rounds", 3, "how often each server is measured, in turn")
)

// servers are those that are measured: ours last, if there is one.
func servers(t *testing.T, peers ...bed.Server) []bed.Server {
	t.Helper()
	if os.Geteuid() != 0 {
		fmt.Println("skipped: namespaces need root")
	}
	lab.Need(t, lab.Serve)
	if *binary == "" {
		fmt.Println("without -provision=FILE only its peers are measured")
		return peers
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		t.Fatal(err)
	}
	return append(peers, bed.Provision{Binary: path})
}

// figures are what was measured, by server, round by round.
type figures struct {
	title, unit string
	more        bool // more is better
	names       []string
	by          map[string][]float64
	skipped     []string
}

func newFigures(title, unit string, more bool) *figures {
	return &figures{title: title, unit: unit, more: more, by: map[string][]float64{}}
}

func (f *figures) add(name string, v float64) {
	if _, ok := f.by[name]; !ok {
		f.names = append(f.names, name)
	}
	f.by[name] = append(f.by[name], v)
}

func (f *figures) skip(name, why string) {
	if line := name + ": skipped: " + why; !slices.Contains(f.skipped, line) {
		f.skipped = append(f.skipped, line)
	}
}

// print gives a line for each server: its median, and the median and range of the ratios round by round, ours to the server's.
func (f *figures) print() {
	better := "less is better"
	if f.more {
		better = "more is better"
	}
	fmt.Printf("\n%s, %s (%s); ratio of ours to the peer's\n", f.title, f.unit, better)
	ours := f.by["provision"]
	for _, n := range f.names {
		line := fmt.Sprintf("  %-12s %12s", n, number(median(f.by[n])))
		if n != "provision" && len(ours) == len(f.by[n]) {
			var r []float64
			for i, v := range f.by[n] {
				if v > 0 {
					r = append(r, ours[i]/v)
				}
			}
			if len(r) > 0 {
				line += fmt.Sprintf("   ratio %7.2f (%.2f .. %.2f)", median(r), slices.Min(r), slices.Max(r))
			}
		}
		fmt.Println(line)
	}
	for _, s := range f.skipped {
		fmt.Println("  " + s)
	}
}

func number(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func dhcp() bed.Config {
	return bed.Config{Net: netip.MustParsePrefix("10.55.0.1/16"), First: netip.MustParseAddr("10.55.1.0"),
		Last: netip.MustParseAddr("10.55.250.255"), Lease: time.Hour, Relayed: netip.MustParsePrefix("10.57.0.0/16")}
}

// station plugs a namespace with an address in.
func station(t *testing.T, s *bed.Segment, addr string) *lab.NetNS {
	t.Helper()
	ns := s.Plug("eth0")
	if _, err := ns.Exec("ip", "addr", "add", addr, "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	return ns
}

// inTurn runs f for each server in each round, in a subtest, so that its world ends with it.
func inTurn(t *testing.T, n int, all []bed.Server, f func(t *testing.T, kind bed.Server)) {
	t.Helper()
	for i := range n {
		for _, kind := range all {
			t.Run(fmt.Sprintf("%s-%d", kind.Name(), i+1), func(t *testing.T) { f(t, kind) })
		}
	}
}

// TestCeiling measures what the disk allows: records of a lease's size appended, one or many before each fdatasync.
func TestCeiling(t *testing.T) {
	dir := t.TempDir()
	fmt.Printf("\nthis disk (%s), records of 100 bytes appended and fdatasync'ed, per second\n", dir)
	for _, group := range []int{1, 8, 64} {
		n, err := appendSync(filepath.Join(dir, "journal"), group, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("  %2d at a time %12d\n", group, n)
	}
}

// TestNewLeases measures acknowledged new leases per second by perfdhcp, with 5,000 live ones at the beginning. The rate is raised
// until a server neither follows nor gains; its best rate counts.
func TestNewLeases(t *testing.T) {
	all := servers(t, bed.Dnsmasq{Usual: true}, bed.Kea{})
	rate, cpu := newFigures("durable new leases with 5,000 live ones", "per second (Kea does not sync)", true), newFigures("the server's CPU time for it", "ms per lease", false)
	inTurn(t, *rounds, all, func(t *testing.T, kind bed.Server) {
		s := bed.NewSegment(t)
		dir := t.TempDir()
		const live = 5000
		ladder := []int{1000, 2500, 5000, 10000, 20000}
		if kind.Name() == "dnsmasq" { // it would take a quarter of a minute to get them one by one
			if err := os.WriteFile(filepath.Join(dir, "leases"), dnsmasqLeases(live), 0o600); err != nil {
				t.Fatal(err)
			}
			ladder = []int{50, 150, 300, 600, 1200}
		}
		r := s.StartIn(t, kind, dhcp(), dir)
		// perfdhcp is a relay agent: it has the network behind it.
		from := station(t, s, "10.57.0.20/16")
		if _, err := from.Exec("ip", "route", "add", "10.55.0.0/16", "dev", "eth0"); err != nil {
			t.Fatal(err)
		}
		if kind.Name() != "dnsmasq" {
			if _, err := perfdhcp(from, 2500, live, 0, "00:0c:01:00:00:00"); err != nil {
				t.Fatal(err)
			}
		}
		best, cost := 0.0, 0.0
		for i, want := range ladder {
			before := cpuTime(r.PID())
			got, err := perfdhcp(from, want, 0, 3*time.Second, fmt.Sprintf("00:0c:%02x:00:00:00", 0x10+i))
			if err != nil {
				t.Fatal(err)
			}
			enough := got < 0.8*float64(want) && got < 1.2*best
			if got > best {
				best, cost = got, (cpuTime(r.PID())-before).Seconds()*1000/(got*3)
			}
			if enough {
				break
			}
		}
		rate.add(kind.Name(), best)
		cpu.add(kind.Name(), cost)
	})
	rate.print()
	cpu.print()
}

func dnsmasqLeases(n int) []byte {
	var b strings.Builder
	a := netip.MustParseAddr("10.57.1.100")
	for i := range n {
		fmt.Fprintf(&b, "%d 00:0c:01:00:%02x:%02x %s * *\n", time.Now().Add(time.Hour).Unix(), i>>8, i&255, a)
		a = a.Next()
	}
	return []byte(b.String())
}

// TestOffers measures how long 50 new clients a second wait for their OFFER while each address is probed before.
func TestOffers(t *testing.T) {
	p99 := newFigures("OFFER, 50 new clients/s, addresses probed, 99th of 100", "ms", false)
	const clients = 400
	for _, kind := range []bed.Server{bed.Kea{}} {
		c := dhcp()
		c.Probe = true
		p99.skip(kind.Name(), kind.Lacks(c))
	}
	inTurn(t, 1, servers(t, bed.Dnsmasq{Usual: true}), func(t *testing.T, kind bed.Server) {
		s := bed.NewSegment(t)
		cfg := dhcp()
		cfg.Probe = true
		s.Start(t, kind, cfg)
		speaker := s.Speaker(t)
		waits := make(chan float64, clients)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range clients {
			<-tick.C
			go func() {
				begin := time.Now()
				// A real client asks again after four seconds (RFC 2131 section 4.1); the server then has two packets to answer.
				mac := net.HardwareAddr{2, 0xbe, 0, 0, byte(i >> 8), byte(i)}
				for range 4 {
					if _, ok := speaker.Ask(4*time.Second, netip.IPv4Unspecified(), bed.Broadcast, bed.Message(mac, 1)); ok {
						break
					}
				}
				waits <- float64(time.Since(begin).Microseconds()) / 1000
			}()
		}
		var all []float64
		for range clients {
			all = append(all, <-waits)
		}
		slices.Sort(all)
		p99.add(kind.Name(), all[len(all)*99/100])
	})
	p99.print()
}

// TestMemory measures the resident memory with 1,000 leases.
func TestMemory(t *testing.T) {
	rss := newFigures("resident memory with 1,000 leases", "MB", false)
	inTurn(t, 1, servers(t, bed.Dnsmasq{Usual: true}, bed.Kea{}), func(t *testing.T, kind bed.Server) {
		s := bed.NewSegment(t)
		r := s.Start(t, kind, dhcp())
		speaker := s.Speaker(t)
		for i := range 1000 {
			for range 3 {
				if _, ok := speaker.Join(net.HardwareAddr{2, 0xbd, 0, 0, byte(i >> 8), byte(i)}, dhcp().Net.Addr(), time.Second); ok {
					break
				}
			}
			if i%100 == 0 {
				speaker.Forget()
			}
		}
		rss.add(kind.Name(), memory(r.PID()))
	})
	rss.print()
}
