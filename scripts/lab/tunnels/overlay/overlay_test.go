//go:build lab && linux

package overlay

import (
	"encoding/binary"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/routing/overlay"
)

// stp is how long the tree takes at most: max age, and listening and learning; then as much again for a
// busy machine.
const stp = 6*time.Second + 2*2*time.Second

func TestOverlay(t *testing.T) {
	w := newWorld(t)
	t.Logf("all reach all after %s", w.await(60*time.Second, w.nodes...).Round(100*time.Millisecond))

	// What fits, fits whole, and no more.
	osaka, laptop := w.nodes[0], w.nodes[4]
	laptop.ns.Sh("ping -c 1 -W 5 -n -q -M do -s 1342 " + osaka.inside())
	if out, err := laptop.ns.Try("ping -c 1 -W 1 -n -q -M do -s 1343 " + osaka.inside()); err == nil {
		t.Errorf("1371 bytes pass a wire of 1370: %s", out)
	}
	// The root is the one that was chosen, and each loop is open somewhere.
	blocked := 0
	for _, n := range w.nodes {
		out := n.ns.Sh("bridge -d link")
		blocked += strings.Count(out, "state blocking")
		if n == osaka && (strings.Contains(out, "state blocking") || strings.Count(out, "state forwarding") != 4) {
			t.Errorf("the root forwards by every wire: %s", out)
		}
	}
	if blocked != 6 { // ten wires between five nodes, four of which a tree has
		t.Errorf("%d wires are blocked, want 6", blocked)
	}

	lost := w.nodes[:2]
	if os.Getenv("PROVISION_LAB_FULL") != "" {
		lost = w.nodes
	}
	for _, n := range lost {
		n.ns.Sh("ip link set eth0 down")
		took := w.await(2*stp, w.without(n)...)
		t.Logf("%s is lost: all others reach each other after %s", n.name, took.Round(100*time.Millisecond))
		n.ns.Sh("ip link set eth0 up")
		w.await(3*stp, w.nodes...)
	}

	// Who roams is found where he is now.
	laptop.ns.Sh("ip addr del 192.0.2.5/24 dev eth0\nip addr add 192.0.2.77/24 dev eth0")
	t.Logf("the laptop has another address: back after %s", w.await(2*stp, laptop, osaka).Round(100*time.Millisecond))
	inject(t, w)
}

const stranger = "02:00:00:00:00:77"

// inject sends frames of a stranger to the wire between osaka and paris from outside, by every way there
// is, and sees that they count for nothing; without the guard they would.
func inject(t *testing.T, w *world) {
	osaka := w.nodes[0]
	packet := frame(overlay.VNI("osaka", "paris"))
	send := func() {
		t.Helper()
		for _, to := range []string{"192.0.2.1:4789", "192.0.2.255:4789"} {
			var err error
			w.hub.Do(func() { err = sendTo(to, packet) })
			if err != nil {
				t.Fatal(err)
			}
		}
		var err error
		osaka.ns.Do(func() { err = sendTo("127.0.0.1:4789", packet) })
		if err != nil {
			t.Fatal(err)
		}
	}
	known := func() bool { return strings.Contains(osaka.ns.Sh("bridge fdb show br br-overlay"), stranger) }
	arrived := func() string {
		out, _ := osaka.ns.Try("nft list table inet provision")
		return out
	}
	if !strings.Contains(arrived(), "overlay-raw") {
		t.Fatalf("there is no guard: %s", arrived())
	}
	for range 20 {
		send()
	}
	// What is sent through the same sockets afterwards has come in: the frames before it have, too.
	w.hub.Sh("ping -c 2 -i 0.2 -n -q 192.0.2.1")
	if known() {
		t.Error("a frame from outside is on the wire")
	}
	osaka.ns.Sh("nft flush ruleset")
	for deadline := time.Now().Add(10 * time.Second); !known(); {
		if time.Now().After(deadline) {
			t.Fatal("without the guard nothing comes in either: the frames are no frames")
		}
		send()
	}
	if err := osaka.again(); err != nil {
		t.Error(err)
	}
}

// again puts the guard back.
func (n *node) again() error {
	n.apply()
	_, err := n.ns.Try("nft list chain inet provision overlay-raw")
	return err
}

func sendTo(to string, packet []byte) error {
	c, err := net.ListenPacket("udp4", ":0") // the net package allows broadcast
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return err
	}
	_, err = c.WriteTo(packet, a)
	return err
}

// frame is a broadcast of the stranger in VXLAN (RFC 7348 section 5).
func frame(vni uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, vni<<8)
	m, _ := net.ParseMAC(stranger)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = append(b, m...)
	return append(append(b, 0x88, 0xb5), make([]byte, 46)...) // an Ethertype for experiments (IEEE 802 section 9.2.4)
}
