package socket

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

func datagrams(n int) []dhcp4.Datagram {
	ds := make([]dhcp4.Datagram, n)
	for i := range ds {
		ds[i].Payload = make([]byte, 1500)
	}
	return ds
}

// broadcast sends a payload as a client without an address does.
func broadcast(t *testing.T, c *DHCP4, index int, payload string) {
	t.Helper()
	err := c.Send(dhcp4.Dest{Path: dhcp4.Broadcast, IfIndex: index, From: netip.IPv4Unspecified(), To: ap("255.255.255.255:67")}, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
}

func TestDHCP4(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.9/24 dev eth0")
	w.lan.Sh("ip addr add 10.1.0.9/24 dev eth0")
	c := in(t, w.server, func() (*DHCP4, error) { return ListenDHCP4(w.usb0) })
	client := in(t, w.host, func() (*DHCP4, error) { return ListenDHCP4(w.eth0) })
	stranger := in(t, w.lan, func() (*DHCP4, error) { return ListenDHCP4(w.lan0) })
	onLAN := sniff(t, w.lan, w.lan0)

	// What comes on the other link, by broadcast or to usb0's own address, is never seen; the order of arrival on usb0
	// proves it: the kernel has delivered what was sent before.
	broadcast(t, stranger, w.lan0.Index, "not for us")
	w.lan.Sh("ip route add 10.0.0.1 via 10.1.0.1")
	if err := stranger.Send(dhcp4.Dest{Path: dhcp4.Unicast, From: ip("10.1.0.9"), To: ap("10.0.0.1:67")}, []byte("nor this")); err != nil {
		t.Fatal(err)
	}
	broadcast(t, client, w.eth0.Index, "discover")
	ds := datagrams(8)
	n, err := c.ReadBatch(ds)
	if err != nil || n != 1 || string(ds[0].Payload) != "discover" {
		t.Fatalf("%d, %v: %q", n, err, ds[0].Payload)
	}
	if ds[0].IfIndex != w.usb0.Index || ds[0].To != ip("255.255.255.255") || ds[0].From.Port() != 67 {
		t.Errorf("%+v", ds[0])
	}

	payload := bytes.Repeat([]byte("offer "), 50)
	onHost := sniff(t, w.host, w.eth0)
	hw := lease.HW{Type: 1, Addr: string(w.eth0.MAC)}
	dests := []struct {
		name string
		to   dhcp4.Dest
		mac  net.HardwareAddr
	}{
		{"direct", dhcp4.Dest{Path: dhcp4.Direct, IfIndex: w.usb0.Index, From: ip("10.0.0.1"), To: ap("10.0.0.77:68"), HW: hw}, w.eth0.MAC},
		{"broadcast", dhcp4.Dest{Path: dhcp4.Broadcast, IfIndex: w.usb0.Index, From: ip("10.0.0.1"), To: ap("255.255.255.255:68")}, net.HardwareAddr(everybody[:])},
		{"no Ethernet address", dhcp4.Dest{Path: dhcp4.Direct, From: ip("10.0.0.1"), To: ap("10.0.0.77:68"), HW: lease.HW{Type: 32, Addr: "12345678"}}, net.HardwareAddr(everybody[:])},
		{"unicast", dhcp4.Dest{Path: dhcp4.Unicast, IfIndex: w.usb0.Index, From: ip("10.0.0.1"), To: ap("10.0.0.9:68")}, w.eth0.MAC},
	}
	for _, d := range dests {
		if err := c.Send(d.to, payload); err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		frame := onHost.next(5*time.Second, isUDP(67))
		switch {
		case frame == nil:
			t.Errorf("%s: nothing arrived", d.name)
		case !bytes.Equal(frame[:6], d.mac) || !bytes.Equal(frame[6:12], w.usb0.MAC):
			t.Errorf("%s: from %x to %x", d.name, frame[6:12], frame[:6])
		case !bytes.Equal(frame[42:42+len(payload)], payload):
			t.Errorf("%s: %q", d.name, frame[42:])
		}
		// Only what we make ourselves is complete on a veth; the kernel leaves its sums to hardware that there is not.
		if okIP, okUDP := checksums(frame); d.name == "direct" && (!okIP || !okUDP) {
			t.Errorf("checksums: IP %v, UDP %v", okIP, okUDP)
		}
	}
	if err := c.Send(dhcp4.Dest{Path: dhcp4.Broadcast, IfIndex: w.wlan0.Index, From: ip("10.1.0.1")}, payload); err == nil {
		t.Error("sends to another link")
	}
	if frame := onLAN.next(100*time.Millisecond, isUDP(67)); frame != nil && bytes.Equal(frame[6:12], w.wlan0.MAC) {
		t.Errorf("said on wlan0: %x", frame)
	}
	if c.Foreign() != 0 {
		t.Errorf("%d foreign", c.Foreign())
	}
	if err := c.Send(dhcp4.Dest{Path: dhcp4.Direct, From: ip("10.0.0.1"), To: ap("10.0.0.77:68"), HW: hw}, make([]byte, 1473)); err == nil {
		t.Error("a packet longer than the MTU is sent")
	}
}

// The kernel of a client that has taken its address gets the frame through its own UDP, which verifies the checksum; a
// frame whose sum is wrong does not get through.
func TestDirectIsTakenByTheKernel(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.77/24 dev eth0")
	c := in(t, w.server, func() (*DHCP4, error) { return ListenDHCP4(w.usb0) })
	client := udp(t, w.host, "udp4", "10.0.0.77:68")
	hw := string(w.eth0.MAC)
	from, to := ap("10.0.0.1:67"), ap("10.0.0.77:68")
	bad := appendUDP4(nil, from, to, []byte("forged"))
	bad[len(bad)-1] ^= 1
	copy(c.direct.to.Addr[:6], hw)
	c.direct.frame = bad
	if err := c.direct.raw.Control(c.direct.write); err != nil || c.direct.err != nil {
		t.Fatal(err, c.direct.err)
	}
	for size := range 9 { // odd and even lengths, and a sum of zero on the way
		payload := bytes.Repeat([]byte{0xff}, size)
		if err := c.Send(dhcp4.Dest{Path: dhcp4.Direct, From: from.Addr(), To: to, HW: lease.HW{Type: 1, Addr: hw}}, payload); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, peer, err := client.ReadFromUDPAddrPort(b)
		if err != nil || !bytes.Equal(b[:n], payload) || peer != from {
			t.Errorf("%d bytes: %q of %v, %v", size, b[:n], peer, err)
		}
	}
}

// A packet of another link than the socket's is dropped and counted, should the kernel ever let one through.
func TestForeignIsDropped(t *testing.T) {
	w := newWorld(t)
	c := in(t, w.server, func() (*DHCP4, error) { return ListenDHCP4(w.usb0) })
	client := in(t, w.host, func() (*DHCP4, error) { return ListenDHCP4(w.eth0) })
	c.s.index = w.wlan0.Index
	broadcast(t, client, w.eth0.Index, "one")
	got := make(chan error)
	go func() {
		_, err := c.ReadBatch(datagrams(4))
		got <- err
	}()
	deadline := time.After(5 * time.Second)
	for c.Foreign() == 0 {
		select {
		case err := <-got:
			t.Fatalf("ReadBatch returned: %v", err)
		case <-deadline:
			t.Fatal("not counted")
		case <-time.After(time.Millisecond):
		}
	}
	_ = c.Close()
	if err := <-got; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestLinkGone(t *testing.T) {
	w := newWorld(t)
	c := in(t, w.server, func() (*DHCP4, error) { return ListenDHCP4(w.usb0) })
	arp := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	got := make(chan error)
	go func() {
		_, err := c.ReadBatch(datagrams(4))
		got <- err
	}()
	w.server.Sh("ip link del usb0")
	err := c.Send(dhcp4.Dest{Path: dhcp4.Broadcast, From: ip("10.0.0.1"), To: ap("255.255.255.255:68")}, []byte("x"))
	if !errors.Is(err, ErrLinkGone) {
		t.Errorf("Send: %v", err)
	}
	direct := dhcp4.Dest{Path: dhcp4.Direct, From: ip("10.0.0.1"), To: ap("10.0.0.7:68"), HW: lease.HW{Type: 1, Addr: "abcdef"}}
	if err := c.Send(direct, []byte("x")); !errors.Is(err, ErrLinkGone) {
		t.Errorf("Send to a hardware address: %v", err)
	}
	c.Gone()
	if err := <-got; !errors.Is(err, ErrLinkGone) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch: %v", err)
	}
	done := make(chan bool)
	arp.Probe(t.Context(), w.usb0.Index, ip("10.0.0.7"), func(inUse bool, _ lease.HW) { done <- inUse })
	if <-done {
		t.Error("somebody answers")
	}
	arp.ended.Wait() // it notices by itself when it sends
	if _, err := w.listenAgain(); !errors.Is(err, ErrLinkGone) {
		t.Errorf("opened for a link that is gone: %v", err)
	}
}

func (w *world) listenAgain() (c *DHCP4, err error) {
	w.server.Do(func() { c, err = ListenDHCP4(w.usb0) })
	return c, err
}

func TestPortInUse(t *testing.T) {
	w := newWorld(t)
	udp(t, w.server, "udp4", "0.0.0.0:53")
	var err error
	w.server.Do(func() { _, err = ListenDNS(w.usb0, netip.MustParseAddr("10.0.0.1"), 2) })
	if err == nil || !bytes.Contains([]byte(err.Error()), fmt.Appendf(nil, "port 53 is held by socket.test (pid ")) {
		t.Errorf("%v", err)
	}
	w.server.Do(func() { _, err = ListenDNS(link.Link{Name: "none", Index: 99}, netip.MustParseAddr("10.0.0.1"), 1) })
	if !errors.Is(err, ErrLinkGone) {
		t.Errorf("%v", err)
	}
}

// The way of a packet through ReadBatch and Send costs no allocation.
func TestNoAllocation(t *testing.T) {
	w := newWorld(t)
	c := in(t, w.server, func() (*DHCP4, error) { return ListenDHCP4(w.usb0) })
	round := roundTrip(t, w, c, newClient(t, w))
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for a round trip", n)
	}
}

