package firewall_test

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// broadcast lets a socket speak to everybody.
func broadcast(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) }); e != nil {
		return e
	}
	return err
}

// routerAdvertisement has a router outside advertise itself: the firewall takes its default
// route from it, as it must behind most providers (accept_ra=2: it forwards itself).
func routerAdvertisement(t *testing.T, w *world) {
	sysctl(t, w.firewall, "ipv6/conf/eth0/accept_ra", "2")
	w.firewall.Sh("ip -6 route del default")
	w.outside.Do(func() { advertise(t, "o0") })
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		out := w.firewall.Sh("ip -6 route show default")
		if strings.Contains(out, "proto ra") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no default route from the advertisement: %q", out)
		}
	}
	w.sees("by the advertised router", w.client, "tcp", at(out6, "80"), client6)
}

// advertise sends one router advertisement (RFC 4861 section 4.2), lifetime 1800 s. The kernel
// fills in the checksum of ICMPv6 sockets.
func advertise(t *testing.T, dev string) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	i, err := net.InterfaceByName(dev)
	if err != nil {
		t.Error(err)
		return
	}
	for _, o := range [][2]int{{unix.IPV6_MULTICAST_HOPS, 255}, {unix.IPV6_MULTICAST_IF, i.Index}} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, o[0], o[1]); err != nil {
			t.Error(err)
		}
	}
	to := &unix.SockaddrInet6{ZoneId: uint32(i.Index), Addr: [16]byte{0xff, 2, 15: 1}}
	msg := []byte{134, 0, 0, 0, 64, 0, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Sendto(fd, msg, 0, to); err != nil {
		t.Errorf("cannot advertise: %v", err)
	}
}
