package watching

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/routing/watch"
)

// batch runs commands of ip(8) in one process.
func batch(t testing.TB, do func(func()), script string) {
	t.Helper()
	do(func() {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("ip -batch: %v: %s", err, out)
		}
	})
}

// A thousand address changes are few readings, and little work.
func TestStormOfAddresses(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := start(t, n.in, eks(t))
	p.ready()
	before := p.status()
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "addr add 172.16.%d.%d/32 dev eth0\n", i/250, i%250+1)
	}
	for i := range 500 {
		fmt.Fprintf(&b, "addr del 172.16.%d.%d/32 dev eth0\n", i/250, i%250+1)
	}
	b.WriteString("route del default table 2\n")
	at := p.length()
	begin := time.Now()
	batch(t, n.in.Do, b.String())
	storm := time.Since(begin)
	l, _ := p.find(at, "the repair behind the storm", repaired("tables", "IPv4 table 2"))
	took := time.Since(begin)
	after := p.status()
	events, reads := after.Status.Events-before.Status.Events, after.Status.Reads-before.Status.Reads
	t.Logf("%d events in %v: %d readings, %v of processor; repaired %v after the first event that was not read, %v after the storm began", events, storm, reads, after.CPU-before.CPU, l.After, took)
	if events < 1000 || reads > uint64(took/(5*time.Millisecond))+3 || reads > 200 {
		t.Errorf("%d events, %d readings", events, reads)
	}
	if after.Status.Overruns != before.Status.Overruns {
		t.Logf("events were lost %d times", after.Status.Overruns-before.Status.Overruns)
	}
}

// big is a machine with 1,000 NICs, 500 tables and 10,000 rules.
func big(tb testing.TB) func(func()) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("skipped: namespaces need root")
	}
	calls, ready := make(chan func()), make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(calls)
		tb.Skipf("skipped: cannot make a network namespace: %v", err)
	}
	tb.Cleanup(func() { close(calls) })
	do := func(f func()) {
		done := make(chan struct{})
		calls <- func() { defer close(done); f() }
		<-done
	}
	var b strings.Builder
	for i := range 500 {
		gw := fmt.Sprintf("10.%d.%d.1", 1+i/250, i%250)
		fmt.Fprintf(&b, "link add eth%d type veth peer name eth%d\naddr add 10.%d.%d.2/24 dev eth%d\nlink set eth%d up\n", 2*i, 2*i+1, 1+i/250, i%250, 2*i, 2*i)
		fmt.Fprintf(&b, "route add %s dev eth%d scope link table %d\nroute add default via %s dev eth%d table %d\n", gw, 2*i, 1000+i, gw, 2*i, 1000+i)
	}
	for i := range 10000 {
		t := i / 20
		fmt.Fprintf(&b, "rule add from 10.%d.%d.%d lookup %d pref 1536\n", 101+t/250, t%250, 3+i%20, 1000+t)
	}
	batch(tb, do, b.String())
	return do
}

// BenchmarkBig tells what single events and storms cost on it: processor time per event, the
// time until a repair is made, the memory.
func BenchmarkBig(b *testing.B) {
	do := big(b)
	c := childConfig{Watch: watch.Config{Preset: "eks"}, Memory: filepath.Join(b.TempDir(), "watch.json")}
	p := startIn(b, do, c)
	p.ready()
	for _, bench := range []struct {
		name   string
		script func(n int) string
		repair string
	}{
		{"route", func(n int) string { return fmt.Sprintf("route del default table %d\n", 1000+n%500) }, "IPv4 table"},
		{"flap", func(n int) string {
			return fmt.Sprintf("link set eth%d down\nlink set eth%d up\n", 2*(n%500), 2*(n%500))
		}, "IPv4 table"},
		{"rule", func(n int) string {
			return fmt.Sprintf("rule add from 172.16.0.%d lookup 1000 pref 1536\nrule del from 172.16.0.%d lookup 1000 pref 1536\n", n%250, n%250)
		}, ""},
		{"storm", func(n int) string {
			var s strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&s, "rule add from 172.16.%d.%d lookup 1000 pref 1536\n", i/250, i%250)
			}
			for i := range 1000 {
				fmt.Fprintf(&s, "rule del from 172.16.%d.%d lookup 1000 pref 1536\n", i/250, i%250)
			}
			return s.String()
		}, ""},
	} {
		b.Run(bench.name, func(b *testing.B) {
			before := p.status()
			var after []time.Duration
			n := 0
			for b.Loop() {
				at, reads := p.length(), p.status().Status.Reads
				batch(b, do, bench.script(n))
				over := time.Now()
				n++
				if bench.repair != "" {
					l, _ := p.find(at, bench.name, repaired("tables", bench.repair))
					// From when it could be repaired: a flap is over when the link is up again.
					after = append(after, min(l.After, max(0, l.Time.Sub(over))))
				} else {
					poll(b, "a reading", func() bool { return p.status().Status.Reads > reads })
				}
			}
			end := p.status()
			events := end.Status.Events - before.Status.Events
			b.ReportMetric(float64((end.CPU-before.CPU).Microseconds())/float64(max(events, 1)), "us-cpu/event")
			b.ReportMetric(float64(events)/float64(n), "events/op")
			b.ReportMetric(float64(end.Status.Reads-before.Status.Reads)/float64(n), "reads/op")
			b.ReportMetric(float64(end.RSS)/1024, "MiB-peak")
			if len(after) > 0 {
				slices.Sort(after)
				b.ReportMetric(float64(after[len(after)/2].Microseconds())/1000, "ms-repair-median")
				b.ReportMetric(float64(after[len(after)-1].Microseconds())/1000, "ms-repair-most")
			}
		})
	}
}
