package watching

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/overlay"
)

// far is the other end of a tunnel: it answers pings (RFC 792) of a namespace's device after a time.
type far struct {
	tun   *os.File
	takes map[netip.Addr]time.Duration
}

// newFar makes the device.
func newFar(t *testing.T, ns *nstest.NS, device string, takes map[netip.Addr]time.Duration) {
	t.Helper()
	var fd int
	var err error
	ns.Do(func() {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return
		}
		var r *unix.Ifreq
		if r, err = unix.NewIfreq(device); err == nil {
			r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
		}
	})
	if err != nil {
		t.Skipf("skipped: no device to answer pings by (/dev/net/tun): %v", err)
	}
	f := &far{os.NewFile(uintptr(fd), "tun"), takes}
	t.Cleanup(func() { f.tun.Close() })
	go f.answer()
}

func (f *far) answer() {
	b := make([]byte, 2000)
	for {
		n, err := f.tun.Read(b)
		if err != nil {
			return
		}
		p := append([]byte(nil), b[:n]...)
		if n < 28 || p[0] != 0x45 || p[9] != unix.IPPROTO_ICMP || p[20] != 8 {
			continue
		}
		takes, ok := f.takes[netip.AddrFrom4([4]byte(p[16:20]))]
		if !ok {
			continue
		}
		var from [4]byte
		copy(from[:], p[12:16])
		copy(p[12:16], p[16:20]) // sums stay right when words are exchanged
		copy(p[16:20], from[:])
		p[20] = 0 // echo reply: the sum grows by what the type loses
		sum := uint32(p[22])<<8 + uint32(p[23]) + 0x800
		sum = sum&0xffff + sum>>16
		p[22], p[23] = byte(sum>>8), byte(sum)
		time.AfterFunc(takes, func() { _, _ = f.tun.Write(p) })
	}
}

// Real pings by a real device, whose answers take their time, become costs of real ports, of which ip(8) tells;
// a cost that somebody changes comes back, and a wire that somebody deletes, too.
func TestMeasuredCosts(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	newFar(t, ns, "wg-overlay", map[netip.Addr]time.Duration{netip.MustParseAddr("10.97.99.2"): 45 * time.Millisecond, netip.MustParseAddr("10.97.99.3"): 10 * time.Millisecond})
	ns.Sh("ip addr add 10.97.99.1/24 dev wg-overlay\nip link set wg-overlay up")
	c := overlay.Config{Node: "osaka", PrivateKeyFile: "/k", Costs: overlay.CostsMeasured, Nodes: map[string]overlay.Node{}}
	for i, name := range []string{"osaka", "paris", "quito", "riga"} {
		c.Nodes[name] = overlay.Node{PublicKey: wireguard.Key{1: byte(i + 1)}.Clamp().Public().String(), Endpoint: fmt.Sprintf("192.0.2.%d:51821", i+1), Addresses: []string{fmt.Sprintf("10.97.99.%d/24", i+1)}}
	}
	r, err := overlay.Plan(overlay.Input{}, c)
	if err != nil {
		t.Fatal(err)
	}
	memory := filepath.Join(t.TempDir(), "watch.json")
	p := start(t, ns, childConfig{Memory: memory, Keep: r.Desired.Wants, Overlay: &c})
	cost := func(wire string) string {
		out, err := ns.Try("ip -d -j link show " + wire)
		var list []struct {
			Linkinfo struct {
				Port struct {
					Cost int `json:"cost"`
				} `json:"info_slave_data"`
			} `json:"linkinfo"`
			Flags []string `json:"flags"`
		}
		if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || !strings.Contains(fmt.Sprint(list[0].Flags), "UP") {
			return "none"
		}
		return fmt.Sprint(list[0].Linkinfo.Port.Cost)
	}
	costs := func() string { return cost("vx-paris") + " " + cost("vx-quito") + " " + cost("vx-riga") }
	// riga is silent; on a machine that is busy ten milliseconds may take twenty, which is the next step.
	measured := func() bool { c := costs(); return c == "660 180 100" || c == "660 340 100" }
	poll(t, "costs", measured)
	ns.Sh("ip link set vx-quito type bridge_slave cost 7\nip link del vx-paris")
	poll(t, "what was taken away", measured)
	if out := ns.Sh("ip -d link show vx-paris"); !strings.Contains(out, "master br-overlay") || !strings.Contains(out, "remote 10.97.99.2") {
		t.Errorf("it came back as %s", out)
	}
	l, _ := p.find(0, "the cost", func(l line) bool { return l.Msg == "repaired" && strings.Contains(l.What, "vx-paris cost 660") })
	// It cost what the kernel gives a port (2), or what a wire does of which nothing is known, if the watch looked before the first answer came.
	m := regexp.MustCompile(`the wire to paris costs 660, and not (?:2|100): answers take (\S+)`).FindStringSubmatch(l.Why)
	if m == nil || l.Job != "overlay" {
		t.Fatalf("it says %+v", l)
	}
	if took, err := time.ParseDuration(m[1]); err != nil || took < 45*time.Millisecond {
		t.Errorf("answers that take 45ms take %s, it says", m[1])
	}
	var want provision.Attrs
	for _, w := range r.Desired.Wants {
		if w.Ref == bridge.PortRef("name:vx-paris") {
			want = w.Attrs
		}
	}
	if want[bridge.AttrBridge] != "br-overlay" || want[bridge.AttrCost] != "" {
		t.Errorf("what is kept fights what is measured: %v", want)
	}
}
