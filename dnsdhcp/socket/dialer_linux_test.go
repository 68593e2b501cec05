package socket

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A name server that is to be asked over wlan0 is asked over wlan0, whatever the routes say, and from the address that
// was asked for.
func TestDialer(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.9/24 dev eth0\nip addr add 10.99.0.1/32 dev lo")
	w.lan.Sh("ip addr add 10.1.0.9/24 dev eth0\nip addr add 10.99.0.1/32 dev lo")
	w.server.Sh("ip addr add 10.1.0.7/24 dev wlan0\nip route add 10.99.0.0/24 via 10.0.0.9 dev usb0 metric 1\nip route add 10.99.0.0/24 via 10.1.0.9 dev wlan0 metric 100")
	host, lan := udp(t, w.host, "udp4", "10.99.0.1:53"), udp(t, w.lan, "udp4", "10.99.0.1:53")
	ask := func(d Dialer, text string) {
		t.Helper()
		var c net.Conn
		var err error
		w.server.Do(func() { c, err = d.DialContext(context.Background(), "udp", "10.99.0.1:53") })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(c *net.UDPConn) (string, netip.Addr) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n]), from.Addr().Unmap()
	}
	ask(Dialer{}, "by the routes")
	if text, _ := heard(host); text != "by the routes" {
		t.Errorf("the host behind usb0 heard %q", text)
	}
	ask(Dialer{Device: "wlan0"}, "by wlan0")
	if text, from := heard(lan); text != "by wlan0" || from.String() != "10.1.0.1" {
		t.Errorf("the host behind wlan0 heard %q from %s", text, from)
	}
	ask(Dialer{Device: "wlan0", Source: netip.MustParseAddr("10.1.0.7")}, "by address")
	if text, from := heard(lan); text != "by address" || from.String() != "10.1.0.7" {
		t.Errorf("the host behind wlan0 heard %q from %s", text, from)
	}
	w.server.Do(func() {
		if _, err := (Dialer{Device: "nosuch0"}).DialContext(context.Background(), "udp", "10.99.0.1:53"); err == nil {
			t.Error("there is no nosuch0")
		}
	})
}
