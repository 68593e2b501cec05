package gadget

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func TestGoldens(t *testing.T) {
	image := map[string]Image{"/srv/status.img": {Kind: "file"}}
	for _, c := range []struct {
		name    string
		machine func() *facts.Facts
		config  string
		in      Input
	}{
		{"modern-zero-w", zeroW, "profile: modern", Input{Units: Units{Gadget: "[Unit]\n"}}},
		{"auto-zero-w", zeroW, "{profile: auto, rndis: true, router: full}", Input{}},
		{"auto-settled-zero-w", zeroW, "{profile: auto, rndis: true, router: full}", Input{Settled: map[string]string{"provision": Classic}}},
		{"classic-bridge-zero-2-w", zero2W, "{profile: classic, bridge: br-usb, router: full}", Input{}},
		{"classic-pi-4", pi4, "{profile: classic, router: split, routes: [10.8.0.0/16, \"fd08::/32\"]}", Input{}},
		{"windows-zero-2-w", zero2W, "{profile: windows, login: false, rndis-class: e0/01/03, interfaces: [win0], addresses: [192.168.137.1/24, auto], mtu: 1420}", Input{}},
		{"rescue-pi-4", pi4, "{profile: rescue, max-power: 100, manufacturer: Workshop, product: Door, serial: D1}", Input{}},
		{"client-zero-w", zeroW, "{profile: modern, router: client}", Input{}},
		{"custom-vm", virtual, `
profile: custom
rndis: true
udc: dummy_udc.1
host-oui: "00:11:22"
functions:
  - {type: rndis, router: full}
  - {type: ncm, interface: ncm0, mac: "02:00:5e:10:00:01", addresses: [10.55.0.1/24], router: none}
  - {type: eem, router: client}
  - {type: ecm}
  - {type: acm, login: true}
  - {type: mass-storage, image: /srv/status.img, cdrom: true}
  - {type: hid, protocol: 1, subclass: 1, report-length: 8, report-descriptor: 05010906A101C0}
more:
  - {profile: rescue}
`, Input{Images: image}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := c.in
			in.Facts = c.machine()
			conf := config(t, c.config)
			r := mustPlan(t, in, conf)
			if again := mustPlan(t, in, conf); !reflect.DeepEqual(r, again) {
				t.Error("the second plan is another one")
			}
			golden(t, c.name, text(r))
		})
	}
}

// The fixtures of real machines: what is planned on each of them, or why nothing is.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"pizerow-bookworm-composite", "pizero2w-trixie-g-ether", "vm-dummy-udc", "offline-raspios-image", "bullseye-dhcpcd-and-networkd"} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("../provision/facts/testdata", name, "facts.json"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := facts.Load(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Plan(Input{Facts: f, Units: Units{Gadget: "[Unit]\n"}}, config(t, "{profile: auto, router: full}"))
			got := text(r)
			if err != nil {
				got = err.Error() + "\n"
			}
			golden(t, "fixture-"+name, got)
		})
	}
}
