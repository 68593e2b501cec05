package wireguard

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

func endpointsOf(t *testing.T) EndpointsResource {
	t.Helper()
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return EndpointsResource{Files: root, Folder: t.TempDir()}
}

func TestConformanceEndpoints(t *testing.T) {
	at := func(key Key, text string) Configured {
		c := Configured{PublicKey: key, Endpoint: text}
		c.Address, _ = netip.ParseAddrPort(text)
		return c
	}
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		newWorld(t, false)
		return enginetest.ResourceCase{Resource: endpointsOf(t), Name: "wg0", Values: []provision.Attrs{
			WantEndpoints("wg0", []Configured{at(key(9).Public(), "192.0.2.1:51820"), at(key(8).Public(), "[2001:db8::1]:1")}, "").Attrs,
			WantEndpoints("wg0", []Configured{at(key(9).Public(), "vpn.example.org:51820")}, "").Attrs,
		}, Optional: []string{AttrEndpoints}}
	})
}

// A peer that has roamed stays where it is, whatever is applied, until something else is configured for
// it: then it is told once, and may roam again. Others are left alone, and going back goes back.
func TestConfiguredAnew(t *testing.T) {
	both(t, func(w world) {
		r := endpointsOf(w.T)
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1)}, ""))
		here := func(n byte) string {
			w.Helper()
			d, err := Read(w.Context(), "", "wg0")
			if err != nil || d == nil || d.Peer(key(n).Public()) == nil {
				w.Fatal(d, err)
			}
			return d.Peer(key(n).Public()).Endpoint.String()
		}
		apply := func(eight, text string, address string) {
			w.Helper()
			list := []Configured{{PublicKey: key(8).Public(), Endpoint: eight, Address: netip.MustParseAddrPort(eight)}, {PublicKey: key(9).Public(), Endpoint: text}}
			if address != "" {
				list[1].Address = netip.MustParseAddrPort(address)
			}
			for n, c := range list {
				p := peer(byte(8+n), "10.0.0."+string('1'+rune(n))+"/32")
				p.Endpoint = c.Address
				w.set(WantPeer(p, ""))
			}
			want := WantEndpoints("wg0", list, "")
			have, err := r.Get(w.Context(), "wg0")
			if err == nil && (have == nil || have[AttrEndpoints] != want.Attrs[AttrEndpoints]) {
				err = r.Set(w.Context(), "wg0", have, want.Attrs)
			}
			if err != nil {
				w.Fatal(err)
			}
		}
		roam := func(n byte, to string) {
			w.Helper()
			if err := SetEndpoint(w.Context(), "", "wg0", key(n).Public(), to); err != nil {
				w.Fatal(err)
			}
		}
		expect := func(what, eight, nine string) {
			w.Helper()
			if a, b := here(8), here(9); a != eight || b != nine {
				w.Errorf("%s: at %s and %s, want %s and %s", what, a, b, eight, nine)
			}
		}
		const a8, a9 = "192.0.2.8:1", "192.0.2.9:1"
		apply(a8, a9, a9)
		expect("made", a8, a9)
		roam(8, "198.51.100.8:7")
		roam(9, "198.51.100.9:7")
		apply(a8, a9, a9)
		expect("applied again", "198.51.100.8:7", "198.51.100.9:7")
		apply(a8, "203.0.113.9:2", "203.0.113.9:2")
		expect("configured anew", "198.51.100.8:7", "203.0.113.9:2")
		roam(9, "198.51.100.9:8")
		apply(a8, "203.0.113.9:2", "203.0.113.9:2")
		expect("roamed again", "198.51.100.8:7", "198.51.100.9:8")
		apply(a8, "vpn.example.org:5", "203.0.113.99:5")
		expect("a name now", "198.51.100.8:7", "203.0.113.99:5")
		roam(9, "198.51.100.9:9")
		apply(a8, "vpn.example.org:5", "203.0.113.100:5") // it has roamed, and its name has another address
		expect("the name has another address", "198.51.100.8:7", "198.51.100.9:9")
		apply(a8, "unknown.example.org:5", "")
		expect("a name that nobody knows", "198.51.100.8:7", "198.51.100.9:9")
		apply(a8, a9, a9)
		expect("back", "198.51.100.8:7", a9)

		// A record that is lost, or of an older version that had none, tells nobody.
		roam(9, "198.51.100.9:7")
		have, err := r.Get(w.Context(), "wg0")
		if err == nil {
			err = r.Set(w.Context(), "wg0", have, nil)
		}
		if err != nil {
			w.Fatal(err)
		}
		apply(a8, a9, a9)
		expect("lost", "198.51.100.8:7", "198.51.100.9:7")
		if out := w.wg("show", "wg0", "endpoints"); !strings.Contains(out, "198.51.100.9:7") {
			w.Errorf("wg says %s", out)
		}
	})
}

func FuzzConfigured(f *testing.F) {
	f.Add(WantEndpoints("wg0", []Configured{{PublicKey: key(1), Endpoint: "a:1", Address: netip.MustParseAddrPort("192.0.2.1:1")}, {PublicKey: key(2), Endpoint: "[::1]:1"}}, "").Attrs[AttrEndpoints])
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := configured(text)
		if err != nil {
			return
		}
		var list []Configured
		for _, c := range m {
			list = append(list, c)
		}
		again, err := configured(WantEndpoints("wg0", list, "").Attrs[AttrEndpoints])
		if err != nil || len(again) != len(m) {
			t.Fatalf("%q: %v, %v", text, again, err)
		}
		for key, c := range m {
			if again[key] != c {
				t.Errorf("%q: %+v is read as %+v", text, c, again[key])
			}
		}
	})
}
