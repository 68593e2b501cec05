//go:build lab && linux

package inside

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestLinkProfiles plugs each kind of gadget into a laptop: the kernel's drivers take it, a client leases, the kernel makes itself an
// IPv6 address, names are answered, and the laptop's own way out stays as it was.
func TestLinkProfiles(t *testing.T) {
	bed.Controllers(t, 1)
	for _, tt := range []struct {
		name, config string
		drivers      []string
		client       string
		compatible   string // of the first function, "" none
	}{
		{"modern", "gadget: {profile: modern}", []string{"cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm"}, "dhclient", "\x00\x01WINNCM\x00\x00"},
		{"windows", "gadget: {profile: windows}", []string{"rndis_host", "rndis_host", "cdc_acm", "cdc_acm"}, "udhcpc", "\x00\x01RNDIS\x00\x00\x005162001\x00"},
		{"eem", "gadget: {profile: custom, functions: [{type: eem}]}", []string{"cdc_eem"}, "dhcpcd", ""},
		{"ecm", "gadget: {profile: custom, functions: [{type: ecm}]}", []string{"cdc_ether", "cdc_ether"}, "udhcpc", ""},
	} {
		if tt.name == "ecm" && !full() { // the first configuration of classic is the same
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			p := newPi(t, tt.config)
			s := p.up()
			d := bed.Plugged(t, 0, tt.drivers...)
			h := bed.NewHost(t)
			h.Uplink(100)
			before := h.Routes(4)
			leased(t, s, h, tt.client)
			now := slices.DeleteFunc(h.Routes(4), func(r bed.Route) bool { return r.Dev == "usb0" && r.Via == "" }) // the link's own network
			if !slices.Equal(now, before) {
				t.Errorf("the laptop's routes were %v and are %v", before, now)
			}
			if a := h.SLAAC("usb0", limit); !s.inside(0, a) {
				t.Errorf("IPv6 address %v", a)
			}
			if all := h.Defaults(6, "usb0"); len(all) > 0 {
				t.Errorf("IPv6 default routes %v", all)
			}
			if got := h.Resolve(s.own(0, 4), "lab.lan", "A"); got != s.own(0, 4) {
				t.Errorf("lab.lan is %q at %s", got, s.own(0, 4))
			}
			if d, err := bed.Find(0); err != nil {
				t.Fatal(err)
			} else if tt.compatible != "" {
				b, err := d.Raw(0xee, 0)
				if err != nil || !bytes.HasPrefix(b, []byte("\x12\x03M\x00S\x00F\x00T\x001\x000\x000\x00")) || len(b) < 17 {
					t.Fatalf("string 0xee: % x, %v", b, err)
				}
				c, err := d.Compatible(b[16])
				if err != nil || len(c) < 40 || !strings.HasPrefix(string(c[16:]), tt.compatible) {
					t.Errorf("compatible ids: %q, %v, want %q", c, err, tt.compatible)
				}
			}
			if tt.name != "eem" { // whose host draws an address by lot: nothing tells it one (CDC EEM 1.0)
				tells(t, d, h, tt.name == "windows")
			}
			if class := d.Attr("bDeviceClass") + d.Attr("bDeviceSubClass") + d.Attr("bDeviceProtocol"); len(tt.drivers) == 4 && class != "ef0201" {
				t.Errorf("device class %s, and Windows wants ef0201", class)
			}
			if tt.name != "modern" && !full() { // TestProfiles has the others twice
				return
			}
			// A gadget that is up is left alone.
			d, _ = bed.Find(0)
			number, tree := d.Attr("devnum"), bed.Tree(t, "provision")
			if again := p.up(); again.Result.Writes != 0 {
				t.Errorf("the second up wrote %d times", again.Result.Writes)
			}
			if d, err := bed.Find(0); err != nil || d.Attr("devnum") != number || bed.Tree(t, "provision") != tree || !h.Has("usb0") {
				t.Errorf("the host has seen an unplug: %v", err)
			}
		})
	}
}

