//go:build lab && linux

package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// client is a DHCP client program on the segment.
type client interface {
	// start runs it; it then does what it does at boot.
	start(t *testing.T)
	// renew makes it renew at once, if it does not by itself at T1; nil error if there is nothing to do.
	renew(t *testing.T)
	// crash ends it without a word on the wire, and takes its address away.
	crash(t *testing.T)
	// release ends it in good order.
	release(t *testing.T)
	// check makes it look by ARP whether an address is in use before it takes it.
	check(t *testing.T)
	// addrs are the interface's IPv4 addresses.
	addrs() []string
}

// cannot are the cells of the matrix that a client cannot be made to do, and why.
var cannot = map[string]map[string]string{
	"udhcpc": {
		"reboot": "it has no INIT-REBOOT state; -r only puts the address into its DISCOVER",
	},
	"networkd": {
		"decline": "version 252 finds the squatter, but sends its DECLINE from the address that it has not taken yet: it never leaves",
	},
	"NetworkManager": {
		"release": "Debian 12's version 1.42 sends no RELEASE; 1.48 learnt it (ipv4.dhcp-send-release)",
	},
}

const noQuarantine = "it forgets a DECLINE at once, and the client asks again for the address which it has just declined"

const (
	keaMoves  = "after a release it gives another address, so nobody meets the squatter"
	keaSilent = "it leaves who rebinds from another subnet without an answer"
)

// deviates are the cells in which another server than ours, in its place, is known to fail.
var deviates = map[string]map[string]string{
	"dnsmasq": {
		"NetworkManager decline": noQuarantine,
		"dhclient decline":       noQuarantine,
		"link recreated":         "\"error binding DHCP socket\", also with --bind-dynamic",
		"stop":                   "it does not withdraw itself",
	},
	"kea": {
		"udhcpc decline":          keaMoves,
		"dhcpcd decline":          keaMoves,
		"udhcpc renumber":         keaSilent,
		"dhcpcd renumber":         keaSilent,
		"dhclient renumber":       keaSilent,
		"networkd renumber":       keaSilent,
		"NetworkManager renumber": keaSilent,
	},
}

// direct is what clients in a namespace of their own have in common.
type direct struct {
	ns  *lab.NetNS
	dir string
	run *lab.Daemon
	log *os.File
}

func newDirect(t *testing.T, s *bed.Segment) direct {
	t.Helper()
	d := direct{ns: s.Plug("eth0"), dir: t.TempDir()}
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("the client says:\n%s", said)
		}
		log.Close()
	})
	d.log = log
	return d
}

func (d *direct) begin(t *testing.T, argv ...string) {
	t.Helper()
	var err error
	if d.run, err = d.ns.Start(d.log, argv...); err != nil {
		t.Fatal(err)
	}
}

func (d *direct) file(t *testing.T, name, text string) string {
	t.Helper()
	f := filepath.Join(d.dir, name)
	if err := os.WriteFile(f, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func (d *direct) crash(t *testing.T) {
	t.Helper()
	d.run.Stop(syscall.SIGKILL)
	if _, err := d.ns.Exec("ip", "-4", "addr", "flush", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
}

func (d *direct) addrs() []string { return addrsOf(d.ns.Exec) }

func addrsOf(exec func(argv ...string) (string, error)) []string {
	out, err := exec("ip", "-j", "-4", "addr", "show", "dev", "eth0")
	var links []struct {
		Info []struct {
			Local string `json:"local"`
		} `json:"addr_info"`
	}
	if err != nil || json.Unmarshal([]byte(out), &links) != nil {
		return nil
	}
	var all []string
	for _, l := range links {
		for _, a := range l.Info {
			all = append(all, a.Local)
		}
	}
	return all
}

// script sets what dhclient and udhcpc have learnt. With a file "check" beside it an address is looked for first, and given up if
// somebody has it; dhclient then declines it (dhclient-script(8)).
const script = `#!/bin/sh
: "${interface:?}"
case "${reason:-$1}" in
BOUND|bound)
  if [ -n "$reason" ] && [ -e "${0%/*}/check" ]; then arping -q -D -c 1 -w 1 -I "$interface" "$new_ip_address" || exit 1; fi
  ip -4 addr flush dev "$interface"; ip addr add "${new_ip_address:-$ip}/${new_subnet_mask:-$subnet}" dev "$interface";;
RENEW|REBIND|REBOOT|renew)
  ip addr show dev "$interface" | grep -q "inet ${new_ip_address:-$ip}/" ||
    { ip -4 addr flush dev "$interface"; ip addr add "${new_ip_address:-$ip}/${new_subnet_mask:-$subnet}" dev "$interface"; };;
PREINIT) ip link set "$interface" up;; # "dhclient -r" says so too, and then sends from the address
RELEASE) sleep 0.3; ip -4 addr flush dev "$interface";; # the packet still waits for the server's hardware address
EXPIRE|FAIL|deconfig) ip link set "$interface" up; ip -4 addr flush dev "$interface";;
esac
exit 0
`

type dhclient struct{ direct }

func (c *dhclient) start(t *testing.T) {
	conf := c.file(t, "conf", "timeout 20;\nretry 1;\ninitial-interval 1;\nreboot 5;\nbackoff-cutoff 2;\n")
	c.begin(t, "dhclient", "-d", "-4", "-cf", conf, "-lf", c.dir+"/leases", "-pf", c.dir+"/pid", "-sf", c.file(t, "script", script), "eth0")
}
func (c *dhclient) renew(*testing.T) {} // at T1
func (c *dhclient) release(t *testing.T) {
	if out, err := c.ns.Call("dhclient", "-r", "-d", "-4", "-cf", c.dir+"/conf", "-lf", c.dir+"/leases", "-pf", c.dir+"/pid", "-sf", c.dir+"/script", "eth0"); err != nil {
		t.Fatal(err)
	} else if !strings.Contains(out, "DHCPRELEASE of") {
		t.Fatalf("dhclient does not release:\n%s", out)
	}
	c.run.Stop(syscall.SIGKILL)
}
func (c *dhclient) check(t *testing.T) { c.file(t, "check", "") }

type udhcpc struct{ direct }

func (c *udhcpc) start(t *testing.T) {
	argv := []string{"udhcpc", "-f", "-i", "eth0", "-s", c.file(t, "script", script), "-t", "5", "-T", "1", "-A", "1"}
	if _, err := os.Stat(c.dir + "/check"); err == nil {
		argv = append(argv, "-a500")
	}
	c.begin(t, argv...)
}
func (c *udhcpc) renew(t *testing.T) { // it does not know T1 and T2
	// A signal before it has gone to sleep makes it begin anew.
	lab.Await(t, 5*time.Second, func() error {
		said, _ := os.ReadFile(c.log.Name())
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "lease of") {
			return fmt.Errorf("udhcpc is at: %s", last)
		}
		return nil
	})
	if err := c.run.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
}
func (c *udhcpc) release(t *testing.T) {
	if err := c.run.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 2*time.Second, func() error {
		if a := c.addrs(); len(a) > 0 {
			return fmt.Errorf("udhcpc has released its address and still has %v", a)
		}
		return nil
	})
	c.run.Stop(syscall.SIGKILL)
}
func (c *udhcpc) check(t *testing.T) { c.file(t, "check", "") }

type dhcpcd struct {
	direct
	arp bool
}

func (c *dhcpcd) start(t *testing.T) {
	conf := "ipv4only\nnoipv4ll\ntimeout 20\nreboot 5\nscript /bin/true\nnogateway\n"
	if !c.arp {
		conf += "noarp\n"
	}
	c.begin(t, "dhcpcd", "-B", "-d", "-f", c.file(t, "conf", conf), "eth0")
}
func (c *dhcpcd) renew(*testing.T) {} // at T1
func (c *dhcpcd) crash(t *testing.T) {
	c.direct.crash(t)
	// Its helpers are in process groups of their own and its pid file is in the way.
	if _, err := c.ns.Call("sh", "-c", "kill -9 -1; true"); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatal(err)
	}
	_, _ = c.ns.Exec("sh", "-c", "rm -rf /run/dhcpcd/*")
}
func (c *dhcpcd) release(t *testing.T) {
	if _, err := c.ns.Call("dhcpcd", "-k", "eth0"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.run.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("dhcpcd does not end after its release")
	}
}
func (c *dhcpcd) check(*testing.T) { c.arp = true }

