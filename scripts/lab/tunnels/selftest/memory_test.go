//go:build lab && linux

package selftest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
)

// A process that is a device holds little memory before, with a hundred peers, and after as many packets
// as it can carry for a while. PROVISION_BINARY names the program that is the device, else it is this
// one. Both ends are in one namespace: what arrives is for nobody, and is counted.
func TestMemory(t *testing.T) {
	e := newEnd(t)
	if e.kernel {
		t.Skip("skipped: the kernel carries the devices")
	}
	from := on("wg0", peer(key(2).Public(), "127.0.0.1:2", 0, "10.243.1.0/24"))
	to := on("wg1", peer(key(1).Public(), "", 0, "10.243.0.1/32"))
	wants := append(device("wg0", key(1), 1, 0, "10.243.0.1/32"), from,
		route.Want(route.Spec{Key: route.Key{Table: route.Main, Dst: netip.MustParsePrefix("10.243.1.0/24"), Dev: "name:wg0"}}, ""))
	wants = append(append(wants, device("wg1", key(2), 2, 0)...), to)
	e.put(wants...)
	pid := e.pid("wg1")
	start := memory(t, pid)
	var others []provision.Want
	for _, w := range many(0, 100) {
		others = append(others, on("wg1", w))
	}
	e.put(others...)
	peers := memory(t, pid)
	var c net.Conn
	var err error
	e.ns.Do(func() { c, err = net.Dial("udp", "10.243.1.1:9") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := e.received("wg1")
	b := make([]byte, 1300)
	until(t, "something arrives", func() bool {
		_, _ = c.Write(b)
		return e.received("wg1") > before
	})
	begin := time.Now()
	before = e.received("wg1")
	for time.Since(begin) < 3*time.Second {
		_, _ = c.Write(b)
	}
	got, took := e.received("wg1")-before, time.Since(begin)
	after := memory(t, pid)
	t.Logf("of the process that receives: at first %s, with 100 peers %s, after %.1f MB/s %s", start, peers, float64(got)/1e6/took.Seconds(), after)
	if got == 0 {
		t.Error("nothing was carried")
	}
	if after.anon > 40<<10 {
		t.Errorf("%d KB are its own", after.anon)
	}
}

func (e *end) received(device string) uint64 {
	var n uint64
	if p := e.read(device).Peer(key(1).Public()); p != nil {
		n = p.Received
	}
	return n
}

// pid is the process that is the device.
func (e *end) pid(device string) string {
	e.t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		b, _ := os.ReadFile(f)
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if bytes.HasSuffix(b, []byte("\x00"+device+"\x00")) && bytes.Contains(env, []byte("="+e.sockets+"\x00")) {
			return filepath.Base(filepath.Dir(f))
		}
	}
	e.t.Fatalf("there is no process of %s", device)
	return ""
}

// resident is memory in KB: of its own, and of the program's file, which others may share.
type resident struct{ anon, file int }

func (r resident) String() string {
	return fmt.Sprintf("%.1f MB (%.1f of its own)", float64(r.anon+r.file)/1024, float64(r.anon)/1024)
}

func memory(t *testing.T, pid string) resident {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	var r resident
	for line := range strings.Lines(string(b)) {
		_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &r.anon)
		_, _ = fmt.Sscanf(line, "RssFile: %d kB", &r.file)
		var shared int // where the file system is in memory
		_, _ = fmt.Sscanf(line, "RssShmem: %d kB", &shared)
		r.file += shared
	}
	return r
}
