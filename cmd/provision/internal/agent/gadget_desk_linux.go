package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/gadget/verdict"
	"github.com/provision-net/provision/provision/host"
	lamp "github.com/provision-net/provision/provision/host/led"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

func gadgetFile(gadget, name string) string {
	return usbgadget.Mount + "/usb_gadget/" + gadget + "/" + name
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}

// desk keeps what is known of hosts, and has the light.
type desk struct {
	of   *following
	lamp *lamp.Lamp
	dark error // why there is no light

	mu    sync.Mutex
	hosts map[string]netip.Addr // by the link
	any   bool                  // as it was told last
}

// ledMemory keeps what the light was.
const ledMemory = "/run/provision/gadget-led.json"

func newDesk(root *host.Root, d gadget.Device, of *following) *desk {
	k := &desk{of: of, hosts: map[string]netip.Addr{}}
	if d.LED == "none" {
		k.dark = lamp.ErrNone
		return k
	}
	names, err := lamp.Names(root)
	if err == nil {
		var name string
		if name, err = lamp.Choose(names, d.LED); err == nil {
			k.lamp, err = lamp.Take(root, lamp.File(ledMemory), name)
		}
	}
	k.dark = err
	return k
}

func (k *desk) close(log *slog.Logger) {
	if k.lamp == nil {
		return
	}
	if err := k.lamp.Giveback(); err != nil {
		log.Warn("the light is not given back", "light", k.lamp.Name(), "error", err)
	}
}

// Show implements life.Desk. A board without a light has nothing to show.
func (k *desk) Show(_ context.Context, s led.State) error {
	if k.lamp == nil {
		if errors.Is(k.dark, lamp.ErrNone) {
			return nil
		}
		return k.dark
	}
	iface := ""
	if l := k.of.links(); len(l) > 0 {
		iface = l[0].Name
	}
	var list []lamp.Pattern
	for _, p := range led.Patterns(s, iface) {
		one := lamp.Pattern{Trigger: p.Trigger}
		for _, a := range p.Attrs {
			one.Attrs = append(one.Attrs, lamp.Attr(a))
		}
		list = append(list, one)
	}
	return k.lamp.Show(list)
}

// Save implements life.Desk.
func (k *desk) Save(_ context.Context, t verdict.Table) error {
	text, err := t.Encode()
	if err != nil {
		return err
	}
	// A table that is lost is soon gained again, so nothing is synced.
	name := filepath.Join(k.of.watch.root, HostsPath)
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return fmt.Errorf("cannot keep what is known of hosts: %w", err)
	}
	return os.Rename(name+".new", name)
}

func (k *desk) met(link string, a netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hosts[link] = a
}

// leased notes whether the host on a link has a lease; any: some host has one.
func (k *desk) leased(link string, up bool) (any, changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !up {
		delete(k.hosts, link)
	}
	was := k.any
	k.any = len(k.hosts) > 0
	return k.any, k.any != was
}

// probe sends each host something that it answers, or refuses: a datagram to the discard port.
func (k *desk) probe(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, a := range k.hosts {
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", netip.AddrPortFrom(a, 9).String())
		if err == nil {
			_, err = conn.Write([]byte{0})
			conn.Close()
		}
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// around is what the machine reaches elsewhere: ways out, and networks that a link's overlap with.
func around(list []GadgetLink) (life.Ways, []life.Overlap) {
	own := map[string]bool{"lo": true}
	for _, l := range list {
		own[l.Name] = true
		for _, p := range l.Ports {
			own[p] = true
		}
	}
	var ways life.Ways
	var clash []life.Overlap
	for _, r := range routes4() {
		if own[r.dev] {
			continue
		}
		if r.to.Bits() == 0 {
			if tunnel(r.dev) {
				ways.Tunnel = true
			} else {
				ways.Uplink = true
			}
			continue
		}
		if r.to.Bits() < 8 && tunnel(r.dev) { // the two halves of everything
			ways.Tunnel = true
			continue
		}
		for _, l := range list {
			for _, a := range l.Addresses {
				if a.Addr().Is4() && a.Overlaps(r.to) {
					clash = append(clash, life.Overlap{Ours: a.Masked(), Theirs: r.to, Device: r.dev})
				}
			}
		}
	}
	return ways, clash
}

type route4 struct {
	dev string
	to  netip.Prefix
}

// routes4 reads the route file of proc_net(5): the kernel's main table, in its own byte order.
func routes4() []route4 {
	text, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		return nil
	}
	var out []route4
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		to, ok1 := hexAddr(f[1])
		mask, ok2 := hexAddr(f[7])
		if !ok1 || !ok2 {
			continue
		}
		m := mask.As4()
		ones, bits := net.IPMask(m[:]).Size()
		if bits == 0 {
			continue
		}
		out = append(out, route4{f[0], netip.PrefixFrom(to, ones)})
	}
	return out
}

// tunnel reports whether a device is one: it has no link layer, or says so.
func tunnel(dev string) bool {
	kind := sysfs("/sys/class/net/" + dev + "/type")
	if kind == "65534" || kind == "776" || kind == "768" { // ARPHRD_NONE, ARPHRD_SIT, ARPHRD_TUNNEL
		return true
	}
	text, _ := os.ReadFile("/sys/class/net/" + dev + "/uevent")
	return strings.Contains(string(text), "DEVTYPE=wireguard")
}

// hexAddr reads an address as the kernel prints a word of its memory.
func hexAddr(s string) (netip.Addr, bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b), true
}