// machine is a client that lives in a whole system.
type machine struct{ m *lab.Machine }

func (c *machine) exec(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, msg, exit := c.m.Run(ctx, argv[0], argv[1:]...)
	if exit != 0 {
		return out, fmt.Errorf("%v: status %d: %s%s", argv, exit, out, msg)
	}
	return out, nil
}
func (c *machine) must(t *testing.T, argv ...string) {
	t.Helper()
	if _, err := c.exec(argv...); err != nil {
		t.Fatal(err)
	}
}
func (c *machine) addrs() []string { return addrsOf(c.exec) }

type networkd struct {
	machine
	s    *bed.Segment
	port string // the machine's port on the segment
	off  bool
}

const networkdFile = "/etc/systemd/network/10-eth0.network"

func networkdConfig(check bool) string {
	return fmt.Sprintf("[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n[DHCPv4]\nSendDecline=%v\n", check)
}

func (c *networkd) start(t *testing.T) {
	if !c.off {
		c.must(t, "systemctl", "start", "systemd-networkd")
		return
	}
	// It sends its one INIT-REBOOT before a bridge forwards anything from a port that has just come up.
	c.must(t, "systemctl", "kill", "-s", "STOP", "systemd-networkd")
	c.s.Cable(c.port, true)
	c.must(t, "systemctl", "kill", "-s", "CONT", "systemd-networkd")
	c.off = false
}
func (c *networkd) renew(*testing.T) {} // at T1
func (c *networkd) crash(t *testing.T) {
	// It keeps no lease over a restart; it does when the cable is out, and then does what RFC 2131 section 3.7 says.
	c.s.Cable(c.port, false)
	c.off = true
	lab.Await(t, 5*time.Second, func() error {
		if has := c.addrs(); len(has) > 0 {
			return fmt.Errorf("without its cable networkd still has %v", has)
		}
		return nil
	})
}
func (c *networkd) release(t *testing.T) {
	c.must(t, "systemctl", "stop", "systemd-networkd.socket", "systemd-networkd")
}
func (c *networkd) check(t *testing.T) {
	c.must(t, "sh", "-c", "printf '%s' '"+networkdConfig(true)+"' > "+networkdFile)
}

type networkManager struct{ machine }

func (c *networkManager) start(t *testing.T) {
	c.must(t, "systemctl", "start", "NetworkManager")
}
func (c *networkManager) renew(*testing.T) {} // at T1
func (c *networkManager) crash(t *testing.T) {
	c.must(t, "sh", "-c", "systemctl kill -s KILL NetworkManager; systemctl stop NetworkManager; ip -4 addr flush dev eth0; true")
}
func (c *networkManager) release(t *testing.T) { c.must(t, "nmcli", "device", "disconnect", "eth0") }
func (c *networkManager) check(t *testing.T) {
	c.crash(t) // the decline comes after a release that it does not do
}
