package wireguard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

// Each owner is told in its own way, or it is said why not; a plan that was applied is the same again.
func TestDNS(t *testing.T) {
	for _, tt := range []struct {
		owner, route, domains string
		want, note            string
	}{
		{"systemd-resolved", "full", "", "resolver:systemd-resolved wg0 default-route=true domains=~. servers=9.9.9.9 2620:fe::fe", ""},
		{"systemd-resolved", "split", "[corp.example, '~x.example']", "resolver:systemd-resolved wg0 default-route=false domains=corp.example ~x.example servers=9.9.9.9 2620:fe::fe", ""},
		{"systemd-resolved", "split", "", "", "asked for nothing"},
		{"openresolv", "full", "", "resolver:openresolv wg0 domains=~. servers=9.9.9.9 2620:fe::fe", ""},
		{"resolvconf", "split", "[corp.example]", "resolver:resolvconf wg0 domains=corp.example servers=9.9.9.9 2620:fe::fe", "asked for every name"},
		{"NetworkManager", "full", "", "servers=9.9.9.9,2620:fe::fe\n", ""},
		{"NetworkManager", "split", "[corp.example]", "", "one list"},
		{"file", "full", "['~.', lan]", "nameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch lan\noptions edns0\n", ""},
		{"file", "split", "[corp.example]", "", "one list"},
		{"dhclient", "full", "", "nameserver 9.9.9.9", "anew with each lease"},
		{"tailscale", "full", "", "", "kept by tailscale"},
	} {
		f := machine()
		f.DNS.Owner = tt.owner
		f.Files = map[string]facts.File{"/etc/resolv.conf": {Text: "nameserver 192.168.7.1\noptions edns0\n"}}
		c := config(t, "wg0: {private-key: PRIV, addresses: [10.9.0.5/32], route: "+tt.route+", dns: [9.9.9.9, '2620:fe::fe'], peers: {exit: {public-key: KEYB, allowed-ips: [0.0.0.0/0], endpoint: '192.0.2.9:1'}}}")
		i := c["wg0"]
		i.Domains = config(t, "x: {domains: "+orNone(tt.domains)+"}")["x"].Domains
		c["wg0"] = i
		got := func() string {
			r, err := Plan(Input{Facts: f}, c)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, w := range r.Desired.Wants {
				if w.Kind == "resolver" {
					fmt.Fprintf(&b, "%s", w.Ref)
					for _, k := range []string{"default-route", "domains", "servers"} {
						if v, ok := w.Attrs[k]; ok {
							fmt.Fprintf(&b, " %s=%s", k, v)
						}
					}
				}
				if w.Kind == "file" {
					b.WriteString(w.Attrs["content"])
					f.Files[w.Name] = facts.File{Text: w.Attrs["content"]}
				}
			}
			for _, n := range r.Desired.Notes {
				b.WriteString(n.Text)
			}
			return b.String()
		}
		first := got()
		if tt.want == "" && strings.Contains(first, "9.9.9.9") || !strings.Contains(first, tt.want) || !strings.Contains(first, tt.note) {
			t.Errorf("%s, %s %s: %q", tt.owner, tt.route, tt.domains, first)
		}
		if again := got(); again != first {
			t.Errorf("%s: again %q", tt.owner, again)
		}
	}
}

func orNone(list string) string {
	if list == "" {
		return "[]"
	}
	return list
}
