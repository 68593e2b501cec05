package journal

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// benchDir is on a disk: $TMPDIR may be memory, where fdatasync costs nothing.
func benchDir(b *testing.B) string {
	if d := os.Getenv("BENCH_DIR"); d != "" {
		return d
	}
	return b.TempDir()
}

// ceiling is how often a second this disk does an append of n bytes and fdatasync, and nothing else.
func ceiling(b *testing.B, n int) float64 {
	f, err := os.Create(filepath.Join(benchDir(b), "ceiling"))
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	line := make([]byte, n)
	rounds, start := 0, time.Now()
	for ; time.Since(start) < 300*time.Millisecond; rounds++ {
		if err := put(file{f}, line); err != nil {
			b.Fatal(err)
		}
	}
	return float64(rounds) / time.Since(start).Seconds()
}

// BenchmarkCommit has 5,000 live leases and so many clients waiting for their ACK at any time. The ratio is to a loop
// of appends and fdatasyncs on the same disk, one for each commit, as a server without groups would do.
func BenchmarkCommit(b *testing.B) {
	for _, waiting := range []int{1, 32, 256} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			dir, err := os.MkdirTemp(benchDir(b), "journal")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			c := clock.System()
			j, err := openSettled(Options{Dir: dir, Clock: c})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			recs := make([]lease.Record, 5000)
			for i := range recs {
				recs[i] = bound(i, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), c.Now(), time.Hour)
			}
			if err := commit(j, recs...); err != nil {
				b.Fatal(err)
			}
			before := j.Stats()
			alone := ceiling(b, 80)
			slots := make(chan struct{}, waiting)
			var failed atomic.Pointer[error]
			done := func(err error) {
				if err != nil {
					failed.Store(&err)
				}
				<-slots
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				slots <- struct{}{}
				j.Commit(recs[i%len(recs):i%len(recs)+1], done)
				i++
			}
			for range waiting {
				slots <- struct{}{}
			}
			rate := float64(i) / b.Elapsed().Seconds()
			if err := failed.Load(); err != nil {
				b.Fatal(*err)
			}
			st := j.Stats()
			b.ReportMetric(rate, "commits/s")
			b.ReportMetric(alone, "fdatasync/s")
			b.ReportMetric(rate/alone, "ratio")
			b.ReportMetric(float64(i)/float64(st.Writes-before.Writes), "commits/write")
			b.ReportMetric(float64(st.Bytes-before.Bytes)/float64(i), "B/commit")
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	const n = 50_000
	c := clock.System()
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := newState(DefaultHistory)
		for i := range n {
			r := bound(i, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), c.Now(), time.Hour)
			r.Hostname = fmt.Sprintf("host-%d", i)
			if err := s.apply(appendEntry(nil, entry{Record: r})); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/lease")
		runtime.KeepAlive(s)
	}
}

// BenchmarkOpen is a start with 5,000 leases.
func BenchmarkOpen(b *testing.B) {
	dir, c := b.TempDir(), clock.System()
	for b.Loop() {
		j, err := openSettled(Options{Dir: dir, Clock: c})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if len(j.Leases()) == 0 {
			var recs []lease.Record
			for i := range 5000 {
				recs = append(recs, bound(i, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), c.Now(), time.Hour))
			}
			if err := commit(j, recs...); err != nil {
				b.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
