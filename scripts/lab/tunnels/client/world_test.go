//go:build lab && linux

package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/wguser"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
	config "github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/conf"
)

func TestMain(m *testing.M) {
	wguser.Child()
	lookupChild()
	os.Exit(m.Run())
}

// Somewhere on the internet, reached beside the tunnel and by it alike; the endpoints of the far end;
// what the client is in the tunnel.
const (
	target4, target6 = "203.0.113.80", "2001:db8:80::80"
	far4, far6       = "198.51.100.2", "2001:db8:2::2"
	own4, own6       = "10.97.98.5", "fd12:3456:789a:1::5"
)

// world is a client, the network that it is guest in, and the far end of its tunnel. The client checks
// the reverse path strictly, as some distributions do.
type world struct {
	t                testing.TB
	client, hub, far *nstest.NS
	sockets          string
	engine           *provision.Engine
	kernel           bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, client: nstest.New(t), hub: nstest.New(t), far: nstest.New(t), sockets: filepath.Join(t.TempDir(), "wg")}
	w.client.Sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1")
	w.client.Pair("eth0", w.hub, "left")
	w.far.Pair("eth0", w.hub, "right")
	w.hub.Sh(`sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip addr add 192.0.2.1/24 dev left
		ip addr add 198.51.100.1/24 dev right
		ip addr add 2001:db8:1::1/64 dev left nodad
		ip addr add 2001:db8:2::1/64 dev right nodad`)
	w.client.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8:1::2/64 dev eth0 nodad
		ip route add default via 192.0.2.1
		ip route add default via 2001:db8:1::1`)
	w.far.Sh(`ip addr add 198.51.100.2/24 dev eth0
		ip addr add 2001:db8:2::2/64 dev eth0 nodad
		ip route add default via 198.51.100.1
		ip route add default via 2001:db8:2::1`)
	for _, ns := range []*nstest.NS{w.hub, w.far} {
		ns.Sh("ip addr add 203.0.113.80/32 dev lo\nip addr add 2001:db8:80::80/128 dev lo")
	}
	w.engine = w.newEngine("client")
	far := w.newEngine("far")
	var err error
	w.far.Do(func() {
		_, err = far.Apply(t.Context(), provision.Desired{Wants: w.farEnd()}, provision.ApplyOptions{})
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// newEngine has everything that a plan of the way out wants, its files in a folder of the test.
func (w *world) newEngine(name string) *provision.Engine {
	w.t.Helper()
	t := w.t
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	devices := wireguard.Resource{Sockets: w.sockets + name}
	if _, err := w.client.Try("ip link add probe type wireguard"); err != nil {
		devices.Userspace = wguser.Starter{Program: program, Sockets: w.sockets + name, Tied: true}
	} else {
		w.client.Sh("ip link del probe")
		w.kernel = true
	}
	open := func(dir string) *host.Root {
		r, err := host.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	dir := t.TempDir()
	for _, d := range []string{"var/lib/provision", "etc/sysctl.d"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, proc := open(dir), open("/")
	store, err := provision.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	e := &provision.Engine{Store: store, Actors: map[string]provision.Actor{}, Resources: map[string]provision.Resource{
		wireguard.Kind: devices, wireguard.PeerKind: wireguard.Peers{Sockets: w.sockets + name},
		wireguard.EndpointsKind: wireguard.EndpointsResource{Files: files, Sockets: w.sockets + name}, link.Kind: link.Resource{}, nft.Kind: &nft.Resource{},
		address.Kind: address.Resource{}, route.Kind: route.Resource{}, rule.Kind: rule.Resource{},
		file.Kind: &file.Resource{FS: files}, file.SecretKind: &file.Resource{FS: files, Secret: true}, sysctl.Kind: &sysctl.Resource{Files: proc, Devices: netdev.Read},
	}}
	ns := map[string]*nstest.NS{"client": w.client, "far": w.far}[name]
	t.Cleanup(func() {
		var err error
		ns.Do(func() { _, err = e.Apply(context.Background(), provision.Desired{}, provision.ApplyOptions{}) })
		if err != nil && !t.Failed() {
			t.Errorf("%s: cannot take everything away: %v", name, err)
		}
	})
	return e
}

// key is a private key made of one byte, and so the same in each run.
func key(n byte) wireguard.Key { return wireguard.Key{1: n}.Clamp() }

// farEnd routes everything of the client's.
func (w *world) farEnd() []provision.Want {
	peer := config.Peer{PublicKey: key(1).Public().String(), AllowedIPs: []string{own4, own6}}
	r, err := config.Plan(config.Input{Facts: &facts.Facts{}}, config.Config{"wg0": {PrivateKey: key(2).String(), ListenPort: 51820, MTU: 1420,
		Addresses: []string{"10.97.98.1/24", "fd12:3456:789a:1::1/64"}, Peers: map[string]config.Peer{"client": peer}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Desired.Wants
}

// file is the client's tunnel as a provider gives it.
func tunnelFile(endpoint string, addresses, allowed string) string {
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = %s\n\n[Peer]\nPublicKey = %s\nAllowedIPs = %s\nEndpoint = %s\n",
		key(1), addresses, key(2).Public(), allowed, endpoint)
}

// planned is what the program makes of such a file.
func (w *world) planned(text string) provision.Desired {
	w.t.Helper()
	f, problems := conf.Parse([]byte(text))
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	r, err := routing.Plan(routing.Input{Facts: w.facts(), WireGuard: config.Input{Facts: w.facts()}}, routing.Config{WireGuard: conf.Import("wg0", f).Config("wg0")})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Desired
}

func (w *world) facts() *facts.Facts {
	w.t.Helper()
	f := &facts.Facts{Machine: facts.Machine{Root: true}, Files: map[string]facts.File{}, Sysctl: map[string]string{}}
	for line := range strings.Lines(w.client.Sh("sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv4.ip_forward net.ipv6.conf.all.forwarding")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		f.Sysctl[key] = value
	}
	var err error
	w.client.Do(func() {
		var r *facts.Reader
		if r, err = facts.OpenReader(); err != nil {
			return
		}
		defer r.Close()
		var l *facts.Live
		if l, err = r.Read(w.t.Context(), facts.AllParts); err == nil {
			f.Links, f.Addrs, f.Routes, f.Rules = slices.Clone(l.Links), slices.Clone(l.Addrs), slices.Clone(l.Routes), slices.Clone(l.Rules)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) apply(d provision.Desired) {
	w.t.Helper()
	var err error
	w.client.Do(func() { _, err = w.engine.Apply(w.t.Context(), d, provision.ApplyOptions{}) })
	if err != nil {
		w.t.Fatalf("apply: %v", err)
	}
	var p provision.Plan
	w.client.Do(func() { p, err = w.engine.Plan(w.t.Context(), d) })
	if err != nil || !p.Empty() {
		w.t.Fatalf("applied, and the second plan is %+v, %v", p.Changes, err)
	}
}

// patience is how long an answer may take: a handshake comes before it.
const patience = 15 * time.Second

// reaches reports whether there is an answer, from the far end and not from the network beside; where
// none is wanted it asks twice.
func (w *world) reaches(target string, want bool) {
	w.t.Helper()
	before := echoes(w.hub)
	for over := time.Now().Add(patience); ; {
		out, err := w.client.Try("ping -n -c 1 -W 1 " + target)
		if n := echoes(w.hub); n != before {
			w.t.Fatalf("%s: the packet left beside the tunnel", target)
		}
		switch {
		case err == nil && !want:
			w.t.Fatalf("%s answers: %s", target, out)
		case err == nil || !want:
			return
		case time.Now().After(over):
			w.t.Fatalf("%s does not answer: %s", target, out)
		}
	}
}

// echoes is how many echo requests of both families a namespace has got.
func echoes(ns *nstest.NS) int {
	sum := 0
	for line := range strings.Lines(ns.Sh("cat /proc/net/snmp6")) {
		if f := strings.Fields(line); f[0] == "Icmp6InEchos" {
			n, _ := strconv.Atoi(f[1])
			sum += n
		}
	}
	var names []string
	for line := range strings.Lines(ns.Sh("cat /proc/net/snmp")) {
		f := strings.Fields(line)
		switch {
		case f[0] != "Icmp:":
		case names == nil:
			names = f
		default:
			n, _ := strconv.Atoi(f[slices.Index(names, "InEchos")])
			sum += n
		}
	}
	return sum
}
