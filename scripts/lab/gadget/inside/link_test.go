//go:build lab && linux

package inside

import (
	"bytes"
	"os"
	"slices"
	"strings"
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
			if class := d.Attr("bDeviceClass") + d.Attr("bDeviceSubClass") + d.Attr("bDeviceProtocol"); len(tt.drivers) == 4 && class != "ef0201" {
				t.Errorf("device class %s, and Windows wants ef0201", class)
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

// TestLinkClassic has two configurations: Linux takes ECM, and where the other is forced, as Windows takes it, RNDIS works as well.
func TestLinkClassic(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPi(t, "gadget: {profile: classic}")
	s := p.up()
	if len(s.Links) != 2 || s.Links[0].Name != "usb0" || s.Links[1].Name != "usb1" {
		t.Fatalf("links %v", s.Links)
	}
	h := bed.NewHost(t)
	bed.Plugged(t, 0, "cdc_ether", "cdc_ether")
	leased(t, s, h, "udhcpc").Stop()
	at(t).Configure(t, 2)
	bed.Plugged(t, 0, "rndis_host", "rndis_host")
	h.Plug(0, 0, 1, "usb1")
	if a := h.Client(t, "udhcpc", "usb1").Settled(limit); !s.inside(1, a) {
		t.Errorf("leased %v on %v", a, s.Links[1])
	}
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
	p.configure("gadget: {profile: modern, router: full}")
	s = apply()
	if !h.Has("usb0") {
		h.Plug(0, 0, 1, "usb0")
	}
	c = h.Client(t, "dhclient", "usb0")
	c.Settled(limit)
	wait(t, "the default route", func() bool { return len(h.Defaults(4, "usb0")) == 1 })
	if from, err := h.Reach(bed.World4, 5*time.Second); err != nil || from != bed.WifiAddr {
		t.Errorf("router full: the world was reached from %q: %v", from, err)
	}
	if got := h.Resolve(s.own(0, 4), bed.WorldName, "A"); got != bed.World4 {
		t.Errorf("%s is %q", bed.WorldName, got)
	}
	if ns := h.NameServers(); !slices.Contains(ns, s.own(0, 4)) {
		t.Errorf("name servers %v", ns)
	}
}
