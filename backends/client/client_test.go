package client

import (
	"flag"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGoldens(t *testing.T) {
	usb := []Link{{Name: "usb0", MAC: "02:11:22:33:44:55"}}
	there := backendtest.Ifupdown("dhclient")
	there.Links = append(there.Links, facts.Link{Index: 9, Name: "usb0", ARPHRD: 1, DevType: "gadget", Carrier: true, Up: true})
	offline := backendtest.NM("1.52.1")
	offline.Machine.Offline = true
	for name, c := range map[string]struct {
		f     *facts.Facts
		links []Link
	}{
		"nm":               {backendtest.NM("1.42.4"), usb},
		"nm-two":           {backendtest.NM("1.52.1"), []Link{{Name: "usb0"}, {Name: "usb1", Metric: 5000}}},
		"nm-offline":       {offline, usb},
		"netplan-nm":       {backendtest.NetplanNM("1.52.1"), usb},
		"netplan-networkd": {backendtest.NetplanNetworkd(257), usb},
		"networkd-247":     {backendtest.Networkd(247), usb},
		"networkd-257":     {backendtest.Networkd(257), usb},
		"dhclient":         {backendtest.Ifupdown("dhclient"), usb},
		"dhclient-there":   {there, usb},
		"ifupdown-dhcpcd":  {backendtest.Ifupdown("dhcpcd"), usb},
		"nobody":           {&facts.Facts{}, usb},
		"dhcpcd-two":       {backendtest.Dhcpcd("10.1.0"), []Link{{Name: "usb0"}, {Name: "usb1"}}},
		"dhcpcd":           {backendtest.Dhcpcd("9.4.1"), usb},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Plan(c.f, c.links)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range d.Wants {
				if !Owns(w.Ref, c.links) && w.Name != dhcpcdConf {
					t.Errorf("%s is wanted and not owned", w.Ref)
				}
			}
			backendtest.Golden(t, name, backendtest.Text(d), *update)
		})
	}
}

func TestRefusals(t *testing.T) {
	written := backendtest.Ifupdown("dhclient")
	backendtest.Put(written, "/etc/network/interfaces.d/usb", "iface usb0 inet static\n    address 10.0.0.1/24\n", 0o644)
	theirs := backendtest.Ifupdown("dhclient")
	backendtest.Put(theirs, "/etc/network/interfaces.d/provision-usb0", "# mine\n", 0o644)
	for name, c := range map[string]struct {
		f    *facts.Facts
		want string
	}{
		"a stanza":      {written, "configures it already"},
		"a file's name": {theirs, "was not written by provision"},
	} {
		if _, err := Plan(c.f, []Link{{Name: "usb0"}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
