//go:build lab && linux

package selftest

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/wguser"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

func TestMain(m *testing.M) {
	wguser.Child()
	os.Exit(m.Run())
}

// patience is how long anything may take: an emulated machine is slow.
const patience = 20 * time.Second

// end is one machine with its WireGuard devices.
type end struct {
	t       testing.TB
	ns      *nstest.NS
	sockets string
	engine  *provision.Engine
	want    []provision.Want
	kernel  bool
}

// world is two ends and a router: left has 192.0.2.2 and 2001:db8:1::2, right 198.51.100.2 and
// 2001:db8:2::2, each behind its own NIC eth0.
type world struct {
	t                testing.TB
	left, hub, right *end
}

const (
	left4, right4 = "192.0.2.2", "198.51.100.2"
	left6, right6 = "2001:db8:1::2", "2001:db8:2::2"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, left: newEnd(t), hub: newEnd(t), right: newEnd(t)}
	w.left.ns.Pair("eth0", w.hub.ns, "left")
	w.right.ns.Pair("eth0", w.hub.ns, "right")
	w.hub.ns.Sh(`sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip addr add 192.0.2.1/24 dev left
		ip addr add 198.51.100.1/24 dev right
		ip addr add 2001:db8:1::1/64 dev left nodad
		ip addr add 2001:db8:2::1/64 dev right nodad`)
	w.left.ns.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8:1::2/64 dev eth0 nodad
		ip route add default via 192.0.2.1
		ip route add default via 2001:db8:1::1`)
	w.right.ns.Sh(`ip addr add 198.51.100.2/24 dev eth0
		ip addr add 2001:db8:2::2/64 dev eth0 nodad
		ip route add default via 198.51.100.1
		ip route add default via 2001:db8:2::1`)
	return w
}

func newEnd(t testing.TB) *end {
	t.Helper()
	e := &end{t: t, ns: nstest.New(t), sockets: filepath.Join(t.TempDir(), "wg")}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p := os.Getenv("PROVISION_BINARY"); p != "" {
		program = p
	}
	devices := wireguard.Resource{Sockets: e.sockets}
	if _, err := e.ns.Try("ip link add probe type wireguard"); err != nil {
		devices.Userspace = wguser.Starter{Program: program, Sockets: e.sockets, Tied: true}
	} else {
		e.kernel = true
		e.ns.Sh("ip link del probe")
	}
	store, err := provision.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	e.engine = &provision.Engine{Store: store, Resources: map[string]provision.Resource{
		wireguard.Kind: devices, wireguard.PeerKind: wireguard.Peers{Sockets: e.sockets}, link.Kind: link.Resource{},
		address.Kind: address.Resource{}, route.Kind: route.Resource{}, rule.Kind: rule.Resource{},
	}}
	t.Cleanup(func() { // whatever the test made goes again, and leaves nothing
		var err error
		e.ns.Do(func() { _, err = e.engine.Apply(context.Background(), provision.Desired{}, provision.ApplyOptions{}) })
		if err != nil && !t.Failed() {
			t.Errorf("cannot take everything away: %v", err)
		}
		if left, _ := os.ReadDir(e.sockets); len(left) > 0 && !t.Failed() {
			t.Errorf("a device is left: %v", left)
		}
	})
	return e
}

// put wants these, in place of what was wanted under the same references, and applies all.
func (e *end) put(wants ...provision.Want) {
	e.t.Helper()
	for _, w := range wants {
		i := 0
		for i < len(e.want) && e.want[i].Ref != w.Ref {
			i++
		}
		if i == len(e.want) {
			e.want = append(e.want, w)
		} else {
			e.want[i] = w
		}
	}
	e.apply()
}

// drop does not want these any more.
func (e *end) drop(refs ...provision.Ref) {
	e.t.Helper()
	for _, r := range refs {
		for i := range e.want {
			if e.want[i].Ref == r {
				e.want = append(e.want[:i:i], e.want[i+1:]...)
				break
			}
		}
	}
	e.apply()
}

func (e *end) apply() {
	e.t.Helper()
	var err error
	e.ns.Do(func() {
		_, err = e.engine.Apply(e.t.Context(), provision.Desired{Wants: e.want}, provision.ApplyOptions{})
	})
	if err != nil {
		e.t.Fatalf("apply: %v", err)
	}
	var p provision.Plan
	e.ns.Do(func() { p, err = e.engine.Plan(e.t.Context(), provision.Desired{Wants: e.want}) })
	if err != nil || !p.Empty() {
		e.t.Fatalf("applied, and the second plan has %d changes, %v", len(p.Changes), err)
	}
}

// device is a device with its addresses, up.
func device(name string, private wireguard.Key, port uint16, mark uint32, addresses ...string) []provision.Want {
	out := []provision.Want{wireguard.Want(wireguard.Spec{Name: name, PrivateKey: private, ListenPort: port, Fwmark: mark}, "")}
	for _, a := range addresses {
		out = append(out, address.Want("name:"+name, netip.MustParsePrefix(a), ""))
	}
	return append(out, link.UpMTU("name:"+name, 1420, ""))
}

// peer is a peer of wg0, or of the device named before a colon.
func peer(public wireguard.Key, endpoint string, keepalive uint16, allowed ...string) provision.Want {
	s := wireguard.PeerSpec{Device: "wg0", PublicKey: public, PresharedKey: secret, PersistentKeepalive: keepalive}
	if endpoint != "" {
		s.Endpoint = netip.MustParseAddrPort(endpoint)
	}
	for _, a := range allowed {
		s.AllowedIPs = append(s.AllowedIPs, netip.MustParsePrefix(a))
	}
	return wireguard.WantPeer(s, "")
}

// on moves a peer to another device.
func on(device string, w provision.Want) provision.Want {
	_, public, _ := strings.Cut(w.Name, " ")
	w.Name = device + " " + public
	return w
}

// at says where a peer is, as a watch does when its name has another address.
func (e *end) at(device string, public wireguard.Key, endpoint string) {
	e.t.Helper()
	var err error
	e.ns.Do(func() { err = wireguard.SetEndpoint(e.t.Context(), e.sockets, device, public, endpoint) })
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) read(device string) *wireguard.Device {
	e.t.Helper()
	var d *wireguard.Device
	var err error
	e.ns.Do(func() { d, err = wireguard.Read(e.t.Context(), e.sockets, device) })
	if err != nil || d == nil {
		e.t.Fatalf("read %s: %v, %v", device, d, err)
	}
	return d
}

// ping asks once, and again until there is an answer or no patience is left.
func (e *end) ping(args string) {
	e.t.Helper()
	for over := time.Now().Add(patience); ; {
		out, err := e.ns.Try("ping -n -c 1 -W 1 " + args)
		if err == nil {
			return
		}
		if time.Now().After(over) {
			e.t.Fatalf("no answer: %v %s", err, out)
		}
	}
}

// mute fails the test when there is an answer to any of three questions.
func (e *end) mute(args, why string) {
	e.t.Helper()
	if out, err := e.ns.Try("ping -n -c 3 -i 0.3 -W 1 " + args); err == nil {
		e.t.Errorf("%s, and there is an answer: %s", why, out)
	}
}

// until polls.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for over := time.Now().Add(patience); !done(); {
		if time.Now().After(over) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// key is a private key made of one byte, and so the same in each run.
func key(n byte) wireguard.Key { return wireguard.Key{1: n}.Clamp() }

var secret = wireguard.Key{5: 5}

// tunnel joins the ends: 10.241.0.1 and fd00:241::1 on the left, .2 on the right, which learns where
// the left is.
func (w *world) tunnel(endpoint string) {
	w.t.Helper()
	w.right.put(append(device("wg0", key(2), 2, 0, "10.241.0.2/24", "fd00:241::2/64"), peer(key(1).Public(), "", 0, "10.241.0.1/32", "fd00:241::1/128"))...)
	w.left.put(append(device("wg0", key(1), 1, 0, "10.241.0.1/24", "fd00:241::1/64"), peer(key(2).Public(), endpoint, 0, "10.241.0.2/32", "fd00:241::2/128"))...)
}
