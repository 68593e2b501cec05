//go:build lab && linux

package inside

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestLifeCable pulls the cable and restarts the host: the gadget is left as it is, and the same laptop has the same address again.
func TestLifeCable(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: modern}")
	s := p.up()
	tree := bed.Tree(t, "provision")
	h := bed.NewHost(t)
	c := leased(t, s, h, "udhcpc")
	first := c.Bound(limit)
	for _, way := range []struct {
		name  string
		cable func(d bed.Device, on bool)
	}{
		{"cable", func(d bed.Device, on bool) { d.Authorize(t, on) }},
		{"host reboots", func(d bed.Device, on bool) { d.Driver(t, on) }},
	} {
		c.Stop()
		d := at(t)
		way.cable(d, false)
		wait(t, way.name+": the laptop's NIC to go", func() bool { return !h.Has("usb0") })
		way.cable(d, true)
		h.Plug(0, 0, 1, "usb0")
		c = h.Client(t, "udhcpc", "usb0")
		if a := c.Settled(limit); a != first {
			t.Errorf("%s: leased %v, and %v before", way.name, a, first)
		}
		if now := bed.Tree(t, "provision"); now != tree {
			t.Errorf("%s: the tree has changed:\n%s", way.name, now)
		}
	}
	// A server that was killed comes back to the same.
	c.Stop()
	p.stop(syscall.SIGKILL)
	p.start()
	if a := h.Client(t, "dhcpcd", "usb0").Settled(limit); !s.inside(0, a) {
		t.Errorf("after kill -9: leased %v", a)
	}
}

// TestLifeChange changes the profile while the gadget is plugged in.
func TestLifeChange(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: modern}")
	p.up()
	d := bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	modern, layout := bed.Tree(t, "provision"), d.Attr("bcdDevice")
	p.configure("gadget: {profile: windows}")
	s := p.up()
	d = bed.Plugged(t, 0, "rndis_host", "rndis_host", "cdc_acm", "cdc_acm")
	if now := d.Attr("bcdDevice"); now == layout {
		t.Errorf("bcdDevice stayed %s: Windows would take its old drivers", now)
	}
	leased(t, s, bed.NewHost(t), "udhcpc")
	p.configure("gadget: {profile: modern}")
	p.up()
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	if now := bed.Tree(t, "provision"); now != modern {
		t.Errorf("modern was\n%s\nand is\n%s", modern, now)
	}
}

// TestLifeCycles brings a gadget up and down many times and counts what is left.
func TestLifeCycles(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: modern}")
	cycles := 3 // each is seconds of an emulated processor
	if full() {
		cycles = 50
	}
	cycle := func() {
		p.up()
		p.must("gadget", "down")
		bed.Gone(t, 0)
	}
	cycle() // what is loaded and cached at the first time stays
	before, memory := least(p, 3*time.Second, ""), memoryOf(t, p)
	for range cycles {
		cycle()
	}
	if after := least(p, 20*time.Second, before); after != before {
		t.Errorf("after one cycle: %s; after %d more: %s", before, cycles, after)
	}
	now := memoryOf(t, p)
	t.Logf("after one cycle: %s, %s; after %d more: %s", before, memory, cycles, now)
	// A heap breathes, and the kernel's caches too; what leaks with each cycle is over this after fifty.
	if full() && (now.server > memory.server+8<<10 || now.slab > memory.slab+4<<10) || now.files > memory.files+8 {
		t.Errorf("it has grown: %s became %s", memory, now)
	}
}

// used is what may grow a little: kB of the server's memory (VmRSS) and of what the kernel cannot take back (SUnreclaim), files that the
// server has open.
type used struct{ server, slab, files int }

func (u used) String() string {
	return fmt.Sprintf("server %d kB and %d files, kernel %d kB of slabs", u.server, u.files, u.slab)
}

func memoryOf(t *testing.T, p *pi) used {
	t.Helper()
	kb := func(file, key string) int {
		n, err := strconv.Atoi(strings.TrimSpace(bed.Sh(t, "awk '$1 == \""+key+":\" { print $2 }' "+file)))
		if err != nil {
			t.Fatalf("%s of %s: %v", key, file, err)
		}
		return n
	}
	proc := fmt.Sprintf("/proc/%d", p.serve.Process.Pid)
	open, _ := filepath.Glob(proc + "/fd/*")
	return used{kb(proc+"/status", "VmRSS"), kb("/proc/meminfo", "SUnreclaim"), len(open)}
}

// least counts what must not grow: network devices, the server's sockets (other files of it wait for the garbage collector), what the program has written down, gadgets. The server lets go of
// a link some time after that has gone, so that this looks until it sees want, or for so long; it returns what it has seen last.
func least(p *pi, limit time.Duration, want string) string {
	count := func(pattern string) int { all, _ := filepath.Glob(pattern); return len(all) }
	sockets := func() (n int) {
		all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.serve.Process.Pid))
		for _, f := range all {
			if to, _ := os.Readlink(f); strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	var now string
	for end := time.Now().Add(limit); now != want || want == ""; time.Sleep(50 * time.Millisecond) {
		now = fmt.Sprintf("%d NICs, %d sockets of the server, %d files of state, %d gadgets", count("/sys/class/net/*"), sockets(),
			count("/var/lib/provision/*"), count(bed.ConfigFS+"/*"))
		if time.Now().After(end) {
			break
		}
	}
	return now
}

// TestLifeTwo has two gadgets on two controllers at once, and a laptop at each. (The NIC of the first laptop may have taken usb1 here.)
func TestLifeTwo(t *testing.T) {
	bed.Controllers(t, 2)
	p := newPi(t, `gadget:
  profile: modern
  udc: dummy_udc.0
  more:
    - {name: provision-second, profile: custom, udc: dummy_udc.1, functions: [{type: ecm, interface: second0}]}
`)
	s := p.up()
	if len(s.Links) != 2 {
		t.Fatalf("links %v", s.Links)
	}
	for i := range 2 {
		h := bed.NewHost(t)
		h.Plug(i, 0, 1, "usb0")
		if a := h.Client(t, "udhcpc", "usb0").Settled(limit); !s.inside(i, a) {
			t.Errorf("gadget %d: leased %v of %v", i, a, s.Links)
		}
	}
}
