//go:build lab && linux

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/wguser"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/wireguard"
	config "github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/scripts/lab"
)

// The name server that the lease names, and the tunnel's; and what each says of any name.
const (
	nearServer, nearSays = "10.0.2.3", "192.0.2.1"
	farServer, farSays   = "10.97.98.1", "192.0.2.2"
)

// owners are those who keep a machine's name servers, each the real program in a root of its own.
var owners = []struct {
	root, owner string
	config      lab.Config
	overlay     lab.Overlay
	// state is what the owner shows, before and afterwards.
	state  string
	byLink bool // it knows which link each server is of
}{
	{"bookworm-netplan", "systemd-resolved", lab.OnlyEth0, lab.Overlay{"/etc/resolv.conf": {Link: "/run/systemd/resolve/stub-resolv.conf"}}, "ls /run/systemd/resolve/netif 2>/dev/null || true", true},
	{"bookworm-ifupdown+resolvconf", "resolvconf", lab.OnlyEth0, lab.Overlay{"/etc/resolv.conf": {Link: "/run/resolvconf/resolv.conf"}}, "cat /etc/resolv.conf; ls /run/resolvconf/interface", true},
	{"bookworm-ifupdown+openresolv", "openresolv", lab.OnlyEth0, nil, "cat /etc/resolv.conf; resolvconf -l", true},
	{"bookworm-nm", "NetworkManager", "", nil, "cat /etc/resolv.conf; ls /etc/NetworkManager/conf.d", false},
	{"bookworm-netplan", "file", lab.OnlyEth0, lab.Overlay{"/etc/resolv.conf": {Content: "# by hand\nnameserver " + nearServer + "\noptions timeout:3\n"},
		"/etc/systemd/system/systemd-resolved.service": {Link: "/dev/null"}}, "cat /etc/resolv.conf; stat -c %a /etc/resolv.conf", false},
}

// TestDNS has the name servers of a full tunnel asked by all programs while it is up, whoever keeps
// those of the machine, and the ones from before asked again when it is taken down, when nobody
// confirms, and when whoever set them was killed.
func TestDNS(t *testing.T) {
	lab.Need(t, lab.Serve)
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range owners {
		t.Run(o.owner, func(t *testing.T) {
			t.Parallel() // they wait for leases and units most of the time
			w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT()}})
			farSide(t, w)
			answer(t, w, nearServer, func(string) []string { return []string{nearSays} })
			m := lab.Boot(t, lab.Root(t, o.root), w, lab.BootOpts{Binary: program, Config: o.config, Overlay: o.overlay})
			m.AwaitAddrs(t, 30*time.Second, "eth0")
			m.MustRun(t, "sh", "-c", "mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; mkdir -p /etc/provision")
			says(t, m, "before", nearSays)
			before := m.MustRun(t, "sh", "-c", o.state)
			m.WriteFile(t, "/etc/provision/provision.yaml", fmt.Sprintf(`version: 1
routing:
  wireguard:
    wg0:
      private-key: %s
      addresses: [10.97.98.5/24]
      route: full
      dns: [%s]
      peers:
        exit: {public-key: %s, allowed-ips: [0.0.0.0/0], endpoint: "%s:51820"}
`, key(1), farServer, key(2).Public(), lab.OffLink4), 0o600)
			back := func(when string) {
				t.Helper()
				says(t, m, when, nearSays)
				if after := m.MustRun(t, "sh", "-c", o.state); after != before {
					t.Errorf("%s the owner shows\n%s, and before\n%s", when, after, before)
				}
			}
			if got := seen(t, m); got.Owner != o.owner {
				t.Errorf("the owner is taken for %s", got.Owner)
			}

			m.MustRun(t, "provision", "apply")
			says(t, m, "applied", farSays)
			m.MustRun(t, "provision", "plan", "--exit-code")
			got := seen(t, m)
			if got.Owner != o.owner {
				t.Errorf("applied, and the owner is taken for %s", got.Owner)
			}
			if o.byLink && !slices.Equal(got.ByLink["wg0"], []string{farServer}) {
				t.Errorf("whose the tunnel's name server is, is not seen, so endpoints would be asked of it: %v", got.ByLink)
			}
			m.WriteFile(t, "/etc/tmpfiles.d/tun.conf", "c! /dev/net/tun 0666 root root - 10:200\n", 0o644)
			m.Reboot(t)
			says(t, m, "rebooted", farSays)
			m.MustRun(t, "provision", "revert")
			back("reverted")

			// Killed while nothing is confirmed, with what it did in force.
			p, err := m.Start("provision", "apply", "--confirm", "10m")
			if err != nil {
				t.Fatal(err)
			}
			says(t, m, "not confirmed", farSays)
			p.Kill9()
			m.MustRun(t, "provision", "rollback")
			back("killed")
		})
	}
}

