//go:build lab && linux

package people

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

const boxConfig = `version: 1
serve:
  links:
  - match: {name: lan0}
    dhcp4: {enabled: false}
    ra: {enabled: false}
    dhcp6: {enabled: false}
    mdns: {enabled: false}
  dns:
    resolv-file: none
    records:
    - {name: www.example.net, type: A, value: 198.51.100.1}
    - {name: www.example.net, type: AAAA, value: "2001:db8:99::1"}
`

// state is what has to be the same before and after, apart from our own memory.
const state = `nft list ruleset
ip -o addr | grep -v fe80: | sed 's/valid_lft.*//'
ip rule; ip -6 rule; ip route; ip -6 route | grep -v fe80:
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
ls -R /etc/provision /etc/sysctl.d`

// listed is what list says of a peer.
type listed struct {
	Interfaces []struct {
		Name  string
		Up    bool
		Peers []struct {
			Name     string
			Endpoint string
			Alive    bool
			Received uint64 `json:"received_bytes"`
			Sent     uint64 `json:"sent_bytes"`
			Warnings []string
		}
	}
}

func (m *machine) list() listed {
	m.t.Helper()
	var l listed
	if err := json.Unmarshal([]byte(m.provision("wireguard", "list", "-o", "json")), &l); err != nil {
		m.t.Fatal(err)
	}
	return l
}

