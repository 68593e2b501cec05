//go:build lab && linux

package people

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A client whose endpoint's name nobody knows yet is applied all the same; the watch finds it as soon as
// there is a name and something changes.
func TestClientByName(t *testing.T) {
	w := newWorld(t)
	w.box.provision("wireguard", "init", "--endpoint", "vpn.example.org", "--manage", "no")
	file := w.box.provision("wireguard", "add", "laptop")
	laptop := w.phone
	laptop.sh("rm -f /etc/resolv.conf; echo 'nameserver 192.0.2.1' > /etc/resolv.conf; mkdir -p /etc/provision; echo 'version: 1' > /etc/provision/provision.yaml")
	laptop.write("/root/wg0.conf", file)
	laptop.provision("wireguard", "import", "/root/wg0.conf")
	laptop.background("", laptop.dir+"/bin/provision", "watch")
	laptop.silent(host4)
	if got := laptop.run("cat", "/var/lib/provision/kernel.json"); !strings.Contains(got, "192.0.2.1:53") {
		t.Error("the name server beside the tunnel is forgotten, and those in the tunnel cannot be asked where it is")
	}
	laptop.provision("plan", "--exit-code")
	laptop.sh("echo '" + box4 + " vpn.example.org' >> /etc/hosts\nip route add default via 192.0.2.1 metric 9")
	laptop.pings(host4)
	laptop.pings(host6)
	if got := laptop.run("wg", "show", "wg0", "endpoints"); !strings.Contains(got, box4+":51820") {
		t.Errorf("the endpoint is %s", got)
	}
}

// A peer that does not answer any more, because it is gone or a NAT has forgotten the way to it, is told of
// once by the watch, with the keepalive to try; and not any more when it is back.
func TestStall(t *testing.T) {
	if os.Getenv("PROVISION_LAB_COUNTED") == "" {
		t.Skip("skipped: it takes four minutes, but in a guest whose clock jumps while nothing is done")
	}
	w := newWorld(t)
	w.box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")
	config := w.box.provision("wireguard", "add", "phone")
	w.phone.up("phone", config)
	w.phone.pings(host4)
	w.box.background("", w.box.dir+"/bin/provision", "watch")
	w.phone.run("ip", "link", "set", "eth0", "down")
	inside, _, _ := strings.Cut(field(t, config, "Address"), "/")
	w.box.background("", "ping", "-q", "-i", "5", inside)
	status := func() (noted uint64, last string) {
		var s struct {
			Jobs []struct {
				Name     string `json:"name"`
				Noted    uint64 `json:"noted"`
				LastNote string `json:"last_note"`
			} `json:"jobs"`
		}
		// The watch may not answer yet.
		if out, err := w.box.try(w.box.dir+"/bin/provision", "watch", "--status", "-o", "json"); err == nil && json.Unmarshal([]byte(out), &s) == nil {
			for _, j := range s.Jobs {
				if j.Name == "handshakes" {
					return j.Noted, j.LastNote
				}
			}
		}
		return 0, ""
	}
	rest := func(d time.Duration) {
		t.Helper()
		select {
		case <-time.After(d):
		case <-t.Context().Done():
		}
	}
	noted, last := status()
	for over := time.Now().Add(8 * time.Minute); noted == 0; noted, last = status() {
		if time.Now().After(over) {
			t.Fatalf("nothing is told: %s", w.box.provision("wireguard", "list"))
		}
		rest(10 * time.Second)
	}
	if !strings.Contains(last, "peer phone of wg0: no handshake since ") || !strings.Contains(last, "try --keepalive 20") {
		t.Errorf("it says %s", last)
	}
	rest(3 * time.Minute) // nothing is to happen
	if again, last := status(); again != noted {
		t.Errorf("it is told %d times, the last time: %s", again, last)
	}
	w.phone.sh("ip link set eth0 up\nip route replace default via 192.0.2.1")
	w.phone.pings(host4)
	w.box.pings(inside)
	if p := w.box.list().Interfaces[0].Peers[0]; len(p.Warnings) != 0 {
		t.Errorf("it is back: %+v", p)
	}
}

// A peer with an address of the LAN is reached there without a route, in both families: the watch has
// the box answer for it.
func TestOnTheLAN(t *testing.T) {
	w := newWorld(t)
	key := func() (private, public string) {
		private = strings.TrimSpace(w.box.run("wg", "genkey"))
		return private, strings.TrimSpace(w.box.sh("echo " + private + " | wg pubkey"))
	}
	boxKey, boxPublic := key()
	phoneKey, phonePublic := key()
	w.box.write("/etc/provision/provision.yaml", fmt.Sprintf(`version: 1
routing:
  wireguard:
    wg0:
      private-key: %s
      addresses: [10.97.98.1/24]
      listen-port: 51820
      lan-access: lan0
      peers: {phone: {public-key: %s, allowed-ips: [10.9.0.200, "fd09::200"]}}
`, boxKey, phonePublic))
	w.box.provision("apply")
	w.box.background("", w.box.dir+"/bin/provision", "watch")
	w.phone.up("wg0", fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.9.0.200/32, fd09::200/128\n[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = 10.9.0.0/24, fd09::/64\nPersistentKeepalive = 1\n", phoneKey, boxPublic, box4))
	await(t, "the phone shakes hands", func() error {
		if strings.Contains(w.box.run("wg", "show", "wg0", "latest-handshakes"), "\t0\n") {
			return errors.New("not yet")
		}
		return nil
	})
	for _, addr := range []string{"10.9.0.200", "fd09::200"} {
		w.home.pings(addr)
	}
	for _, addr := range []string{lan4, lan6} {
		w.phone.pings(addr)
	}
}
