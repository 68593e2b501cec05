package agent

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/provision/host/nstest"
)

// What the machine reaches elsewhere, as ip(8) has set it.
func TestAround(t *testing.T) {
	nstest.Network(t)
	for _, args := range []string{
		"link add usb0 type veth peer name host0", "addr add 10.55.0.1/29 dev usb0", "link set usb0 up", "link set host0 up",
		"link add wlan0 type veth peer name ap0", "addr add 192.0.2.2/24 dev wlan0", "link set wlan0 up", "link set ap0 up",
	} {
		nstest.IP(t, args)
	}
	list := []GadgetLink{{Name: "usb0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.55.0.1/29"), netip.MustParsePrefix("fe80::1/64")}}}
	look := func() (life.Ways, string) {
		ways, clash := around(list)
		var all []string
		for _, o := range clash {
			all = append(all, o.Ours.String()+" "+o.Theirs.String()+" "+o.Device)
		}
		return ways, strings.Join(all, ", ")
	}
	if ways, clash := look(); ways.Uplink || ways.Tunnel || clash != "" {
		t.Errorf("%+v %q", ways, clash)
	}
	nstest.IP(t, "route add default via 192.0.2.1 dev wlan0")
	nstest.IP(t, "route add 10.55.0.0/16 via 192.0.2.1 dev wlan0")
	if ways, clash := look(); !ways.Uplink || ways.Tunnel || clash != "10.55.0.0/29 10.55.0.0/16 wlan0" {
		t.Errorf("%+v %q", ways, clash)
	}
	if _, err := net.InterfaceByName("usb0"); err != nil {
		t.Fatal(err)
	}
	// A link that has the name and another address is somebody's phone.
	if s := linkState(GadgetLink{Name: "usb0", MAC: "02:00:5e:00:53:01"}, nil); s.There {
		t.Errorf("%+v", s)
	}
}

func TestHexAddr(t *testing.T) {
	if _, ok := hexAddr("zz"); ok {
		t.Error("zz is an address")
	}
	if a, ok := hexAddr("00000000"); !ok || !a.IsUnspecified() {
		t.Errorf("%v %v", a, ok)
	}
}