// seen is what the program sees of name servers.
func seen(t *testing.T, m *lab.Machine) facts.DNS {
	t.Helper()
	var f facts.Facts
	if err := json.Unmarshal([]byte(m.MustRun(t, "provision", "facts")), &f); err != nil {
		t.Fatal(err)
	}
	return f.DNS
}

// says waits until a program that asks as all programs do (getaddrinfo(3)) hears this.
func says(t *testing.T, m *lab.Machine, when, want string) {
	t.Helper()
	n := 0
	lab.Await(t, 40*time.Second, func() error {
		// Another name each time, so that nobody's cache answers.
		n++
		name := fmt.Sprintf("n%d.%s.example", n, strings.ReplaceAll(when, " ", "-"))
		out, msg, _ := m.Run(context.Background(), "timeout", "5", "getent", "ahostsv4", name)
		if got, _, _ := strings.Cut(out, " "); got != want {
			conf, _, _ := m.Run(context.Background(), "cat", "/etc/resolv.conf")
			return fmt.Errorf("%s: %s is %q %s, want %s; resolv.conf is\n%s", when, name, got, msg, want, conf)
		}
		return nil
	})
}

// farSide is the other end of the tunnel with its name server, where the machine's network leads.
func farSide(t *testing.T, w *lab.World) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sockets := filepath.Join(t.TempDir(), "wg")
	store, err := provision.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	devices := wireguard.Resource{Sockets: sockets}
	if _, err := w.ISP.Exec("ip", "link", "add", "probe", "type", "wireguard"); err != nil {
		devices.Userspace = wguser.Starter{Program: program, Sockets: sockets, Tied: true}
	} else if _, err := w.ISP.Exec("ip", "link", "del", "probe"); err != nil {
		t.Fatal(err)
	}
	e := &provision.Engine{Store: store, Actors: map[string]provision.Actor{}, Resources: map[string]provision.Resource{
		wireguard.Kind: devices, wireguard.PeerKind: wireguard.Peers{Sockets: sockets}, link.Kind: link.Resource{}, address.Kind: address.Resource{}, route.Kind: route.Resource{},
	}}
	r, err := config.Plan(config.Input{Facts: &facts.Facts{}}, config.Config{"wg0": {PrivateKey: key(2).String(), ListenPort: 51820, MTU: 1420,
		Addresses: []string{farServer + "/24"}, Peers: map[string]config.Peer{"client": {PublicKey: key(1).Public().String(), AllowedIPs: []string{"10.97.98.5/32"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ISP.Do(func() error {
		_, err := e.Apply(t.Context(), provision.Desired{Wants: r.Desired.Wants}, provision.ApplyOptions{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.ISP.Do(func() error {
			_, err := e.Apply(context.Background(), provision.Desired{}, provision.ApplyOptions{})
			return err
		})
	})
	on(t, w, "ip", "addr", "add", nearServer+"/32", "dev", "lo")
	answer(t, w, farServer, func(string) []string { return []string{farSays} })
}

// on runs a program at the far side.
func on(t *testing.T, w *lab.World, argv ...string) {
	t.Helper()
	if _, err := w.ISP.Exec(argv...); err != nil {
		t.Fatal(err)
	}
}

// answer is a name server of the far side: what a name's addresses are.
func answer(t *testing.T, w *lab.World, at string, of func(name string) []string) {
	t.Helper()
	var conn net.PacketConn
	if err := w.ISP.Do(func() (err error) { conn, err = net.ListenPacket("udp", at+":53"); return err }); err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		head := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		for _, a := range of(strings.TrimSuffix(q.Question[0].Name, ".")) {
			switch ip := netip.MustParseAddr(a); {
			case head.Rrtype == dns.TypeA && ip.Is4():
				m.Answer = append(m.Answer, &dns.A{Hdr: head, A: ip.AsSlice()})
			case head.Rrtype == dns.TypeAAAA && ip.Is6():
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: ip.AsSlice()})
			}
		}
		_ = rw.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
}
