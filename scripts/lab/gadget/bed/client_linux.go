package bed

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Clients are the DHCP clients of the lab. Each does with what it is told what it does on Debian, by its own script.
func Clients() []string { return []string{"dhclient", "dhcpcd", "udhcpc"} }

// Client is a DHCP client that runs at a laptop.
type Client struct {
	Name string

	h   *Host
	nic string
	run *lab.Daemon
	log string
}

// Client starts a DHCP client for a NIC of the laptop.
func (h *Host) Client(t testing.TB, name, nic string) *Client {
	t.Helper()
	var argv []string
	switch name {
	case "dhclient":
		// As on Debian, but it does not wait some seconds before it begins.
		conf := filepath.Join(h.Dir, "dhclient.conf")
		base, err := os.ReadFile("/etc/dhcp/dhclient.conf")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, append(base, "\ninitial-interval 1;\ninitial-delay 0;\nbackoff-cutoff 2;\nretry 1;\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		argv = []string{"dhclient", "-d", "-4", "-cf", conf, "-pf", h.Dir + "/dhclient.pid", nic}
	case "dhcpcd":
		argv = []string{"dhcpcd", "-B", "-4", "--noarp", nic}
	case "udhcpc":
		argv = []string{"busybox", "udhcpc", "-f", "-i", nic, "-s", "/etc/udhcpc/default.script", "-t", "10", "-T", "1", "-A", "1"}
	default:
		t.Fatalf("there is no client %s", name)
	}
	c := &Client{Name: name, h: h, nic: nic, log: filepath.Join(h.Dir, name+".log")}
	out, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	if c.run, err = h.Start(out, argv...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.run.Stop(syscall.SIGKILL)
		out.Close()
		if t.Failed() {
			t.Logf("%s says:\n%s", name, c.Said())
		}
	})
	return c
}

// Said is what the client has printed.
func (c *Client) Said() string { return read(c.log) }

// Bound waits until the client has set an address, and returns it.
func (c *Client) Bound(limit time.Duration) netip.Prefix {
	c.h.t.Helper()
	var got netip.Prefix
	lab.Await(c.h.t, limit, func() error {
		select {
		case <-c.run.Done():
			return fmt.Errorf("%s has ended: %v", c.Name, c.run.Err())
		default:
		}
		all := c.h.Addrs(4, c.nic)
		if len(all) == 0 {
			return fmt.Errorf("%s has no address yet", c.Name)
		}
		got = all[0]
		if c.Name == "udhcpc" && got.Bits() == 8 { // its script sets the address first, which has the length of its class, and then the mask
			return fmt.Errorf("%s has %v without its mask", c.Name, got)
		}
		return nil
	})
	return got
}

// Settled waits until the client has also done what comes after the address: its routes and its name servers.
func (c *Client) Settled(limit time.Duration) netip.Prefix {
	c.h.t.Helper()
	addr := c.Bound(limit)
	done := map[string]string{"dhclient": "bound to ", "dhcpcd": "leased ", "udhcpc": "obtained"}[c.Name]
	lab.Await(c.h.t, limit, func() error {
		if said := c.Said(); !strings.Contains(said, done) {
			return fmt.Errorf("%s has not said %q yet", c.Name, done)
		}
		return nil
	})
	return addr
}

// Stop ends the client without a word to the server, and takes its address away.
func (c *Client) Stop() {
	c.run.Stop(syscall.SIGKILL)
	_, _ = c.h.Call("ip", "-4", "addr", "flush", "dev", c.nic)
	_, _ = c.h.Call("bash", "-c", "rm -rf /var/lib/dhcp/* /var/lib/dhcpcd/*; : > /etc/resolv.conf")
}
