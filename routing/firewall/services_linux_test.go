package firewall_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/intent"
)

// TestServices has other programs' servers and clients meet the rules for what is asked by
// broadcast and multicast: DHCP, DNS and mDNS of this machine, and its own DHCP client.
func TestServices(t *testing.T) {
	for _, tool := range []string{"dnsmasq", "udhcpc", "dig"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s", tool)
		}
	}
	t.Parallel()
	w := newWorld(t)
	served := intent.Set{Services: []intent.Service{
		{Name: "dhcp", Interfaces: []string{"eth1"}, Proto: "udp", Ports: []uint16{67}, Multicast: true, Family: 4},
		{Name: "dns", Interfaces: []string{"eth1"}, Proto: "udp", Ports: []uint16{53}},
		{Name: "dns", Interfaces: []string{"eth1"}, Proto: "tcp", Ports: []uint16{53}},
		{Name: "mdns", Interfaces: []string{"eth1"}, Proto: "udp", Ports: []uint16{5353}, Multicast: true},
	}}
	const strict = `
zones:
  inside: {interfaces: [eth1], anti-spoofing: true}
  outside: {interfaces: [eth0], masquerade: true}
firewall: {own-traffic: listed, own-services: [ntp]}`
	w.load(read(t, strict), served)
	start(t, w.firewall, "dnsmasq", "-k", "-C", "/dev/null", "--bind-interfaces", "--interface=eth1", "--interface=eth0", "--no-resolv", "--no-hosts", "--no-ping",
		"--dhcp-leasefile=/dev/null", "--dhcp-range=198.51.100.100,198.51.100.200,1h", "--address=/router.test/198.51.100.1", "--pid-file=", "--user=root")
	dig := func(from *nstest.NS, server, more string) bool {
		out, err := from.Try("dig @" + server + " +time=1 +tries=1 +short router.test " + more)
		return err == nil && strings.TrimSpace(out) == "198.51.100.1"
	}
	for end := time.Now().Add(patience); !dig(w.firewall, "127.0.0.1", "+noall") && !dig(w.client, lan4, ""); {
		if time.Now().After(end) {
			t.Fatal("DNS from inside is not answered")
		}
	}
	for _, more := range []string{"", "+tcp"} {
		for _, server := range []string{lan4, lan6} {
			if !dig(w.client, server, more) {
				t.Errorf("DNS of %s from inside is not answered (%s)", server, more)
			}
		}
	}
	if got := ask(w.outside, "tcp", at(box4, "53"), silence); got != silent {
		t.Errorf("DNS from outside: %s", got)
	}
	lease := func() bool {
		_, err := w.client.Try("udhcpc -i e0 -n -q -f -t 2 -T 1 -s /bin/true")
		return err == nil
	}
	if !lease() {
		t.Error("no DHCP lease inside, from a machine without an address, anti-spoofing on")
	}

	mdns := groupListener(t, w.firewall, "eth1", "224.0.0.251:5353")
	say := func(ns *nstest.NS, from, to string) {
		ns.Do(func() { send(t, from, to) })
	}
	say(w.client, client4+":0", "224.0.0.251:5353")
	if !mdns(patience) {
		t.Error("mDNS from inside does not arrive")
	}
	// The own client: an offer comes from an address that was never asked, by broadcast or not.
	offer := listener(t, w.firewall, "udp4", ":68")
	for _, to := range []string{box4 + ":68", "255.255.255.255:68"} {
		say(w.outside, out4+":67", to)
		if !offer(patience) {
			t.Errorf("a DHCP offer to %s does not arrive", to)
		}
	}
	say(w.outside, out4+":68", box4+":68")
	if offer(silence) {
		t.Error("port 68 is open to everybody")
	}
	w.firewall.Sh("ip -6 addr add fe80::2/64 dev eth0 nodad")
	w.outside.Sh("ip -6 addr add fe80::1/64 dev o0 nodad")
	reply := listener(t, w.firewall, "udp6", ":546")
	say(w.outside, "[fe80::1%o0]:547", "[fe80::2%o0]:546")
	if !reply(patience) {
		t.Error("a DHCPv6 answer does not arrive")
	}
	say(w.outside, at(out6, "547"), at(box6, "546"))
	if reply(silence) {
		t.Error("a DHCPv6 answer from beyond the link arrives")
	}

	w.load(read(t, strict), intent.Set{}) // and without being asked for, none of it
	if lease() {
		t.Error("DHCP works without a rule: this test shows nothing")
	}
	say(w.client, client4+":0", "224.0.0.251:5353")
	if mdns(silence) {
		t.Error("mDNS arrives without a rule")
	}
	w.refuses("DNS that is not offered", w.client, "tcp", at(lan4, "53"))
}

// start runs a program in the namespace until the test ends.
func start(t *testing.T, ns *nstest.NS, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		cmd.Wait()         //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("%s: %s", name, out.String())
		}
	})
}

// listener gives a function that waits for one datagram.
func listener(t *testing.T, ns *nstest.NS, network, at string) func(time.Duration) bool {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket(network, at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(wait time.Duration) bool { return arrives(c, wait) }
}

func groupListener(t *testing.T, ns *nstest.NS, dev, group string) func(time.Duration) bool {
	t.Helper()
	var c *net.UDPConn
	var err error
	ns.Do(func() {
		var i *net.Interface
		var a *net.UDPAddr
		if i, err = net.InterfaceByName(dev); err == nil {
			if a, err = net.ResolveUDPAddr("udp4", group); err == nil {
				c, err = net.ListenMulticastUDP("udp4", i, a)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(wait time.Duration) bool { return arrives(c, wait) }
}

func arrives(c net.PacketConn, wait time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(wait)) //nolint:errcheck // a socket has deadlines
	_, _, err := c.ReadFrom(make([]byte, 100))
	return err == nil
}

// send sends one datagram.
func send(t *testing.T, from, to string) {
	a, err := net.ResolveUDPAddr("udp", to)
	if err == nil {
		lc := net.ListenConfig{Control: broadcast}
		var c net.PacketConn
		if c, err = lc.ListenPacket(t.Context(), "udp", from); err == nil {
			_, err = c.WriteTo([]byte("hello"), a)
			c.Close()
		}
	}
	if err != nil {
		t.Errorf("cannot send from %s to %s: %v", from, to, err)
	}
}
