package bed

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// EchoPort is where the world tells who connects from which address.
const EchoPort = 7777

// The world behind the Wi-Fi.
const (
	WifiNIC    = "wlan0"
	WifiAddr   = "10.77.0.2" // the gadget's own on it
	WifiAddr6  = "2001:db8:77::2"
	WifiRouter = "10.77.0.1"
	World4     = "44.128.0.1" // nobody's; of the networks for documentation a name server tells nothing
	World6     = "2001:db8:ffff::1"
	WorldName  = "www.world.example" // World4 and World6, by the Wi-Fi's name server
)

// Wifi is the gadget's uplink and what is behind it: a router that is also the name server, and a host in the world. The router has
// no route back to the USB side, so that nothing returns which has not been translated.
type Wifi struct{ NS *lab.NetNS }

// NewWifi makes it: wlan0 (a veth) with an address, a default route and a name server in this namespace.
func NewWifi(t testing.TB) *Wifi {
	t.Helper()
	w := &Wifi{NS: lab.NewNS(t)}
	Sh(t, strings.NewReplacer("PID", strconv.Itoa(w.NS.PID())).Replace(`ip link add wlan0 type veth peer name ap netns PID
echo 2 > /proc/sys/net/ipv6/conf/wlan0/accept_ra
ip addr add 10.77.0.2/24 dev wlan0; ip -6 addr add 2001:db8:77::2/64 dev wlan0 nodad; ip link set wlan0 up
ip route add default via 10.77.0.1 dev wlan0 metric 600; ip -6 route add default via 2001:db8:77::1 dev wlan0 metric 600
echo "nameserver 10.77.0.1" > /etc/resolv.conf`))
	t.Cleanup(func() { Sh(t, "ip link del wlan0 2>/dev/null; : > /etc/resolv.conf") })
	if _, err := w.NS.Call("bash", "-ec", `ip addr add 10.77.0.1/24 dev ap; ip -6 addr add 2001:db8:77::1/64 dev ap nodad; ip link set ap up
ip addr add 44.128.0.1/32 dev lo; ip -6 addr add 2001:db8:ffff::1/128 dev lo`); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "dns"))
	if err != nil {
		t.Fatal(err)
	}
	dns, err := w.NS.Start(log, "dnsmasq", "-d", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--group=root",
		"--host-record="+WorldName+","+World4+","+World6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Stop(syscall.SIGKILL); log.Close() })
	var l net.Listener
	if err := w.NS.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort("::", strconv.Itoa(EchoPort)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if from, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
				_, _ = c.Write([]byte(from.Addr().Unmap().String()))
			}
			c.Close()
		}
	}()
	return w
}
