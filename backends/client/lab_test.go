//go:build lab && linux

package client

import (
	"io/fs"
	"strconv"
	"testing"
	"time"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/scripts/lab"
)

// TestHostShares: the real managers have the files from boot on, and the NIC comes later, with a
// DHCP server and a router behind it: it gets an address and a default route that loses. A veth is
// no gadget to udev, which does not run here; that rule is not part of this.
func TestHostShares(t *testing.T) {
	lab.Need(t, lab.Tier2)
	for _, c := range []struct {
		root   string
		f      *facts.Facts
		metric uint32
	}{
		{"trixie-nm", backendtest.NM("1.52.1"), MetricNM},
		{"trixie-netplan", backendtest.NetplanNetworkd(257), MetricNetworkd},
	} {
		t.Run(c.root, func(t *testing.T) {
			t.Parallel()
			d, err := Plan(c.f, []Link{{Name: "usb0"}})
			if err != nil {
				t.Fatal(err)
			}
			files := lab.Overlay{}
			for _, w := range d.Wants {
				mode, err := strconv.ParseUint(w.Attrs["mode"], 8, 32)
				if err != nil {
					t.Fatal(err)
				}
				files[w.Name] = lab.File{Content: w.Attrs["content"], Mode: fs.FileMode(mode)}
			}
			w := lab.NewWorld(t, lab.WorldOpts{})
			m := lab.Boot(t, lab.Root(t, c.root), w, lab.BootOpts{Overlay: files})
			m.AwaitDefaults(t, 20*time.Second, "eth0")
			// What Windows gives.
			w.AddNIC(lab.NICOpts{Name: "usb0", Net4: "192.168.137.0/24"})
			m.AwaitDefaults(t, 20*time.Second, "usb0")
			for _, family := range []int{4, 6} {
				best := 0
				var usb []lab.Route
				for _, r := range m.Defaults(family) {
					if r.Dev == "usb0" {
						usb = append(usb, r)
					} else if best == 0 || r.Metric < best {
						best = r.Metric
					}
				}
				if len(usb) != 1 || usb[0].Metric != int(c.metric) || best == 0 || best >= usb[0].Metric {
					t.Errorf("IPv%d: by usb0 %+v, want metric %d and the others better (%d)", family, usb, c.metric, best)
				}
			}
		})
	}
}
