//go:build lab && linux

package overlay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/wguser"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/vxlan"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/wireguard"
)

func TestMain(m *testing.M) {
	wguser.Child()
	os.Exit(m.Run())
}

// node is one machine.
type node struct {
	t      *testing.T
	name   string
	n      int
	ns     *nstest.NS
	engine *provision.Engine
	want   provision.Desired
}

// world is five machines on one LAN that is the internet to them, of which the last roams.
type world struct {
	t     *testing.T
	hub   *nstest.NS
	nodes []*node
	conf  overlay.Config
}

func names() []string { return []string{"osaka", "paris", "quito", "riga", "laptop"} }

func (n *node) inside() string { return fmt.Sprintf("10.97.100.%d", n.n) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, hub: nstest.New(t)}
	w.hub.Sh("ip link add br0 type bridge\nip link set br0 up\nip addr add 192.0.2.254/24 dev br0")
	first := uint16(4096)
	w.conf = overlay.Config{PrivateKeyFile: "/k", ForwardDelay: "2s", Nodes: map[string]overlay.Node{}}
	keys := map[string]wgresource.Key{}
	for i, name := range names() {
		k := wgresource.Key{1: byte(i + 1), 9: 7}.Clamp()
		keys[name] = k
		d := overlay.Node{PublicKey: k.Public().String(), Addresses: []string{fmt.Sprintf("10.97.99.%d/24", i+1)}, BridgeAddresses: []string{fmt.Sprintf("10.97.100.%d/24", i+1)}}
		if name != "laptop" {
			d.Endpoint = fmt.Sprintf("192.0.2.%d:51821", i+1)
		}
		if i == 0 {
			d.Priority = &first
		}
		w.conf.Nodes[name] = d
	}
	for i, name := range names() {
		n := &node{t: t, name: name, n: i + 1, ns: nstest.New(t)}
		w.nodes = append(w.nodes, n)
		n.ns.Pair("eth0", w.hub, name)
		w.hub.Sh("ip link set " + name + " master br0")
		n.ns.Sh(fmt.Sprintf("ip addr add 192.0.2.%d/24 dev eth0", i+1))
		n.open(w.conf, keys[name])
	}
	var wait sync.WaitGroup
	for _, n := range w.nodes {
		wait.Go(n.apply)
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return w
}

// open plans for the node what the whole program would, but for what is of no namespace.
func (n *node) open(c overlay.Config, key wgresource.Key) {
	n.t.Helper()
	c.Node = n.name
	f := &facts.Facts{Machine: facts.Machine{Root: true}, Links: []facts.Link{{Index: 2, Name: "eth0", ARPHRD: 1, MTU: 1500, Up: true}}}
	r, err := routing.Plan(routing.Input{Facts: f, WireGuard: wireguard.Input{Keys: map[string]wireguard.KeyFile{"/k": {Text: []byte(key.String()), Mode: 0o600}}}}, routing.Config{Overlay: c})
	if err != nil {
		n.t.Fatal(err)
	}
	sockets := filepath.Join(n.t.TempDir(), "wg")
	devices := wgresource.Resource{Sockets: sockets}
	if _, err := n.ns.Try("ip link add probe type wireguard\nip link del probe"); err != nil {
		program, err := os.Executable()
		if err != nil {
			n.t.Fatal(err)
		}
		devices.Userspace = wguser.Starter{Program: program, Sockets: sockets, Tied: true}
	}
	store, err := provision.Open(filepath.Join(n.t.TempDir(), "state"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.engine = &provision.Engine{Store: store, Resources: map[string]provision.Resource{
		wgresource.Kind: devices, wgresource.PeerKind: wgresource.Peers{Sockets: sockets}, link.Kind: link.Resource{}, address.Kind: address.Resource{},
		route.Kind: route.Resource{}, bridge.Kind: bridge.Resource{}, bridge.PortKind: bridge.Ports{}, vxlan.Kind: vxlan.Resource{}, nft.Kind: &nft.Resource{}}}
	for _, w := range r.Desired.Wants {
		if n.engine.Resources[w.Kind] != nil {
			n.want.Wants = append(n.want.Wants, w)
		}
	}
	n.t.Cleanup(func() {
		var err error
		n.ns.Do(func() { _, err = n.engine.Apply(n.t.Context(), provision.Desired{}, provision.ApplyOptions{}) })
		if out, _ := n.ns.Try("ip -o link"); err == nil && strings.Contains(out, "overlay") {
			n.t.Errorf("%s keeps %s", n.name, out)
		}
	})
}

func (n *node) apply() {
	var err error
	var p provision.Plan
	n.ns.Do(func() {
		if _, err = n.engine.Apply(n.t.Context(), n.want, provision.ApplyOptions{}); err == nil {
			p, err = n.engine.Plan(n.t.Context(), n.want)
		}
	})
	if err != nil || !p.Empty() {
		n.t.Errorf("%s: %v, and a second plan has %d changes: %v", n.name, err, len(p.Changes), p.Changes)
	}
}

func (n *node) reaches(other *node) bool {
	_, err := n.ns.Try("ping -c 1 -W 1 -n -q " + other.inside())
	return err == nil
}

// await returns how long it takes until each of nodes reaches every other one.
func (w *world) await(limit time.Duration, nodes ...*node) time.Duration {
	w.t.Helper()
	start := time.Now()
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			for !a.reaches(b) {
				if time.Since(start) > limit {
					for _, n := range nodes {
						out, _ := n.ns.Try("bridge -d link\nip neigh")
						w.t.Logf("%s:\n%s", n.name, out)
					}
					w.t.Fatalf("%s does not reach %s after %s", a.name, b.name, limit)
				}
			}
		}
	}
	return time.Since(start)
}

func (w *world) without(lost *node) []*node {
	var out []*node
	for _, n := range w.nodes {
		if n != lost {
			out = append(out, n)
		}
	}
	return out
}
