package kept

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

func TestRoundTrip(t *testing.T) {
	wants := []provision.Want{
		{Ref: provision.Ref{Kind: "sysctl", Name: "global net.ipv4.ip_forward"}, Attrs: provision.Attrs{"value": "1"}, Why: "forwarding"},
		{Ref: provision.Ref{Kind: "file", Name: "/etc/x"}, Attrs: provision.Attrs{"content": "x"}},
		{Ref: provision.Ref{Kind: "nft", Name: "inet provision"}, Attrs: provision.Attrs{"table": "{\"ä\":1}\n"}},
		{Ref: provision.Ref{Kind: "nft", Name: "inet gone"}},
		{Ref: provision.Ref{Kind: "nft", Name: "inet told"}, Attrs: provision.Attrs{}, Mode: provision.Report},
	}
	kept := Of(wants, "sysctl", "nft")
	if len(kept) != 2 || kept[0].Kind != "sysctl" || kept[1].Name != "inet provision" {
		t.Fatalf("picked %v", kept)
	}
	sw := &Switch{Input: killswitch.Input{Config: killswitch.Config{Tunnel: "wg0", WindowPorts: []uint16{80}}, Table: 15800, Mark: 1, Mask: 3}, Priority: 5790}
	l := lists.Config{"x": {Addresses: []string{"192.0.2.1"}}}
	named := []wireguard.Named{{Device: "wg0", Peer: "exit", PublicKey: wgresource.Key{1}, Host: "vpn.example.org", Port: 51820}}
	meant := map[string][]netip.Addr{"vpn.example.org": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}
	proxies := []watch.ProxyLink{{Interface: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("192.168.7.200")}}}
	servers := []netip.AddrPort{netip.MustParseAddrPort("192.168.7.1:53")}
	w, err := Want(State{Wants: kept, Switch: sw, Lists: l, Endpoints: named, Resolved: meant, Proxies: proxies, NameServers: servers})
	if err != nil {
		t.Fatal(err)
	}
	if w.Kind != file.SecretKind || w.Attrs[file.AttrMode] != "0600" {
		t.Errorf("the file is %v", w.Ref)
	}
	got, err := Parse([]byte(w.Attrs[file.AttrContent]))
	if err != nil || !reflect.DeepEqual(got, State{Wants: kept, Switch: sw, Lists: l, Endpoints: named, Resolved: meant, Proxies: proxies, NameServers: servers}) {
		t.Errorf("got %v, %v", got, err)
	}
	if again, _ := Want(got); again.Attrs[file.AttrContent] != w.Attrs[file.AttrContent] {
		t.Error("written again it differs")
	}
	kept[0].Attrs = provision.Attrs{"value": "\xff"}
	if _, err := Want(State{Wants: kept}); err == nil || !strings.Contains(err.Error(), "not text") {
		t.Errorf("bytes that are no text: %v", err)
	}
}

func TestRubbish(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"wants":[{}]}`, `{"version":1,"wants":[{"kind":"nft","name":"x"}]}`, `{"version":1,"wants":[],"endpoints":[{"device":"wg0","host":"x","public_key":"x"}]}`} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"wants":[],"kill_switch":{"input":{"Config":{"Tunnel":"wg0"},"Table":80,"Intents":{"Endpoints":[{"Addr":"203.0.113.7"}]}},"priority":7}}`))
	f.Add([]byte(`{"version":1,"wants":[{"kind":"nft","name":"inet provision","attrs":{"table":"x"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		wants, err := Parse(text)
		if err != nil {
			return
		}
		w, err := Want(wants)
		if err != nil {
			t.Skip(err)
		}
		if again, err := Parse([]byte(w.Attrs[file.AttrContent])); err != nil || !reflect.DeepEqual(again, wants) {
			t.Errorf("%v, then %v, %v", wants, again, err)
		}
	})
}
