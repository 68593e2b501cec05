//go:build lab && linux

package serve

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// appendSync appends records for d and returns how many a second were durable.
func appendSync(file string, group int, d time.Duration) (int, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	records := make([]byte, 100*group)
	begin, n := time.Now(), 0
	for time.Since(begin) < d {
		if _, err := f.Write(records); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		n += group
	}
	return int(float64(n) / time.Since(begin).Seconds()), nil
}

var rateLine = regexp.MustCompile(`Rate: ([0-9.]+) 4-way`)

// perfdhcp asks for leases as a relay agent would, at a rate, each under another hardware address: n of them or for d. It returns the
// complete exchanges per second; perfdhcp ends with status 3 when there were drops, which is no error here.
func perfdhcp(from *lab.NetNS, rate, n int, d time.Duration, mac string) (float64, error) {
	argv := []string{"perfdhcp", "-4", "-r", fmt.Sprint(rate), "-R", "1000000", "-b", "mac=" + mac, "-l", "eth0", "-u"}
	if n > 0 {
		argv = append(argv, "-n", fmt.Sprint(n))
	} else {
		argv = append(argv, "-p", fmt.Sprint(int(d.Seconds())))
	}
	out, err := from.Exec(append(argv, "10.55.0.1")...)
	m := rateLine.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("cannot read what perfdhcp says: %v\n%s", err, out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// cpuTime is what a process has used (proc(5), /proc/pid/stat, fields 14 and 15, in ticks of 10 ms).
func cpuTime(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is the resident memory of a process in MB.
func memory(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// internet answers every A question, on loopback of the server's namespace.
func internet(t *testing.T, ns *lab.NetNS) {
	t.Helper()
	var pc net.PacketConn
	if err := ns.Do(func() (err error) { pc, err = net.ListenPacket("udp", "127.0.0.1:5301"); return err }); err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: net.IP{45, 55, 0, 7}}}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
}

var qpsLine = regexp.MustCompile(`Queries per second: +([0-9.]+)`)

// TestNames measures cached answers per second by dnsperf, and per second of the server's CPU time.
func TestNames(t *testing.T) {
	qps, perCPU := newFigures("cached answers (dnsperf)", "per second", true), newFigures("cached answers", "per second of the server's CPU", true)
	file := filepath.Join(t.TempDir(), "names")
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "host%d.example.com A\n", i)
	}
	if err := os.WriteFile(file, []byte(names.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	inTurn(t, *rounds, servers(t, bed.Dnsmasq{Usual: true}, bed.Unbound{}), func(t *testing.T, kind bed.Server) {
		s := bed.NewSegment(t)
		internet(t, s.Server)
		cfg := bed.Config{Net: dhcp().Net, DNS: &bed.DNS{Domain: "lab.lan", Upstreams: []string{"127.0.0.1#5301"}, Unlimited: true}}
		r := s.Start(t, kind, cfg)
		from := station(t, s, "10.55.0.20/16")
		ask := func(args ...string) (float64, error) {
			out, err := from.Exec(append([]string{"dnsperf", "-s", "10.55.0.1", "-d", file}, args...)...)
			m := qpsLine.FindStringSubmatch(out)
			if err != nil || m == nil {
				return 0, fmt.Errorf("dnsperf: %v\n%s", err, out)
			}
			return strconv.ParseFloat(m[1], 64)
		}
		if _, err := ask("-n", "2", "-c", "1", "-q", "20"); err != nil { // all names are in the cache then
			t.Fatal(err)
		}
		before := cpuTime(r.PID())
		const secs = 4
		got, err := ask("-l", fmt.Sprint(secs), "-c", "8", "-q", "200")
		if err != nil {
			t.Fatal(err)
		}
		qps.add(kind.Name(), got)
		perCPU.add(kind.Name(), got*secs/max((cpuTime(r.PID())-before).Seconds(), 0.01))
	})
	qps.print()
	perCPU.print()
}
