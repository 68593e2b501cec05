package hearing

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// A question that comes in on the link is heard, other traffic and other links are not.
func TestListen(t *testing.T) {
	nstest.Network(t)
	for _, args := range []string{"link add usb0 type veth peer name host0", "link add eth0 type veth peer name other0"} {
		nstest.IP(t, args)
	}
	for _, dev := range []string{"usb0", "host0", "eth0", "other0"} {
		nstest.IP(t, "link set "+dev+" up")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	send := func(dev string, frame []byte) {
		t.Helper()
		i, err := net.InterfaceByName(dev)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Skipf("skipped: no packet sockets: %v", err)
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Protocol: hton16(etherIPv4), Ifindex: i.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan Heard, 100)
	l, err := open("usb0") // in this thread's namespace
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx, func(h Heard) { got <- h }) }()
	question := udp4(68, 67, message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithOption(dhcpv4.OptHostName("laptop"))))
	send("other0", question)
	send("host0", udp4(40000, 53, question))
	send("host0", question)
	select {
	case h := <-got:
		if h.Seen.Hostname != "laptop" {
			t.Errorf("heard %+v", h)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing is heard")
	}
	answer := message(t, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 2)))
	answer[0] = 2
	send("usb0", udp4(67, 68, answer))
	select {
	case h := <-got:
		if h.Leased.String() != "10.0.0.2" {
			t.Errorf("heard %+v", h)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the answer is not heard")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(got) != 0 {
		t.Errorf("also heard: %+v", <-got)
	}
}
