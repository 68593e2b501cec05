package bed

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Host is the laptop: a namespace with an /etc of its own, to which the NICs of a gadget are moved.
type Host struct {
	*lab.NetNS
	Dir string // for the files of its clients

	t testing.TB
}

// NewHost makes a laptop without any network.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{NetNS: lab.NewNS(t), Dir: t.TempDir(), t: t}
	t.Cleanup(func() {
		if t.Failed() {
			here, _ := Try("ip -s -d addr show; ip route; ip -6 route")
			there, _ := h.Call("bash", "-c", "ip -s addr show; ip route; ip -6 route; cat /etc/resolv.conf")
			kernel, _ := Try("dmesg | tail -20")
			t.Logf("the gadget's side:\n%s\nthe laptop's:\n%s\nthe kernel:\n%s", here, there, kernel)
		}
	})
	h.Must("bash", "-c", `cp -a /etc "$0/etc" && : > "$0/etc/resolv.conf" && mount --bind "$0/etc" /etc && mount -t proc proc /proc &&
mkdir "$0/dhcpcd" "$0/dhclient" && mount --bind "$0/dhcpcd" /var/lib/dhcpcd && mount --bind "$0/dhclient" /var/lib/dhcp && mount -t tmpfs run /run`, h.Dir)
	return h
}

// Must runs a program at the host, which has to succeed.
func (h *Host) Must(argv ...string) string {
	h.t.Helper()
	out, err := h.Call(argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// Uplink gives the laptop a connection of its own, with a default route of the metric and a name server that is nobody's: what a
// gadget must not take away.
func (h *Host) Uplink(metric int) {
	h.t.Helper()
	h.Must("bash", "-c", fmt.Sprintf(`ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up
ip addr add 172.20.0.2/24 dev up0; ip route add default via 172.20.0.1 dev up0 metric %d`, metric))
}

// Plug waits for the device at the nth controller and moves its nth NIC (from 0) to the laptop under that name, up and with carrier.
func (h *Host) Plug(controller, nic, of int, name string) Device {
	h.t.Helper()
	d := Plugged(h.t, controller)
	h.Take(d.NICs(h.t, of)[nic], name)
	if h.Carrier(name, 3*time.Second) {
		return d
	}
	// usbnet forgets a notification that comes while it opens the NIC, before it has set EVENT_DEV_OPEN (drivers/net/usb/usbnet.c,
	// __handle_link_change), and on dummy_hcd it may come that early. A gadget that has really no carrier has none after this either.
	h.t.Logf("%s has no carrier after 3 s; the cable is pulled and put in again", name)
	d.Authorize(h.t, false)
	d.Authorize(h.t, true)
	d = Plugged(h.t, controller)
	h.Take(d.NICs(h.t, of)[nic], name)
	h.AwaitCarrier(name, true)
	return d
}

// Carrier says whether a NIC of the laptop gets its carrier in time.
func (h *Host) Carrier(nic string, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if read(h.Root()+"/sys/class/net/"+nic+"/carrier") == "1" {
			return true
		}
	}
	return false
}

// Take moves a NIC from the guest's own namespace to the laptop's, gives it a name there and sets it up.
func (h *Host) Take(nic, name string) {
	h.t.Helper()
	Sh(h.t, fmt.Sprintf("ip link set %s down; ip link set %s netns %d name %s", nic, nic, h.PID(), name))
	h.Must("ip", "link", "set", name, "up")
}

// Has says whether the laptop has a NIC of that name.
func (h *Host) Has(nic string) bool {
	_, err := os.Stat(h.Root() + "/sys/class/net/" + nic)
	return err == nil
}

// MAC is the address of a NIC of the laptop.
func (h *Host) MAC(nic string) string { return read(h.Root() + "/sys/class/net/" + nic + "/address") }

// AwaitCarrier waits for a NIC's carrier.
func (h *Host) AwaitCarrier(nic string, on bool) {
	h.t.Helper()
	want := map[bool]string{true: "1", false: "0"}[on]
	lab.Await(h.t, 10*time.Second, func() error {
		if got := read(h.Root() + "/sys/class/net/" + nic + "/carrier"); got != want {
			return fmt.Errorf("carrier of %s is %q, want %s", nic, got, want)
		}
		return nil
	})
}

// Route is a route of the laptop, as far as tests want it.
type Route struct {
	To, Via, Dev string
	Metric       int
}

// Routes are those of the main table.
func (h *Host) Routes(family int) []Route {
	h.t.Helper()
	var raw []struct {
		Dst     string `json:"dst"`
		Gateway string `json:"gateway"`
		Dev     string `json:"dev"`
		Metric  int    `json:"metric"`
	}
	out := h.Must("ip", "-j", fmt.Sprintf("-%d", family), "route", "show")
	if strings.TrimSpace(out) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		h.t.Fatalf("ip route: %v: %s", err, out)
	}
	var all []Route
	for _, r := range raw {
		all = append(all, Route{To: r.Dst, Via: r.Gateway, Dev: r.Dev, Metric: r.Metric})
	}
	return all
}

// Defaults are the default routes of the family through a NIC.
func (h *Host) Defaults(family int, nic string) []Route {
	h.t.Helper()
	return slices.DeleteFunc(h.Routes(family), func(r Route) bool { return r.To != "default" || r.Dev != nic })
}

// Addrs are the usable addresses of a NIC that are not link-local.
func (h *Host) Addrs(family int, nic string) []netip.Prefix {
	h.t.Helper()
	var raw []struct {
		Info []struct {
			Local     string `json:"local"`
			Len       int    `json:"prefixlen"`
			Scope     string `json:"scope"`
			Tentative bool   `json:"tentative"`
		} `json:"addr_info"`
	}
	out := h.Must("ip", "-j", fmt.Sprintf("-%d", family), "addr", "show", "dev", nic)
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		h.t.Fatalf("ip addr: %v: %s", err, out)
	}
	var all []netip.Prefix
	for _, l := range raw {
		for _, a := range l.Info {
			if addr, err := netip.ParseAddr(a.Local); err == nil && a.Scope == "global" && !a.Tentative {
				all = append(all, netip.PrefixFrom(addr, a.Len))
			}
		}
	}
	return all
}

// SLAAC waits until the laptop's own kernel has made itself an address out of router advertisements, and returns it.
func (h *Host) SLAAC(nic string, limit time.Duration) netip.Prefix {
	h.t.Helper()
	var got netip.Prefix
	lab.Await(h.t, limit, func() error {
		for _, a := range h.Addrs(6, nic) {
			got = a
			return nil
		}
		return fmt.Errorf("%s has no IPv6 address but its link-local one", nic)
	})
	return got
}

// NameServers are those in the laptop's resolv.conf.
func (h *Host) NameServers() []string {
	var all []string
	for line := range strings.Lines(read(filepath.Join(h.Dir, "etc", "resolv.conf"))) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			all = append(all, f[1])
		}
	}
	return all
}

// Resolve asks a name server with dig.
func (h *Host) Resolve(server, name, kind string) string {
	h.t.Helper()
	out, err := h.Call("dig", "+short", "+time=2", "+tries=3", "@"+server, name, kind)
	if err != nil {
		h.t.Fatalf("dig: %v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// Reach connects to an echo of Wifi and returns what that says: the address from which it was reached.
func (h *Host) Reach(to string, limit time.Duration) (from string, err error) {
	err = h.Do(func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(to, strconv.Itoa(EchoPort)), limit)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(limit))
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		from = string(buf[:n])
		return err
	})
	return from, err
}
