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

const limit = 15 * time.Second

// TestBedByHand shows that the bed itself works, with gadgets that people make by a script.
func TestBedByHand(t *testing.T) {
	for _, tt := range []struct {
		functions string
		drivers   []string
		client    string
		more      bool // the tests of the program have the same
	}{
		{"ecm", []string{"cdc_ether", "cdc_ether"}, "udhcpc", true},
		{"ncm acm", []string{"cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm"}, "dhclient", true},
		{"rndis", []string{"rndis_host", "rndis_host"}, "dhcpcd", false},
		{"eem", []string{"cdc_eem"}, "udhcpc", true},
		{"acm mass_storage hid", []string{"cdc_acm", "cdc_acm", "usb-storage", "usbhid"}, "", false},
	} {
		if tt.more && !full() {
			continue
		}
		t.Run(tt.functions, func(t *testing.T) {
			bed.Controllers(t, 1)
			bed.ByHand(t, strings.Fields(tt.functions)...)
			bed.Plugged(t, 0, tt.drivers...)
			if tt.client == "" {
				return
			}
			h := bed.NewHost(t)
			h.Plug(0, 0, 1, "usb0")
			if addr := h.Client(t, tt.client, "usb0").Settled(limit); !strings.HasPrefix(addr.String(), "10.55.0.") {
				t.Errorf("leased %v", addr)
			}
			if got := h.Resolve("10.55.0.1", "zero.lan", "A"); got != "10.55.0.1" {
				t.Errorf("zero.lan is %q", got)
			}
			if all := h.Defaults(4, "usb0"); len(all) != 0 {
				t.Errorf("default routes %v", all)
			}
			if ns := h.NameServers(); !slices.Contains(ns, "10.55.0.1") {
				t.Errorf("%s has set the name servers %v", tt.client, ns)
			}
		})
	}
}

// TestBedControl reads what Windows reads.
func TestBedControl(t *testing.T) {
	bed.Controllers(t, 1)
	bed.ByHand(t, "rndis", "ncm")
	d := bed.Plugged(t, 0)
	if got := d.MACs(t); !slices.Equal(got, []string{"020000000021"}) {
		t.Errorf("addresses told: %v", got)
	}
	b, err := d.Raw(0xee, 0)
	if err != nil || !bytes.Equal(b, []byte("\x12\x03M\x00S\x00F\x00T\x001\x000\x000\x00\xcd\x00")) {
		t.Errorf("string 0xee: % x, %v", b, err)
	}
	b, err = d.Compatible(0xcd)
	want := "\x40\x00\x00\x00\x00\x01\x04\x00\x02\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x01RNDIS\x00\x00\x005162001\x00\x00\x00\x00\x00\x00\x00" + "\x02\x01WINNCM\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if err != nil || string(b) != want {
		t.Errorf("compatible ids: %q, %v, want %q", b, err, want)
	}
}

// TestBedCable pulls the cable in all ways that the bed knows.
func TestBedCable(t *testing.T) {
	bed.Controllers(t, 1)
	bed.ByHand(t, "ncm")
	h := bed.NewHost(t)
	for _, way := range []struct {
		name  string
		cable func(bool)
	}{
		{"authorized", func(on bool) { at(t).Authorize(t, on) }},
		{"port", func(on bool) { bed.Power(t, 0, on) }},
	} {
		if !h.Has("usb0") {
			h.Plug(0, 0, 1, "usb0")
		}
		h.AwaitCarrier("usb0", true)
		way.cable(false)
		wait(t, "the host's NIC to go: "+way.name, func() bool { return !h.Has("usb0") })
		wait(t, "the gadget's carrier to go: "+way.name, func() bool { return carrier("usb0") == "0" })
		way.cable(true)
		h.Plug(0, 0, 1, "usb0")
		h.AwaitCarrier("usb0", true)
		wait(t, "the gadget's carrier: "+way.name, func() bool { return carrier("usb0") == "1" })
	}
}

// TestBedWorld shows that the world behind the Wi-Fi answers the gadget, and not its laptop as long as nobody translates.
func TestBedWorld(t *testing.T) {
	bed.Controllers(t, 1)
	bed.NewWifi(t)
	bed.ByHand(t, "ecm")
	h := bed.NewHost(t)
	h.Plug(0, 0, 1, "usb0")
	h.Client(t, "udhcpc", "usb0").Settled(limit)
	h.Must("ip", "route", "add", "default", "via", "10.55.0.1")
	if from, err := h.Reach(bed.World4, 500*time.Millisecond); err == nil {
		t.Errorf("reached the world from %s without a router", from)
	}
	bed.Sh(t, `echo 1 > /proc/sys/net/ipv4/ip_forward; nft -f - <<< 'table ip byhand { chain c { type nat hook postrouting priority srcnat; oifname "wlan0" masquerade; }; }'`)
	defer bed.Sh(t, "nft delete table ip byhand; echo 0 > /proc/sys/net/ipv4/ip_forward")
	if from, err := h.Reach(bed.World4, 5*time.Second); err != nil || from != bed.WifiAddr {
		t.Errorf("reached the world from %q: %v, want %s", from, err, bed.WifiAddr)
	}
	if got := bed.Sh(t, "dig +short +time=2 @10.77.0.1 "+bed.WorldName); strings.TrimSpace(got) != bed.World4 {
		t.Errorf("%s is %q", bed.WorldName, got)
	}
}

func at(t *testing.T) bed.Device {
	t.Helper()
	d, err := bed.Find(0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func carrier(nic string) string {
	b, _ := os.ReadFile("/sys/class/net/" + nic + "/carrier")
	return strings.TrimSpace(string(b))
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
