//go:build lab && linux

package client

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// TestNameUnderSwitch has the endpoint's name resolved while an armed kill switch holds everything else:
// at the start, when the name leads elsewhere, and when it leads to the other family. tcpdump(8) is the
// judge of what leaves beside the tunnel; somebody on the machine tries to all the time.
func TestNameUnderSwitch(t *testing.T) {
	lab.Need(t, lab.Serve)
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const moved4, other = "203.0.113.6", "10.0.2.4"
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT()}})
	farSide(t, w)
	on(t, w, "ip", "addr", "add", other+"/32", "dev", "lo")
	// The far end answers from where it is called.
	from := func(net, addr string) {
		t.Helper()
		on(t, w, "ip", "route", "replace", net, "dev", "isp0", "metric", map[bool]string{false: "0", true: "1"}[strings.Contains(net, ":")], "src", addr)
	}
	from("10.0.2.0/24", lab.OffLink4)
	from("2001:db8::/64", lab.OffLink6)
	var mu sync.Mutex
	endpoint := []string{lab.OffLink4}
	lead := func(a ...string) { mu.Lock(); defer mu.Unlock(); endpoint = a }
	answer(t, w, nearServer, func(name string) []string {
		mu.Lock()
		defer mu.Unlock()
		if name == "vpn.example.org" {
			return endpoint
		}
		return []string{nearSays}
	})
	m := lab.Boot(t, lab.Root(t, "bookworm-ifupdown"), w, lab.BootOpts{Binary: program, Config: lab.OnlyEth0})
	m.AwaitAddrs(t, 30*time.Second, "eth0")
	m.MustRun(t, "sh", "-c", "mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; mkdir -p /etc/provision; ip route get 2001:db8:f::5")
	m.WriteFile(t, "/etc/provision/provision.yaml", fmt.Sprintf(`version: 1
routing:
  kill-switch:
    tunnel: wg0
    inside: [usb0]
    bootstrap-dns: [%s]
  wireguard:
    wg0:
      private-key: %s
      addresses: [10.97.98.5/24]
      route: full
      dns: [%s]
      peers:
        exit: {public-key: %s, allowed-ips: [0.0.0.0/0], endpoint: "vpn.example.org:51820"}
`, nearServer, key(1), farServer, key(2).Public()), 0o600)

	var seen buffer
	dump, err := w.ISP.Start(&seen, "tcpdump", "-l", "-n", "-t", "-i", "isp0", "--immediate-mode", "ether src 08:00:27:00:76:10 and (ip or ip6) and not icmp6 and not udp port 67 and not udp port 68 and not dst ff02::16")
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Stop(syscall.SIGKILL)
	// Somebody who tries: by the routes, by the device, by a name server that is nobody's to ask, both families.
	tries := "while :; do for a in 203.0.113.80 2001:db8:80::80; do ping -n -c 1 -W 1 $a; ping -n -c 1 -W 1 -I eth0 $a; done; exec 3>/dev/udp/" + other + "/53 && echo x >&3; sleep 0.1; done >/dev/null 2>&1"
	if _, err := m.Start("bash", "-c", tries); err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 30*time.Second, func() error {
		for _, want := range []string{"203.0.113.80: ICMP", other + ".53"} {
			if !strings.Contains(seen.String(), want) {
				return fmt.Errorf("nobody tries, so the test would show nothing: no %s in %s", want, seen.String())
			}
		}
		return nil
	})
	m.MustRun(t, "provision", "apply")
	armed := len(seen.String())
	says(t, m, "applied", farSays)
	if out := m.MustRun(t, "provision", "firewall", "check"); !strings.Contains(out, "armed") {
		t.Errorf("it is not armed: %s", out)
	}

	// The tunnel's device starts anew, and so does its session; the peer has moved.
	follows := func(to string, at ...string) {
		t.Helper()
		lead(at...)
		pid := strings.TrimSpace(m.MustRun(t, "systemctl", "show", "-P", "MainPID", "provision-wireguard@wg0.service"))
		m.MustRun(t, "kill", "-9", pid)
		lab.Await(t, 60*time.Second, func() error {
			out, _, _ := m.Run(context.Background(), "provision", "wireguard", "list")
			if !strings.Contains(out, to) {
				return fmt.Errorf("%s is not called: %s", to, out)
			}
			return nil
		})
		says(t, m, "moved to "+strings.NewReplacer(".", "", ":", "").Replace(to), farSays)
	}
	on(t, w, "ip", "addr", "del", lab.OffLink4+"/32", "dev", "lo")
	on(t, w, "ip", "addr", "add", moved4+"/32", "dev", "lo")
	from("10.0.2.0/24", moved4)
	follows(moved4, moved4)
	on(t, w, "ip", "addr", "del", moved4+"/32", "dev", "lo")
	from("10.0.2.0/24", "10.0.2.2")
	follows(lab.OffLink6, lab.OffLink6)

	// What left: the tunnel's own packets, and questions about its name.
	own := regexp.MustCompile(`^IP6? \S+ > (203\.0\.113\.[56]\.51820|2001:db8:f::5\.51820): UDP|^IP 10\.0\.2\.15\.\d+ > 10\.0\.2\.3\.53: .* (A|AAAA)\? vpn\.example\.org\.`)
	asked := 0
	var leaks []string
	for line := range strings.Lines(seen.String()[armed:]) {
		switch {
		case !own.MatchString(line):
			leaks = append(leaks, line)
		case strings.Contains(line, "vpn.example.org"):
			asked++
		}
	}
	if slices.Sort(leaks); len(leaks) > 0 {
		t.Errorf("beside the tunnel left %d packets:\n%s", len(leaks), strings.Join(slices.Compact(leaks), ""))
	}
	if asked == 0 {
		t.Error("nobody has asked for the name while it was armed")
	}
	t.Logf("asked %d times for the name", asked)
}

// buffer is one that a process writes and the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
