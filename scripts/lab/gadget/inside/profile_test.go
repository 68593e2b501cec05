//go:build lab && linux

package inside

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/blockuse"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/linkname"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/usbgadget"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// planned is the wing's planner with the engine and the kinds that it plans for, without a command around them.
type planned struct {
	t testing.TB
	e *provision.Engine
}

func newPlanned(t testing.TB) *planned {
	t.Helper()
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	all := usbgadget.Resources(root, "")
	all[file.Kind] = &file.Resource{FS: root}
	all[link.Kind], all[linkname.Kind], all[address.Kind] = link.Resource{}, linkname.Resource{}, address.Resource{}
	all[bridge.Kind], all[bridge.PortKind] = bridge.Resource{}, bridge.Ports{}
	all[sysctl.Kind] = &sysctl.Resource{Files: root, Devices: netdev.Read}
	return &planned{t, &provision.Engine{Resources: all, Store: enginetest.NewMemFiles().Store(), Clock: enginetest.NewClock()}}
}

// apply plans from what the guest is now, as a board with a serial number, and makes it so.
func (p *planned) apply(text string) gadget.Result {
	p.t.Helper()
	var c gadget.Config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		p.t.Fatal(err)
	}
	f, err := facts.Gatherer{}.Gather(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	f.Machine.Serial = "00000000f3a2b1c4"
	images := map[string]gadget.Image{}
	for _, name := range c.Images() {
		i, err := blockuse.Look("", name)
		if err != nil {
			p.t.Fatal(err)
		}
		images[name] = gadget.Image{Path: i.Path, Kind: i.Kind, Use: i.Use}
	}
	r, err := gadget.Plan(gadget.Input{Facts: f, Images: images}, c)
	if err != nil {
		p.t.Fatal(err)
	}
	p.to(r.Desired)
	return r
}

func (p *planned) to(d provision.Desired) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	began := time.Now()
	if _, err := p.e.Apply(ctx, d, provision.ApplyOptions{}); err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("%d wants in %.0f ms", len(d.Wants), float64(time.Since(began).Microseconds())/1000)
}