// A server in one command and phones in one each, judged by wg-quick: both families through the tunnel,
// names by the tunnel, nobody manages the box who may not, keys are kept nowhere, and what is taken away
// leaves nothing.
func TestServer(t *testing.T) {
	w := newWorld(t)
	box := w.box
	box.write("/etc/provision/provision.yaml", boxConfig)
	clean := box.sh(state)
	box.background("", box.dir+"/bin/provision", "serve")
	box.background(listenEnv+"=:22", os.Args[0])
	out := box.provision("wireguard", "init", "--endpoint", "vpn.example.org", "--manage", "no")
	for _, want := range []string{"peers may not manage it", "a phone that stays connected at home finds this machine"} {
		if !strings.Contains(out, want) {
			t.Errorf("init does not say %q:\n%s", want, out)
		}
	}
	box.provision("plan", "--exit-code")

	phone := box.provision("wireguard", "add", "phone")
	tablet := box.provision("wireguard", "add", "tablet", "--route", "split")
	for _, m := range []*machine{w.phone, w.tablet} {
		m.sh("echo '" + box4 + " vpn.example.org' >> /etc/hosts")
	}
	w.phone.up("phone", phone)
	w.tablet.up("tablet", tablet)
	for _, addr := range []string{host4, host6, lan4, lan6} {
		w.phone.pings(addr)
	}
	for _, addr := range []string{lan4, lan6} {
		w.tablet.pings(addr)
	}
	// Nobody on the internet has a route to the tunnel's addresses: who answers was asked by the box.
	for _, target := range []string{host4, host6} {
		if got := w.phone.run("ip", "-o", "route", "get", target); !strings.Contains(got, " dev phone ") {
			t.Errorf("%s leaves by %s", target, got)
		}
	}
	if got := w.tablet.run("ip", "-o", "route", "get", host4); !strings.Contains(got, " dev eth0 ") {
		t.Errorf("the tablet's split tunnel takes %s", got)
	}
	own := strings.Split(field(t, phone, "Address"), ", ")
	for _, a := range own {
		p := netip.MustParsePrefix(a)
		if !p.IsSingleIP() {
			t.Errorf("the phone has the network %s", p)
		}
		w.tablet.pings(p.Addr().String()) // peers reach each other
	}

	// Names, over the tunnel, in both families.
	servers := strings.Split(field(t, phone, "DNS"), ", ")
	if len(servers) != 2 {
		t.Fatalf("name servers %v", servers)
	}
	for _, s := range servers {
		await(t, "names at "+s, func() error {
			got, err := w.phone.try("dig", "+short", "+time=1", "+tries=1", "@"+s, "www.example.net")
			if err == nil && strings.TrimSpace(got) != host4 {
				err = fmt.Errorf("%q", got)
			}
			return err
		})
		// A phone outside does not get the inside address of its own endpoint.
		if got, _ := w.phone.try("dig", "+short", "+time=1", "+tries=1", "@"+s, "vpn.example.org"); strings.Contains(got, "10.") {
			t.Errorf("in the tunnel the endpoint is at %s", got)
		}
	}
	// The home's clients find the box inside by the same name.
	for typ, want := range map[string]string{"A": "10.9.0.1", "AAAA": "fd09::1"} {
		if got := strings.TrimSpace(w.home.run("dig", "+short", "+time=1", "@10.9.0.1", "vpn.example.org", typ)); got != want {
			t.Errorf("at home the endpoint is at %q, want %s", got, want)
		}
	}

	// Nobody may manage it from the tunnel; at home everybody may as before.
	hello := func(m *machine, addr string) string {
		got, _ := m.try("timeout", "2", "bash", "-c", "cat < /dev/tcp/"+addr+"/22")
		return strings.TrimSpace(got)
	}
	for _, s := range servers {
		if got := hello(w.phone, s); got != "" {
			t.Errorf("the phone is let in at %s: %s", s, got)
		}
	}
	if got := hello(w.phone, "10.9.0.1"); got != "" {
		t.Errorf("the phone is let in at the box's inside address: %s", got)
	}
	if got := hello(w.home, "10.9.0.1"); got != "hello" {
		t.Errorf("at home: %q", got)
	}
	box.provision("wireguard", "init", "--manage", "yes")
	if got := hello(w.phone, servers[0]); got != "hello" {
		t.Errorf("with --manage yes the phone gets %q", got)
	}
	box.provision("wireguard", "init", "--manage", "no")

	for _, p := range box.list().Interfaces[0].Peers {
		if !p.Alive || p.Received == 0 || p.Sent == 0 || !strings.HasPrefix(p.Endpoint, "192.0.2.") || len(p.Warnings) > 0 {
			t.Errorf("list: %+v", p)
		}
	}

	// Keys are where they belong, and nowhere else.
	for name, private := range map[string]string{"phone": field(t, phone, "PrivateKey"), "tablet": field(t, tablet, "PrivateKey")} {
		if got, _ := box.try("grep", "-rlF", private, "/etc", "/var/lib/provision", "/run"); got != "" {
			t.Errorf("the private key of %s is kept in %s", name, got)
		}
	}
	if got := box.run("find", "/etc/provision/wireguard.d", "!", "(", "-type", "f", "-perm", "0600", ")", "!", "(", "-type", "d", "-perm", "0700", ")"); got != "" {
		t.Errorf("others may read %s", got)
	}
	if code, _, errs := box.status("wireguard", "show", "phone", "--qr"); code != 1 || !strings.Contains(errs, "wireguard rotate phone") {
		t.Errorf("show --qr: status %d, %s", code, errs)
	}
	if code, show, errs := box.status("wireguard", "show", "phone"); code != 0 || !strings.Contains(show, "it is not known here") || !strings.Contains(errs, "not kept") || field(t, show, "PresharedKey") != field(t, phone, "PresharedKey") {
		t.Errorf("show: status %d\n%s%s", code, show, errs)
	}

	// New keys: the old file is worth nothing.
	phone2 := box.provision("wireguard", "rotate", "phone")
	if field(t, phone2, "Address") != field(t, phone, "Address") || field(t, phone2, "PrivateKey") == field(t, phone, "PrivateKey") {
		t.Errorf("rotated:\n%s", phone2)
	}
	w.phone.silent(host4)
	w.phone.down("phone")
	w.phone.up("phone", phone2)
	w.phone.pings(host4)

	box.provision("wireguard", "remove", "phone")
	w.phone.silent(host4)
	w.tablet.pings(lan4)
	if got := box.run("wg", "show", "wg0", "peers"); strings.Count(got, "\n") != 1 {
		t.Errorf("peers:\n%s", got)
	}
	box.provision("plan", "--exit-code")
	box.provision("wireguard", "remove", "--interface", "wg0", "--all")
	box.provision("plan", "--exit-code")
	if got := box.sh(state); got != clean {
		t.Errorf("left:\n%s\nwas:\n%s", got, clean)
	}
}
