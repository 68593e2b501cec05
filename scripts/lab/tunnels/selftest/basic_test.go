//go:build lab && linux

package selftest

import (
	"testing"
	"time"
)

// Both families inside, each outside; what is counted, and when hands were shaken.
func TestCarry(t *testing.T) {
	for _, outer := range []string{right4 + ":2", "[" + right6 + "]:2"} {
		w := newWorld(t)
		before := time.Now().Add(-time.Second)
		w.tunnel(outer)
		w.left.ping("10.241.0.2")
		w.right.ping("10.241.0.1")
		w.left.ping("fd00:241::2")
		w.right.ping("fd00:241::1")
		l, r := w.left.read("wg0").Peers[0], w.right.read("wg0").Peers[0]
		if l.Endpoint.String() != outer || r.LastHandshake.Before(before) || l.LastHandshake.Before(before) || l.LastHandshake.After(time.Now().Add(time.Second)) {
			t.Errorf("over %s: left %+v, right %+v", outer, l, r)
		}
		if l.Sent == 0 || l.Sent != r.Received || r.Sent != l.Received {
			t.Errorf("over %s: left sent %d and received %d, right sent %d and received %d", outer, l.Sent, l.Received, r.Sent, r.Received)
		}
		// The largest packet fits, the next one does not (RFC 792: 28 bytes are IPv4's and ICMP's).
		w.left.ping("-M do -s 1392 10.241.0.2")
		w.left.mute("-M do -s 1393 10.241.0.2", "a packet of 1421 bytes")
	}
}

// Whoever is heard from another address or port is answered there.
func TestRoaming(t *testing.T) {
	w := newWorld(t)
	w.tunnel(right4 + ":2")
	w.left.ping("10.241.0.2")
	heard := func(where string) {
		t.Helper()
		if got := w.right.read("wg0").Peers[0].Endpoint.String(); got != where {
			t.Errorf("the right hears the left at %s, want %s", got, where)
		}
	}
	heard(left4 + ":1")
	w.left.ns.Sh("ip addr del 192.0.2.2/24 dev eth0\nip addr add 192.0.2.77/24 dev eth0\nip route add default via 192.0.2.1")
	w.left.ping("fd00:241::2")
	heard("192.0.2.77:1")
	w.left.put(device("wg0", key(1), 9999, 0, "10.241.0.1/24", "fd00:241::1/64")...)
	w.left.ping("fd00:241::2")
	heard("192.0.2.77:9999")
	w.left.at("wg0", key(2).Public(), "["+right6+"]:2")
	w.left.ping("10.241.0.2")
	heard("[" + left6 + "]:9999")
	w.right.ping("10.241.0.1")
}

// A packet from an address that is another peer's is dropped, though its sender holds a good key; with
// the other peer gone it is taken again, and from a new port too.
func TestCryptokeyRouting(t *testing.T) {
	w := newWorld(t)
	w.tunnel(right4 + ":2")
	w.left.put(peer(key(2).Public(), "", 0, "10.241.0.0/24"))
	w.left.ping("10.241.0.2")
	w.right.ping("10.241.0.1")
	w.left.put(peer(key(7).Public(), "", 0, "10.241.0.2/32"))
	w.right.put(device("wg0", key(2), 9997, 0, "10.241.0.2/24", "fd00:241::2/64")...)
	w.right.mute("10.241.0.1", "its address is somebody else's")
	w.left.drop(peer(key(7).Public(), "", 0).Ref)
	w.right.ping("10.241.0.1")
	if got := w.left.read("wg0").Peers[0].Endpoint.String(); got != right4+":9997" {
		t.Errorf("the left hears the right at %s", got)
	}
}

// A private key is changed, and hands are shaken with the new one at once.
func TestKeyChange(t *testing.T) {
	w := newWorld(t)
	w.tunnel(right4 + ":2")
	w.left.ping("10.241.0.2")
	w.left.put(device("wg0", key(3), 1, 0, "10.241.0.1/24", "fd00:241::1/64")...)
	w.left.mute("10.241.0.2", "the right does not know the key")
	// The prefixes move to the new key while the old one is still a peer, which then goes.
	w.right.put(peer(key(3).Public(), "", 0, "10.241.0.1/32", "fd00:241::1/128"), peer(key(1).Public(), "", 0))
	w.left.ping("10.241.0.2")
	w.right.drop(peer(key(1).Public(), "", 0).Ref)
	w.right.ping("fd00:241::1")
	if n := len(w.right.read("wg0").Peers); n != 1 {
		t.Errorf("the right has %d peers", n)
	}
}

// A tunnel through a tunnel, and one whose way leads into itself.
func TestNested(t *testing.T) {
	w := newWorld(t)
	w.tunnel(right4 + ":2")
	w.right.put(append(device("wg1", key(4), 5, 0, "10.242.0.2/24", "fd00:242::2/64"), on("wg1", peer(key(3).Public(), "", 0, "10.242.0.1/32", "fd00:242::1/128")))...)
	w.left.put(append(device("wg1", key(3), 5, 0, "10.242.0.1/24", "fd00:242::1/64"), on("wg1", peer(key(4).Public(), "[fd00:241::2]:5", 0, "10.242.0.2/32", "fd00:242::2/128")))...)
	w.left.ping("10.242.0.2")
	w.right.ping("fd00:242::1")
	w.left.ping("-s 1352 10.242.0.2") // in pieces
	// The way to the right leads through wg1, which leads through wg0.
	w.left.at("wg0", key(2).Public(), "10.242.0.2:2")
	before := w.left.read("wg1").Peers[0].Sent
	w.left.mute("10.242.0.2", "its way leads into itself")
	// Nobody tells a process that it hears itself: what goes round goes round until the way is right again.
	if after := w.left.read("wg1").Peers[0].Sent; w.left.kernel && after-before > 70000 {
		t.Errorf("a loop sent %d bytes", after-before)
	}
	w.left.at("wg0", key(2).Public(), right4+":2")
	w.left.ping("10.242.0.2")
}