// hostMAC is the address that the gadget's first function gives the host's side.
func hostMAC(t *testing.T) string {
	t.Helper()
	all, _ := filepath.Glob(bed.ConfigFS + "/provision/functions/*.usb0/host_addr")
	if len(all) == 0 {
		t.Fatal("the gadget has no host_addr")
	}
	b, _ := os.ReadFile(all[0])
	return strings.TrimSpace(strings.TrimRight(string(b), "\x00\n"))
}

// tells compares what the host reads with what Windows needs: the address in a string of capital letters (CDC ECM 1.2, section 5.4), and,
// where RNDIS stands beside other functions, it is the first interface and an interface association names its class (rndis_bind in
// f_rndis.c; the interface's own stays 02/02/ff).
func tells(t *testing.T, d bed.Device, h *bed.Host, rndis bool) {
	t.Helper()
	mac := hostMAC(t)
	if got := h.MAC("usb0"); got != mac {
		t.Errorf("the host's NIC is %s, want %s", got, mac)
	}
	for _, s := range d.MACs(t) {
		if s != strings.ToUpper(strings.ReplaceAll(mac, ":", "")) {
			t.Errorf("iMACAddress is %q, want that of %s", s, mac)
		}
	}
	if !rndis {
		return
	}
	all, err := bed.Pieces(d.Descriptors(t))
	if err != nil {
		t.Fatal(err)
	}
	const association, control = 0x0b, 0x04
	var iad, first string
	for _, p := range all {
		switch {
		case p.Type == association && len(p.Body) == 8 && iad == "":
			iad = fmt.Sprintf("%02x/%02x/%02x, interfaces %d to %d", p.Body[4], p.Body[5], p.Body[6], p.Body[2], p.Body[2]+p.Body[3]-1)
		case p.Type == control && len(p.Body) == 9 && first == "":
			first = fmt.Sprintf("%02x/%02x/%02x, interface %d", p.Body[5], p.Body[6], p.Body[7], p.Body[2])
		}
	}
	if iad != "ef/04/01, interfaces 0 to 1" || first != "02/02/ff, interface 0" {
		t.Errorf("the association is %s, the first interface %s", iad, first)
	}
}

// TestLinkClassic has two configurations: Linux takes ECM, and where the other is forced, as Windows takes it, RNDIS works as well. As
// networks of their own or as one bridge.
func TestLinkClassic(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: classic}")
	for _, bridge := range []string{"", "br-usb"} {
		if bridge != "" {
			p.configure("gadget: {profile: classic, bridge: " + bridge + "}")
		}
		began := time.Now()
		s := p.up()
		names := ""
		for _, l := range s.Links {
			names += l.Name + " "
		}
		if want := map[string]string{"": "usb0 usb1 ", "br-usb": "br-usb "}[bridge]; names != want {
			t.Fatalf("links %q, want %q", names, want)
		}
		if bridge != "" {
			if stp, _ := os.ReadFile("/sys/class/net/br-usb/bridge/stp_state"); strings.TrimSpace(string(stp)) != "0" {
				t.Errorf("the bridge's spanning tree is %q", stp)
			}
		}
		if took := time.Since(began); took > 9*time.Second { // no waiting for what the ports had been
			t.Errorf("up took %v", took)
		}
		h := bed.NewHost(t)
		at(t).Configure(t, 1)
		bed.Plugged(t, 0, "cdc_ether", "cdc_ether")
		leased(t, s, h, "udhcpc").Stop()
		at(t).Configure(t, 2)
		bed.Plugged(t, 0, "rndis_host", "rndis_host")
		h.Plug(0, 0, 1, "usb1")
		last := len(s.Links) - 1
		if a := h.Client(t, "udhcpc", "usb1").Settled(limit); !s.inside(last, a) {
			t.Errorf("leased %v on %v", a, s.Links[last])
		}
	}
}

