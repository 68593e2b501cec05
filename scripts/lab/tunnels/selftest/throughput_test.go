//go:build lab && linux

package selftest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// slice is how long one measurement lasts, and rounds how many there are of each.
const (
	slice  = time.Second
	rounds = 9
)

// BenchmarkBesideWgQuick sends a TCP stream from the left to the right through a full tunnel that ours
// made and through one of wg-quick(8), in turn, with the same rules, tables and MTU, and prints what each
// carries with its spread. Where the kernel has no WireGuard, wg-quick has wireguard-go.
func BenchmarkBesideWgQuick(b *testing.B) {
	for _, tool := range []string{"wg", "wg-quick"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("skipped: no %s(8); install wireguard-tools", tool)
		}
	}
	for b.Loop() {
		ours, theirs := oursWorld(b), theirsWorld(b)
		var a, c []float64
		for i := range rounds {
			if i%2 == 1 { // who comes first is not always the same
				c = append(c, theirs.carry())
			}
			a = append(a, ours.carry())
			if i%2 == 0 {
				c = append(c, theirs.carry())
			}
		}
		sort.Float64s(a)
		sort.Float64s(c)
		b.Logf("kernel %v: ours %s, wg-quick %s, ratio of the medians %.2f", ours.left.kernel, spread(a), spread(c), a[rounds/2]/c[rounds/2])
		b.ReportMetric(a[rounds/2], "ours-MB/s")
		b.ReportMetric(c[rounds/2], "wg-quick-MB/s")
	}
}

func spread(v []float64) string {
	return fmt.Sprintf("%.1f MB/s (%.1f to %.1f)", v[len(v)/2], v[0], v[len(v)-1])
}

// carry is how many megabytes a second get through.
func (w *world) carry() float64 {
	w.t.Helper()
	var l, c net.Conn
	var server net.Listener
	var err error
	w.right.ns.Do(func() { server, err = net.Listen("tcp4", "10.241.0.2:0") })
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	w.left.ns.Do(func() { c, err = net.DialTimeout("tcp4", server.Addr().String(), patience) })
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

func oursWorld(b *testing.B) *world {
	w := newWorld(b)
	w.left.ns.Sh("sysctl -q -w net.ipv4.conf.all.src_valid_mark=1")
	w.tunnel(right4 + ":2")
	wants := append(device("wg0", key(1), 1, 0xca6c, "10.241.0.1/24", "fd00:241::1/64"), peer(key(2).Public(), right4+":2", 0, "0.0.0.0/0", "::/0"))
	w.left.put(append(wants, full()...)...)
	w.left.ping("10.241.0.2")
	return w
}

// full are the routes and rules of a full tunnel, as wg-quick makes them.
func full() []provision.Want {
	var out []provision.Want
	none := 0
	for _, family := range []int{4, 6} {
		dst := netip.MustParsePrefix("0.0.0.0/0")
		if family == 6 {
			dst = netip.MustParsePrefix("::/0")
		}
		out = append(out,
			route.Want(route.Spec{Key: route.Key{Table: 51820, Dst: dst, Dev: "name:wg0", Metric: 1}}, ""),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: 100, Target: 254}, Suppress: &none}, ""),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: 101, Not: true, Mark: 0xca6c, Mask: 0xffffffff, Target: 51820}}, ""))
	}
	return out
}

// theirsWorld has the same tunnel by wg-quick. Its devices have names that no other world has, because
// all sockets are in one directory.
func theirsWorld(b *testing.B) *world {
	w := newWorld(b)
	env := os.Environ()
	if !w.left.kernel {
		program := filepath.Join(b.TempDir(), "wireguard-go")
		build := exec.Command("go", "build", "-trimpath", "-o", program, "golang.zx2c4.com/wireguard")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Skipf("skipped: cannot build wireguard-go: %v %s", err, out)
		}
		// In a session of its own, as ours: the scheduler shares a busy machine out by sessions (sched(7),
		// autogroup), and that alone is half of the throughput.
		own := filepath.Join(b.TempDir(), "own-session")
		if err := os.WriteFile(own, []byte("#!/bin/sh\nexec setsid "+program+" \"$@\"\n"), 0o755); err != nil {
			b.Fatal(err)
		}
		env = append(env, "WG_QUICK_USERSPACE_IMPLEMENTATION="+own)
	}
	for _, side := range []struct {
		e    *end
		name string
		text string
	}{
		{w.right, "wgqr", fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 2\nAddress = 10.241.0.2/24, fd00:241::2/64\nMTU = 1420\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.241.0.1/32, fd00:241::1/128\n",
			key(2), key(1).Public(), secret)},
		{w.left, "wgql", fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 1\nAddress = 10.241.0.1/24, fd00:241::1/64\nMTU = 1420\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = %s:2\n",
			key(1), key(2).Public(), secret, right4)},
	} {
		conf := filepath.Join(b.TempDir(), side.name+".conf")
		if err := os.WriteFile(conf, []byte(side.text), 0o600); err != nil {
			b.Fatal(err)
		}
		quick := func(verb string) error {
			cmd := exec.Command("wg-quick", verb, conf)
			cmd.Env = env
			var said strings.Builder
			cmd.Stdout, cmd.Stderr = &said, &said
			var err error
			side.e.ns.Do(func() { err = cmd.Run() })
			if err != nil {
				return fmt.Errorf("wg-quick %s: %w: %s", verb, err, said.String())
			}
			return nil
		}
		if err := quick("up"); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := quick("down"); err != nil {
				b.Error(err)
			}
		})
	}
	w.left.ping("10.241.0.2")
	return w
}