// TestProfiles has every profile planned, made and seen by the host, one after another without anything being taken down between
// them, and each one twice: the second time the host notices nothing.
func TestProfiles(t *testing.T) {
	bed.Controllers(t, 1)
	if err := os.WriteFile("/disk.img", make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	p := newPlanned(t)
	last, device := "", ""
	for _, tt := range []struct {
		config  string
		drivers []string
		class   string
		oui     string // beginning of the host's addresses
	}{
		{"{profile: modern}", []string{"cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm"}, "ef/02/01", ""},
		{"{profile: windows, router: full}", []string{"rndis_host", "rndis_host", "cdc_acm", "cdc_acm"}, "ef/02/01", ""},
		{"{profile: classic}", []string{"cdc_ether", "cdc_ether"}, "02/00/00", ""},
		{"{profile: classic, bridge: br-usb}", []string{"cdc_ether", "cdc_ether"}, "02/00/00", ""},
		{"{profile: rescue}", []string{"cdc_acm", "cdc_acm"}, "ef/02/01", ""},
		{"{profile: custom, host-oui: '00:11:22', functions: [{type: ncm, interface: pi0, addresses: [10.66.0.1/24]}, {type: mass-storage, image: /disk.img}, {type: hid, report-length: 8, protocol: 1, subclass: 1, report-descriptor: 05010906a101050719e029e71500250175019508810295017508810395057501050819012905910295017503910395067508150025650507190029658100c0}]}",
			[]string{"cdc_ncm", "cdc_ncm", "usb-storage", "usbhid"}, "ef/02/01", "001122"},
	} {
		t.Run(tt.config[:min(40, len(tt.config))], func(t *testing.T) {
			p.t = t
			r := p.apply(tt.config)
			d := bed.Plugged(t, 0, tt.drivers...)
			dev := r.Devices[0]
			class := d.Attr("bDeviceClass") + "/" + d.Attr("bDeviceSubClass") + "/" + d.Attr("bDeviceProtocol")
			if class != tt.class || "0x"+d.Attr("bcdDevice") != dev.BCD || d.Attr("serial") != dev.Serial || (d.Attr("bcdDevice") == last) != strings.Contains(tt.config, "bridge") || "0x"+d.Attr("idVendor") != dev.Vendor {
				t.Errorf("class %s, bcdDevice %s, serial %q; planned %+v, before %s", class, d.Attr("bcdDevice"), d.Attr("serial"), dev, last)
			}
			if strings.Contains(tt.config, "bridge") && d.Attr("devnum") != device {
				t.Error("the bridge, which is none of the host's business, was an unplug")
			}
			last, device = d.Attr("bcdDevice"), d.Attr("devnum")
			for _, f := range dev.Functions {
				if f.MAC == "" {
					continue
				}
				if got, _ := os.ReadFile("/sys/class/net/" + f.Interface + "/address"); strings.TrimSpace(string(got)) != f.MAC {
					t.Errorf("%s has the address %q, want %s", f.Interface, got, f.MAC)
				}
				if tt.oui != "" && !strings.HasPrefix(strings.ReplaceAll(f.HostMAC, ":", ""), tt.oui) {
					t.Errorf("the host's side is %s", f.HostMAC)
				}
			}
			if macs := d.MACs(t); len(macs) > 0 && !strings.EqualFold(macs[0], strings.ReplaceAll(dev.Functions[0].HostMAC, ":", "")) {
				t.Errorf("the host is told %v, want %s", macs, dev.Functions[0].HostMAC)
			}
			for _, l := range r.Links {
				has := bed.Sh(t, "ip -o addr show dev "+l.Name)
				for _, a := range l.Addresses {
					i := strings.Index(has, " "+a.String()+" ")
					if line, _, _ := strings.Cut(has[max(i, 0):], "\n"); i < 0 || strings.Contains(line, "tentative") {
						t.Errorf("%s lacks %s or waits:\n%s", l.Name, a, has)
					}
				}
				if up := bed.Sh(t, "ip -o link show dev "+l.Name); !strings.Contains(up, ",UP") {
					t.Errorf("%s", up)
				}
			}
			devnum := d.Attr("devnum")
			again := p.apply(tt.config)
			if now := bed.Plugged(t, 0, tt.drivers...).Attr("devnum"); now != devnum {
				t.Errorf("the second time the host has device %s instead of %s", now, devnum)
			}
			for i, l := range again.Links {
				if !slices.Equal(l.Addresses, r.Links[i].Addresses) || l.Name != r.Links[i].Name {
					t.Errorf("%+v became %+v", r.Links[i], l)
				}
			}
		})
	}
	p.t = t
	p.to(provision.Desired{})
	if left := bed.Gadgets(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob("/sys/class/net/br-usb"); len(left) > 0 {
		t.Error("the bridge is left")
	}
}

// TestProfilesWindowsReads compares what Windows reads with the bytes that it wants: string 0xEE, and the compatible ids.
func TestProfilesWindowsReads(t *testing.T) {
	bed.Controllers(t, 1)
	p := newPlanned(t)
	p.apply("{profile: modern}")
	ncm := "\x28\x00\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x01WINNCM\x00\x00" + strings.Repeat("\x00", 14)
	for _, tt := range []struct{ config, want string }{
		{"{profile: modern}", ncm},
		{"{profile: windows}", "\x28\x00\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x01RNDIS\x00\x00\x005162001\x00" + strings.Repeat("\x00", 6)},
		{"{profile: modern}", ncm},
	} {
		p.apply(tt.config)
		d := bed.Plugged(t, 0)
		ee, err := d.Raw(0xee, 0)
		if err != nil || string(ee) != "\x12\x03M\x00S\x00F\x00T\x001\x000\x000\x00\xcd\x00" {
			t.Errorf("%s: string 0xee: % x, %v", tt.config, ee, err)
		}
		if b, err := d.Compatible(0xcd); err != nil || string(b) != tt.want {
			t.Errorf("%s: compatible ids %q, %v, want %q", tt.config, b, err, tt.want)
		}
	}
	p.to(provision.Desired{})
}