// TestLinkRescue has a login prompt on the serial port, by the line that `gadget up` writes for a machine without systemd; who is not known
// is asked for a password.
func TestLinkRescue(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: rescue}")
	out := p.must("gadget", "up")
	_, line, ok := strings.Cut(out, "the line is ttyGS0::respawn:")
	line, _, _ = strings.Cut(line, "\n")
	if !ok || !strings.HasPrefix(line, "/sbin/getty ") {
		t.Fatalf("no line for an inittab:\n%s", out)
	}
	bed.Plugged(t, 0, "cdc_acm", "cdc_acm")
	words := strings.Fields(line)
	getty := exec.Command(words[0], words[1:]...)
	getty.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	port, err := os.OpenFile("/dev/ttyACM0", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	bed.Sh(t, "stty -F /dev/ttyACM0 raw -echo")
	if err := getty.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = getty.Process.Kill(); _ = getty.Wait() }()
	var mu sync.Mutex
	var said strings.Builder
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := port.Read(buf)
			mu.Lock()
			said.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	says := func(word string) {
		t.Helper()
		wait(t, "the host to read "+word, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(said.String(), word)
		})
	}
	says("login:")
	if _, err := port.WriteString("root\r"); err != nil {
		t.Fatal(err)
	}
	says("assword:")
}

// TestLinkOthers has what is no network card: a serial port that passes bytes, a disk and a keyboard.
func TestLinkOthers(t *testing.T) {
	bed.Controllers(t, 1)
	image := "/root/disk.img"
	bed.Sh(t, "dd if=/dev/urandom of="+image+" bs=64k count=4 2>/dev/null")
	const keyboard = "05010906a101050719e029e71500250175019508810295017508810395057501050819012905910295017503910395067508150025650507190029658100c0"
	p := newPi(t, `gadget:
  profile: custom
  functions:
    - {type: acm}
    - {type: mass-storage, image: `+image+`}
    - {type: hid, protocol: 1, subclass: 1, report-length: 8, report-descriptor: "`+keyboard+`"}
`)
	p.up()
	d := bed.Plugged(t, 0, "cdc_acm", "cdc_acm", "usb-storage", "usbhid")
	var disk string
	wait(t, "the host's disk", func() bool {
		all, _ := bed.Try("ls -d " + string(d) + "/*/host*/target*/*/block/*")
		disk = "/dev/" + strings.TrimSpace(all[strings.LastIndexByte(all, '/')+1:])
		_, err := os.Stat(disk)
		return err == nil
	})
	bed.Sh(t, "cmp "+disk+" "+image+" && ! dd if=/dev/zero of="+disk+" bs=512 count=1 oflag=direct 2>/dev/null")
	bed.Sh(t, `stty -F /dev/ttyGS0 raw -echo; stty -F /dev/ttyACM0 raw -echo
timeout 5 head -c 5 /dev/ttyACM0 > /tmp/got & echo hello > /dev/ttyGS0; wait; [ "$(cat /tmp/got)" = hello ]`)
	if keys, _ := bed.Try("ls " + string(d) + "/*/*/input"); !strings.Contains(keys, "input") {
		t.Errorf("no input device of the keyboard: %s", keys)
	}
}

