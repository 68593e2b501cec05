//go:build lab && linux

package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// slice is how long one measurement lasts, and rounds how many there are of each.
const (
	slice  = time.Second
	rounds = 9
)

// BenchmarkBesideWgQuick sends a TCP stream to the far end through a full tunnel that ours made and
// through one of wg-quick(8), in turn, of the same file: with what TestQuick finds to be the same rules,
// tables and marks, and with the same MTU. It prints what each carries with its spread. Where the kernel
// has no WireGuard, wg-quick has wireguard-go.
func BenchmarkBesideWgQuick(b *testing.B) {
	for _, tool := range []string{"wg", "wg-quick"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("skipped: no %s(8); install wireguard-tools", tool)
		}
	}
	text := strings.Replace(tunnelFile(far4+":51820", own4+"/24, "+own6+"/64", "0.0.0.0/0, ::/0"), "[Interface]\n", "[Interface]\nMTU = 1420\n", 1)
	for b.Loop() {
		ours, theirs := newWorld(b), newWorld(b)
		ours.apply(ours.planned(text))
		theirs.quick(text)
		for _, w := range []*world{ours, theirs} {
			w.reaches(target4, true)
			if got := w.client.Sh("ip -o link show dev wg0"); !strings.Contains(got, "mtu 1420") {
				b.Fatalf("another MTU: %s", got)
			}
		}
		var a, c, ratios []float64
		for i := range rounds {
			var x, y float64
			if i%2 == 1 { // who comes first is not always the same
				y = theirs.carry()
			}
			x = ours.carry()
			if i%2 == 0 {
				y = theirs.carry()
			}
			a, c, ratios = append(a, x), append(c, y), append(ratios, x/y)
		}
		b.Logf("kernel %v: ours %s MB/s, wg-quick %s MB/s, ratio round by round %s", ours.kernel, spread(a, 1), spread(c, 1), spread(ratios, 2))
		b.ReportMetric(a[rounds/2], "ours-MB/s")
		b.ReportMetric(c[rounds/2], "wg-quick-MB/s")
	}
}

// spread sorts, and says the median and the ends.
func spread(v []float64, digits int) string {
	sort.Float64s(v)
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, v[len(v)/2], digits, v[0], digits, v[len(v)-1])
}

// carry is how many megabytes a second get through.
func (w *world) carry() float64 {
	w.t.Helper()
	var l, c net.Conn
	var server net.Listener
	var err error
	w.far.Do(func() { server, err = net.Listen("tcp4", target4+":0") })
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	w.client.Do(func() { c, err = net.DialTimeout("tcp4", server.Addr().String(), patience) })
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if l, err = server.Accept(); err != nil {
		w.t.Fatal(err)
	}
	begin := time.Now()
	go func() {
		b := make([]byte, 128<<10)
		for time.Since(begin) < slice {
			if _, err := c.Write(b); err != nil {
				break
			}
		}
		c.Close()
	}()
	n, _ := io.Copy(io.Discard, l)
	l.Close()
	return float64(n) / 1e6 / time.Since(begin).Seconds()
}

// upScript has wg-quick keep a tunnel up until nobody listens any more, with sockets that are nobody
// else's.
const upScript = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/wireguard
wg-quick up "$1" 2>/run/said || { cat /run/said; exit 1; }
trap 'wg-quick down "$1" 2>/dev/null' EXIT
echo up
cat >/dev/null
`

// quick has wg-quick take the file for as long as the test lasts.
func (w *world) quick(text string) {
	w.t.Helper()
	dir := w.t.TempDir()
	file := filepath.Join(dir, "wg0.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "bash", "-c", upScript, "quick", file)
	cmd.Env = os.Environ()
	if !w.kernel {
		cmd.Env = append(cmd.Env, "WG_QUICK_USERSPACE_IMPLEMENTATION="+wireguardGo(w.t, dir))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.client.Do(func() { err = cmd.Start() })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("wg-quick: %v", err)
		}
	})
	said := bufio.NewReader(out)
	if line, _ := said.ReadString('\n'); line != "up\n" {
		rest, _ := io.ReadAll(said)
		w.t.Fatalf("wg-quick up: %s%s", line, rest)
	}
}

// wireguardGo builds it, in a session of its own, as ours: the scheduler shares a busy machine out by
// sessions (sched(7), autogroup), and that alone is half of the throughput.
func wireguardGo(t testing.TB, dir string) string {
	t.Helper()
	program, own := filepath.Join(dir, "wireguard-go"), filepath.Join(dir, "own-session")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "golang.zx2c4.com/wireguard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("skipped: cannot build wireguard-go: %v %s", err, out)
	}
	if err := os.WriteFile(own, []byte("#!/bin/sh\nexec setsid "+program+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return own
}
