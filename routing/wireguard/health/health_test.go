package health

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func device(p wireguard.Peer) *wireguard.Device {
	p.PublicKey = wireguard.Key{1}
	if p.AllowedIPs == nil {
		p.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}
	}
	return &wireguard.Device{Name: "wg0", Peers: []wireguard.Peer{p}}
}

// step notes what a device says at a time, and returns what is said of its peer.
func step(h History, p Peer, live wireguard.Peer, now time.Time) []string {
	d := device(live)
	key := d.Peers[0].PublicKey.String()
	before := h["wg0"][key]
	h.Note(d, now)
	return Warnings(p, d.Peer(wireguard.Key{1}), before, h["wg0"][key], now)
}

func TestStalls(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    Peer
		want string
	}{
		{"its keepalive is too long for the NAT", Peer{Name: "phone", Keepalive: 25}, "try --keepalive 20"},
		{"it has none", Peer{Name: "phone"}, "give it --keepalive 25"},
		{"no smaller one helps", Peer{Name: "phone", Keepalive: 5}, "it is off"},
		{"ours is too long", Peer{Name: "office", Calls: true, Own: 15}, "try persistent-keepalive 10"},
		{"we have none", Peer{Name: "office", Calls: true}, "persistent-keepalive: 25"},
	} {
		h := History{}
		at := wireguard.Peer{LastHandshake: start, Received: 100, Sent: 100, Endpoint: netip.MustParseAddrPort("192.0.2.1:1")}
		if w := step(h, tt.p, at, start.Add(10*time.Second)); w != nil {
			t.Errorf("%s: at once %v", tt.name, w)
		}
		at.Sent = 200 // nothing comes back, but the session may still be one
		if w := step(h, tt.p, at, start.Add(100*time.Second)); w != nil {
			t.Errorf("%s: too early %v", tt.name, w)
		}
		// Whoever is sent nothing may sleep.
		if w := step(h, tt.p, at, start.Add(300*time.Second)); w != nil {
			t.Errorf("%s: asleep %v", tt.name, w)
		}
		at.Sent = 300
		w := step(h, tt.p, at, start.Add(400*time.Second))
		if len(w) != 1 || !strings.Contains(w[0], tt.want) || !strings.Contains(w[0], "no handshake for 6m") {
			t.Errorf("%s: %v", tt.name, w)
		}
		// It is still so when nothing more is sent, and over when something comes.
		if w := step(h, tt.p, at, start.Add(410*time.Second)); len(w) != 1 {
			t.Errorf("%s: forgotten %v", tt.name, w)
		}
		at.Received, at.LastHandshake = 150, start.Add(420*time.Second)
		if w := step(h, tt.p, at, start.Add(421*time.Second)); w != nil {
			t.Errorf("%s: back %v", tt.name, w)
		}
	}
}

func TestEndpoints(t *testing.T) {
	p := Peer{Name: "phone"}
	from := func(h History, n int, endpoints ...string) (w []string) {
		for _, e := range endpoints {
			n++
			w = step(h, p, wireguard.Peer{LastHandshake: start, Endpoint: netip.MustParseAddrPort(e)}, start.Add(time.Duration(n)*time.Second))
		}
		return w
	}
	a, b, c := "192.0.2.1:1", "192.0.2.2:2", "[2001:db8::3]:3"
	if w := from(History{}, 0, a, b, c, "192.0.2.4:4", a); w != nil {
		t.Errorf("it roams: %v", w)
	}
	if w := from(History{}, 0, a, b, a); w != nil {
		t.Errorf("it comes back once: %v", w)
	}
	h := History{}
	if w := from(h, 0, a, b, a, b, a); len(w) != 1 || !strings.Contains(w[0], "two devices use the same key") || !strings.Contains(w[0], b) {
		t.Errorf("to and fro: %v", w)
	}
	if w := from(h, 1000, a); w != nil {
		t.Errorf("long ago: %v", w)
	}
	many := History{}
	for range 10 {
		from(many, 0, a, b)
	}
	if n := len(many["wg0"][wireguard.Key{1}.String()].Moves); n != maxMoves {
		t.Errorf("%d endpoints are remembered", n)
	}
	many.Note(&wireguard.Device{Name: "wg0"}, start)
	if len(many["wg0"]) != 0 {
		t.Error("a peer that is gone is remembered")
	}
}

func TestOthersChanged(t *testing.T) {
	p := Peer{Name: "phone", Allowed: "10.0.0.2/32"}
	if w := Warnings(p, nil, Seen{}, Seen{}, start); len(w) != 1 || !strings.Contains(w[0], "does not have it") {
		t.Error(w)
	}
	taken := device(wireguard.Peer{AllowedIPs: []netip.Prefix{}})
	if w := Warnings(p, &taken.Peers[0], Seen{}, Seen{}, start); len(w) != 1 || !strings.Contains(w[0], "have nothing, and not 10.0.0.2/32") {
		t.Error(w)
	}
	never := device(wireguard.Peer{Sent: 148})
	if w := Warnings(Peer{Name: "office", Calls: true}, &never.Peers[0], Seen{}, Seen{}, start); len(w) != 1 || !strings.Contains(w[0], "never answered") {
		t.Error(w)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 119 * time.Second: "119s", 5 * time.Minute: "5m", 3 * time.Hour: "3h", 72 * time.Hour: "3d", -time.Minute: "0s"} {
		if got := Age(start, start.Add(d)); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
	if Age(time.Time{}, start) != "never" || Alive(time.Time{}, start) || !Alive(start, start.Add(3*time.Minute)) || Alive(start, start.Add(4*time.Minute)) {
		t.Error("never, or dead")
	}
}