// newClient is a DHCP4 with the client's port.
func newClient(t *testing.T, w *world) *DHCP4 {
	return in(t, w.host, func() (*DHCP4, error) {
		s, err := listenUDP(w.eth0, udpOptions{purpose: "test", port: dhcp4.ClientPort, family: family4, shared: true, broadcast: true})
		return &DHCP4{conn: conn{s}, index: w.eth0.Index}, err
	})
}

// roundTrip returns a function that sends one packet to c, whose answer goes to the hardware address.
func roundTrip(t testing.TB, w *world, c, client *DHCP4) func() {
	in, back := datagrams(maxBatch), datagrams(maxBatch)
	payload := make([]byte, 300)
	ask := dhcp4.Dest{Path: dhcp4.Broadcast, From: netip.IPv4Unspecified(), To: ap("255.255.255.255:67")}
	answer := dhcp4.Dest{Path: dhcp4.Broadcast, From: ip("10.0.0.1"), To: ap("255.255.255.255:68")}
	direct := dhcp4.Dest{Path: dhcp4.Direct, From: ip("10.0.0.1"), To: ap("10.0.0.77:68"), HW: lease.HW{Type: 1, Addr: string(w.eth0.MAC)}}
	return func() {
		if err := client.Send(ask, payload); err != nil {
			t.Fatal(err)
		}
		if n, err := c.ReadBatch(in); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for _, d := range []dhcp4.Dest{direct, answer} {
			if err := c.Send(d, in[0].Payload); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := client.ReadBatch(back); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
}