// TestLinkRouter asks for a way out: with router full the laptop has a default route and reaches the world from the gadget's address;
// with none it has neither.
func TestLinkRouter(t *testing.T) {
	bed.Controllers(t, 1)
	bed.NewWifi(t)
	p := newPi(t, "gadget: {profile: modern, router: none}")
	apply := func() status {
		if out, code := p.run("apply"); code != 0 {
			t.Fatalf("apply: status %d\n%s", code, out)
		}
		return p.up()
	}
	s := apply()
	h := bed.NewHost(t)
	c := leased(t, s, h, "dhclient")
	h.Must("ip", "route", "add", bed.World4, "via", s.own(0, 4)) // a laptop that tries all the same
	if from, err := h.Reach(bed.World4, 700*time.Millisecond); err == nil {
		t.Errorf("router none: the world was reached from %s", from)
	}
	c.Stop()
	// Split: the laptop's way out stays its own, and what is listed leads through the gadget.
	p.configure("gadget: {profile: modern, router: split, routes: [44.128.0.0/16, '2001:db8:ffff::/48']}")
	s = apply()
	h.Uplink(100)
	// NetworkManager and networkd take routes of RFC 4191, the kernel on its own is told to; a link that comes up asks for them.
	h.Must("bash", "-c", "echo 128 > /proc/sys/net/ipv6/conf/usb0/accept_ra_rt_info_max_plen; ip link set usb0 down; ip link set usb0 up")
	h.AwaitCarrier("usb0", true)
	c = h.Client(t, "dhclient", "usb0")
	c.Settled(limit)
	wait(t, "the route of option 121", func() bool {
		return slices.ContainsFunc(h.Routes(4), func(r bed.Route) bool {
			return r.To == "44.128.0.0/16" && r.Via == s.own(0, 4) && r.Dev == "usb0"
		})
	})
	wait(t, "the route of the router advertisement", func() bool {
		return slices.ContainsFunc(h.Routes(6), func(r bed.Route) bool {
			return r.To == "2001:db8:ffff::/48" && strings.HasPrefix(r.Via, "fe80:") && r.Dev == "usb0"
		})
	})
	if all := append(h.Defaults(4, "usb0"), h.Defaults(6, "usb0")...); len(all) > 0 || len(h.Defaults(4, "up0")) != 1 {
		t.Errorf("router split: default routes %v, and all %v", all, h.Routes(4))
	}
	if from, err := h.Reach(bed.World4, 5*time.Second); err != nil || from != bed.WifiAddr {
		t.Errorf("router split: the world was reached from %q: %v", from, err)
	}
	c.Stop()
	// Old Windows asks for the same as 249.
	out, err := h.Call("bash", "-c", `printf '#!/bin/sh\necho "$1 121=$staticroutes 249=$msstaticroutes router=$router"\n' > $0/ask; chmod 755 $0/ask
busybox udhcpc -f -q -n -o -i usb0 -O 249 -s $0/ask 2>&1`, h.Dir)
	if !strings.Contains(out, "249=44.128.0.0/16 "+s.own(0, 4)) || !strings.Contains(out, "router=\n") {
		t.Errorf("router split: a client that asks for 249 is told %v\n%s", err, out)
	}
	p.configure("gadget: {profile: modern, router: full}")
	s = apply()
	h.Must("ip", "link", "del", "up0")
	if !h.Has("usb0") {
		h.Plug(0, 0, 1, "usb0")
	}
	c = h.Client(t, "dhclient", "usb0")
	c.Settled(limit)
	wait(t, "the default route", func() bool { return len(h.Defaults(4, "usb0")) == 1 })
	if from, err := h.Reach(bed.World4, 5*time.Second); err != nil || from != bed.WifiAddr {
		t.Errorf("router full: the world was reached from %q: %v", from, err)
	}
	// The laptop's own IPv6 network is one that the internet does not answer, so it is hidden as well (masquerade-ipv6: auto).
	wait(t, "the default route of the router advertisement", func() bool { return len(h.Defaults(6, "usb0")) == 1 && len(h.Addrs(6, "usb0")) > 0 })
	if from, err := h.Reach(bed.World6, 5*time.Second); err != nil || from != bed.WifiAddr6 {
		t.Errorf("router full: the world was reached by IPv6 from %q: %v", from, err)
	}
	if got := h.Resolve(s.own(0, 4), bed.WorldName, "A"); got != bed.World4 {
		t.Errorf("%s is %q", bed.WorldName, got)
	}
	if ns := h.NameServers(); !slices.Contains(ns, s.own(0, 4)) {
		t.Errorf("name servers %v", ns)
	}
}
