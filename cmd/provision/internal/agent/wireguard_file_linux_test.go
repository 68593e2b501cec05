package agent

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
)

// An imported file whose endpoint is a name that has no address now is taken, and said so; one with an
// address is not.
func TestImportSaysWhatHasNoAddress(t *testing.T) {
	nstest.Network(t)
	nstest.Mount(t, "tmpfs", "/var/lib", "tmpfs", 0, "")
	a, err := New(Options{Root: "/", StateDir: DefaultStateDir, Config: Config{Version: 1}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for endpoint, warned := range map[string]bool{"vpn.nowhere.invalid:51820": true, "192.0.2.1:51820": false} {
		text := "[Interface]\nPrivateKey = QEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\nAddress = 10.0.0.5/24\n[Peer]\nPublicKey = QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\nAllowedIPs = 10.20.0.0/16\nEndpoint = " + endpoint + "\n"
		out, err := a.WireguardImport(t.Context(), WireguardImport{WireguardOptions: WireguardOptions{Interface: "wgx", DryRun: true}, Text: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, n := range out.Notes {
			told = told || n.Level == "warning" && strings.Contains(n.Text, "vpn.nowhere.invalid has no address yet") && strings.HasPrefix(n.Subject, "routing.wireguard.wgx.peers.")
		}
		if told != warned {
			t.Errorf("%s: warned is %v: %+v", endpoint, told, out.Notes)
		}
	}
}
