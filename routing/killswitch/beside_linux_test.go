package killswitch

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/provision-net/provision/provision/intent"
)

// A tunnel of protocol 41 beside the one that is the only way out: its own packets leave for its server,
// and no others of that protocol, by whomever, do.
func TestAnotherTunnelBeside(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	const server, other = "203.0.113.41", "203.0.113.42"
	tries := []probe{{kind: "6in4", to: server, mark: labMark}, {kind: "6in4", to: other, mark: labMark},
		{kind: "6in4", to: server, dev: "wlan0"}, {kind: "udp", to: server, port: 53, mark: labMark}}
	want := []string{"other 198.51.100.2 > 203.0.113.41 41"}

	s := l.settle(State{}, Ask{})
	if got := l.leaks(l.box, tries); len(got) > 0 {
		t.Fatalf("of a tunnel that nobody configured leaves %q", got)
	}
	l.in.Intents.Endpoints = append(l.in.Intents.Endpoints, intent.Endpoint{Tunnel: "he0", Proto: "41", Addr: netip.MustParseAddr(server), Mark: labMark})
	if s = l.settle(s, Ask{}); s.Status != Armed {
		t.Fatalf("%+v", s)
	}
	if got := l.leaks(l.box, tries); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	if got := l.leaks(l.client, []probe{{kind: "6in4", to: server}, {kind: "6in4", to: other}}); len(got) > 0 {
		t.Errorf("a client's own packets of protocol 41 leave: %q", got)
	}
	l.closed("with another tunnel beside")
	l.through("with another tunnel beside")
}
